"""A data set of tunes in several keys, tempos and instruments, as `data build` would leave it."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from data.piece_rows import piece_row
from evaluate.tunes import BEAT_SECONDS, tune
from midi_llm.data.dataset import MANIFEST_FILE, Dataset, member_name
from midi_llm.data.manifest import PieceRow, write_manifest
from midi_llm.data.sources.base import Metadata
from midi_llm.music.key import PITCH_CLASSES
from midi_llm.music.score import Score, Tempo, TimeSignature, Track
from midi_llm.music.write import to_midi_bytes

LEADS = (73, 40, 56, 65)
STRETCHES = (1.0, 1.25, 0.8)


def transposed_tune(seed: int) -> tuple[Score, str]:
    """A tune with its key: moved by `seed` semitones, slower or faster, led by one of `LEADS`."""
    score, semitones, stretch = tune(seed), seed % 12, STRETCHES[seed % len(STRETCHES)]
    tracks = []
    for track in score.tracks:
        notes = track.notes.copy()
        notes["time"] *= stretch
        notes["duration"] *= stretch
        if not track.is_drum:
            notes["pitch"] = notes["pitch"].astype(np.int64) + semitones
        program = LEADS[seed % len(LEADS)] if track.program == LEADS[0] else track.program
        tracks.append(Track(program=program, is_drum=track.is_drum, notes=notes))
    score = replace(
        score,
        tracks=tuple(tracks),
        tempos=(Tempo(time=0.0, bpm=60 / BEAT_SECONDS / stretch),),
        time_signatures=(TimeSignature(time=0.0, numerator=4, denominator=4),),
    )
    return score, f"{PITCH_CLASSES[semitones]} major"


def write_dataset(folder: Path, *, train: int = 6, valid: int = 12, test: int = 12) -> Dataset:
    """Different tunes in each split."""
    rows: list[PieceRow] = []
    (folder / "pieces").mkdir(parents=True)
    splits = ["train"] * train + ["valid"] * valid + ["test"] * test
    with zipfile.ZipFile(folder / "pieces" / "folk-00000.zip", "w") as archive:
        for seed, split in enumerate(splits):
            score, key = transposed_tune(seed)
            rows.append(piece_row(f"tune{seed:02d}", split=split, key=key, metadata=Metadata(key=key)))
            archive.writestr(member_name(rows[-1]), to_midi_bytes(score))
    write_manifest(rows, folder / MANIFEST_FILE)
    return Dataset(folder)
