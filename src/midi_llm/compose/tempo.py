"""The tempo of a piece in the making: heard in what was composed last, and brought back to where it was.

In: events [n, 4] of a window or a section. Out: how much slower they are to be played, and the events so played. A
model that goes on from its own music drifts; what it reads is therefore put right before it goes on. Knows no windows.
"""

from __future__ import annotations

import numpy as np

from midi_llm.compose.timing import LEAST_CONFIDENCE, stretch
from midi_llm.music.beats import BeatGrid, estimate_beats
from midi_llm.music.features import note_table
from midi_llm.tokens.codec import Events, dequantize, tidy
from midi_llm.tokens.vocab import MAX_DURATION_TICKS


def hear(events: Events, metre: tuple[int, int] | None) -> BeatGrid | None:
    """The beats of `events`, in time order."""
    return estimate_beats(note_table(dequantize(tidy(events))), metre=metre)


def is_clear(grid: BeatGrid | None) -> bool:
    """Whether one tempo holds, and is surely the one heard."""
    return grid is not None and grid.steady and grid.confidence >= LEAST_CONFIDENCE


def slower(events: Events, bpm: float, metre: tuple[int, int] | None) -> float:
    """By what times of `events` are multiplied to bring them to `bpm`; 1 where nothing clear is heard near it."""
    grid = hear(events, metre)
    return (stretch(grid.bpm, bpm) if grid is not None and is_clear(grid) else None) or 1.0


def played(events: Events, *, start: int, factor: float) -> Events:
    """`events` played `factor` times slower from tick `start` on."""
    moved = events.copy()
    moved[:, 0] = start + np.rint((events[:, 0] - start) * factor)
    moved[:, 1] = np.rint(events[:, 1] * factor).clip(1, MAX_DURATION_TICKS - 1)
    return moved
