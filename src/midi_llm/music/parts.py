"""The parts of a piece, and the groups of instruments that they belong to.

In: a `NoteTable`. Out: the part and the group of every note. A part is an instrument, or one kind of drum of the kit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from midi_llm.music.features import NoteTable
from midi_llm.music.score import DRUMS

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

PITCHED = ("keys", "organ", "guitar", "bass", "strings", "voices", "brass", "winds", "synth", "struck")
"""Groups of General MIDI programs."""
_OF_FAMILY = (0, 0, 1, 2, 3, 4, 4, 6, 7, 7, 8, 8, 8, 2, 9, 9)
"""The group of each of the 16 General MIDI families ..."""
_VOICES = (52, 53, 54)
"""... except the voices among the ensembles."""

DRUM_KEYS: dict[str, tuple[int, ...]] = {
    "kick": (35, 36),
    "snare": (37, 38, 39, 40),
    "hat": (22, 26, 42, 44, 46),
    "ride": (51, 53, 59),
    "crash": (49, 52, 55, 57),
    "tom": (41, 43, 45, 47, 48, 50, 58),
}
"""Kinds of drums by General MIDI percussion key (22 and 26 are the edges of electronic hi-hats)."""
GROUPS = (*PITCHED, *DRUM_KEYS, "percussion")
"""Every group; the drums that are of no other kind are the last."""


def parts_and_groups(notes: NoteTable) -> tuple[Integers, Integers]:
    """The part [n] of each note (drums from number `DRUMS` on), and its group [n], an index of `GROUPS`."""
    programs = np.repeat(_OF_FAMILY, 8)
    programs[list(_VOICES)] = PITCHED.index("voices")
    kinds = np.full(128, len(DRUM_KEYS), np.int64)
    for index, keys in enumerate(DRUM_KEYS.values()):
        kinds[list(keys)] = index
    drums = notes.instrument == DRUMS
    kind = kinds[notes.pitch]
    group = np.where(drums, len(PITCHED) + kind, programs[np.where(drums, 0, notes.instrument)])
    return notes.instrument + np.where(drums, kind, 0), group


def part_means(values: Floats, part: Integers) -> Floats:
    """For each note, the mean of `values` [n] or [n, k] over its part."""
    order = np.argsort(part, kind="stable")
    _, first, inverse, counts = np.unique(part[order], return_index=True, return_inverse=True, return_counts=True)
    sums = np.add.reduceat(values[order], first, axis=0)
    out = np.empty(values.shape)
    out[order] = (sums / counts.reshape(-1, *[1] * (values.ndim - 1)))[inverse]
    return out
