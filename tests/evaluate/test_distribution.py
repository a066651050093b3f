"""Distribution: densities against closed forms and a naive kernel sum, degenerate sets, and real above random."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.tunes import EMPTY, laid, noise, on_beats, scattered, table, tune
from midi_llm.errors import RequestError
from midi_llm.evaluate import distribution
from midi_llm.evaluate.analysis import Analysis
from midi_llm.evaluate.density import density, divergence, overlapping_area
from midi_llm.evaluate.metric import Result

STEP = 0.01
LINE = np.arange(-1200, 1200) * STEP


def normal(mean: float, deviation: float = 1.0) -> np.ndarray:
    return np.exp(-0.5 * ((LINE - mean) / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))


@pytest.mark.parametrize("apart", [0.0, 0.5, 1.0, 2.0])
def test_normal_densities_have_closed_forms(apart: float) -> None:
    p, q = normal(0.0), normal(apart)
    assert overlapping_area(p, q, STEP) == pytest.approx(math.erfc(apart / (2 * math.sqrt(2))), abs=1e-5)
    assert divergence(p, q, STEP) == pytest.approx(apart**2 / 2 / math.log(2), abs=1e-5)


def test_divergence_is_of_the_first_from_the_second() -> None:
    wide, narrow = normal(0.0, 2.0), normal(0.0)
    assert divergence(narrow, wide, STEP) == pytest.approx((math.log(2) + 1 / 8 - 1 / 2) / math.log(2), abs=1e-6)


def test_a_gap_costs_30_bits_and_no_infinity() -> None:
    left, right = np.zeros(100), np.zeros(100)
    left[:10], right[90:] = 1.0, 1.0
    assert divergence(left, right, 0.1) == pytest.approx(math.log2(1e9), rel=1e-6)
    assert overlapping_area(left, right, 0.1) == 0.0


@settings(max_examples=40)
@given(st.lists(st.integers(480, 545), min_size=2, max_size=40).filter(lambda drawn: len(set(drawn)) > 1))
def test_density_is_the_sum_of_kernels_by_scotts_rule(drawn: list[int]) -> None:
    bandwidth = np.std(drawn, ddof=1) * len(drawn) ** -0.2
    if bandwidth < 2:
        return  # narrower than the cells can show
    at = np.arange(1024)
    kernels = np.exp(-0.5 * ((at[:, None] - np.array(drawn)) / bandwidth) ** 2) / (bandwidth * math.sqrt(2 * math.pi))
    expected = kernels.mean(axis=1) / 0.5
    assert density(np.bincount(drawn, minlength=1024), 0.5) == pytest.approx(expected, abs=1e-7)


def test_equal_values_have_no_density() -> None:
    assert np.isnan(density(np.bincount([500] * 7, minlength=1024), 1.0)).all()


def test_distances_are_euclidean_and_leave_out_nan() -> None:
    generated = np.array([[0.0, 0.0], [3.0, 4.0], [np.nan, 0.0]])
    reference = np.array([[np.nan, 1.0], [6.0, 8.0]])
    found = distribution.distances(generated, reference)
    assert (found.takes.tolist(), found.pieces.tolist()) == ([0, 1], [1])
    middle = distribution.CELLS // 4
    assert (found.within[0, 1] - middle) * found.step == pytest.approx(5.0, abs=found.step)
    assert (found.across[:, 0] - middle) * found.step == pytest.approx([10.0, 5.0], abs=found.step)


def shares(generated: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    found = distribution.distances(generated[:, None], reference[:, None])
    return distribution.compare(found, np.ones(len(generated), np.int64), np.ones(len(reference), np.int64))


def test_alike_sets_overlap_and_others_do_not() -> None:
    rng = np.random.default_rng(0)
    here, there = rng.normal(size=150), rng.normal(size=150)
    overlap, bits = shares(here, there)
    assert overlap > 0.95
    assert 0 <= bits < 0.02
    for other in (there + 3.0, there * 5.0, there * 0.2):  # elsewhere, wider, narrower
        assert shares(here, other)[0] < 0.6
        assert shares(here, other)[1] > 0.6
        assert shares(other, here)[0] < 0.6


def test_a_set_that_always_plays_the_same_is_found_out() -> None:
    rng = np.random.default_rng(0)
    assert shares(0.01 * rng.normal(size=60), rng.normal(size=60))[0] < 0.1


def test_a_take_drawn_twice_has_no_distance_to_itself() -> None:
    values, others = np.array([0.0, 1.0, 3.0, 7.0]), np.array([2.0, 2.5, 4.5])
    found = distribution.distances(values[:, None], others[:, None])
    twice = distribution.compare(found, np.array([2, 2, 2, 2]), np.ones(3, np.int64))
    takes = np.repeat([1.0, 3.0, 7.0, 2.0, 6.0, 4.0], 4)
    pieces = np.array([0.5, 2.5, 2.0])
    across = np.repeat(np.abs(values[:, None] - others).ravel(), 2)
    p, q, between = (
        density(np.bincount(np.rint(part / found.step).astype(int) + 256, minlength=1024), found.step)
        for part in (takes, pieces, across)
    )
    assert twice[0] == pytest.approx(min(overlapping_area(one, between, found.step) for one in (p, q)), abs=1e-12)
    assert twice[1] == pytest.approx(max(divergence(one, between, found.step) for one in (p, q)), abs=1e-12)


def test_histograms_of_a_take() -> None:
    one = on_beats(table([(0.0, 0.5, 60, 10), (0.0, 0.25, 67, 64), (0.3, 0.25, 72, 127), (0.305, 9.0, 61, 15)]))
    assert distribution.pitch_classes(one)[[0, 1, 7]] == pytest.approx(np.array([0.75, 9, 0.25]) / 10, abs=1e-12)
    assert distribution.intervals(one)[4] == 1.0  # 0.16 to 0.32 s; 5 ms is no interval
    assert distribution.durations(one)[[4, 5, 9]] == pytest.approx([0.5, 0.25, 0.25], abs=1e-12)
    assert distribution.velocities(one)[[0, 4, 7]] == pytest.approx([0.5, 0.25, 0.25], abs=1e-12)
    for histogram in (distribution.pitch_classes, distribution.intervals, distribution.velocities):
        assert np.isnan(histogram(EMPTY)).all()


REAL = [laid(tune(seed)) for seed in range(12)]
REFERENCE = [laid(tune(seed)) for seed in range(100, 112)]


def named(results: list[Result]) -> dict[str, Result]:
    return {result.metric.name: result for result in results}


@pytest.fixture(autouse=True, scope="module")
def few_resamples() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distribution, "RESAMPLES", 40)
        yield


@pytest.fixture(scope="module")
def of_real(few_resamples: None) -> dict[str, Result]:
    return named(distribution.evaluate(REAL, REFERENCE, np.arange(len(REAL)) // 2))


def test_results_are_whole(of_real: dict[str, Result]) -> None:
    assert len(of_real) == 1 + 2 * len(distribution.FEATURES)
    for result in of_real.values():
        if result.count:
            assert result.low <= result.value <= result.high
    overall = of_real["distribution.overlap"]
    compared = [result.value for name, result in of_real.items() if "overlap_" in name and not math.isnan(result.value)]
    assert overall.value == pytest.approx(np.mean(compared), abs=1e-12)
    assert overall.facts == {"reference": 12, "features": len(compared), "of": len(distribution.FEATURES)}


def test_the_same_seed_gives_the_same_intervals(of_real: dict[str, Result]) -> None:
    again = named(distribution.evaluate(REAL, REFERENCE, np.arange(len(REAL)) // 2))
    for name, result in of_real.items():
        assert (result.low, result.high) == pytest.approx((again[name].low, again[name].high), abs=0, nan_ok=True)


def test_what_is_equal_everywhere_is_nan_and_said(of_real: dict[str, Result]) -> None:
    instruments = of_real["distribution.overlap_instruments"]
    assert all(math.isnan(one) for one in (instruments.value, instruments.low, instruments.high))
    assert instruments.count == 0
    assert "nothing to compare" in instruments.warnings[0]


def test_few_takes_are_said(of_real: dict[str, Result]) -> None:
    assert [warning.split(";")[0] for warning in of_real["distribution.overlap"].warnings] == [
        "generated set: 12 takes",
        "reference set: 12 takes",
    ]
    assert distribution.validate(REAL * 3, REFERENCE * 3) == ()
    assert "1 of 36 takes have no notes" in distribution.validate([*REAL, *REAL, *REAL[1:], EMPTY], REFERENCE * 3)[0]
    alone = named(distribution.evaluate(REAL[:2], REFERENCE, np.arange(2)))
    assert all(math.isnan(result.value) for result in alone.values())
    with pytest.raises(RequestError, match="no takes"):
        distribution.evaluate(REAL, [], np.arange(12))
    with pytest.raises(RequestError, match="no takes"):
        distribution.evaluate([], REFERENCE, np.arange(0))


@pytest.mark.parametrize("disorder", [scattered, noise])
def test_music_ranks_above_disorder(of_real: dict[str, Result], disorder: object) -> None:
    takes: list[Analysis] = [laid(disorder(tune(seed), seed)) for seed in range(12)]  # type: ignore[operator]
    random = named(distribution.evaluate(takes, REFERENCE, np.arange(12)))
    assert of_real["distribution.overlap"].value > random["distribution.overlap"].high
    for name in ("groove_consistency", "intervals", "melodic_leap"):
        assert of_real[f"distribution.overlap_{name}"].value > random[f"distribution.overlap_{name}"].value
        assert of_real[f"distribution.kl_{name}"].value < random[f"distribution.kl_{name}"].value


def test_features_have_names_of_their_own() -> None:
    names = [feature.name for feature in distribution.FEATURES]
    assert len(set(names)) == len(names) == 16
    assert replace(distribution.OVERLAP, name="x").better == "higher"
