"""Passages composed around given notes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.compose.given import PassageConstraint
from midi_llm.engines.decoding import permits
from midi_llm.errors import TokenError
from midi_llm.music.score import DRUMS
from midi_llm.tokens.codec import Events, decode
from midi_llm.tokens.grammar import EventGrammar
from midi_llm.tokens.rests import remove_rests
from midi_llm.tokens.vocab import SEPARATOR

ROWS = 320
GIVEN = np.array([(100, 50, 0, 60), (100, 50, 0, 64), (200, 20, DRUMS, 36), (460, 90, 0, 62)], np.int32)


def constraint(given: Events = GIVEN, *, end: int = 500, may_end: bool = False, **grammar: object) -> PassageConstraint:
    made = EventGrammar(end_ticks=end, **grammar)  # type: ignore[arg-type]
    return PassageConstraint(made, given, end_ticks=end, may_end=may_end, text_rows=ROWS)


def walk(passage: PassageConstraint, rng: np.random.Generator, *, stride: int = 60) -> None:
    """Draw uniformly, times near the last one; an id above the ceiling counts as it."""
    for _ in range(3000):
        if passage.finished:
            return
        allowed = passage.allowed()
        ids = np.arange(allowed.start, allowed.stop)
        if allowed.mask is not None:
            ids = ids[allowed.mask]
        if len(passage.amt_ids) % 3 == 0:
            ids = ids[: stride + 1]
        choices = [*ids.tolist(), *allowed.extra]
        drawn = int(rng.choice(choices))
        token_id = drawn if allowed.ceiling is None else min(drawn, allowed.ceiling)
        assert permits(allowed, token_id)
        passage.accept(token_id)
    pytest.fail("the passage never ends")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([None, frozenset({40}), frozenset({0, DRUMS})]))
def test_every_given_event_stands_in_the_sequence_once_and_is_not_composed(seed, instruments) -> None:
    passage = constraint(instruments=instruments, min_gap_ticks=4, min_melodic_ticks=3)
    walk(passage, np.random.default_rng(seed))
    assert passage.close == "asked"
    sequence = decode(passage.amt_ids)
    own = passage.events
    assert len(sequence) == len(own) + len(GIVEN)
    assert sorted(map(tuple, sequence.tolist())) == sorted(map(tuple, [*own.tolist(), *GIVEN.tolist()]))
    notes = remove_rests(own)
    assert instruments is None or set(notes[:, 2].tolist()) <= instruments
    assert (notes[:, 0] + notes[:, 1]).max(initial=0) <= 500


def test_a_time_beyond_the_next_given_event_brings_that_event() -> None:
    passage = constraint()
    allowed = passage.allowed()
    assert (allowed.ceiling, allowed.stop) == (100 + ROWS, 10_000 + ROWS)
    passage.accept(100 + ROWS)
    exact = passage.allowed()
    assert exact.stop - exact.start == 1
    with pytest.raises(TokenError, match="of a given event"):
        passage.accept(exact.start + 1)
    passage.accept(exact.start)
    passage.accept(passage.allowed().start)
    assert passage.amt_ids == [100, 10_050, 11_060]
    assert passage.allowed().ceiling == 100 + ROWS, "the second one of the chord"
    assert not len(passage.events)


def test_after_the_last_given_event_a_late_time_ends_the_passage() -> None:
    passage = constraint(GIVEN[:0])
    assert passage.allowed().ceiling is None
    assert passage.allowed().extra == ()
    passage.accept(500 + ROWS)
    assert (passage.close, passage.amt_ids) == ("asked", [])


def test_the_model_may_close_only_where_it_is_asked_to() -> None:
    passage = constraint(GIVEN[:0], may_end=True)
    for token_id in (10, 10_020, 11_060):
        passage.accept(token_id + ROWS)
    assert passage.allowed().extra == (SEPARATOR + ROWS,)
    passage.accept(SEPARATOR + ROWS)
    assert passage.close == "own"
    assert passage.events.tolist() == [[10, 20, 0, 60]]


def test_a_spent_budget_closes_the_window_with_whole_events() -> None:
    passage = constraint(max_tokens=14)
    walk(passage, np.random.default_rng(0))
    assert passage.close == "full"
    assert len(passage.amt_ids) % 3 == 0
    assert len(passage.amt_ids) <= 14


def test_given_notes_that_may_not_be_drawn_change_nothing_for_those_that_may() -> None:
    passage = constraint(GIVEN[2:3], instruments=frozenset({33}), min_melodic_ticks=4)
    for _ in range(3):
        passage.accept(min(passage.allowed().stop - 1, 200 + ROWS) if not passage.amt_ids else passage.allowed().start)
    passage.accept(210 + ROWS)
    assert passage.allowed().start == 10_004 + ROWS, "no drum may be drawn, so nothing shorter than 4"
