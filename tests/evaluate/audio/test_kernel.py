"""KAD against naive loops, for sets and for chosen groups of them, and its mean over equal distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.errors import RequestError
from midi_llm.evaluate.audio import kernel
from midi_llm.evaluate.audio.kernel import bandwidth, kernel_audio_distance, kernel_sums


def by_loops(x: np.ndarray, y: np.ndarray, sigma: float) -> float:
    def k(a: np.ndarray, b: np.ndarray) -> float:
        return math.exp(-sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) / (2 * sigma**2))

    n, m = len(x), len(y)
    within = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    apart = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return 100 * (within + apart - 2 * sum(k(a, b) for a in x for b in y) / (n * m))


def median_by_loops(y: np.ndarray) -> float:
    return float(np.median([math.dist(y[i], y[j]) for i in range(len(y)) for j in range(i)]))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.integers(2, 9), st.integers(1, 4), st.integers(0, 2**31))
def test_kad_is_the_unbiased_mmd_of_naive_loops(n: int, m: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), 0.5 + 2 * rng.normal(size=(m, d))
    assert bandwidth(y) == pytest.approx(median_by_loops(y), rel=1e-9)
    assert kernel_audio_distance(x, y) == pytest.approx(by_loops(x, y, median_by_loops(y)), abs=1e-9)
    assert kernel_audio_distance(x, y, sigma=0.7) == pytest.approx(by_loops(x, y, 0.7), abs=1e-9)


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(23, 3)), rng.normal(size=(31, 3))
    whole, sigma = kernel_audio_distance(x, y), bandwidth(y)
    monkeypatch.setattr(kernel, "_ROWS", 7)
    assert bandwidth(y) == pytest.approx(sigma, rel=1e-12)
    assert kernel_audio_distance(x, y) == pytest.approx(whole, abs=1e-10)


def test_chosen_groups_have_the_kad_of_their_rows() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(20, 3)), 1 + rng.normal(size=(15, 3))
    groups, pieces = rng.permutation(np.repeat(np.arange(5), 4)), np.repeat(np.arange(5), 3)
    sums = kernel_sums(x, y, groups, pieces, sigma=1.3)
    some, others = np.array([0, 3]), np.array([1, 2, 4])
    expected = by_loops(x[np.isin(groups, some)], y[np.isin(pieces, others)], 1.3)
    assert kernel.distance(sums, some, others) == pytest.approx(expected, abs=1e-9)


def test_equal_distributions_are_at_0_on_average_however_few_samples() -> None:
    rng = np.random.default_rng(2)
    found = [kernel_audio_distance(rng.normal(size=(8, 3)), rng.normal(size=(8, 3)), sigma=2.0) for _ in range(400)]
    assert min(found) < 0 < max(found)
    assert abs(np.mean(found)) < 3 * np.std(found) / math.sqrt(len(found))


def test_an_offset_far_away_costs_no_digits() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(12, 3)), rng.normal(size=(12, 3))
    assert kernel_audio_distance(x + 1e5, y + 1e5) == pytest.approx(kernel_audio_distance(x, y), abs=1e-6)


def test_a_reference_that_never_varies_has_no_bandwidth() -> None:
    same = np.tile(np.random.default_rng(0).normal(size=(1, 6)), (8, 1))
    same[0] += 1.0
    with pytest.raises(RequestError, match="exactly alike"):
        bandwidth(same)


def test_broken_sets_are_refused() -> None:
    good = np.random.default_rng(0).normal(size=(5, 3))
    with pytest.raises(RequestError, match="at least two rows"):
        kernel_audio_distance(good[:1], good)
    with pytest.raises(RequestError, match="at least two rows"):
        kernel_audio_distance(good, good[:1])
    with pytest.raises(RequestError, match="generated set are nan"):
        kernel_audio_distance(good * np.nan, good)
    with pytest.raises(RequestError, match="2 dimensions and the reference 3"):
        kernel_audio_distance(good[:, :2], good)
