"""Tolerant decode: any list of integers -> the events that can be saved, and a report of what was repaired.

Nothing in the ids raises. Every unbroken triplet survives with its own values, wherever it stands:
1. Ids outside the vocabulary and stray specials are taken out first, so that a triplet around them is whole again.
2. What is then no part of a time-duration-note triplet is dropped. Three SEPARATORs in a row after music end a piece.
3. Control triplets become events, as AMT's events_to_compound plays them; a rest's duration becomes 0.
4. Events are sorted by time (stable); AMT asserts or writes negative times instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from midi_llm.tokens.codec import REST_INSTRUMENT, SLOTS, Events, triplets_to_events
from midi_llm.tokens.vocab import AMT_VOCAB_SIZE, ANTICIPATE, AUTOREGRESS, CONTROL_OFFSET, SEPARATOR, SPECIAL_OFFSET

_TIME, _DURATION, _NOTE = 0, 1, 2
_CONTROL = 3
"""Kinds 3, 4, 5 are the control blocks; below that, the three slots of an event."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeReport:
    """What `salvage` kept and repaired; all counts 0 but `events` means that strict `decode` gives the same."""

    events: int = 0
    """Rows kept, rests included."""
    out_of_range: int = 0
    """Ids dropped: text ids, negative, or past the vocabulary."""
    specials: int = 0
    """SEPARATOR, AUTOREGRESS or ANTICIPATE dropped where they do not belong."""
    wrong_slot: int = 0
    """Ids dropped because no whole triplet holds them."""
    incomplete: int = 0
    """Ids dropped of a last triplet that was cut off."""
    after_end: int = 0
    """Ids dropped after a piece boundary."""
    controls: int = 0
    """Control triplets taken as events."""
    rest_durations: int = 0
    """Rests whose duration was not 0."""
    time_backwards: int = 0
    """Events earlier than the one before them; all were sorted."""

    @property
    def repairs(self) -> dict[str, int]:
        """Repairs that were needed, by kind; empty for a sound sequence."""
        return {kind: count for kind, count in asdict(self).items() if count and kind != "events"}

    @property
    def is_clean(self) -> bool:
        """Whether nothing had to be repaired."""
        return not self.repairs


def salvage(amt_ids: Sequence[int] | npt.NDArray[np.integer]) -> tuple[Events, DecodeReport]:
    """Decode whatever can be decoded: (events [n, 4] in time order, report). `encode(events)` is always legal."""
    raw = np.asarray(amt_ids).reshape(-1)
    known = (raw >= 0) & (raw < AMT_VOCAB_SIZE)
    ids = np.where(known, raw, -1).astype(np.int32)
    lead = int(len(ids) > 0 and ids[0] in (AUTOREGRESS, ANTICIPATE))
    ids, after_end = _first_piece(ids[lead:])
    out_of_range = int((ids < 0).sum())
    specials = int((ids >= SPECIAL_OFFSET).sum())
    ids = ids[(ids >= 0) & (ids < SPECIAL_OFFSET)]
    starts, is_control = _whole_triplets(ids)
    dropped = len(ids) - 3 * len(starts)
    incomplete = _cut_off(ids, int(starts[-1]) + 3 if len(starts) else 0)
    rows = ids[starts[:, None] + np.arange(3)] - CONTROL_OFFSET * is_control[:, None]  # [n, 3]
    events = triplets_to_events(rows.reshape(-1))
    bad_rests = (events[:, 2] == REST_INSTRUMENT) & (events[:, 1] != 0)
    events[bad_rests, 1] = 0
    backwards = int((np.diff(events[~is_control, 0]) < 0).sum()) + int((np.diff(events[is_control, 0]) < 0).sum())
    report = DecodeReport(
        events=len(events),
        out_of_range=out_of_range,
        specials=specials,
        wrong_slot=dropped - incomplete,
        incomplete=incomplete,
        after_end=after_end,
        controls=int(is_control.sum()),
        rest_durations=int(bad_rests.sum()),
        time_backwards=backwards,
    )
    return events[np.argsort(events[:, 0], kind="stable")], report


def _first_piece(ids: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], int]:
    """Ids up to the first piece boundary that follows music, or to the closing SEPARATORs; how many others follow."""
    is_end = ids == SEPARATOR
    boundary = is_end[:-2] & is_end[1:-1] & is_end[2:] if len(ids) > 2 else np.zeros(0, np.bool_)
    music = np.flatnonzero((ids >= 0) & (ids < SPECIAL_OFFSET))
    if len(music):
        boundary[: music[0]] = False
        stop = int(np.argmax(boundary)) if boundary.any() else len(ids)
    else:
        stop = len(ids)
    others = np.flatnonzero(~is_end[:stop])
    kept = ids[: int(others[-1]) + 1] if len(others) else ids[:0]
    return kept, int((~is_end[stop:]).sum())


def _whole_triplets(ids: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Positions of every time-duration-note run, and whether it is one of controls. Runs cannot overlap."""
    kinds = _kinds(ids)
    if len(ids) < 3:
        return np.zeros(0, np.intp), np.zeros(0, np.bool_)
    first, second, third = kinds[:-2], kinds[1:-1], kinds[2:]
    events = (first == _TIME) & (second == _DURATION) & (third == _NOTE)
    controls = (first == _CONTROL) & (second == _CONTROL + _DURATION) & (third == _CONTROL + _NOTE)
    starts = np.flatnonzero(events | controls)
    return starts, controls[starts]


def _kinds(ids: npt.NDArray[np.int32]) -> npt.NDArray[np.intp]:
    """Block of each id below SPECIAL_OFFSET: 0, 1, 2 for time, duration, note; 3, 4, 5 for those of controls."""
    ends = [stop for _, _, stop in SLOTS]
    return np.searchsorted(np.array(ends + [CONTROL_OFFSET + stop for stop in ends[:2]]), ids, side="right")


def _cut_off(ids: npt.NDArray[np.int32], after: int) -> int:
    """How many ids at the end are the beginning of a triplet: 0, 1 or 2. `after`: where the last whole one stops."""
    kinds = _kinds(ids[after:]).tolist()
    for base in (_TIME, _CONTROL):
        if kinds[-2:] == [base, base + _DURATION]:
            return 2
        if kinds[-1:] == [base]:
            return 1
    return 0
