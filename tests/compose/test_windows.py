"""Where a window ends and where the next one starts."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.compose.windows import FIRST, KEEP_TICKS, Window, limits, slide
from midi_llm.tokens.vocab import MAX_TIME_TICKS


def events_at(times: list[int]) -> np.ndarray:
    rows = np.zeros((len(times), 4), np.int32)
    rows[:, 0] = times
    rows[:, 1] = 10
    return rows


def test_the_last_window_of_a_piece_holds_its_end() -> None:
    bounds = limits(FIRST, 3_000)
    assert (bounds.end_ticks, bounds.min_end_ticks, bounds.is_last) == (3_000, 2_700, True)


def test_a_window_before_the_last_never_offers_the_end() -> None:
    bounds = limits(FIRST, 10_500)
    assert (bounds.end_ticks, bounds.min_end_ticks, bounds.is_last) == (MAX_TIME_TICKS, MAX_TIME_TICKS, False)


def test_limits_count_from_the_start_of_the_window() -> None:
    bounds = limits(Window(offset_ticks=6_000, context=FIRST.context), 10_500)
    assert (bounds.end_ticks, bounds.min_end_ticks, bounds.is_last) == (4_500, 3_450, True)


def test_a_piece_without_a_length_may_end_anywhere_in_its_first_window() -> None:
    bounds = limits(FIRST, None)
    assert (bounds.end_ticks, bounds.min_end_ticks, bounds.is_last) == (MAX_TIME_TICKS, 0, True)


@given(times=st.lists(st.integers(0, 60_000), min_size=1, max_size=300), most=st.integers(1, 300))
@settings(max_examples=50, deadline=None)
def test_a_slide_keeps_the_latest_events_relative_to_the_first_kept(times: list[int], most: int) -> None:
    events = events_at(sorted(times))
    window = slide(events, max_events=most)
    kept = len(window.context)
    assert 1 <= kept <= max(1, most // 2)
    assert window.context[0, 0] == 0
    assert window.context[-1, 0] <= KEEP_TICKS
    assert (window.context[:, 0] + window.offset_ticks == events[-kept:, 0]).all()
