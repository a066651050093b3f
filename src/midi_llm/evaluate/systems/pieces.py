"""Pieces that are there before anybody asks for them, as a system; and notes laid flat made into a score again.

In: MIDI bytes by prompt id. Out: those bytes, whatever seed and length a job names. Knows not where they come from:
`real` and `floor` make them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from midi_llm.evaluate.systems.base import JSON, Delivery, Job
from midi_llm.music.features import NoteTable
from midi_llm.music.score import DRUMS, NOTE_DTYPE, Score, Tempo, TimeSignature, Track


@dataclass(frozen=True, kw_only=True, slots=True)
class Pieces:
    """One MIDI file for each prompt id. A second take of a prompt does not exist: it is delivered with an error."""

    name: str
    midi: Mapping[str, bytes]
    origin: Mapping[str, JSON]
    """Where they come from, for the report."""

    def describe(self) -> dict[str, JSON]:
        """Origin, number and a digest of all files."""
        digest = hashlib.sha256(b"".join(hashlib.sha256(self.midi[name]).digest() for name in sorted(self.midi)))
        return {**self.origin, "files": len(self.midi), "sha256": digest.hexdigest()}

    def compose(self, jobs: Sequence[Job]) -> Iterator[Delivery]:
        """The piece of each job's prompt."""
        for job in jobs:
            midi = self.midi.get(job.prompt.id)
            if midi is None:
                yield Delivery(error=f"{self.name} has no piece for the prompt {job.prompt.id}")
            elif job.number:
                yield Delivery(error=f"{self.name} has one piece a prompt, take {job.number} (from 0) was asked for")
            else:
                yield Delivery(midi=midi)

    def close(self) -> None:
        """Nothing is held."""


def score_of(notes: NoteTable, *, bpm: float | None = None, metre: tuple[int, int] | None = None) -> Score:
    """A score with a track for each instrument, by number; the inverse of `music.features.note_table`."""
    tracks = []
    for instrument in np.unique(notes.instrument).tolist():
        own = notes.where(notes.instrument == instrument)
        rows = np.empty(len(own), NOTE_DTYPE)
        rows["time"], rows["duration"], rows["pitch"], rows["velocity"] = (
            own.start,
            own.duration,
            own.pitch,
            own.velocity,
        )
        is_drum = instrument == DRUMS
        tracks.append(Track(program=0 if is_drum else instrument, is_drum=is_drum, notes=rows))
    return Score(
        tracks=tuple(tracks),
        tempos=(Tempo(time=0.0, bpm=bpm),) if bpm else (),
        time_signatures=(TimeSignature(time=0.0, numerator=metre[0], denominator=metre[1]),) if metre else (),
    )
