"""Melodies as scores, and data sets of a manifest and zips alone, which is all that an index of runs needs."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from data.piece_rows import piece_row
from midi_llm.data.dataset import MANIFEST_FILE, Dataset, member_name
from midi_llm.data.manifest import PieceRow, write_manifest
from midi_llm.music.score import NOTE_DTYPE, Score, Track
from midi_llm.music.write import to_midi_bytes


def melody(pitches: Sequence[int], gaps: Sequence[float] | None = None, *, program: int = 0) -> Track:
    """Notes with `gaps` seconds between their onsets (default: half a second each)."""
    notes = np.zeros(len(pitches), NOTE_DTYPE)
    between = np.full(max(len(pitches) - 1, 0), 0.5) if gaps is None else np.asarray(gaps)
    notes["time"] = np.r_[0.0, np.cumsum(between)][: len(pitches)]
    notes["pitch"], notes["duration"], notes["velocity"] = pitches, 0.2, 80
    return Track(program=program, notes=notes)


def random_melody(seed: int, notes: int = 100, *, program: int = 0) -> Track:
    """No pitch twice in a row, gaps of 0.25, 0.5 and 1 s. A shorter one is the beginning of a longer one."""
    steps = np.random.default_rng([seed, 0]).integers(1, 12, notes - 1)
    gaps = np.random.default_rng([seed, 1]).choice([0.25, 0.5, 1.0], notes - 1)
    pitches = 50 + np.cumsum(np.r_[0, steps]) % 24
    return melody(pitches.tolist(), gaps.tolist(), program=program)


def moved(track: Track, *, semitones: int = 0, factor: float = 1.0, seconds: float = 0.0) -> Track:
    """The track transposed, `factor` times as slow, `seconds` later."""
    notes = track.notes.copy()
    notes["time"] = notes["time"] * factor + seconds
    notes["pitch"] = notes["pitch"].astype(int) + semitones
    return replace(track, notes=notes)


def joined(*tracks: Track) -> Track:
    """One track after the other, a second between the last onset of one and the first of the next."""
    parts, end = [], 0.0
    for track in tracks:
        part = moved(track, seconds=end).notes
        parts.append(part)
        end = float(part["time"].max()) + 1.0
    return replace(tracks[0], notes=np.concatenate(parts))


def write_dataset(folder: Path, pieces: Mapping[str, Score], rows: Sequence[PieceRow] = ()) -> Dataset:
    """A data set of `pieces` by name, all for training and spread over two parts; `rows` replace those of their ids."""
    known = {row.id: row for row in rows}
    manifest = []
    for number, name in enumerate(pieces):
        row = piece_row(name, pack=f"folk-{number * 2 // max(len(pieces), 1):05d}")
        manifest.append(replace(known[row.id], pack=row.pack) if row.id in known else row)
    (folder / "pieces").mkdir(parents=True)
    for row, score in zip(manifest, pieces.values(), strict=True):
        with zipfile.ZipFile(folder / "pieces" / f"{row.pack}.zip", "a") as archive:
            archive.writestr(member_name(row), to_midi_bytes(score))
    write_manifest(manifest, folder / MANIFEST_FILE)
    return Dataset(folder)
