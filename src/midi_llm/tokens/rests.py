"""Rests: fill silence so that consecutive events are at most one second apart, and take the rests out again.

In and out: events int32 [n, 4]. Equal to `pad` and `unpad` of anticipation/ops.py at af37397, with one difference:
1. `end_ticks` 0 means "no rest after the last event", as None does; AMT takes 0 for the last event's time. No effect.
Insert rests before controls are interleaved. Knows no ids.
"""

from __future__ import annotations

import numpy as np

from midi_llm.errors import TokenError
from midi_llm.tokens.codec import REST_INSTRUMENT, Events
from midi_llm.tokens.vocab import REST_INTERVAL_TICKS


def insert_rests(events: Events, end_ticks: int | None = None) -> Events:
    """Events with a rest row every 100 ticks of silence between onsets, from 0 and up to (not at) `end_ticks`.

    Silence is counted from onset to onset, as in AMT. `end_ticks` None: nothing after the last event.
    """
    times = events[:, 0]
    if len(events) and (times[0] < 0 or (np.diff(times) < 0).any()):
        raise TokenError("events are not in time order from tick 0 on: sort them by time first (stable)")
    stops = np.append(times, np.int32(end_ticks or 0))
    starts = np.concatenate([np.zeros(1, np.int32), times])
    counts = np.maximum((stops - starts - 1) // REST_INTERVAL_TICKS, 0)
    gap = np.repeat(np.arange(len(counts)), counts)
    nth = np.arange(len(gap)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
    rests = np.zeros((len(gap), 4), np.int32)
    rests[:, 0] = starts[gap] + REST_INTERVAL_TICKS * nth
    rests[:, 2] = REST_INSTRUMENT
    filled: Events = np.insert(events, gap, rests, axis=0)
    return filled


def remove_rests(events: Events) -> Events:
    """Events without rest rows, order kept."""
    kept: Events = events[events[:, 2] != REST_INSTRUMENT]
    return kept
