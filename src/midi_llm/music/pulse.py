"""What in a piece marks the beat: accents of several kinds at its onsets, and how they line up with a pulse.

In: a `NoteTable`. Out: `Accents`, and numbers for a hypothesis (a pulse of so many hertz with such a phase).
Velocity is not looked at: scores and models write one velocity for all notes. Knows no metre.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from midi_llm.music.features import NoteTable
from midi_llm.music.score import DRUMS

Floats = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]

KINDS = ("onset", "long", "bass", "kick", "snare", "change")
"""Kinds of accent: any onset; a long note; a low note; bass drum; snare, rim or clap; a change of harmony."""
TOGETHER_SECONDS = 0.02
"""Onsets this close to the first of a group are one onset."""
LONGEST_SECONDS = 2.0
CHANGE_SECONDS = 0.8
"""A change of harmony is heard between the pitch classes of this time before an onset and after it."""
KICK, SNARE = (35, 36), (37, 38, 39, 40)
"""General MIDI percussion keys."""
LOW, HIGH = 36, 60
"""A bass accent is full at MIDI pitch 36 and below, none from 60 on."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Accents:
    """`times` [n] of the onsets in seconds, ascending; `strength` [kinds, n] >= 0, each row with sum 1 or all 0."""

    times: Floats
    strength: Floats

    def between(self, start: float, end: float) -> Accents:
        """The onsets in `start <= time < end` seconds, rows scaled again."""
        low, high = np.searchsorted(self.times, (start, end))
        return Accents(times=self.times[low:high], strength=_scaled(self.strength[:, low:high]))


def accents(notes: NoteTable) -> Accents:
    """Group the onsets of `notes` (ordered by onset) and weigh each group in every kind of `KINDS`."""
    first = _group_starts(notes.start)
    group = np.searchsorted(first, np.arange(len(notes)), side="right") - 1
    times = notes.start[first]
    drums = notes.instrument == DRUMS
    pitched = ~drums

    def most(values: npt.ArrayLike) -> Floats:
        found = np.zeros(len(times))
        np.maximum.at(found, group, values)
        return found

    rows = [
        np.log2(1 + np.bincount(group, minlength=len(times))),
        most(np.where(pitched, np.minimum(notes.duration, LONGEST_SECONDS), 0)),
        most(np.where(pitched, np.clip((HIGH - notes.pitch) / (HIGH - LOW), 0, 1), 0)),
        most(drums & np.isin(notes.pitch, KICK)),
        most(drums & np.isin(notes.pitch, SNARE)),
        _harmony_change(notes.where(pitched), times),
    ]
    return Accents(times=times, strength=_scaled(np.array(rows)))


def spectrum(found: Accents, hertz: Floats) -> Complex:
    """Sum of strength * exp(-2 pi i f t): [kinds, frequencies]. Magnitude 1 is a pulse that holds every onset."""
    turns = np.exp(-2j * np.pi * np.outer(found.times, hertz))
    return np.asarray(found.strength @ turns)


def _group_starts(start: Floats) -> npt.NDArray[np.int64]:
    """Index of the first note of each group: a note more than `TOGETHER_SECONDS` after the first of the last group."""
    chosen = [0]
    while (after := int(np.searchsorted(start, start[chosen[-1]] + TOGETHER_SECONDS, side="right"))) < len(start):
        chosen.append(after)
    return np.array(chosen, np.int64)


def _scaled(strength: Floats) -> Floats:
    total = strength.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(strength, total, out=np.zeros_like(strength), where=total > 0))


def _harmony_change(notes: NoteTable, times: Floats) -> Floats:
    """Cosine distance [n] of the pitch classes struck just before each time and from it on; 0 where either is none."""
    weights = np.zeros((len(notes) + 1, 12))
    weights[np.arange(len(notes)) + 1, notes.pitch % 12] = np.minimum(notes.duration, LONGEST_SECONDS)
    summed = weights.cumsum(axis=0)
    edges = np.searchsorted(notes.start, np.stack((times - CHANGE_SECONDS, times, times + CHANGE_SECONDS)) - 1e-6)
    before, after = summed[edges[1]] - summed[edges[0]], summed[edges[2]] - summed[edges[1]]
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    alike = np.divide((before * after).sum(axis=1), lengths, out=np.ones_like(lengths), where=lengths > 0)
    return np.asarray(np.clip(1 - alike, 0, 1))
