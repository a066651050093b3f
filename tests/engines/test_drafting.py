"""Drafter: repeated music is drafted at its new time, other music is not, and drafts are copies of what came before."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi_llm.compose.constraint import WindowConstraint
from midi_llm.compose.windows import Limits
from midi_llm.engines.base import Request, TokenConstraint
from midi_llm.engines.drafting import MOST_DRAFTED, Drafter, drafter_of
from midi_llm.engines.rules import Layout
from midi_llm.tokens.codec import encode
from midi_llm.tokens.grammar import EventGrammar

from .conftest import SEPARATOR, SLOTS, TEXT_ROWS, SlotCycle

LAYOUT = Layout(
    first_id=TEXT_ROWS, times=10_000, durations=1_000, instruments=129, pitches=128, separator=SEPARATOR + TEXT_ROWS
)
BAR = [(0, 50, 60), (50, 25, 62), (75, 25, 64), (100, 100, 65)]
BAR_TICKS = 200


def triplets(notes: list[tuple[int, int, int]], *, at: int = 0) -> list[int]:
    """Token ids of (time, duration, note), times from `at` on."""
    starts = (at, SLOTS[1][0], SLOTS[2][0])
    return [value + start + TEXT_ROWS for note in notes for value, start in zip(note, starts, strict=True)]


def bars(count: int) -> list[int]:
    return [token_id for bar in range(count) for token_id in triplets(BAR, at=bar * BAR_TICKS)]


@pytest.mark.parametrize("known", [240, 241, 242, 246, 251])
def test_a_repeated_bar_is_drafted_at_its_new_time(known: int) -> None:
    ids = bars(22)
    assert Drafter(LAYOUT, ids[:known]).draft(100) == ids[known : known + MOST_DRAFTED]


def test_a_repeated_chord_is_drafted_beyond_what_is_there_to_copy() -> None:
    beats = triplets([(25 * beat, 25, 60) for beat in range(40)])
    assert Drafter(LAYOUT, beats[:99]).draft(7) == beats[99:106]


@pytest.mark.parametrize("most", [0, 1, 5])
def test_a_draft_is_no_longer_than_asked_for(most: int) -> None:
    assert len(Drafter(LAYOUT, bars(20)).draft(most)) == most


def test_nothing_is_drafted_before_anything_is_known() -> None:
    assert Drafter(LAYOUT).draft(9) == []
    assert Drafter(LAYOUT, bars(1)[:1]).draft(9) == []


def test_music_that_does_not_repeat_is_hardly_drafted() -> None:
    rng = random.Random(0)
    drafter, time, drafted = Drafter(LAYOUT), 0, 0
    for _ in range(600):
        time += rng.randrange(12)
        for token_id in triplets([(time, rng.randrange(300), rng.randrange(60, 90))]):
            drafted += len(drafter.draft(9))
            drafter.push(token_id)
    assert drafted < 0.1 * 3 * 600


def test_a_place_that_never_repeats_is_not_drafted() -> None:
    """Every duration is another one: only times, which repeat, are drafted."""
    ids = triplets([(25 * beat, 10 + beat, 60) for beat in range(60)])
    drafter, drafts = Drafter(LAYOUT), []
    for token_id in ids:
        drafts.append(drafter.draft(9))
        drafter.push(token_id)
    assert [draft for draft in drafts[-30:] if draft] == [[time] for time in ids[-30::3]]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2)), max_size=60), st.integers(0, 12))
def test_a_draft_goes_on_as_the_same_ids_did_before(steps: list[tuple[int, int, int]], most: int) -> None:
    times = np.cumsum([step for step, _, _ in steps]).tolist()
    ids = triplets([(time, length, note) for time, (_, length, note) in zip(times, steps, strict=True)])
    draft = Drafter(LAYOUT, ids).draft(most)
    assert len(draft) <= min(most, MOST_DRAFTED)
    whole = relative([*ids, *draft])
    for place in range(len(ids), len(whole)):
        if draft:  # the last id and the drafted ones so far came before, followed by this one
            passage = whole[len(ids) - 1 : place + 1]
            assert any(whole[start : start + len(passage)] == passage for start in range(len(ids) - 1))


def relative(ids: list[int]) -> list[int]:
    """Times as distances."""
    before = [TEXT_ROWS, *ids[::3]]
    return [token_id - before[place // 3] if place % 3 == 0 else token_id for place, token_id in enumerate(ids)]


def test_only_rules_tell_which_ids_are_times() -> None:
    assert drafter_of(Request(prompt_ids=[1], constraint=SlotCycle()), []) is None
    assert drafter_of(Request(prompt_ids=[1]), []) is None


def test_events_given_in_the_prompt_are_known() -> None:
    rows = [(time + BAR_TICKS * bar, length, 0, note) for bar in range(3) for time, length, note in BAR]
    context = np.array(rows, dtype=np.int32)
    given_ids = (encode(context) + TEXT_ROWS).tolist()
    grammar = EventGrammar(context=context)
    limits = Limits(end_ticks=grammar.end_ticks, min_end_ticks=0, is_last=True)
    window: TokenConstraint = WindowConstraint(grammar, limits, text_rows=TEXT_ROWS)
    drafter = drafter_of(Request(prompt_ids=[256, *given_ids], constraint=window), given_ids[:0])
    assert drafter is not None
    assert drafter.draft(4) == triplets([(3 * BAR_TICKS, 50, 60), (3 * BAR_TICKS + 50, 25, 62)])[:4]
