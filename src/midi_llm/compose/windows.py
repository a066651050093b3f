"""Long pieces: what a window of the model's context may hold, and where the next one starts.

A model sees `max_positions` ids and says times below 100 s, so a long piece is composed in windows: each one repeats
the prompt and the most recent events of the piece, with their times made relative to the first of them (as AMT's
training windows are), and goes on from there. In and out: events [n, 4] and ticks. Knows no engine and no ids.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from midi_llm.tokens.codec import Events
from midi_llm.tokens.vocab import MAX_TIME_TICKS, TICKS_PER_SECOND

SLIDE_TICKS = 9_000
"""A window that cannot hold the end of the piece is left from this onset on, while later times can still be said."""

KEEP_TICKS = MAX_TIME_TICKS // 2
"""No more than this much time of the past is repeated, so that a sparse piece moves on as well."""

MIN_END_SHARE = 0.9
"""A piece may end by itself from this share of the length asked for."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Window:
    """`context`: events already composed, times relative to `offset_ticks` of the piece."""

    offset_ticks: int
    context: Events


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Of one window, in its own ticks: nothing starts at `end_ticks` or later; the piece may end from `min_end_ticks`.

    `is_last`: the end of the piece lies within this window.
    """

    end_ticks: int
    min_end_ticks: int
    is_last: bool


FIRST = Window(offset_ticks=0, context=np.empty((0, 4), np.int32))


def length_ticks(seconds: float) -> int:
    """Seconds as ticks, to the nearest."""
    return round(seconds * TICKS_PER_SECOND)


def limits(window: Window, target_ticks: int | None, *, min_end_share: float = MIN_END_SHARE) -> Limits:
    """What `window` of a piece of `target_ticks` may hold; None: the piece ends where it likes, in its first window.

    It may end by itself from `min_end_share` of the target on.
    """
    if target_ticks is None:
        return Limits(end_ticks=MAX_TIME_TICKS, min_end_ticks=0, is_last=True)
    end = target_ticks - window.offset_ticks
    if end > MAX_TIME_TICKS:
        return Limits(end_ticks=MAX_TIME_TICKS, min_end_ticks=MAX_TIME_TICKS, is_last=False)
    min_end = math.ceil(min_end_share * target_ticks) - window.offset_ticks
    return Limits(end_ticks=end, min_end_ticks=max(0, min_end), is_last=True)


def slide(events: Events, *, max_events: int) -> Window:
    """The window after `events` (the piece so far, times from its start): at most half of `max_events` is kept."""
    recent = events[-max(1, max_events // 2) :]
    recent = recent[recent[:, 0] >= recent[-1, 0] - KEEP_TICKS]
    offset = int(recent[0, 0])
    context = recent.copy()
    context[:, 0] -= offset
    return Window(offset_ticks=offset, context=context)
