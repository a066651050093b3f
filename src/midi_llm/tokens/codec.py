"""Events and AMT ids: `Score` (seconds) -> events int32 [n, 4] (10 ms ticks) -> amt_ids int32 [3n], and back.

A row is (time, duration, instrument, pitch); a rest is (time, 0, REST_INSTRUMENT, 0). Rows are in time order; rows of
one tick keep the order of their exact onsets, then the file's (`Score.note_order`), then that of the tracks (stable).
`quantize`, `encode`, `clip` equal anticipation/convert.py and ops.py at af37397. Differences and their effect:
1. `encode` raises at 100 s and more, where AMT writes ids of the next block: rebase or clip a long piece first.
2. `tidy` (never applied by itself) makes zero durations 1 tick, cuts overlapping re-struck notes and drops doubles,
   which AMT writes: `dequantize(tidy(events))` has no silent note and no early note-off.
3. More than 16 instruments are kept; AMT's preprocessing skips such pieces: here the caller decides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from midi_llm.errors import TokenError
from midi_llm.music.score import DEFAULT_VELOCITY, DRUMS, NOTE_DTYPE, Score, Track
from midi_llm.tokens.vocab import (
    ANTICIPATE,
    AUTOREGRESS,
    CONTROL_OFFSET,
    DUR_OFFSET,
    MAX_DURATION_TICKS,
    MAX_PITCH,
    MAX_TIME_TICKS,
    NOTE_OFFSET,
    SEPARATOR,
    TICKS_PER_SECOND,
    TIME_OFFSET,
)

Events = npt.NDArray[np.int32]
"""[n, 4]: time, duration (10 ms ticks), instrument 0-128 (129 = rest), pitch."""

AmtIds = npt.NDArray[np.int32]
"""[3n]: time, duration and note id of every event, plus specials where a function says so."""

REST_INSTRUMENT = 129
"""The instrument of a rest row: 128 * 129 + 0 is exactly the id REST."""

SLOTS = (
    ("time", TIME_OFFSET, DUR_OFFSET),
    ("duration", DUR_OFFSET, NOTE_OFFSET),
    ("note or REST", NOTE_OFFSET, CONTROL_OFFSET),
)
"""Name, first id and end of the three blocks, in the order of a triplet."""


def quantize(score: Score) -> Events:
    """Round a score to 10 ms: events [n, 4] in AMT's order; durations are capped at 999 ticks.

    Rounding is to the nearest tick, half to even. A note before 0 s raises `TokenError`.
    """
    tracks = [track for track in score.tracks if len(track.notes)]
    if not tracks:
        return np.empty((0, 4), np.int32)
    seconds = np.concatenate([track.notes["time"] for track in tracks])
    events = np.empty((len(seconds), 4), np.int32)
    events[:, 0] = np.rint(TICKS_PER_SECOND * seconds)
    lengths = np.rint(TICKS_PER_SECOND * np.concatenate([track.notes["duration"] for track in tracks]))
    events[:, 1] = lengths.clip(0, MAX_DURATION_TICKS - 1)
    events[:, 2] = np.repeat([track.instrument for track in tracks], [len(track.notes) for track in tracks])
    events[:, 3] = np.concatenate([track.notes["pitch"] for track in tracks])
    return events[_reading_order(seconds, score.note_order)]


def _reading_order(seconds: npt.NDArray[np.float64], note_order: npt.NDArray[np.int64] | None) -> npt.NDArray[np.intp]:
    """Indices by time, then by the file's order or else that of the tracks. Raises `TokenError` as `quantize` says."""
    if seconds.min() < 0:
        raise TokenError(f"a note starts at {seconds.min():.3f} s; time starts at 0: shift the score")
    if note_order is None:
        return np.argsort(seconds, kind="stable")
    if len(note_order) != len(seconds):
        raise TokenError(f"note_order names {len(note_order)} notes, the tracks hold {len(seconds)}: set it to None")
    ordered = seconds[note_order]
    if (ordered[1:] >= ordered[:-1]).all():
        return note_order
    return note_order[np.argsort(ordered, kind="stable")]


def dequantize(events: Events) -> Score:
    """One `Track` per instrument, in order of first appearance, times in seconds; rests are left out.

    Nothing is changed: a duration of 0 stays 0; `tidy` first for a score to be played. Velocity is AMT's default (72).
    Names are empty: naming belongs to `music`.
    """
    check_events(events)
    events = events[events[:, 2] != REST_INSTRUMENT]
    instruments, first = np.unique(events[:, 2], return_index=True)
    tracks = []
    for instrument in instruments[np.argsort(first)].tolist():
        rows = events[events[:, 2] == instrument]
        notes = np.empty(len(rows), NOTE_DTYPE)
        notes["time"] = rows[:, 0] / TICKS_PER_SECOND
        notes["duration"] = rows[:, 1] / TICKS_PER_SECOND
        notes["pitch"] = rows[:, 3]
        notes["velocity"] = DEFAULT_VELOCITY
        is_drum = instrument == DRUMS
        tracks.append(Track(program=0 if is_drum else instrument, is_drum=is_drum, notes=notes))
    return Score(tracks=tuple(tracks))


def encode(events: Events) -> AmtIds:
    """Events [n, 4] -> amt_ids int32 [3n], without special ids. Times are relative to the window.

    Raises `TokenError` where a value does not fit its block; for times of 100 s and more, `rebase` or `clip` first.
    """
    check_events(events)
    if len(events) and events[:, 0].max() >= MAX_TIME_TICKS:
        row = int(np.argmax(events[:, 0] >= MAX_TIME_TICKS))
        raise TokenError(
            f"event {row} starts at {events[row, 0] / TICKS_PER_SECOND:.2f} s; a window holds less than 100 s:"
            " rebase the events to the window's start, or clip them"
        )
    amt_ids = np.empty(3 * len(events), np.int32)
    amt_ids[0::3] = TIME_OFFSET + events[:, 0]
    amt_ids[1::3] = DUR_OFFSET + events[:, 1]
    amt_ids[2::3] = NOTE_OFFSET + MAX_PITCH * events[:, 2] + events[:, 3]
    return amt_ids


def decode(amt_ids: Sequence[int] | npt.NDArray[np.integer]) -> Events:
    """Invert `encode` exactly: amt_ids -> events [n, 4], rests included.

    One leading AUTOREGRESS or ANTICIPATE and any trailing SEPARATORs are accepted and dropped. Anything else that is
    not a triplet of events, or a time that goes backwards, raises `TokenError` with its position and id.
    """
    ids, start = strip_specials(amt_ids)
    for slot, (name, low, high) in enumerate(SLOTS):
        wrong = (ids[slot::3] < low) | (ids[slot::3] >= high)
        if wrong.any():
            at = slot + 3 * int(np.argmax(wrong))
            hint = "; take controls out with split_controls" if CONTROL_OFFSET <= ids[at] < SEPARATOR else ""
            raise TokenError(f"id {ids[at]} at position {start + at}; a {name} is {low}..{high - 1} here{hint}")
    if len(ids) % 3:
        raise TokenError(f"the sequence ends after {len(ids) % 3} of 3 ids of its last event; use salvage to repair it")
    events = triplets_to_events(ids)
    back = np.flatnonzero(np.diff(events[:, 0]) < 0)
    if len(back):
        at = int(back[0]) + 1
        raise TokenError(
            f"id {ids[3 * at]} at position {start + 3 * at} goes back in time;"
            f" a time is {ids[3 * at - 3]}..{DUR_OFFSET - 1} here"
        )
    return events


def triplets_to_events(ids: AmtIds) -> Events:
    """Rows [n, 4] of triplets [3n] that are known to be in their blocks."""
    events = np.empty((len(ids) // 3, 4), np.int32)
    events[:, 0] = ids[0::3] - TIME_OFFSET
    events[:, 1] = ids[1::3] - DUR_OFFSET
    events[:, 2], events[:, 3] = np.divmod(ids[2::3] - NOTE_OFFSET, MAX_PITCH)
    return events


def strip_specials(amt_ids: Sequence[int] | npt.NDArray[np.integer]) -> tuple[AmtIds, int]:
    """Drop one leading AUTOREGRESS or ANTICIPATE and trailing SEPARATORs: (ids, position of the first kept id)."""
    ids = np.asarray(amt_ids, dtype=np.int32).reshape(-1)
    start = int(len(ids) > 0 and ids[0] in (AUTOREGRESS, ANTICIPATE))
    others = np.flatnonzero(ids != SEPARATOR)
    stop = int(others[-1]) + 1 if len(others) else start
    return ids[start:stop], start


def rebase(events: Events, start_ticks: int) -> Events:
    """Move `start_ticks` to 0. Raises `TokenError` when an event lies before it."""
    if len(events) and events[:, 0].min() < start_ticks:
        raise TokenError(
            f"an event starts at tick {events[:, 0].min()}, before the new start {start_ticks}: clip the events first"
        )
    moved = events.copy()
    moved[:, 0] -= start_ticks
    return moved


def clip(events: Events, start_ticks: int, stop_ticks: int) -> Events:
    """Events with onset in [start, stop], both included, durations cut at `stop`: AMT's clip. Times are not moved."""
    kept = events[(events[:, 0] >= start_ticks) & (events[:, 0] <= stop_ticks)]
    kept[:, 1] = np.minimum(kept[:, 1], stop_ticks - kept[:, 0])
    return kept


def window(events: Events, start_ticks: int, stop_ticks: int) -> Events:
    """Events with onset in [start, stop), durations cut at `stop`, times relative to `start`: one training window."""
    kept = events[(events[:, 0] >= start_ticks) & (events[:, 0] < stop_ticks)]
    kept[:, 1] = np.minimum(kept[:, 1], stop_ticks - kept[:, 0])
    kept[:, 0] -= start_ticks
    return kept


def tidy(events: Events) -> Events:
    """Make events playable: no zero duration, no note twice at one onset, no note that sounds past its next strike.

    Of doubles the longest stays. Order is kept; rests are kept.
    """
    check_events(events)
    order = np.lexsort((-events[:, 1], events[:, 0], events[:, 3], events[:, 2]))
    rows = events[order]
    same_key = (np.diff(rows[:, 2]) == 0) & (np.diff(rows[:, 3]) == 0)
    gap = np.diff(rows[:, 0])
    keep = np.ones(len(rows), bool)
    keep[1:] = ~(same_key & (gap == 0))
    rows, order = rows[keep], order[keep]
    same_key = (np.diff(rows[:, 2]) == 0) & (np.diff(rows[:, 3]) == 0)
    until_next = np.full(len(rows), MAX_DURATION_TICKS - 1)
    until_next[:-1][same_key] = np.diff(rows[:, 0])[same_key]
    sounding = rows[:, 2] != REST_INSTRUMENT
    rows[sounding, 1] = np.clip(rows[sounding, 1], 1, until_next[sounding])
    return rows[np.argsort(order)]


def check_events(events: Events) -> None:
    """Raise `TokenError` unless `events` is [n, 4] in time order with every value in its range."""
    if events.ndim != 2 or events.shape[1] != 4:
        raise TokenError(f"events have shape {events.shape}; allowed is [n, 4]: time, duration, instrument, pitch")
    limits = (
        ("duration", 1, MAX_DURATION_TICKS),
        ("instrument", 2, REST_INSTRUMENT + 1),
        ("pitch", 3, MAX_PITCH),
    )
    for name, column, stop in limits:
        wrong = (events[:, column] < 0) | (events[:, column] >= stop)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise TokenError(f"event {row} has {name} {events[row, column]}; allowed is 0..{stop - 1}")
    rests = events[:, 2] == REST_INSTRUMENT
    if (events[rests][:, [1, 3]] != 0).any():
        raise TokenError("a rest has a duration or a pitch; both are 0 for a rest (instrument 129)")
    if len(events) and (events[0, 0] < 0 or (np.diff(events[:, 0]) < 0).any()):
        raise TokenError("events are not in time order from tick 0 on: sort them by time first (stable)")
