"""Form: which bars are alike, note for note.

In: a `NoteTable` whose second 0 is a bar line, and the length of a bar. Out: a label a bar, or the share of bars that
repeat. Alike means the same onsets (to 1/48 of a bar), instruments and pitches; durations, velocities and
transpositions are not looked at.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from midi_llm.music.features import Integers, NoteTable

STEPS_PER_BAR = 48


def bar_labels(notes: NoteTable, bar_seconds: float, bars: int) -> Integers:
    """Label [bars] of each of the first `bars` bars: the index of the first bar like it, -1 where nothing begins."""
    bar, step = np.divmod(np.rint(notes.start * (STEPS_PER_BAR / bar_seconds)).astype(np.int64), STEPS_PER_BAR)
    onsets = np.unique(np.stack([bar, step, notes.instrument, notes.pitch], axis=1), axis=0)
    bounds = np.searchsorted(onsets[:, 0], np.arange(bars + 1))
    labels = np.full(bars, -1, np.int64)
    seen: dict[bytes, int] = {}
    for index, (begin, end) in enumerate(pairwise(bounds.tolist())):
        if end > begin:
            labels[index] = seen.setdefault(onsets[begin:end, 1:].tobytes(), index)
    return labels


def repeated_share(labels: Integers) -> float | None:
    """Share of bars with notes that are like an earlier one (0-1); None when fewer than two bars have notes."""
    at = np.flatnonzero(labels >= 0)
    return float((labels[at] < at).mean()) if len(at) > 1 else None
