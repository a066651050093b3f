"""Random walks over everything the grammar allows, under random settings: no dead end, no illegal piece."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.errors import RequestError, TokenError
from midi_llm.music.score import DRUMS
from midi_llm.tokens.allowed import AllowedIds
from midi_llm.tokens.codec import REST_INSTRUMENT, Events, decode
from midi_llm.tokens.grammar import EventGrammar
from midi_llm.tokens.salvage import salvage
from midi_llm.tokens.vocab import AMT_VOCAB_SIZE, SEPARATOR

QUIET = settings(max_examples=80, deadline=None)


def draw(allowed: AllowedIds, rng: random.Random) -> int:
    """A legal id: mostly an early one (so that onsets, durations and rests meet), at times any, or the ending."""
    assert allowed.start < allowed.stop or allowed.extra, "nothing is allowed before the piece is finished"
    if allowed.extra and (allowed.start >= allowed.stop or rng.random() < 0.05):
        return rng.choice(allowed.extra)
    width = allowed.stop - allowed.start
    step = rng.choice([int(rng.expovariate(0.7)), 100, rng.randrange(width)])
    if allowed.mask is None:
        return allowed.start + min(step, width - 1)
    legal = np.flatnonzero(allowed.mask)
    assert len(legal), "a mask allows nothing"
    return allowed.start + int(legal[min(step, len(legal) - 1)])


def random_context(rng: random.Random) -> Events:
    rows = []
    for onset in sorted(rng.randrange(300) for _ in range(rng.randrange(8))):
        instrument = rng.choice([0, 0, 40, DRUMS, REST_INSTRUMENT])
        is_rest = instrument == REST_INSTRUMENT
        rows.append((onset, 0 if is_rest else rng.randrange(400), instrument, 0 if is_rest else rng.randrange(128)))
    return np.array(rows, np.int32).reshape(-1, 4)


def random_wish(rng: random.Random) -> dict[str, object]:
    """Settings that meet in every combination; some contradict each other."""
    end = rng.choice([1, 5, 150, 1200, 1200, 9_999, 10_000])
    low = rng.randrange(128)
    context = random_context(rng) if rng.random() < 0.4 else None
    return {
        "end_ticks": end,
        "min_end_ticks": rng.choice([0, end // 2, end]),
        "max_tokens": rng.choice([4, 5, 6, 7, 8, 30, 90, 90]),
        "max_notes": rng.choice([None, None, 1, 5, 20]),
        "instruments": rng.choice([None, frozenset({DRUMS}), frozenset({0}), frozenset({0, 40, DRUMS})]),
        "max_instruments": rng.choice([1, 2, 16]),
        "max_polyphony": rng.choice([None, 1, 2, 64]),
        "min_duration_ticks": rng.choice([0, 1, 1, 3]),
        "min_gap_ticks": rng.choice([1, 1, 4, 300]),
        "min_melodic_ticks": rng.choice([1, 1, 2, 5]),
        "max_duration_ticks": rng.choice([3, 200, 999]),
        "min_pitch": low,
        "max_pitch": rng.randint(low, min(127, low + 3)),
        "pitch_classes": rng.choice([None, None, frozenset(rng.sample(range(12), 7))]),
        "ranges": rng.choice([{}, {}, {0: (0, 90), DRUMS: (35, 51)}]),
        "allow_rests": rng.random() < 0.8,
        "max_consecutive_rests": rng.choice([1, 8]),
        "start_ticks": rng.choice([0, 0, 0, 100]),
        "context": context,
    }


def assert_obeys(events: Events, wish: dict[str, object]) -> None:
    """Check the finished piece against the settings, from its events alone."""
    context = wish["context"] if wish["context"] is not None else np.empty((0, 4), np.int32)
    assert isinstance(context, np.ndarray)
    every = np.concatenate([context, events])
    notes, all_notes = events[events[:, 2] != REST_INSTRUMENT], every[every[:, 2] != REST_INSTRUMENT]
    assert len(notes) >= 1
    assert (events[:, 0] >= wish["start_ticks"]).all()
    assert (np.diff(every[max(len(context) - 1, 0) :, 0]) >= 0).all()
    assert (events[:, 0] < wish["end_ticks"]).all()
    assert (events[:, 0] + events[:, 1] <= wish["end_ticks"]).all()
    assert wish["max_notes"] is None or len(notes) <= wish["max_notes"]
    assert wish["instruments"] is None or set(notes[:, 2].tolist()) <= set(wish["instruments"])
    new = set(notes[:, 2].tolist()) - set(context[:, 2].tolist())
    assert not new or len(set(all_notes[:, 2].tolist())) <= wish["max_instruments"]
    melodic = notes[notes[:, 2] != DRUMS]
    assert ((melodic[:, 3] >= wish["min_pitch"]) & (melodic[:, 3] <= wish["max_pitch"])).all()
    assert wish["pitch_classes"] is None or set((melodic[:, 3] % 12).tolist()) <= set(wish["pitch_classes"])
    for instrument, (lowest, highest) in wish["ranges"].items():
        pitches = notes[notes[:, 2] == instrument, 3]
        assert ((pitches >= lowest) & (pitches <= highest)).all()
    assert (melodic[:, 1] >= wish["min_melodic_ticks"]).all()
    gaps = np.diff(notes[:, 0])
    assert ((gaps == 0) | (gaps >= wish["min_gap_ticks"])).all()
    assert ((notes[:, 1] >= wish["min_duration_ticks"]) & (notes[:, 1] <= wish["max_duration_ticks"])).all()
    for row in range(len(all_notes) - len(notes), len(all_notes)):
        onset, _, instrument, pitch = all_notes[row].tolist()
        before = all_notes[:row]
        assert not ((before[:, 0] == onset) & (before[:, 2] == instrument) & (before[:, 3] == pitch)).any()
        if wish["max_polyphony"] is not None:
            assert (before[:, 0] + before[:, 1] > onset).sum() < wish["max_polyphony"]
    rests = (events[:, 2] == REST_INSTRUMENT).astype(int).tolist()
    assert wish["allow_rests"] or not any(rests)
    assert "1" * (wish["max_consecutive_rests"] + 1) not in "".join(map(str, rests))


@QUIET
@given(seed=st.integers(0, 2**32 - 1))
def test_any_legal_walk_under_any_settings_closes_within_the_budget_and_decodes_strictly(
    seed: int,
) -> None:
    rng = random.Random(seed)
    wish = random_wish(rng)
    try:
        grammar = EventGrammar(**wish)
    except RequestError:
        return
    ids: list[int] = []
    while not grammar.finished:
        ids.append(draw(grammar.allowed(), rng))
        grammar.accept(ids[-1])
        assert len(ids) <= wish["max_tokens"]
    end = grammar.allowed()
    assert (end.start, end.extra) == (end.stop, ())
    assert ids[-1] == SEPARATOR
    assert ids.count(SEPARATOR) == 1
    events = decode(ids)
    assert_obeys(events, wish)
    salvaged, report = salvage(ids)
    assert report.is_clean
    assert (salvaged == events).all()


@QUIET
@given(seed=st.integers(0, 2**32 - 1), wrong=st.integers(-5, AMT_VOCAB_SIZE + 200_000))
def test_a_refused_id_raises_and_leaves_the_state_as_it_was(seed: int, wrong: int) -> None:
    rng = random.Random(seed)
    wish = random_wish(rng)
    try:
        grammar, twin = EventGrammar(**wish), EventGrammar(**wish)
    except RequestError:
        return
    for _ in range(12):
        if grammar.finished:
            break
        if wrong not in grammar.allowed():
            with pytest.raises(TokenError, match="allowed is"):
                grammar.accept(wrong)
        mine, its = grammar.allowed(), twin.allowed()
        assert (mine.start, mine.stop, mine.extra) == (its.start, its.stop, its.extra)
        assert np.array_equal(mine.mask, its.mask)
        amt_id = draw(grammar.allowed(), rng)
        grammar.accept(amt_id)
        twin.accept(amt_id)
