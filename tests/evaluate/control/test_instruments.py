"""Instruments: golden values, bounds, an independent count of who sounds, groups, families and drums."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.control.wishing import played, values, wish
from midi_llm.evaluate.control import instruments
from midi_llm.evaluate.control.instruments import f1, families, precision, recall, share, sounds, without
from midi_llm.music.score import DRUMS

PIANO, ORGAN, GUITAR, BASS, VIOLIN, FLUTE = 0, 19, 24, 32, 40, 73


def notes_of(counts: dict[int, int]) -> np.ndarray:
    return np.repeat(np.array(list(counts), np.int64), list(counts.values()))


NOTES = st.dictionaries(st.sampled_from([0, 1, 24, 40, DRUMS]), st.integers(1, 400), min_size=1).map(notes_of)
GROUPS = st.lists(
    st.lists(st.sampled_from([0, 1, 24, 40, 73, DRUMS]), min_size=1, max_size=3, unique=True).map(tuple), max_size=4
).map(tuple)


@pytest.mark.parametrize(
    ("count", "others", "heard"),
    [(8, 5000, True), (7, 5000, False), (7, 343, True), (7, 344, False), (1, 49, True), (1, 50, False), (0, 10, False)],
)
def test_an_instrument_sounds_from_8_notes_or_2_percent_on(count: int, others: int, heard: bool) -> None:
    assert sounds((FLUTE,), notes_of({FLUTE: count, PIANO: others})) == heard


def test_members_of_a_group_count_together() -> None:
    notes = notes_of({40: 3, 41: 3, 42: 2, PIANO: 4000})
    assert not sounds((40, 41), notes)
    assert sounds((40, 41, 42), notes)


def test_recall_precision_f1_and_share_of_a_quartet() -> None:
    notes = notes_of({PIANO: 50, VIOLIN: 30, BASS: 15, FLUTE: 5})
    groups = ((PIANO, 1), (VIOLIN,), (GUITAR,))
    assert recall(groups, notes) == pytest.approx(2 / 3, abs=1e-12)
    assert precision(groups, notes) == pytest.approx(2 / 4, abs=1e-12)
    assert f1(groups, notes) == pytest.approx(2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2), abs=1e-12)
    assert share(groups, notes) == pytest.approx(80 / 100, abs=1e-12)


def test_one_instrument_fulfils_every_group_that_it_is_in() -> None:
    notes = notes_of({GUITAR: 20})
    assert recall(((GUITAR,), (GUITAR,), (GUITAR, 25)), notes) == precision(((GUITAR,), (GUITAR,)), notes) == 1.0


def test_nothing_asked_for_is_nothing_known() -> None:
    notes = notes_of({PIANO: 10})
    assert [judged((), notes) for judged in (recall, precision, f1, share, without)] == [None] * 5
    assert f1(((FLUTE,),), notes) == 0.0


@given(GROUPS.filter(len), NOTES)
def test_values_are_bounded_and_f1_lies_between(groups: tuple[tuple[int, ...], ...], notes: np.ndarray) -> None:
    found, right, both, part = (judged(groups, notes) for judged in (recall, precision, f1, share))
    assert found is not None
    assert right is not None
    assert both is not None
    assert part is not None
    assert min(found, right) - 1e-12 <= both <= max(found, right) + 1e-12
    assert 0 <= min(found, right, part) <= max(found, right, part) <= 1
    assert both <= 2 * min(found, right) + 1e-12
    assert (both == 0) == (found == 0 or right == 0)


@given(GROUPS.filter(len), NOTES)
def test_recall_and_precision_are_those_of_a_plain_count(
    groups: tuple[tuple[int, ...], ...], notes: np.ndarray
) -> None:
    counts = Counter(notes.tolist())

    def enough(count: int) -> bool:
        return count >= 8 or (count > 0 and 50 * count >= len(notes))

    heard = {number for number, count in counts.items() if enough(count)}
    fulfilled = sum(enough(sum(counts[number] for number in set(group))) for group in groups)
    assert recall(groups, notes) == pytest.approx(fulfilled / len(groups), abs=1e-12)
    wanted = heard & {number for group in groups for number in group}
    assert precision(groups, notes) == pytest.approx(len(wanted) / len(heard) if heard else 0.0, abs=1e-12)


@given(GROUPS.filter(len), NOTES)
def test_a_wider_group_is_fulfilled_no_less(groups: tuple[tuple[int, ...], ...], notes: np.ndarray) -> None:
    wider = tuple((*group, PIANO) for group in groups)
    narrow, wide = recall(groups, notes), recall(wider, notes)
    assert narrow is not None
    assert wide is not None
    assert narrow <= wide


def test_a_single_note_of_what_was_ruled_out_is_too_much() -> None:
    assert without((DRUMS, FLUTE), notes_of({PIANO: 4000, DRUMS: 1})) == 0.0
    assert without((DRUMS, FLUTE), notes_of({PIANO: 4000})) == 1.0


def test_families_of_eight_and_of_drums() -> None:
    assert families(((0, 7, 8), (DRUMS,), (127,), (40, 41))) == ((0, 1), (16,), (15,), (5,))


def test_another_instrument_of_the_family_is_half_right() -> None:
    asked = {"instruments": ((GUITAR,), (DRUMS,)), "only": True}
    found = values(instruments.evaluate([wish(played({25: 10, DRUMS: 10}), **asked)]))
    assert (found["instruments_recall"], found["families_recall"]) == ([0.5], [1.0])
    assert (found["instruments_f1"], found["families_f1"]) == ([0.5], [1.0])
    assert found["instruments_precision"] == found["instruments_share"] == [0.5]


def test_other_instruments_count_only_where_none_were_wanted() -> None:
    score = played({PIANO: 10, FLUTE: 10})
    found = values(instruments.evaluate([wish(score, instruments=((PIANO,),), only=only) for only in (True, False)]))
    for name in ("instruments_precision", "instruments_share"):
        assert found[name][0] == 0.5
        assert math.isnan(found[name][1])
    assert found["instruments_f1"][0] == found["families_f1"][0] == pytest.approx(2 / 3, abs=1e-12)
    assert found["instruments_recall"] == found["families_recall"] == [1.0, 1.0]


def test_drums_asked_for_ruled_out_and_not_mentioned() -> None:
    with_drums, with_few, plain = played({PIANO: 400, DRUMS: 40}), played({PIANO: 400, DRUMS: 2}), played({PIANO: 9})
    scores = (with_drums, with_few, plain)
    asked = values(instruments.evaluate([wish(score, instruments=((DRUMS,),)) for score in scores]))
    assert asked["drums_asked"] == [1, 0, 0]
    assert np.isnan(asked["drums_unwanted"]).all()
    for facts in ({"without": (DRUMS,)}, {"instruments": ((PIANO,),), "only": True}):
        unwanted = values(instruments.evaluate([wish(score, **facts) for score in scores]))
        assert unwanted["drums_unwanted"] == [0, 0, 1]
        assert np.isnan(unwanted["drums_asked"]).all()
    percussion = values(instruments.evaluate([wish(with_drums, instruments=((DRUMS, 116),))]))
    assert np.isnan([percussion["drums_asked"], percussion["drums_unwanted"]]).all()
    assert percussion["instruments_recall"] == [1.0]


def test_a_take_without_notes_is_not_judged() -> None:
    found = values(instruments.evaluate([wish(played({}), instruments=((PIANO,),), only=True, without=(DRUMS,))]))
    assert all(math.isnan(value) for one in found.values() for value in one)
