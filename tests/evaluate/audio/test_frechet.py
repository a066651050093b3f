"""FAD against closed forms and an independent root of a matrix; FAD-infinity against the distance of populations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.errors import RequestError
from midi_llm.evaluate.audio import frechet
from midi_llm.evaluate.audio.frechet import fad_infinity, frechet_audio_distance, gaussian


def exactly(mean: np.ndarray, covariance: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Features [count, d] with just this mean and (unbiased) covariance."""
    drawn = np.random.default_rng(seed).normal(size=(count, len(mean)))
    drawn -= drawn.mean(axis=0)
    white = drawn @ np.linalg.inv(np.linalg.cholesky(np.cov(drawn.T).reshape(len(mean), -1))).T
    return mean + white @ np.linalg.cholesky(covariance).T


def random_covariance(d: int, seed: int) -> np.ndarray:
    factor = np.random.default_rng(seed).normal(size=(d, d))
    return factor @ factor.T / d + 0.1 * np.eye(d)


def root_by_denman_beavers(matrix: np.ndarray) -> np.ndarray:
    """Square root of a matrix by an iteration that takes no eigenvalues."""
    y, z = matrix, np.eye(len(matrix))
    for _ in range(60):
        y, z = (y + np.linalg.inv(z)) / 2, (z + np.linalg.inv(y)) / 2
    return y


def by_definition(mean: np.ndarray, c1: np.ndarray, other: np.ndarray, c2: np.ndarray) -> float:
    return float(((mean - other) ** 2).sum() + np.trace(c1 + c2 - 2 * root_by_denman_beavers(c1 @ c2)))


def test_one_dimension_has_a_closed_form() -> None:
    here, there = exactly(np.array([1.0]), np.array([[4.0]]), 50), exactly(np.array([3.0]), np.array([[0.25]]), 70, 1)
    assert frechet_audio_distance(here, there) == pytest.approx((1 - 3) ** 2 + (2 - 0.5) ** 2, abs=1e-9)


def test_independent_dimensions_add_up() -> None:
    one, other = np.array([1.0, 4.0, 9.0]), np.array([4.0, 0.25, 16.0])
    here = exactly(np.zeros(3), np.diag(one), 40)
    there = exactly(np.array([0.0, 1.0, 2.0]), np.diag(other), 60, 1)
    expected = 5.0 + float(((np.sqrt(one) - np.sqrt(other)) ** 2).sum())
    assert frechet_audio_distance(here, there) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("d", [2, 5, 12])
def test_the_root_of_the_product_is_that_of_an_independent_iteration(d: int) -> None:
    c1, c2 = random_covariance(d, 1), random_covariance(d, 2)
    mean, other = np.linspace(0, 1, d), np.linspace(1, -1, d)
    found = frechet_audio_distance(exactly(mean, c1, 5 * d), exactly(other, c2, 7 * d, 1))
    assert found == pytest.approx(by_definition(mean, c1, other, c2), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 30), st.integers(1, 12), st.integers(0, 2**31), st.integers(-3, 3))
def test_a_set_is_at_0_from_itself_and_distances_are_symmetric(n: int, d: int, seed: int, power: int) -> None:
    rng = np.random.default_rng(seed)
    here = rng.normal(size=(n, d)) * 10.0**power
    there = rng.normal(size=(n + 1, d)) * 10.0**power
    scale = 100.0**power
    assert frechet_audio_distance(here, here) == pytest.approx(0.0, abs=1e-9 * scale * d)
    assert frechet_audio_distance(here, there) == pytest.approx(
        frechet_audio_distance(there, here), rel=1e-6, abs=1e-6 * scale
    )


def test_fewer_rows_than_dimensions_leave_no_rounding_behind() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 100))
    assert frechet_audio_distance(rows, rows) == pytest.approx(0.0, abs=1e-9)
    assert frechet_audio_distance(rows + 1.0, rows) == pytest.approx(100.0, abs=1e-9)


def test_dimensions_that_say_the_same_leave_no_rounding_behind() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 120))
    assert frechet_audio_distance(rows + 1.0, rows) == pytest.approx(120.0, abs=1e-9)


def test_constant_features_are_at_the_distance_of_their_means() -> None:
    assert frechet_audio_distance(np.full((4, 3), 2.0), np.zeros((5, 3))) == pytest.approx(12.0, abs=1e-12)


@pytest.mark.parametrize("count", [0, 1])
def test_a_covariance_takes_two_rows(count: int) -> None:
    with pytest.raises(RequestError, match="at least two rows"):
        frechet_audio_distance(np.zeros((count, 3)), np.zeros((5, 3)))
    with pytest.raises(RequestError, match="the reference set"):
        frechet_audio_distance(np.zeros((5, 3)), np.zeros((count, 3)))


def test_rows_that_are_not_finite_are_named() -> None:
    rows = np.zeros((5, 3))
    rows[3, 1] = np.inf
    with pytest.raises(RequestError, match=r"1 of 5 rows of the generated set are nan or infinite \(row 3\)"):
        frechet_audio_distance(rows, np.zeros((5, 3)))


def test_sets_of_different_ears_are_refused() -> None:
    with pytest.raises(RequestError, match="2 dimensions and the reference 3"):
        frechet_audio_distance(np.zeros((5, 2)), np.zeros((5, 3)))


def test_few_windows_are_said_with_the_consequence() -> None:
    assert frechet.sample_warnings(1600, 1600, 512) == ()
    [third] = frechet.sample_warnings(600, 600, 512)
    assert "FAD-infinity is not to be relied on" in third
    own, real = frechet.sample_warnings(512, 40, 512)
    assert own.startswith("generated set: 512 windows in 512 dimensions: the covariance is singular and FAD is biased")
    assert real.startswith("reference set: 40 windows")
    assert "equally many windows" in real


D = 12
WIDE = np.diag(np.linspace(0.2, 2.0, D))
REFERENCE = exactly(np.zeros(D), np.eye(D), 200)
TRUE = by_definition(np.full(D, 0.1), WIDE, np.zeros(D), np.eye(D))
"""From the reference as it is to the population that generated sets are drawn from."""


def sample(takes: int, seed: int, windows: int = 1) -> np.ndarray:
    """Rows [takes * windows, D] of that population; windows of a take are nearly the same."""
    rng = np.random.default_rng(seed)
    mixed = np.sqrt(0.95) * rng.normal(size=(takes, 1, D)) + np.sqrt(0.05) * rng.normal(size=(takes, windows, D))
    return 0.1 + mixed.reshape(-1, D) @ np.sqrt(WIDE)


def test_fad_of_few_takes_is_too_large_and_fad_infinity_is_not() -> None:
    plain, endless = [], []
    for seed in range(20):
        rows = sample(60, seed)
        found = fad_infinity(rows, REFERENCE, seed=seed)
        assert found is not None
        plain.append(frechet_audio_distance(rows, REFERENCE) - TRUE)
        endless.append(found.value - TRUE)
    assert np.mean(plain) > 0.3
    assert abs(np.mean(endless)) < 0.2 * np.mean(plain)
    assert np.mean(np.abs(endless)) < 0.6 * np.mean(np.abs(plain))


def test_windows_of_a_take_must_stay_together() -> None:
    groups = np.repeat(np.arange(60), 4)
    together, apart = [], []
    for seed in range(12):
        rows = sample(60, seed, 4)
        found, other = fad_infinity(rows, REFERENCE, groups, seed=seed), fad_infinity(rows, REFERENCE, seed=seed)
        assert found is not None
        assert other is not None
        together.append(found.value - TRUE)
        apart.append(other.value - TRUE)
    assert abs(np.mean(together)) < 0.3 * abs(np.mean(apart))


def test_fad_infinity_begins_with_fad_and_tells_its_fit() -> None:
    rows = sample(300, 0)
    found = fad_infinity(rows, REFERENCE)
    assert found is not None
    assert found.distances[0] == pytest.approx(frechet_audio_distance(rows, REFERENCE), abs=1e-12)
    assert found.sizes == (300, 150, 100)
    assert found.distances[0] < found.distances[1] < found.distances[2]
    assert 0.95 < found.r_squared <= 1
    x, y = 1 / np.array(found.sizes), np.array(found.distances)
    assert found.value == pytest.approx(np.polyfit(x, y, 1)[1], abs=1e-12)
    assert found.r_squared == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, abs=1e-9)


def test_fad_infinity_is_the_same_for_the_same_seed_and_a_known_reference() -> None:
    rows = sample(60, 0)
    assert fad_infinity(rows, REFERENCE, seed=3) == fad_infinity(rows, gaussian(REFERENCE), seed=3)
    assert fad_infinity(rows, REFERENCE, seed=3) != fad_infinity(rows, REFERENCE, seed=4)


def test_five_groups_are_too_few_to_extrapolate() -> None:
    rows = sample(6, 0, 4)
    assert fad_infinity(rows, REFERENCE, np.repeat(np.arange(6), 4)) is not None
    assert fad_infinity(rows[:20], REFERENCE, np.repeat(np.arange(5), 4)) is None


def test_a_set_that_does_not_vary_fits_its_line() -> None:
    found = fad_infinity(np.zeros((12, D)), REFERENCE)
    assert found is not None
    assert found.r_squared == pytest.approx(1.0)
    assert found.value == pytest.approx(D, abs=1e-9)
