"""Controls: events that are given in advance, interleaved a fixed interval before they sound.

`anticipate`: events and controls [n, 4] -> amt_ids; `split_controls`: amt_ids -> both again. Equal to `anticipate`,
`split` of anticipation/ops.py at af37397. Differences and their effect:
1. A control that lies too far behind the last event raises; AMT returns it as left over. Nothing given gets lost: fill
   the events with rests up to the last control (`insert_rests(events, end_ticks)`), as AMT's tokenizer does.
2. Events and controls out of time order raise; AMT interleaves them somewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from midi_llm.errors import TokenError
from midi_llm.tokens.codec import REST_INSTRUMENT, AmtIds, Events, decode, encode, strip_specials
from midi_llm.tokens.vocab import CONTROL_OFFSET, REST_INTERVAL_TICKS, SPECIAL_OFFSET, TICKS_PER_SECOND

DELTA_TICKS = 5 * TICKS_PER_SECOND
"""The anticipation interval (anticipation/config.py at af37397: DELTA = 5 s)."""


def anticipate(events: Events, controls: Events, delta_ticks: int = DELTA_TICKS) -> AmtIds:
    """Interleave: a control stands after the first event whose time is at least its own time - `delta_ticks`.

    A control due within `delta_ticks` of the start comes first. Put `insert_rests` on the events before, and
    ANTICIPATE in front after. Raises `TokenError` for rests among the controls, times out of order or beyond the
    window, and a control that no event is late enough to carry.
    """
    if (controls[:, 2] == REST_INSTRUMENT).any():
        raise TokenError("a control is a rest; only notes can be given in advance: remove_rests first")
    event_ids, control_ids = encode(events), encode(controls) + CONTROL_OFFSET
    carriers = np.concatenate([np.zeros(1, np.int32), events[:, 0]])
    places = np.searchsorted(carriers, controls[:, 0] - delta_ticks, side="left")
    late = np.flatnonzero(places >= len(events))
    if len(late):
        time = int(controls[late[0], 0])
        raise TokenError(
            f"control {late[0]} at tick {time} has no event after tick {carriers[-1]} to stand before;"
            f" fill the events with insert_rests(events, {time + 3 * REST_INTERVAL_TICKS}) first"
        )
    merged = np.insert(event_ids.reshape(-1, 3), places, control_ids.reshape(-1, 3), axis=0)
    return merged.reshape(-1)


def split_controls(amt_ids: Sequence[int] | npt.NDArray[np.integer]) -> tuple[Events, Events]:
    """(events, controls), both [n, 4] in order; accepts the same leading and trailing special ids as `decode`.

    Raises `TokenError` for anything that is not a triplet of events or a triplet of controls.
    """
    ids, start = strip_specials(amt_ids)
    if len(ids) % 3:
        raise TokenError(f"the sequence ends after {len(ids) % 3} of 3 ids of its last event; use salvage to repair it")
    rows = ids.reshape(-1, 3)
    given = (rows >= CONTROL_OFFSET) & (rows < SPECIAL_OFFSET)
    mixed = np.flatnonzero(given.any(axis=1) & ~given.all(axis=1))
    if len(mixed):
        at = int(mixed[0])
        raise TokenError(
            f"ids {rows[at].tolist()} at position {start + 3 * at} mix event and control ids;"
            " a triplet is one or the other"
        )
    is_control: npt.NDArray[np.bool_] = given[:, 0]
    return _decoded(rows, ~is_control, start, 0), _decoded(rows, is_control, start, CONTROL_OFFSET)


def _decoded(rows: AmtIds, chosen: npt.NDArray[np.bool_], start: int, offset: int) -> Events:
    try:
        return decode((rows[chosen] - offset).reshape(-1))
    except TokenError as error:
        kind = "controls" if offset else "events"
        raise TokenError(f"among the {kind} (positions counted within them): {error}") from error
