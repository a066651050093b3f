"""Metre: kinds, what can be heard and what cannot, the file's word, and no beat."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.control.wishing import SOME, beats, values, wish
from evaluate.tunes import Row, track, tune
from midi_llm.evaluate.analysis import analyse
from midi_llm.evaluate.control import metre
from midi_llm.evaluate.control.wish import Wish
from midi_llm.evaluate.prompts import PromptFacts
from midi_llm.music.beats import estimate_beats
from midi_llm.music.features import note_table
from midi_llm.music.score import Score, TimeSignature

HEARD = [(2, 4), (3, 4), (4, 4), (6, 8), (9, 8), (12, 8)]
KINDS = [
    [(2, 4), (4, 4), (2, 2), (4, 8), (8, 8)],
    [(3, 4), (3, 8), (3, 2), (6, 4)],
    [(6, 8), (12, 8), (6, 16)],
    [(9, 8)],
]
UNHEARD = [(5, 4), (7, 8), (5, 8), (1, 4), (15, 8)]


def test_metres_of_one_kind_count_alike() -> None:
    kinds = [{metre.metre_kind(one) for one in group} for group in KINDS]
    assert [len(kind) for kind in kinds] == [1] * len(KINDS)
    assert len(set.union(*kinds)) == len(KINDS)
    assert metre.metre_kind((5, 4)) == (5, False)
    assert metre.metre_kind((10, 4)) == (5, False)


@given(st.integers(1, 32), st.sampled_from([1, 2, 4, 8, 16, 32]))
def test_twice_as_many_beats_are_of_the_same_kind(numerator: int, denominator: int) -> None:
    beats_in_bar, in_threes = metre.metre_kind((numerator, denominator))
    assert beats_in_bar in (1, 2) or beats_in_bar % 2 == 1
    if not in_threes and numerator not in (1, 3):
        assert metre.metre_kind((4 * numerator, 4)) == (beats_in_bar, False)


def test_the_metre_heard_is_the_one_asked_for_or_of_its_kind() -> None:
    found = values(
        metre.evaluate([wish(SOME, grid=beats(100.0, heard), metre=asked) for heard in HEARD for asked in HEARD])
    )
    assert found["metre_heard"] == np.eye(len(HEARD)).ravel().tolist()
    alike = [[any(heard in kind and asked in kind for kind in KINDS) for asked in HEARD] for heard in HEARD]
    assert found["metre_kind_heard"] == np.ravel(alike).astype(float).tolist()


def test_of_a_metre_that_cannot_be_heard_the_file_alone_tells() -> None:
    found = values(metre.evaluate([wish(SOME, grid=beats(100.0), metre=asked) for asked in (*UNHEARD, (2, 2))]))
    assert np.isnan(found["metre_heard"]).all()
    assert np.isnan(found["metre_kind_heard"][:-1]).all()
    assert found["metre_kind_heard"][-1] == 1.0
    assert found["metre_written"] == [0.0] * 6


def test_what_can_be_heard_is_what_is_heard() -> None:
    for per_bar, parts in ((2, 2), (3, 2), (4, 2), (2, 3), (3, 3), (4, 3)):
        rows: list[Row] = []
        for beat in range(per_bar * 12):
            strong = beat % per_bar == 0
            rows += [(beat * 0.6 + part * 0.6 / parts, 0.15, 72 + part, 70) for part in range(parts)]
            rows += [(beat * 0.6, 0.5, 36 + 12 * (not strong), 110)] * (1 + strong)
        grid = estimate_beats(note_table(Score(tracks=(track(rows),))))
        assert grid is not None
        assert grid.metre in metre.HEARABLE
    assert set(HEARD) == metre.HEARABLE
    assert {metre.metre_kind(kind[0]) for kind in KINDS} == metre.HEARABLE_KINDS


def test_the_file_may_say_any_metre() -> None:
    seven = Score(tracks=SOME.tracks, time_signatures=(TimeSignature(time=0.0, numerator=7, denominator=8),))
    found = values(metre.evaluate([wish(seven, metre=(7, 8)), wish(seven, metre=(4, 4)), wish(SOME, metre=(4, 4))]))
    assert found["metre_written"] == [1.0, 0.0, 1.0]


def test_where_no_beat_is_heard_no_metre_is_right() -> None:
    found = values(metre.evaluate([wish(SOME, metre=(4, 4))]))
    assert (found["metre_heard"], found["metre_kind_heard"], found["metre_written"]) == ([0.0], [0.0], [1.0])


def test_no_wish_is_not_judged_but_the_grid_needs_none() -> None:
    found = values(metre.evaluate([wish(SOME, grid=beats(100.0)), wish(Score(), metre=(4, 4))]))
    assert found.pop("on_written_grid")[0] > 0
    assert all(math.isnan(value) for one in found.values() for value in one)


@pytest.mark.parametrize("asked", [(4, 4), (3, 4)])
def test_a_tune_is_heard_in_four(asked: tuple[int, int]) -> None:
    score = tune(1)
    found = values(metre.evaluate([Wish(facts=PromptFacts(metre=asked), score=score, analysis=analyse(score))]))
    assert found["metre_heard"] == found["metre_kind_heard"] == [float(asked == (4, 4))]
