"""Words for amounts: the length, and "sparse" or "dense", "low" or "high".

Conventions: the words mean what they mean in the captions (`data.captions.measured`): limits on the density relative to
the number of instruments and on the mean pitch, as `data.facts` measures both. Nothing is estimated. In: `Wish`es.
Out: a value a take.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from midi_llm.data.captions.measured import DENSITY, HIGH_ABOVE, LOW_BELOW
from midi_llm.evaluate.control.wish import Wish, control_metric, judge
from midi_llm.evaluate.metric import Measured
from midi_llm.evaluate.prompts import Density, Register
from midi_llm.music.features import NoteTable, mean_pitch, relative_density

SPARSE_BELOW = DENSITY[1][1]
"""Below it the captions say "sparse" (and "very sparse" further down)."""
DENSE_FROM = DENSITY[3][0]
SECONDS_TOLERANCE = 0.2
"""Lengths are said in round numbers: "about half a minute". Our choice."""

SECONDS_ERROR = control_metric(
    "seconds_error", "Difference from the length that the prompt states, as a share of it.", better="lower"
)
SECONDS_WITHIN = control_metric("seconds_within_20", "Takes within 20 % of the length that the prompt states.")
DENSITY_WORD = control_metric("density", "Takes that are sparse or dense as the prompt says.")
REGISTER_WORD = control_metric("register", "Takes that are low or high as the prompt says.")


def evaluate(asked: Sequence[Wish]) -> list[Measured]:
    """All metrics of amounts, a value a take."""
    return [
        judge(SECONDS_ERROR, asked, seconds_error),
        judge(SECONDS_WITHIN, asked, _seconds_within),
        judge(DENSITY_WORD, asked, _density),
        judge(REGISTER_WORD, asked, _register),
    ]


def seconds_error(wish: Wish) -> float | None:
    """|end of the last note - length stated| / length stated; None where none is, or another was asked for beside it.

    A run that asks for takes of 20 s overrules a prompt that says "about a minute": then nothing is counted.
    """
    stated = wish.facts.seconds
    if stated is None or wish.seconds_asked not in (None, stated):
        return None
    return abs(wish.score.seconds - stated) / stated


def density(notes: NoteTable) -> float:
    """Notes a second over the root of the number of instruments, counted from second 0 on, over 1 s at the least.

    1. `texture.relative_density` counts from the first onset on; here it is the number that the captions go by.
    """
    seconds = max(float((notes.start + notes.duration).max(initial=0.0)), 1.0)
    return relative_density(len(notes) / seconds, len(np.unique(notes.instrument)))


def density_holds(word: Density, found: float) -> bool:
    """Whether a `density` is below 4.5 (sparse), or 10 and more (dense)."""
    return found < SPARSE_BELOW if word == "sparse" else found >= DENSE_FROM


def register_holds(word: Register, pitch: float) -> bool:
    """Whether the mean MIDI pitch, weighted by duration, is below 53, or above 66."""
    return pitch < LOW_BELOW if word == "low" else pitch > HIGH_ABOVE


def _seconds_within(wish: Wish) -> float | None:
    error = seconds_error(wish)
    return float(error <= SECONDS_TOLERANCE + 1e-9) if error is not None else None


def _density(wish: Wish) -> float | None:
    word = wish.facts.density
    return float(density_holds(word, density(wish.notes))) if word is not None else None


def _register(wish: Wish) -> float | None:
    """0 where no pitch sounds."""
    word = wish.facts.register
    if word is None:
        return None
    pitch = mean_pitch(wish.notes.pitched())
    return float(pitch is not None and register_holds(word, pitch))
