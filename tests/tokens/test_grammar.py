from __future__ import annotations

import random
import time

import numpy as np
import pytest

from midi_llm.errors import RequestError, TokenError
from midi_llm.music.score import DRUMS
from midi_llm.tokens.allowed import AllowedIds
from midi_llm.tokens.grammar import EventGrammar
from midi_llm.tokens.vocab import DUR_OFFSET, NOTE_OFFSET, REST, SEPARATOR


def listed(allowed: AllowedIds) -> list[int]:
    ids = range(allowed.start, allowed.stop)
    kept = list(ids) if allowed.mask is None else [i for i, ok in zip(ids, allowed.mask.tolist(), strict=True) if ok]
    return kept + list(allowed.extra)


def triplet(onset: int, duration: int, instrument: int, pitch: int) -> list[int]:
    return [onset, DUR_OFFSET + duration, NOTE_OFFSET + 128 * instrument + pitch]


def feed(grammar: EventGrammar, ids: list[int]) -> EventGrammar:
    for amt_id in ids:
        grammar.accept(amt_id)
    return grammar


def test_the_first_slot_is_a_time_and_not_an_ending() -> None:
    allowed = EventGrammar(end_ticks=3000).allowed()
    assert (allowed.start, allowed.stop, allowed.mask, allowed.extra) == (0, 3000, None, ())


def test_time_never_goes_backwards_and_stays_before_the_end() -> None:
    grammar = feed(EventGrammar(end_ticks=3000), triplet(700, 10, 0, 60))
    allowed = grammar.allowed()
    assert (allowed.start, allowed.stop, allowed.extra) == (700, 3000, (SEPARATOR,))


def test_a_note_never_sounds_past_the_end() -> None:
    grammar = feed(EventGrammar(end_ticks=3000), [2990])
    allowed = grammar.allowed()
    assert (allowed.start, allowed.stop) == (DUR_OFFSET + 1, DUR_OFFSET + 11)


def test_the_piece_may_end_only_once_a_note_has_reached_the_asked_for_end() -> None:
    grammar = feed(EventGrammar(end_ticks=3000, min_end_ticks=2700), triplet(2600, 99, 0, 60))
    assert grammar.allowed().extra == ()
    feed(grammar, triplet(2600, 100, 0, 61))
    assert grammar.allowed().extra == (SEPARATOR,)


def test_a_separator_finishes_and_nothing_may_follow() -> None:
    grammar = feed(EventGrammar(), [*triplet(0, 10, 0, 60), SEPARATOR])
    assert grammar.finished
    with pytest.raises(TokenError, match="nothing may follow"):
        grammar.accept(5)


def test_the_same_note_does_not_start_twice_at_one_onset_but_may_later() -> None:
    grammar = feed(EventGrammar(), [*triplet(5, 10, 0, 60), 5, DUR_OFFSET + 3])
    assert NOTE_OFFSET + 60 not in grammar.allowed()
    assert NOTE_OFFSET + 61 in grammar.allowed()
    feed(grammar, [NOTE_OFFSET + 61, 6, DUR_OFFSET + 3])
    assert grammar.allowed().mask is None
    assert NOTE_OFFSET + 60 in grammar.allowed()


def test_full_polyphony_moves_time_on_to_the_first_note_end() -> None:
    grammar = feed(EventGrammar(max_polyphony=2), [*triplet(0, 50, 0, 60), *triplet(10, 20, 0, 62)])
    assert grammar.allowed().start == 30
    feed(grammar, triplet(30, 100, 0, 64))
    assert grammar.allowed().start == 50


def test_full_polyphony_to_the_very_end_closes_the_piece() -> None:
    grammar = feed(EventGrammar(end_ticks=40, max_polyphony=1, min_end_ticks=40), triplet(0, 40, 0, 60))
    assert listed(grammar.allowed()) == [SEPARATOR]


def test_an_allowed_instrument_set_narrows_the_slice_of_notes() -> None:
    grammar = feed(EventGrammar(instruments=frozenset({40})), [0, DUR_OFFSET + 5])
    allowed = grammar.allowed()
    assert (allowed.start, allowed.stop, allowed.mask) == (NOTE_OFFSET + 128 * 40, NOTE_OFFSET + 128 * 41, None)


def test_the_sixteenth_melodic_instrument_is_refused_but_drums_are_not() -> None:
    grammar = EventGrammar()
    for instrument in range(15):
        feed(grammar, triplet(instrument, 5, instrument, 60))
    feed(grammar, [20, DUR_OFFSET + 5])
    assert NOTE_OFFSET + 128 * 15 + 60 not in grammar.allowed()
    assert NOTE_OFFSET + 128 * 14 + 60 in grammar.allowed()
    assert NOTE_OFFSET + 128 * DRUMS + 36 in grammar.allowed()


def test_the_pitch_range_binds_melodic_instruments_only() -> None:
    grammar = feed(EventGrammar(min_pitch=60, max_pitch=72), [0, DUR_OFFSET + 5])
    assert NOTE_OFFSET + 59 not in grammar.allowed()
    assert NOTE_OFFSET + 72 in grammar.allowed()
    assert NOTE_OFFSET + 128 * DRUMS + 36 in grammar.allowed()


def test_a_rest_stands_one_second_after_the_event_before_it() -> None:
    for other in (99, 101, 200):
        grammar = feed(EventGrammar(), [*triplet(0, 10, 0, 60), other])
        assert DUR_OFFSET not in grammar.allowed()
    grammar = feed(EventGrammar(), [*triplet(0, 10, 0, 60), 100])
    assert DUR_OFFSET in grammar.allowed()
    grammar.accept(DUR_OFFSET)
    assert listed(grammar.allowed()) == [REST]


def test_rests_in_a_row_are_bounded() -> None:
    grammar = feed(EventGrammar(max_consecutive_rests=2), triplet(0, 10, 0, 60))
    for second in (100, 200):
        feed(grammar, [second, DUR_OFFSET, REST])
    grammar.accept(300)
    assert DUR_OFFSET not in grammar.allowed()


def test_a_budget_without_room_for_a_triplet_and_the_ending_forces_the_ending() -> None:
    for max_tokens in (4, 5, 6):
        grammar = feed(EventGrammar(max_tokens=max_tokens), triplet(0, 10, 0, 60))
        assert listed(grammar.allowed()) == [SEPARATOR]


def test_the_last_triplet_of_an_empty_piece_cannot_be_a_rest() -> None:
    grammar = feed(EventGrammar(max_tokens=6), [0])
    assert DUR_OFFSET not in grammar.allowed()
    grammar = feed(EventGrammar(max_tokens=7), [0])
    assert DUR_OFFSET in grammar.allowed()


def test_a_continuation_starts_where_its_context_ends() -> None:
    context = np.array([(0, 500, 3, 60), (200, 10, 3, 64)], np.int32)
    grammar = EventGrammar(context=context, max_polyphony=2, max_instruments=1)
    assert grammar.allowed().start == 210
    feed(grammar, [300, DUR_OFFSET + 5])
    assert (grammar.allowed().start, grammar.allowed().stop) == (NOTE_OFFSET + 384, NOTE_OFFSET + 512)


@pytest.mark.parametrize(
    ("wish", "named"),
    [
        ({"end_ticks": 0}, "end_ticks is 0"),
        ({"end_ticks": 10_001}, "end_ticks is 10001"),
        ({"end_ticks": 10, "min_end_ticks": 11}, "min_end_ticks is 11"),
        ({"max_tokens": 3}, "max_tokens is 3"),
        ({"max_notes": 0}, "max_notes is 0"),
        ({"instruments": frozenset()}, "instruments are"),
        ({"instruments": frozenset({129})}, "instruments are"),
        ({"max_duration_ticks": 1000}, "max_duration_ticks is 1000"),
        ({"max_duration_ticks": 5, "min_duration_ticks": 6}, "min_duration_ticks is 6"),
        ({"pitch_classes": frozenset({12})}, "allowed are 0 .C. to 11"),
        ({"ranges": {40: (70, 60)}}, "range of instrument 40 is 70..60"),
        ({"ranges": {0: (60, 70)}, "instruments": frozenset({0}), "min_pitch": 80}, "widen the range"),
        ({"min_pitch": 61, "max_pitch": 60}, "max_pitch is 60"),
        ({"start_ticks": 500, "end_ticks": 500}, "start_ticks is 500"),
        ({"start_ticks": 495, "end_ticks": 500, "min_duration_ticks": 6}, "no note of"),
        ({"end_ticks": 500, "context": np.array([(500, 5, 0, 60)], np.int32)}, "no note of"),
        (
            {"max_instruments": 1, "instruments": frozenset({5}), "context": np.array([(0, 5, 0, 60)], np.int32)},
            "the context uses 1 instruments",
        ),
    ],
)
def test_contradictory_settings_are_refused_with_their_name(wish: dict[str, object], named: str) -> None:
    with pytest.raises(RequestError, match=named):
        EventGrammar(**wish)


def test_a_step_costs_little() -> None:
    grammar = EventGrammar(instruments=frozenset({0, 5, DRUMS}), max_tokens=3001)
    rng = random.Random(1)
    spent = 0.0
    for step in range(1000):
        for amt_id in triplet(5 * step, rng.randrange(1, 90), 5, 30 + step % 90):
            before = time.process_time()
            grammar.accept(amt_id)
            grammar.allowed()
            spent += time.process_time() - before
    assert spent / 3000 < 100e-6


def test_onsets_are_together_or_a_gap_apart() -> None:
    grammar = feed(EventGrammar(min_gap_ticks=4), triplet(10, 50, 0, 60))
    assert [time in grammar.allowed() for time in range(9, 16)] == [False, True, False, False, False, True, True]
    full = feed(EventGrammar(min_gap_ticks=4, max_polyphony=1), triplet(10, 2, 0, 60))
    assert full.allowed().start == 14


def test_only_drums_may_be_short() -> None:
    short = DUR_OFFSET + 1
    assert short not in feed(EventGrammar(min_melodic_ticks=5, instruments=frozenset({0})), [10]).allowed()
    grammar = feed(EventGrammar(min_melodic_ticks=5, instruments=frozenset({0, DRUMS})), [10, short])
    assert (NOTE_OFFSET + 60 in grammar.allowed(), NOTE_OFFSET + 128 * DRUMS + 36 in grammar.allowed()) == (False, True)
    longer = feed(EventGrammar(min_melodic_ticks=5, instruments=frozenset({0, DRUMS})), [10, DUR_OFFSET + 5])
    assert NOTE_OFFSET + 60 in longer.allowed()
