"""Metre: whether a take has the metre that its prompt names, and keeps to the grid of its file.

Conventions: a metre is (numerator, denominator). "Heard" is the metre of the beats that `music.beats` finds, never told
what was asked for; how often it errs is known (`evaluate.estimators`). It hears 2, 3 or 4 beats in a bar and no others:
of a prompt that asks for 5/4 nothing is known, nan. "Written" is the file's. A take in which no beat is heard has no
metre: 0. In: `Wish`es. Out: a value a take.
"""

from __future__ import annotations

from collections.abc import Sequence

from midi_llm.evaluate.control.wish import Wish, control_metric, judge
from midi_llm.evaluate.control.written import on_written_grid, written_metre
from midi_llm.evaluate.metric import Measured
from midi_llm.music.metre import BEATS_PER_BAR, beats_in_bar, is_compound

HEARABLE = frozenset({*((beats, 4) for beats in BEATS_PER_BAR), *((3 * beats, 8) for beats in BEATS_PER_BAR)})
"""All that `music.beats` finds: 2/4, 3/4, 4/4, 6/8, 9/8, 12/8."""

HEARD = control_metric("metre_heard", "Takes in the metre asked for, as heard in the notes.")
KIND_HEARD = control_metric(
    "metre_kind_heard", "Takes that count in two or three, in beats of two parts or three, as asked for and as heard."
)
WRITTEN = control_metric("metre_written", "Takes in the metre asked for, as written in the file.")
ON_WRITTEN_GRID = control_metric(
    "on_written_grid", "Share of the onsets within 15 ms of a sixteenth or triplet of the grid that the file draws."
)


def evaluate(asked: Sequence[Wish]) -> list[Measured]:
    """All metrics of metre and grid, a value a take; the grid needs no wish."""
    return [
        judge(HEARD, asked, _same_heard),
        judge(KIND_HEARD, asked, _same_kind_heard),
        judge(WRITTEN, asked, _same_written),
        judge(ON_WRITTEN_GRID, asked, lambda wish: on_written_grid(wish.score)),
    ]


def metre_kind(metre: tuple[int, int]) -> tuple[int, bool]:
    """(Beats in a bar, halved while they are even and more than two; whether a beat has three parts).

    2/4, 4/4 and 2/2 are one kind, 3/4 and 3/8 another, 6/8 and 12/8 a third, 9/8 a fourth.

    1. Mustango compares the number of beats in a bar and nothing else.
    """
    beats = beats_in_bar(metre)
    while beats > 2 and beats % 2 == 0:
        beats //= 2
    return beats, is_compound(metre)


HEARABLE_KINDS = frozenset(map(metre_kind, HEARABLE))


def _same_heard(wish: Wish) -> float | None:
    asked, grid = wish.facts.metre, wish.analysis.grid
    return float(grid is not None and grid.metre == asked) if asked in HEARABLE else None


def _same_kind_heard(wish: Wish) -> float | None:
    asked, grid = wish.facts.metre, wish.analysis.grid
    if asked is None or metre_kind(asked) not in HEARABLE_KINDS:
        return None
    return float(grid is not None and metre_kind(grid.metre) == metre_kind(asked))


def _same_written(wish: Wish) -> float | None:
    asked = wish.facts.metre
    return float(written_metre(wish.score) == asked) if asked is not None else None
