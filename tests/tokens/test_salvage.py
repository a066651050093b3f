from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.tokens.codec import Events, decode, encode
from midi_llm.tokens.salvage import DecodeReport, salvage
from midi_llm.tokens.vocab import (
    AMT_VOCAB_SIZE,
    ANTICIPATE,
    AUTOREGRESS,
    CONTROL_OFFSET,
    DUR_OFFSET,
    NOTE_OFFSET,
    REST,
    SEPARATOR,
)
from tokens.strategies import event_lists

QUICK = settings(max_examples=50, deadline=None)
NOTE = [5, DUR_OFFSET + 3, NOTE_OFFSET + 60]
LATER = [9, DUR_OFFSET + 3, NOTE_OFFSET + 62]
any_id = st.one_of(
    st.integers(-(2**70), 2**70),
    st.integers(0, 183_285),
    st.integers(0, AMT_VOCAB_SIZE),
    st.sampled_from([0, DUR_OFFSET, NOTE_OFFSET, REST, CONTROL_OFFSET, SEPARATOR, AUTOREGRESS, ANTICIPATE]),
)


def as_rows(events: Events) -> Counter[tuple[int, ...]]:
    return Counter(map(tuple, events.tolist()))


@QUICK
@given(st.lists(any_id, max_size=25))
def test_no_list_of_integers_raises_and_the_result_is_always_legal(ids: list[int]) -> None:
    events, report = salvage(ids)
    assert np.array_equal(decode(encode(events)), events)
    assert report.events == len(events)
    assert all(count > 0 for count in report.repairs.values())


@QUICK
@given(events=event_lists(), trailing=st.integers(0, 4), lead=st.sampled_from([[], [AUTOREGRESS], [ANTICIPATE]]))
def test_a_sound_sequence_comes_back_unchanged_with_a_clean_report(
    events: Events, trailing: int, lead: list[int]
) -> None:
    salvaged, report = salvage([*lead, *encode(events).tolist(), *[SEPARATOR] * trailing])
    assert np.array_equal(salvaged, events)
    assert report == DecodeReport(events=len(events))
    assert report.is_clean


@QUICK
@given(events=event_lists(max_size=20), seed=st.integers(0, 2**32 - 1), hits=st.integers(1, 4))
def test_triplets_that_were_not_touched_survive_any_replaced_ids(events: Events, seed: int, hits: int) -> None:
    rng = random.Random(seed)
    ids = encode(events).tolist()
    touched = {rng.randrange(len(ids)) for _ in range(hits)} if ids else set()
    for at in touched:
        ids[at] = rng.choice([rng.randrange(183_286), rng.randrange(AMT_VOCAB_SIZE), -1, SEPARATOR])
    whole = np.array([row for row in range(len(events)) if not touched & {3 * row, 3 * row + 1, 3 * row + 2}], int)
    salvaged, _ = salvage(ids)
    assert not as_rows(events[whole]) - as_rows(salvaged)


@QUICK
@given(events=event_lists(max_size=20), seed=st.integers(0, 2**32 - 1))
def test_triplets_survive_an_id_inserted_or_removed_elsewhere(events: Events, seed: int) -> None:
    rng = random.Random(seed)
    ids = encode(events).tolist()
    if not ids:
        return
    at = rng.randrange(len(ids))
    del ids[at]
    assert not as_rows(np.delete(events, at // 3, axis=0)) - as_rows(salvage(ids)[0])
    ids = encode(events).tolist()
    ids.insert(at, rng.choice([200_000, -7, SEPARATOR, AUTOREGRESS]))
    if at == 0 and ids[0] == AUTOREGRESS:
        return
    salvaged, report = salvage(ids)
    assert np.array_equal(salvaged, events)
    assert sum(report.repairs.values()) == 1


@pytest.mark.parametrize(
    ("ids", "repairs"),
    [
        ([100_000, *NOTE, -1], {"out_of_range": 2}),
        ([*NOTE, SEPARATOR, *LATER], {"specials": 1}),
        ([AUTOREGRESS, AUTOREGRESS, *NOTE, *LATER], {"specials": 1}),
        ([*NOTE, DUR_OFFSET, NOTE_OFFSET, *LATER], {"wrong_slot": 2}),
        ([*NOTE, *LATER, 7], {"incomplete": 1}),
        ([*NOTE, *LATER, 7, DUR_OFFSET], {"incomplete": 2}),
        ([*NOTE, *LATER, SEPARATOR, SEPARATOR, SEPARATOR, *NOTE], {"after_end": 3}),
        ([*NOTE, *[i + CONTROL_OFFSET for i in LATER]], {"controls": 1}),
        ([*LATER, *NOTE], {"time_backwards": 1}),
        ([*NOTE, 100, DUR_OFFSET + 4, REST], {"rest_durations": 1}),
    ],
)
def test_the_report_counts_each_kind_of_repair(ids: list[int], repairs: dict[str, int]) -> None:
    events, report = salvage(ids)
    assert report.repairs == repairs
    assert [5, 3, 0, 60] in events.tolist()
    assert len(events) == 1 + (report.out_of_range == 0)


def test_the_leading_boundary_of_a_training_window_does_not_end_the_piece() -> None:
    events, report = salvage([ANTICIPATE, SEPARATOR, SEPARATOR, SEPARATOR, *NOTE])
    assert events.tolist() == [[5, 3, 0, 60]]
    assert report.repairs == {"specials": 3}


def test_nothing_gives_nothing() -> None:
    assert salvage([])[1].is_clean
    assert salvage([SEPARATOR] * 5)[0].shape == (0, 4)
