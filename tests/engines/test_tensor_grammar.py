"""The grammar on tensors against the reference, id by id, on random walks under random settings."""

from __future__ import annotations

import copy
import json
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.compose.constraint import WindowConstraint
from midi_llm.compose.windows import Limits
from midi_llm.engines.base import Allowed
from midi_llm.engines.rules import RuledConstraint, TripletRules
from midi_llm.engines.tensor_grammar import RuleTable, allowed_masks
from midi_llm.errors import EngineError, RequestError
from midi_llm.evaluate.contenders import PacedGrammar
from midi_llm.music.score import DRUMS
from midi_llm.tokens.codec import REST_INSTRUMENT, Events, encode
from midi_llm.tokens.grammar import EventGrammar
from midi_llm.tokens.rules import rule_numbers
from midi_llm.tokens.vocab import MUSIC_VOCAB_SIZE, SEPARATOR

from .conftest import TEXT_ROWS, VOCAB_SIZE

BLOCK = 27_513
SEEDS = st.integers(0, 2**32 - 1)


def random_context(rng: random.Random) -> Events | None:
    rows = []
    for onset in sorted(rng.randrange(300) for _ in range(rng.randrange(9))):
        instrument = rng.choice([0, 0, 40, DRUMS, REST_INSTRUMENT])
        is_rest = instrument == REST_INSTRUMENT
        rows.append((onset, 0 if is_rest else rng.randrange(400), instrument, 0 if is_rest else rng.choice([30, 60])))
    return np.array(rows, np.int32).reshape(-1, 4) if rows or rng.random() < 0.5 else None


def random_grammar(rng: random.Random) -> EventGrammar | None:
    """Settings that meet in every combination; None where they contradict each other."""
    end = rng.choice([5, 150, 1200, 1200, 9_999, 10_000])
    low = rng.randrange(128)
    try:
        return EventGrammar(
            end_ticks=end,
            min_end_ticks=rng.choice([0, end // 2, end]),
            max_tokens=rng.choice([4, 7, 8, 30, 90, 90]),
            max_notes=rng.choice([None, None, 1, 5]),
            instruments=rng.choice([None, frozenset({DRUMS}), frozenset({0}), frozenset({0, 40, DRUMS})]),
            max_instruments=rng.choice([1, 2, 3, 16]),
            max_polyphony=rng.choice([None, 1, 2, 64]),
            min_gap_ticks=rng.choice([1, 1, 4, 300]),
            min_duration_ticks=rng.choice([0, 1, 1, 3]),
            min_melodic_ticks=rng.choice([1, 1, 2, 5]),
            max_duration_ticks=rng.choice([5, 200, 999]),
            min_pitch=low,
            max_pitch=rng.choice([127, min(127, low + 2), low]),
            pitch_classes=rng.choice([None, None, frozenset(rng.sample(range(12), 7))]),
            ranges=rng.choice([{}, {}, {0: (50, 70), DRUMS: (35, 51)}, {40: (low, low)}]),
            allow_rests=rng.random() < 0.8,
            max_consecutive_rests=rng.choice([1, 8]),
            start_ticks=rng.choice([0, 0, 100]),
            context=random_context(rng),
        )
    except RequestError:
        return None


def random_window(rng: random.Random) -> WindowConstraint | None:
    """A grammar as `compose` wraps it: durations and closing times reach past the end."""
    grammar = random_grammar(rng)
    limits = Limits(end_ticks=grammar.end_ticks, min_end_ticks=0, is_last=True) if grammar else None
    return WindowConstraint(grammar, limits, text_rows=TEXT_ROWS) if grammar and limits else None


def listed(allowed: Allowed) -> np.ndarray:
    """The ids of an answer, as a mask [VOCAB_SIZE]."""
    mask = np.zeros(VOCAB_SIZE, np.bool_)
    mask[allowed.start : allowed.stop] = True if allowed.mask is None else allowed.mask
    mask[list(allowed.extra)] = True
    return mask


def draw(legal: np.ndarray, rng: random.Random) -> int:
    """Mostly an early id (onsets, durations and rests meet), at times any, and seldom the ending."""
    ids = np.flatnonzero(legal)
    music = ids[ids != SEPARATOR + TEXT_ROWS]
    if not len(music) or (len(music) < len(ids) and rng.random() < 0.03):
        return int(ids[-1])
    step = rng.choice([int(rng.expovariate(0.7)), 100, rng.randrange(len(music))])
    return int(music[min(step, len(music) - 1)])


def walk(constraint: WindowConstraint, rng: random.Random) -> tuple[list[int], list[np.ndarray]]:
    """A whole legal piece, and what was allowed before each of its ids."""
    ids: list[int] = []
    masks: list[np.ndarray] = []
    while not constraint.finished:
        masks.append(listed(constraint.allowed()))
        ids.append(draw(masks[-1], rng))
        constraint.accept(ids[-1])
    return ids, masks


def tensor_masks(rules: TripletRules, histories: list[list[int]]) -> np.ndarray:
    """What the tensor form allows after each history, [len(histories), VOCAB_SIZE]."""
    width = max(1, *(len(history) for history in histories))
    padded = torch.tensor([history + [7] * (width - len(history)) for history in histories])
    lengths = torch.tensor([len(history) for history in histories])
    masks = allowed_masks(RuleTable.of([rules] * len(histories)), padded, lengths)
    return torch.isfinite(masks.apply(torch.zeros((len(histories), VOCAB_SIZE)))).numpy()


def rules_of(grammar: EventGrammar, **extra: bool) -> TripletRules:
    return TripletRules.from_numbers(rule_numbers(grammar, text_rows=TEXT_ROWS, **extra))


def given_ids(grammar: EventGrammar) -> list[int]:
    context = [] if grammar.context is None else encode(grammar.context)
    return [int(amt_id) + TEXT_ROWS for amt_id in context]


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_every_prefix_of_a_window_allows_the_same_ids_as_the_reference(seed: int) -> None:
    rng = random.Random(seed)
    constraint = random_window(rng)
    if constraint is None:
        return
    rules, given = TripletRules.from_numbers(constraint.rules()), given_ids(constraint._grammar)
    ids, masks = walk(constraint, rng)
    found = tensor_masks(rules, [given + ids[:count] for count in range(len(ids))])
    for count, expected in enumerate(masks):
        assert np.array_equal(found[count], expected), (count, np.flatnonzero(found[count] != expected)[:9])


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_every_prefix_of_a_plain_grammar_allows_the_same_ids_as_the_reference(seed: int) -> None:
    rng = random.Random(seed)
    grammar = random_grammar(rng)
    if grammar is None:
        return
    twin = copy.deepcopy(grammar)
    ids = []
    while not twin.finished:
        allowed = twin.allowed()
        amt = listed(Allowed(start=allowed.start, stop=allowed.stop, mask=allowed.mask, extra=allowed.extra))
        ids.append(draw(np.roll(amt, TEXT_ROWS), rng) - TEXT_ROWS)
        twin.accept(ids[-1])
    assert_follows(grammar, ids)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, wrong=st.integers(0, VOCAB_SIZE - 1))
def test_an_illegal_history_is_refused_at_its_first_illegal_id_and_breaks_nothing_after_it(
    seed: int, wrong: int
) -> None:
    rng = random.Random(seed)
    constraint = random_window(rng)
    if constraint is None:
        return
    rules, given = TripletRules.from_numbers(constraint.rules()), given_ids(constraint._grammar)
    ids, masks = walk(constraint, rng)
    at = rng.randrange(len(ids))
    history = ids[:at] + [wrong] + [rng.randrange(VOCAB_SIZE) for _ in range(7)]
    found = tensor_masks(rules, [given + history[:count] for count in range(len(history) + 1)])
    assert found[at][wrong] == masks[at][wrong]
    assert found.any(axis=1).all()
    longer = allowed_masks(RuleTable.of([rules] * 2), torch.zeros((2, 2)), torch.tensor([99, -5]))
    assert (longer.block_RW.any(dim=1) | longer.separator_R).all()


def assert_follows(grammar: EventGrammar, amt_ids: list[int]) -> None:
    """Both forms allow the same before each of `amt_ids`."""
    rules, ids, masks = rules_of(grammar), [], []
    for amt_id in amt_ids:
        allowed = grammar.allowed()
        amt = listed(Allowed(start=allowed.start, stop=allowed.stop, mask=allowed.mask, extra=allowed.extra))
        masks.append(np.roll(amt, TEXT_ROWS))
        grammar.accept(amt_id)
        ids.append(amt_id + TEXT_ROWS)
    found = tensor_masks(rules, [given_ids(grammar) + ids[:count] for count in range(len(ids))])
    assert np.array_equal(found, masks)


def test_after_fifteen_melodic_instruments_the_sixteenth_is_drums() -> None:
    notes = [*(128 * instrument + 60 for instrument in range(15)), 128 * DRUMS + 60, 128 * 3 + 61]
    assert_follows(EventGrammar(), [amt_id for note in notes for amt_id in (0, 10_100, 11_000 + note)])


def test_the_even_pace_of_a_race_of_engines_is_kept() -> None:
    rng = random.Random(2)
    paced = PacedGrammar(tokens=90, text_rows=TEXT_ROWS)
    rules, ids, masks = TripletRules.from_numbers(paced.rules()), [], []
    while not paced.finished:
        masks.append(listed(paced.allowed()))
        ids.append(int(rng.choice(np.flatnonzero(masks[-1]))))
        paced.accept(ids[-1])
    assert np.array_equal(tensor_masks(rules, [ids[:count] for count in range(len(ids))]), masks)


def test_time_moves_on_when_every_note_sounds() -> None:
    grammar = EventGrammar(instruments=frozenset({0}), min_pitch=60, max_pitch=61)
    assert_follows(grammar, [0, 10_100, 11_060, 0, 10_100, 11_061, 1, 10_100, 11_060, SEPARATOR])


def test_a_closed_piece_allows_nothing_but_the_separator_again() -> None:
    rules = rules_of(EventGrammar(end_ticks=500), opens_past_end=True)
    note = [TEXT_ROWS, TEXT_ROWS + 10_100, TEXT_ROWS + 11_060]
    for last in (SEPARATOR + TEXT_ROWS, TEXT_ROWS + 500):
        masks = tensor_masks(rules, [[*note, last], [*note, last, TEXT_ROWS + 10_100]])
        assert [np.flatnonzero(mask).tolist() for mask in masks] == [[SEPARATOR + TEXT_ROWS]] * 2


def test_rows_of_different_rules_and_lengths_do_not_disturb_each_other() -> None:
    rng = random.Random(5)
    windows = [window for window in (random_window(rng) for _ in range(40)) if window is not None][:12]
    rules = [TripletRules.from_numbers(window.rules()) for window in windows]
    rows, expected = [], []
    for window in windows:
        ids, masks = walk(window, rng)
        count = rng.randrange(len(ids))
        rows.append(given_ids(window._grammar) + ids[:count])
        expected.append(masks[count])
    width = max(map(len, rows)) + 5
    padded = torch.tensor([row + [-1] * (width - len(row)) for row in rows])
    masks = allowed_masks(RuleTable.of(rules), padded, torch.tensor([len(row) for row in rows]))
    found = torch.isfinite(masks.apply(torch.zeros((len(rows), VOCAB_SIZE)))).numpy()
    assert np.array_equal(found, expected)


def test_no_value_is_read_back_from_the_device() -> None:
    table = RuleTable.of([rules_of(EventGrammar())] * 2).to("meta")  # tensors without values: reading one raises
    history = torch.zeros((2, 30), dtype=torch.int32, device="meta")
    masks = allowed_masks(table, history, torch.zeros(2, dtype=torch.int64, device="meta"))
    assert masks.apply(torch.zeros((2, VOCAB_SIZE), device="meta")).shape == (2, VOCAB_SIZE)


def test_allowed_logits_keep_their_values() -> None:
    rules = rules_of(EventGrammar())
    logits = torch.randn((1, VOCAB_SIZE), generator=torch.Generator().manual_seed(0))
    masks = allowed_masks(RuleTable.of([rules]), torch.zeros((1, 3), dtype=torch.int32), torch.tensor([0]))
    masked = masks.apply(logits)
    assert torch.equal(masked[0, TEXT_ROWS : TEXT_ROWS + 10_000], logits[0, TEXT_ROWS : TEXT_ROWS + 10_000])
    assert int(torch.isfinite(masked).sum()) == 10_000
    assert masked.shape[1] - TEXT_ROWS == MUSIC_VOCAB_SIZE


def test_rules_survive_json_and_are_checked_when_read() -> None:
    stated = rule_numbers(EventGrammar(instruments=frozenset({0, DRUMS})), text_rows=TEXT_ROWS)
    numbers = json.loads(json.dumps(stated))
    rules = TripletRules.from_numbers(numbers)
    assert rules == TripletRules.from_numbers(stated)
    assert (rules.instruments, rules.end_ticks, rules.layout.notes) == ((0, DRUMS), 10_000, 16_512)
    for change, found in (
        ({"end_ticks": "late"}, "end_ticks is 'late'"),
        ({"max_tokens": -1}, "max_tokens is -1"),
        ({"instruments": [129]}, r"\[129\]"),
        ({"layout": 3}, "must be a mapping"),
        ({"tempo": 120}, "unknown"),
    ):
        with pytest.raises(EngineError, match=found):
            TripletRules.from_numbers(numbers | change)
    with pytest.raises(EngineError, match="layout"):
        RuleTable.of([rules, TripletRules.from_numbers(rule_numbers(EventGrammar(), text_rows=0))])


def test_a_window_of_compose_states_its_rules(slot_cycle: type) -> None:
    window = WindowConstraint(EventGrammar(), Limits(end_ticks=10_000, min_end_ticks=0, is_last=True), text_rows=0)
    assert isinstance(window, RuledConstraint)
    assert not isinstance(slot_cycle(), RuledConstraint)
