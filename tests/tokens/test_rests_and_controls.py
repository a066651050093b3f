from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.errors import TokenError
from midi_llm.tokens.codec import REST_INSTRUMENT, Events, encode
from midi_llm.tokens.controls import anticipate, split_controls
from midi_llm.tokens.rests import insert_rests, remove_rests
from midi_llm.tokens.vocab import ANTICIPATE, CONTROL_OFFSET, DUR_OFFSET, NOTE_OFFSET, SEPARATOR
from tokens.strategies import event_lists

QUICK = settings(max_examples=50, deadline=None)


def rows(*values: tuple[int, int, int, int]) -> Events:
    return np.array(values, np.int32).reshape(-1, 4)


@QUICK
@given(events=event_lists(rests=False), end=st.one_of(st.none(), st.integers(0, 9_999)))
def test_rests_fill_silence_to_at_most_a_second_and_come_out_again(events: Events, end: int | None) -> None:
    filled = insert_rests(events, end)
    assert np.array_equal(remove_rests(filled), events)
    gaps = np.diff(np.concatenate([[0], filled[:, 0]]))
    assert ((gaps >= 0) & (gaps <= 100)).all()
    is_rest = filled[:, 2] == REST_INSTRUMENT
    assert (gaps[is_rest] == 100).all()
    if end is not None and len(filled):
        assert end - filled[-1, 0] <= 100
        assert not is_rest[-1] or filled[-1, 0] < max(end, 1)


def test_a_silence_of_exactly_a_second_needs_no_rest() -> None:
    assert len(insert_rests(rows((100, 5, 0, 60), (200, 5, 0, 60)), 300)) == 2
    assert insert_rests(rows((101, 5, 0, 60)))[:, 0].tolist() == [100, 101]


def test_silence_alone_becomes_rests_up_to_the_end() -> None:
    assert insert_rests(rows(), 350)[:, 0].tolist() == [100, 200, 300]
    assert insert_rests(rows()).shape == (0, 4)


def test_rests_need_events_in_time_order() -> None:
    with pytest.raises(TokenError, match="time order"):
        insert_rests(rows((200, 5, 0, 60), (100, 5, 0, 60)))


def naive_anticipate(events: Events, controls: Events, delta: int) -> list[int] | None:
    """One by one, from the definition: before each event, all controls due by the time of the event before it."""
    ids: list[int] = []
    waiting = controls.tolist()
    now = 0
    for event in events.tolist():
        while waiting and now >= waiting[0][0] - delta:
            ids += (encode(rows(tuple(waiting.pop(0)))) + CONTROL_OFFSET).tolist()
        now = event[0]
        ids += encode(rows(tuple(event))).tolist()
    return None if waiting else ids


@QUICK
@given(
    events=event_lists(max_time=2_000),
    controls=event_lists(rests=False, max_time=2_000, max_size=10),
    delta=st.sampled_from([0, 1, 100, 500]),
)
def test_controls_stand_where_the_definition_puts_them_and_split_again(
    events: Events, controls: Events, delta: int
) -> None:
    expected = naive_anticipate(events, controls, delta)
    if expected is None:
        with pytest.raises(TokenError, match="insert_rests"):
            anticipate(events, controls, delta)
        return
    ids = anticipate(events, controls, delta)
    assert ids.tolist() == expected
    split_events, split = split_controls([ANTICIPATE, *ids.tolist(), SEPARATOR])
    assert np.array_equal(split_events, events)
    assert np.array_equal(split, controls)


@QUICK
@given(controls=event_lists(rests=False, max_time=8_000, max_size=10), delta=st.sampled_from([0, 500]))
def test_the_rests_that_the_error_asks_for_are_enough(controls: Events, delta: int) -> None:
    last = int(controls[:, 0].max(initial=0))
    ids = anticipate(insert_rests(rows(), last + 300), controls, delta)
    assert np.array_equal(split_controls(ids)[1], controls)


def test_rests_cannot_be_given_in_advance() -> None:
    with pytest.raises(TokenError, match="remove_rests"):
        anticipate(rows((0, 5, 0, 60)), rows((0, 0, REST_INSTRUMENT, 0)))


def test_a_triplet_that_mixes_event_and_control_ids_is_refused_with_its_position() -> None:
    ids = [0, DUR_OFFSET, NOTE_OFFSET, CONTROL_OFFSET + 3, DUR_OFFSET, NOTE_OFFSET]
    with pytest.raises(TokenError, match="position 3 mix"):
        split_controls(ids)
    with pytest.raises(TokenError, match="2 of 3"):
        split_controls(ids[:5])
    with pytest.raises(TokenError, match=r"among the controls.*back in time"):
        split_controls([i + CONTROL_OFFSET for i in [9, DUR_OFFSET, NOTE_OFFSET, 8, DUR_OFFSET, NOTE_OFFSET]])
