"""A small corpus in the published layout, written by the tests: chords and drums over a scale, some pieces broken."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import numpy as np

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


def write_corpus(folder: Path, *, pieces: int = 8) -> Path:
    """Write `pieces` pieces over three sources and three splits, and one broken file."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    with zipfile.ZipFile(folder / "corpus.zip", "w") as archive:
        for index in range(pieces):
            source = list(GENRES)[index % 3]
            path = f"{source}/piece_{index}.mid"
            data = b"MThd broken" if index == 3 else to_midi_bytes(make_score(index, bpm=100.0 + 7 * index))
            archive.writestr(path, data)
            rows.append(
                {
                    "id": f"piece_{index}", "path": path, "source": source, "tier": "C" if "gpl" in source else "A",
                    "split": "valid" if index in (1, 6) else "train", "genres": GENRES[source], "moods": ["calm"],
                    "key": "C major", "key_source": "metadata" if index % 2 == 0 else "estimated",
                    "licence": "CC0-1.0", "attribution": f"Composer {index}\nof tests", "url": None,
                    "tempo_source": "default" if index == 4 else None,
                }
            )  # fmt: skip
    with gzip.open(folder / "manifest.jsonl.gz", "wt", encoding="utf-8") as manifest:
        manifest.writelines(json.dumps(row) + "\n" for row in rows)
    return folder
