"""The end of a piece: nothing is squeezed in before it, whatever bounds the grammar has."""

from __future__ import annotations

import pytest

from midi_llm.compose.constraint import WindowConstraint
from midi_llm.compose.windows import FIRST, limits
from midi_llm.tokens.codec import decode
from midi_llm.tokens.grammar import EventGrammar
from midi_llm.tokens.vocab import DUR_OFFSET, MAX_DURATION_TICKS, MAX_TIME_TICKS, NOTE_OFFSET, SEPARATOR

ROWS = 320
END = 1_000


def constraint(**bounds: int) -> WindowConstraint:
    """A piece of 10 s that may end from 9 s on."""
    where = limits(FIRST, END)
    grammar = EventGrammar(end_ticks=where.end_ticks, min_end_ticks=where.min_end_ticks, **bounds)
    return WindowConstraint(grammar, where, text_rows=ROWS)


def play(window: WindowConstraint, *amt_ids: int) -> None:
    for amt_id in amt_ids:
        window.accept(amt_id + ROWS)


BOUNDS = [{}, {"min_melodic_ticks": 5}, {"min_melodic_ticks": 5, "min_gap_ticks": 4, "max_polyphony": 9}]


@pytest.mark.parametrize("bounds", BOUNDS)
def test_where_a_piece_may_end_all_later_times_are_offered(bounds: dict[str, int]) -> None:
    window = constraint(**bounds)
    assert window.allowed().stop < ROWS + END + 1
    play(window, 900, DUR_OFFSET + 50, NOTE_OFFSET + 60)
    allowed = window.allowed()
    assert allowed.stop == ROWS + MAX_TIME_TICKS
    assert SEPARATOR + ROWS in allowed.extra
    assert allowed.mask is None or len(allowed.mask) == allowed.stop - allowed.start


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("late", [END, END + 500, MAX_TIME_TICKS - 1])
def test_a_time_past_the_end_closes_the_piece_and_is_not_kept(bounds: dict[str, int], late: int) -> None:
    window = constraint(**bounds)
    play(window, 900, DUR_OFFSET + 50, NOTE_OFFSET + 60, late)
    assert (window.finished, window.close) == (True, "asked")
    assert decode(window.amt_ids).tolist() == [[900, 50, 0, 60]]


def test_a_time_before_the_end_at_which_no_note_fits_closes_too() -> None:
    window = constraint(min_melodic_ticks=5)
    play(window, 900, DUR_OFFSET + 50, NOTE_OFFSET + 60, END - 2)
    assert window.close == "asked"


@pytest.mark.parametrize("bounds", BOUNDS)
def test_durations_reach_past_the_end_and_are_cut_there(bounds: dict[str, int]) -> None:
    window = constraint(**bounds)
    play(window, 950)
    allowed = window.allowed()
    assert allowed.stop == ROWS + DUR_OFFSET + MAX_DURATION_TICKS
    play(window, DUR_OFFSET + 700, NOTE_OFFSET + 60, SEPARATOR)
    assert decode(window.amt_ids[:3]).tolist() == [[950, END - 950, 0, 60]]
    assert window.close == "own"


def test_a_piece_without_a_length_is_not_cut_by_late_times() -> None:
    where = limits(FIRST, None)
    grammar = EventGrammar(end_ticks=where.end_ticks, min_end_ticks=where.min_end_ticks, min_melodic_ticks=5)
    window = WindowConstraint(grammar, where, text_rows=ROWS)
    play(window, 900, DUR_OFFSET + 50, NOTE_OFFSET + 60)
    assert window.allowed().stop == ROWS + MAX_TIME_TICKS - 4
