from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.data.augment import (
    AMT_KINDS,
    HIGHEST,
    KINDRED,
    LOWEST,
    PLAIN_HEAVY_KINDS,
    AugmentSettings,
    Kinds,
    control_mask,
    draw_semitones,
    draw_stretch,
    substitute,
    transpose,
)
from midi_llm.errors import DatasetError
from midi_llm.music.instruments import family_name
from midi_llm.music.score import DRUMS
from midi_llm.tokens.controls import DELTA_TICKS
from tokens.strategies import event_lists

ALWAYS = AugmentSettings(transpose_rate=1.0, substitute_rate=1.0, stretch_rate=1.0)
NOTES = event_lists(rests=False)


def melody(program: int, pitches, *, step: int = 50):
    rows = [(step * i, step, program, pitch) for i, pitch in enumerate(pitches)]
    return np.array(rows, np.int32)


@settings(max_examples=50, deadline=None)
@given(events=NOTES, seed=st.integers(0, 2**32))
def test_transposition_keeps_drums_and_moves_no_instrument_out_of_its_range(events, seed):
    shift = draw_semitones(events, replace(ALWAYS, semitones=11), np.random.default_rng(seed))
    moved = transpose(events, shift)
    melodic = events[:, 2] != DRUMS
    np.testing.assert_array_equal(moved[~melodic], events[~melodic])
    np.testing.assert_array_equal(moved[melodic, 3] - events[melodic, 3], shift)
    for program in np.unique(events[melodic, 2]):
        before, after = (rows[rows[:, 2] == program, 3] for rows in (events, moved))
        assert after.min() >= min(LOWEST[program], before.min())
        assert after.max() <= max(HIGHEST[program], before.max())


def test_transposition_reaches_every_step_and_is_silent_when_off():
    rng = np.random.default_rng(0)
    line = melody(40, [67, 74, 81])
    assert {draw_semitones(line, replace(ALWAYS, semitones=4), rng) for _ in range(300)} == set(range(-4, 5))
    low_violin = melody(40, [55, 60])
    assert {draw_semitones(low_violin, replace(ALWAYS, semitones=4), rng) for _ in range(300)} == set(range(5))
    assert draw_semitones(melody(DRUMS, [36, 38]), ALWAYS, rng) == 0
    assert {draw_semitones(line, replace(ALWAYS, transpose_rate=0.0), rng) for _ in range(20)} == {0}


def test_stretching_is_as_likely_slower_as_faster_and_within_its_bounds():
    rng = np.random.default_rng(0)
    factors = np.array([draw_stretch(replace(ALWAYS, stretch=0.2), rng) for _ in range(2000)])
    assert 1 / 1.2 <= factors.min() < 0.85
    assert 1.17 < factors.max() <= 1.2
    assert abs(np.log(factors).mean()) < 0.01
    assert draw_stretch(replace(ALWAYS, stretch_rate=0.0), rng) == 1.0


def test_kin_are_of_one_family_and_of_one_group():
    programs = [program for group in KINDRED for program in group]
    assert len(programs) == len(set(programs))
    assert all(len({family_name(program) for program in group}) == 1 for group in KINDRED)
    assert (LOWEST < HIGHEST).all()
    assert (LOWEST[40], HIGHEST[43], HIGHEST[127]) == (55, 67, 127)


@settings(max_examples=50, deadline=None)
@given(events=NOTES, seed=st.integers(0, 2**32))
def test_substitution_replaces_whole_instruments_and_merges_none(events, seed):
    replaced = substitute(events, ALWAYS, np.random.default_rng(seed))
    np.testing.assert_array_equal(replaced[:, [0, 1, 3]], events[:, [0, 1, 3]])
    pairs = set(zip(events[:, 2].tolist(), replaced[:, 2].tolist(), strict=True))
    assert len(pairs) == len(np.unique(events[:, 2])) == len(np.unique(replaced[:, 2]))
    assert all(old == new or any(old in group and new in group for group in KINDRED) for old, new in pairs)


def test_an_instrument_is_replaced_only_by_one_that_can_play_its_notes():
    rng = np.random.default_rng(0)
    seen = {int(substitute(melody(66, [45, 60]), ALWAYS, rng)[0, 2]) for _ in range(60)}
    assert seen == {67}  # of the saxophones only the baritone reaches 45 besides the tenor
    assert {int(substitute(melody(24, [45, 60]), ALWAYS, rng)[0, 2]) for _ in range(60)} == {25}
    pair = np.concatenate([melody(24, [45]), melody(25, [50])])
    np.testing.assert_array_equal(substitute(pair, ALWAYS, rng), pair)
    np.testing.assert_array_equal(substitute(pair[:1], replace(ALWAYS, substitute_rate=0.0), rng), pair[:1])


def test_kinds_are_drawn_by_their_shares():
    rng = np.random.default_rng(0)
    for kinds in (AMT_KINDS, PLAIN_HEAVY_KINDS, Kinds(plain=0, span=0, random=0, instrument=3)):
        counts = Counter(kinds.draw(rng) for _ in range(4000))
        total = kinds.plain + kinds.span + kinds.random + kinds.instrument
        for name in ("plain", "span", "random", "instrument"):
            assert counts[name] / 4000 == pytest.approx(getattr(kinds, name) / total, abs=0.03)


@settings(max_examples=60, deadline=None)
@given(events=NOTES, seed=st.integers(0, 2**32), kind=st.sampled_from(("plain", "span", "random", "instrument")))
def test_controls_are_none_or_some_and_never_all(events, seed, kind):
    mask = control_mask(events, kind, np.random.default_rng(seed))
    assert mask.shape == (len(events),)
    assert not len(events) or not mask.all()
    np.testing.assert_array_equal(mask, control_mask(events, kind, np.random.default_rng(seed)))
    if kind == "plain":
        assert not mask.any()
    if kind == "instrument":
        given_, played = set(events[mask, 2].tolist()), set(events[~mask, 2].tolist())
        assert not given_ & played
        assert bool(given_) == (len(np.unique(events[:, 2])) > 1)


def test_spans_last_five_seconds_and_come_as_often_as_in_amt():
    events = melody(0, np.full(1000, 60), step=10)
    rng = np.random.default_rng(0)
    masks = np.array([control_mask(events, "span", rng) for _ in range(400)])
    assert masks.mean() == pytest.approx(0.2, abs=0.02)  # 5 s of 5 + 20
    assert masks[:, 0].mean() == pytest.approx(0.2, abs=0.06)
    assert masks[:, -50].mean() == pytest.approx(0.2, abs=0.06)
    for mask in masks[:50]:
        edges = np.flatnonzero(np.diff(mask.astype(int), prepend=0))
        whole = [stop - start for start, stop in zip(edges[::2], edges[1::2], strict=False) if start]
        assert all(length % (DELTA_TICKS // 10) == 0 for length in whole)


def test_random_controls_are_one_to_nine_tenths_of_the_notes():
    events = melody(0, np.full(4000, 60), step=2)
    rng = np.random.default_rng(0)
    shares = [control_mask(events, "random", rng).mean() * 10 for _ in range(100)]
    assert {round(share) for share in shares} == set(range(1, 10))


def test_settings_out_of_range_say_what_is_allowed():
    with pytest.raises(DatasetError, match="between 0 and 1"):
        AugmentSettings(transpose_rate=1.5)
    with pytest.raises(DatasetError, match="more than 1"):
        AugmentSettings(opening_rate=0.6, ending_rate=0.6)
    with pytest.raises(DatasetError, match="semitones 0 to 11"):
        AugmentSettings(semitones=12)
    with pytest.raises(DatasetError, match="not all 0"):
        Kinds(plain=0, span=0, random=0, instrument=0)
    with pytest.raises(DatasetError, match="plain, span, random, instrument"):
        control_mask(melody(0, [60]), "chorus", np.random.default_rng(0))
