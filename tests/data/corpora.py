"""Small corpora and folders, written by the tests (chords and drums over a scale), and data sets built from them."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from midi_llm.data.build import BuildSpec
from midi_llm.data.presets import row_sets
from midi_llm.music.score import NOTE_DTYPE, Score, Tempo, TimeSignature, Track
from midi_llm.music.write import to_midi_bytes

GENRES = {"bandgen": ["rock"], "mutopia": ["classical"], "openmsx-gpl": ["jazz"]}


def make_score(seed: int, *, bars: int = 24, bpm: float = 123.0) -> Score:
    """A piano line in eighths and a drum on every beat, `bars` bars of 4/4 at `bpm`."""
    rng = np.random.default_rng(seed)
    eighth = 30.0 / bpm
    piano = np.zeros(bars * 8, NOTE_DTYPE)
    piano["time"] = np.arange(bars * 8) * eighth
    piano["duration"], piano["velocity"] = eighth, 80
    piano["pitch"] = rng.choice([60, 62, 64, 65, 67, 69, 71], len(piano))
    drums = piano[::2].copy()
    drums["pitch"] = 36
    return Score(
        tracks=(Track(program=0, notes=piano), Track(is_drum=True, notes=drums)),
        tempos=(Tempo(time=0.0, bpm=bpm),),
        time_signatures=(TimeSignature(time=0.0, numerator=4, denominator=4),),
    )


def varied(score: Score, *, semitones: int = 0, stretch: float = 1.0, program: int = 0) -> Score:
    """`score` with its pitched tracks moved and played by `program`, and all of it `stretch` times as long."""
    tracks = []
    for track in score.tracks:
        notes = track.notes.copy()
        notes["time"] *= stretch
        notes["duration"] *= stretch
        notes["pitch"] = notes["pitch"].astype(int) + (0 if track.is_drum else semitones)
        tracks.append(Track(program=track.program if track.is_drum else program, is_drum=track.is_drum, notes=notes))
    tempos = tuple(Tempo(time=tempo.time * stretch, bpm=tempo.bpm / stretch) for tempo in score.tempos)
    return Score(tracks=tuple(tracks), tempos=tempos, time_signatures=score.time_signatures)


def columns(name: str, *, source: str = "mutopia", split: str = "train", **others: Any) -> dict[str, Any]:
    """The row of one piece in a corpus' manifest; `others` replace or add columns."""
    row = {"id": name, "path": f"{source}/{name}.mid", "source": source, "tier": "A", "split": split}
    return row | {"licence": "CC0-1.0", "attribution": f"Composer of {name}"} | others


def write_archive(folder: Path, pieces: Sequence[tuple[dict[str, Any], bytes]]) -> Path:
    """Write a corpus of (manifest row, bytes of its file)."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "corpus.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for row, data in pieces:
            archive.writestr(row["path"], data)
    with gzip.open(folder / "manifest.jsonl.gz", "wt", encoding="utf-8") as manifest:
        manifest.writelines(json.dumps(row) + "\n" for row, _ in pieces)
    return folder


def write_corpus(folder: Path, *, pieces: int = 8) -> Path:
    """Write `pieces` pieces over three sources and two splits, one of them a broken file."""
    rows = []
    for index in range(pieces):
        source = list(GENRES)[index % 3]
        row = columns(
            f"piece_{index}", source=source, split="valid" if index in (1, 6) else "train",
            tier="C" if "gpl" in source else "A", genres=GENRES[source], moods=["calm"], key="C major",
            key_source="metadata" if index % 2 == 0 else "estimated", attribution=f"Composer {index}\nof tests",
            url=None, tempo_source="default" if index == 4 else None,
        )  # fmt: skip
        data = b"MThd broken" if index == 3 else to_midi_bytes(make_score(index, bpm=100.0 + 7 * index))
        rows.append((row, data))
    return write_archive(folder, rows)


def write_midis(folder: Path, seeds: Sequence[int] = range(100, 106)) -> Path:
    """Write a plain folder: one piece per seed."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (folder / f"song {seed}.mid").write_bytes(to_midi_bytes(make_score(seed)))
    return folder


TINY = ("short.rows=6", "short.valid_rows=2", "short.length=256", "full.rows=0")
"""Changes that leave of the preset "nano" a few short rows, and stage 1 where it is changed too."""


def tiny_spec(*sources: str, changes: Sequence[str] = (), **values: Any) -> BuildSpec:
    """A build of a few rows and a tokenizer of 300 ids; `values` replace fields."""
    left_out = [] if any(change.startswith("stage1") for change in changes) else ["stage1.rows=0"]
    sets = row_sets("nano", [*TINY, *changes, *left_out])
    return replace(BuildSpec(sources=sources, row_sets=sets, text_rows=300, tokenizer_captions=16), **values)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, hidden ones too, by its path there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
