"""Tonality: golden values, invariances, an independent reading of the definition, and real above random."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.tunes import EMPTY, laid, means, noise, on_beats, table, tune
from midi_llm.errors import RequestError
from midi_llm.evaluate import tonality
from midi_llm.music.key import MAJOR_PROFILE, MINOR_PROFILE

PITCHES = st.lists(st.integers(20, 100), min_size=1, max_size=30)


def notes_of(pitches: list[int], program: int = 0):
    return table([(0.5 * at, 0.4, pitch, 80) for at, pitch in enumerate(pitches)], program)


def test_entropy_counts_pitch_classes() -> None:
    assert tonality.pitch_class_entropy(notes_of(list(range(60, 72)))) == pytest.approx(math.log2(12), abs=1e-12)
    assert tonality.pitch_class_entropy(notes_of([60, 72, 67, 55])) == pytest.approx(1.0, abs=1e-12)
    assert tonality.pitch_class_entropy(notes_of([60, 60, 60, 67])) == pytest.approx(2 - 0.75 * math.log2(3), abs=1e-12)
    assert math.copysign(1.0, tonality.pitch_class_entropy(notes_of([60, 48]))) == 1.0  # 0.0, not -0.0


def test_entropy_of_bars_is_the_mean_over_windows() -> None:
    first = [(0.0, 0.4, 60, 80), (0.5, 0.4, 72, 80)]
    second = [(2.0, 0.4, 60, 80), (3.0, 0.4, 67, 80)]
    one = on_beats(table([*first, *second]))
    assert tonality.windowed_entropy(one, bars=1) == pytest.approx(0.5, abs=1e-12)
    whole = 2 - 0.75 * math.log2(3)
    assert tonality.windowed_entropy(one, bars=2) == pytest.approx(whole, abs=1e-12)
    assert tonality.windowed_entropy(one, bars=4) == pytest.approx(whole, abs=1e-12)  # fewer bars are one window


def test_bars_without_pitches_are_left_out() -> None:
    one = on_beats(table([(0.0, 0.4, 60, 80), (0.5, 0.4, 67, 80), (6.0, 0.4, 60, 80)]))
    assert tonality.windowed_entropy(one, bars=1) == pytest.approx(0.5, abs=1e-12)


def test_scale_consistency_of_scales() -> None:
    assert tonality.scale_consistency(notes_of([62, 64, 66, 67, 69, 71, 73])) == 1.0  # D major
    assert tonality.scale_consistency(notes_of([57, 59, 60, 62, 64, 65, 67])) == 1.0  # A minor
    assert tonality.scale_consistency(notes_of(list(range(60, 72)))) == pytest.approx(7 / 12, abs=1e-12)


@given(PITCHES)
def test_scale_consistency_is_the_best_of_24_scales(pitches: list[int]) -> None:
    major, minor = {0, 2, 4, 5, 7, 9, 11}, {0, 2, 3, 5, 7, 8, 10}
    shares = [
        sum((pitch - root) % 12 in scale for pitch in pitches) / len(pitches)
        for scale in (major, minor)
        for root in range(12)
    ]
    assert tonality.scale_consistency(notes_of(pitches)) == pytest.approx(max(shares), abs=1e-12)


@pytest.mark.parametrize("profile", [MAJOR_PROFILE, MINOR_PROFILE])
@pytest.mark.parametrize("tonic", [0, 5, 11])
def test_a_profile_is_a_clear_key(profile: tuple[float, ...], tonic: int) -> None:
    rows = [(0.0, weight**2, 60 + (tonic + above) % 12, 80) for above, weight in enumerate(profile)]
    assert tonality.key_clarity(table(rows)) == pytest.approx(1.0, abs=1e-12)


def test_twelve_equal_pitch_classes_have_no_key() -> None:
    assert tonality.key_clarity(table([(0.0, 1.0, 60 + above, 80) for above in range(12)])) == 0.0


@given(PITCHES, st.integers(-20, 27))
def test_transposition_changes_nothing(pitches: list[int], semitones: int) -> None:
    here, there = notes_of(pitches), notes_of([pitch + semitones for pitch in pitches])
    for metric in (
        tonality.pitch_class_entropy,
        tonality.scale_consistency,
        tonality.key_clarity,
        tonality.pitch_range,
        tonality.distinct_pitches,
    ):
        assert metric(here) == pytest.approx(metric(there), abs=1e-9)


def test_range_and_number_of_pitches() -> None:
    notes = notes_of([60, 84, 60, 59])
    assert (tonality.pitch_range(notes), tonality.distinct_pitches(notes)) == (25.0, 3.0)


def test_drums_and_effects_have_no_pitch() -> None:
    drums, effects = table([(0.0, 0.4, 36, 80)], drums=True), notes_of([60], program=126)
    for notes in (drums, effects):
        found = tonality.evaluate([on_beats(notes)])
        assert all(np.isnan(one.values).all() for one in found)


def test_takes_without_notes_are_nan_and_said() -> None:
    found = tonality.evaluate([EMPTY, laid(tune(0))])
    assert all(np.isnan(one.values[0]) and not np.isnan(one.values[1]) for one in found)
    (warning,) = tonality.validate([EMPTY, laid(tune(0))])
    assert warning.startswith("1 of 2 takes")
    assert tonality.validate([laid(tune(0))]) == ()
    with pytest.raises(RequestError, match="no takes"):
        tonality.evaluate([])


def test_music_ranks_above_noise() -> None:
    real = means(tonality.evaluate([laid(tune(seed)) for seed in range(5)]))
    random = means(tonality.evaluate([laid(noise(tune(seed), seed)) for seed in range(5)]))
    assert len(real) == 2
    assert all(real[name] > random[name] for name in real)
