"""Rhythm: golden values on known beats, jitter, swing and compound metres, and real above random."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.tunes import EMPTY, Row, changed, laid, means, noise, on_beats, scattered, table, tune
from midi_llm.errors import RequestError
from midi_llm.evaluate import rhythm
from midi_llm.evaluate.analysis import Bars, analyse, lay_in_bars
from midi_llm.music.score import Score


def clicks(*times: float, length: float = 0.1) -> list[Row]:
    return [(time, length, 60, 80) for time in times]


def bars_of(*times: float) -> Bars:
    bars = on_beats(table(clicks(*times))).bars
    assert bars is not None
    return bars


def test_bars_that_repeat_are_consistent() -> None:
    assert rhythm.groove_consistency(bars_of(0, 0.75, 1.5, 2, 2.75, 3.5, 4, 4.75, 5.5)) == 1.0


def test_groove_counts_places_that_differ() -> None:
    assert rhythm.groove_consistency(bars_of(0, 2, 3)) == pytest.approx(1 - 1 / 48, abs=1e-12)
    assert rhythm.groove_consistency(bars_of(0, 2, 3, 4)) == pytest.approx(1 - 1 / 48, abs=1e-12)
    assert rhythm.groove_consistency(bars_of(0, 2.25, 4, 4.5)) == pytest.approx(1 - 5 / 96, abs=1e-12)
    assert math.isnan(rhythm.groove_consistency(bars_of(0, 0.5, 1)))


def test_a_pick_up_is_in_no_bar() -> None:
    notes = table(clicks(0.0, 0.5, 2.5, 4.5))
    bars = lay_in_bars(notes, beats=np.arange(12) * 0.5, downbeats=np.array([1, 5, 9]), metre=(4, 4))
    assert bars is not None
    assert bars.bar.tolist() == [-1, 0, 1, 2]
    assert rhythm.groove_consistency(bars) == 1.0


def test_bars_follow_a_changing_tempo() -> None:
    beats = np.cumsum(np.r_[0.0, np.linspace(0.4, 0.8, 16)])
    eighths = np.sort(np.r_[beats[:-1], (beats[1:] + beats[:-1]) / 2])
    bars = lay_in_bars(table(clicks(*eighths)), beats=beats, downbeats=np.arange(0, 17, 4), metre=(4, 4))
    assert bars is not None
    assert bars.place.tolist() == [6 * (k % 8) for k in range(32)]
    assert rhythm.on_grid(bars) == 1.0
    assert np.abs(bars.off_seconds).max() < 1e-9


def test_a_bar_of_six_eighths_has_three_quarters() -> None:
    notes = table(clicks(*(0.25 * np.arange(12))))
    bars = on_beats(notes, beat_seconds=0.75, metre=(6, 8)).bars
    assert bars is not None
    assert (bars.count, bars.width) == (2, 36)
    assert bars.place.tolist() == [6 * k for k in range(6)] * 2
    assert rhythm.on_grid(bars) == 1.0


def test_triplets_are_on_the_grid() -> None:
    bars = bars_of(*(np.arange(24) / 6))
    assert bars.step.tolist() == [4 * k for k in range(24)]
    assert rhythm.on_grid(bars) == 1.0


@pytest.mark.parametrize(("late", "share"), [(0.014, 1.0), (0.015, 1.0), (0.02, 0.5), (-0.02, 0.5)])
def test_on_grid_is_within_15_ms(late: float, share: float) -> None:
    times = np.arange(8) * 0.5 + np.where(np.arange(8) % 2, late, 0.0)
    assert rhythm.on_grid(bars_of(*times)) == share


@given(st.lists(st.floats(-0.01, 0.01), min_size=64, max_size=64))
def test_jitter_of_a_tick_changes_no_pattern(jitter: list[float]) -> None:
    times = np.arange(64) * 0.25 + np.abs(jitter)
    assert rhythm.groove_consistency(bars_of(*times)) == 1.0
    assert rhythm.interval_entropy(bars_of(*times)) == 0.0


def test_beats_in_which_nothing_sounds() -> None:
    def share(rows: list[Row]) -> float:
        one = on_beats(table(rows))
        assert one.bars is not None
        return rhythm.empty_beats(one.notes, one.bars)

    assert share(clicks(0, 0.5, 1, 1.5)) == 0.0
    assert share(clicks(0, 1.75)) == pytest.approx(2 / 4, abs=1e-12)
    assert share([(0.0, 1.2, 60, 80), *clicks(1.5)]) == 0.0  # held into the third beat
    assert share([(0.0, 1.0, 60, 80), *clicks(1.5)]) == pytest.approx(1 / 4, abs=1e-12)  # ends on the third beat
    assert share(clicks(3.0, 3.5)) == 0.0  # the silence before the first onset does not count


def test_entropy_of_intervals() -> None:
    assert rhythm.interval_entropy(bars_of(0, 0.5, 1, 1.5)) == 0.0
    assert rhythm.interval_entropy(bars_of(0, 0.5, 0.75, 1.25, 1.5)) == pytest.approx(1.0, abs=1e-12)
    assert math.isnan(rhythm.interval_entropy(bars_of(1.0)))


def test_takes_without_beats_are_nan_and_said() -> None:
    found = rhythm.evaluate([EMPTY, laid(tune(0))])
    assert all(np.isnan(one.values[0]) and not np.isnan(one.values[1]) for one in found)
    (warning,) = rhythm.validate([EMPTY, laid(tune(0))])
    assert warning.startswith("1 of 2 takes have no beat")
    with pytest.raises(RequestError, match="no takes"):
        rhythm.evaluate([])


def test_too_few_beats_make_no_bars() -> None:
    notes = table(clicks(0.0))
    assert lay_in_bars(notes, beats=np.array([0.0]), downbeats=np.array([0]), metre=(4, 4)) is None
    assert lay_in_bars(notes, beats=np.array([0.0, 1.0]), downbeats=np.zeros(0, np.int64), metre=(4, 4)) is None
    assert analyse(Score()).bars is None


def test_times_that_are_no_numbers_are_refused() -> None:
    def change(notes: np.ndarray, one: object) -> None:
        notes["duration"][0] = np.nan

    with pytest.raises(RequestError, match="finite"):
        analyse(changed(tune(0), change))


def test_music_ranks_above_disorder() -> None:
    real = means(rhythm.evaluate([laid(tune(seed)) for seed in range(5)]))
    for disorder in (scattered, noise):
        random = means(rhythm.evaluate([laid(disorder(tune(seed), seed)) for seed in range(5)]))
        assert len(real) == 2
        assert all(real[name] > random[name] for name in real)


def test_music_ranks_above_disorder_by_the_beats_heard() -> None:
    real = means(rhythm.evaluate([analyse(tune(seed)) for seed in range(3)]))
    random = means(rhythm.evaluate([analyse(scattered(tune(seed), seed)) for seed in range(3)]))
    assert real["rhythm.on_grid"] > 0.9
    assert all(real[name] > random[name] for name in real)
