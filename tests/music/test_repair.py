from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.errors import RequestError
from midi_llm.music.repair import MIN_SECONDS, REPAIRS, repair
from midi_llm.music.score import NOTE_DTYPE, Score, Track


def score_of(*rows: tuple[float, float, int, int]) -> Score:
    return Score(tracks=(Track(notes=np.array(list(rows), NOTE_DTYPE)),))


def rows_of(score: Score) -> list[tuple[float, float, int, int]]:
    return [tuple(row) for track in score.tracks for row in track.notes.tolist()]


def test_a_restruck_note_ends_where_the_next_one_begins() -> None:
    mended, report = repair(score_of((0.0, 2.0, 60, 80), (0.5, 1.0, 60, 80), (0.5, 9.0, 61, 80)))
    assert rows_of(mended) == [(0.0, 0.5, 60, 80), (0.5, 1.0, 60, 80), (0.5, 9.0, 61, 80)]
    assert (dict(report.changed), report.removed) == ({"velocity": 0, "short": 0, "restruck": 1}, 0)


def test_of_two_notes_that_begin_together_on_one_pitch_the_longest_stays() -> None:
    mended, report = repair(score_of((1.0, 0.5, 60, 80), (1.0, 0.8, 60, 90)))
    assert rows_of(mended) == [(1.0, 0.8, 60, 90)]
    assert report.removed == 1


def test_zero_and_very_short_notes_get_the_shortest_length() -> None:
    mended, report = repair(score_of((0.0, 0.0, 60, 80), (1.0, 0.003, 62, 80), (2.0, 0.5, 64, 80)))
    assert [row[1] for row in rows_of(mended)] == [MIN_SECONDS, MIN_SECONDS, 0.5]
    assert report.changed["short"] == 2


def test_a_note_as_long_as_the_shortest_but_for_float_error_is_left_alone() -> None:
    tick = 2.03 - 2.02
    assert tick < MIN_SECONDS
    assert repair(score_of((0.0, tick, 60, 80)))[1].clean


def test_velocities_are_brought_into_range() -> None:
    mended, report = repair(score_of((0.0, 1.0, 60, 0), (0.0, 1.0, 62, 200), (0.0, 1.0, 64, 127)))
    assert [row[3] for row in rows_of(mended)] == [1, 127, 127]
    assert report.changed["velocity"] == 2


def test_only_the_named_repairs_are_applied_and_the_input_is_untouched() -> None:
    score = score_of((0.0, 2.0, 60, 0), (0.5, 1.0, 60, 0))
    before = rows_of(score)
    mended, report = repair(score, only=["velocity"])
    assert [row[1] for row in rows_of(mended)] == [2.0, 1.0]
    assert dict(report.changed) == {"velocity": 2}
    assert rows_of(score) == before


def test_unknown_repairs_and_lengths_that_are_not_positive_are_request_errors() -> None:
    with pytest.raises(RequestError, match="known are velocity, short, restruck"):
        repair(Score(), only=["tune"])
    for seconds in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(RequestError, match="min_seconds"):
            repair(Score(), min_seconds=seconds)


ROWS = st.tuples(
    *(st.integers(0, 50).map(lambda k: k / 10), st.integers(0, 30).map(lambda k: k / 10)),
    *(st.integers(60, 62), st.integers(0, 255)),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(ROWS, max_size=12))
def test_after_a_repair_nothing_is_left_to_repair(rows: list[tuple[float, float, int, int]]) -> None:
    mended, report = repair(score_of(*rows))
    assert mended.note_count + report.removed == len(rows)
    assert {row[0] for row in rows_of(mended)} == {row[0] for row in rows}
    again, second = repair(mended)
    assert second.clean
    assert rows_of(again) == rows_of(mended)
    assert set(second.changed) == set(REPAIRS)
