"""Intervals by halves: as wide as a statistic really varies, around its value, and none where there is too little."""

from __future__ import annotations

import numpy as np
import pytest

from evaluate.audio.sounds import heard_rows
from midi_llm.evaluate.audio import half_samples
from midi_llm.evaluate.audio.distances import compare
from midi_llm.evaluate.audio.half_samples import half_sample_intervals
from midi_llm.evaluate.audio.heard import Heard


def test_the_interval_of_a_difference_of_means_is_the_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half_samples, "DRAWS", 2000)
    rng = np.random.default_rng(0)
    here, there = rng.normal(size=200), 3 * rng.normal(size=400)
    value = here.mean() - there.mean()
    [(low, high)] = half_sample_intervals(
        lambda some, others: [here[some].mean() - there[others].mean()], [value], prompts=200, pieces=400
    )
    error = np.sqrt(here.var(ddof=1) / 200 + there.var(ddof=1) / 400)
    assert (low + high) / 2 == pytest.approx(value, abs=1e-12)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.05)


def test_halves_are_drawn_without_copies_and_by_seed() -> None:
    seen: list[tuple[int, ...]] = []

    def record(some: np.ndarray, others: np.ndarray) -> list[float]:
        assert len(set(some.tolist())) == len(some) == 6
        assert len(set(others.tolist())) == len(others) == 10
        assert 0 <= min(some) <= max(some) < 13
        seen.append(tuple(some.tolist()))
        return [float(some.sum()), float(others.sum())]

    first = half_sample_intervals(record, [0.0, 1.0], prompts=13, pieces=20, seed=1)
    assert first == half_sample_intervals(record, [0.0, 1.0], prompts=13, pieces=20, seed=1)
    assert first != half_sample_intervals(record, [0.0, 1.0], prompts=13, pieces=20, seed=2)
    assert len(set(seen[: half_samples.DRAWS])) > half_samples.DRAWS // 2


@pytest.mark.parametrize(("prompts", "pieces"), [(11, 100), (100, 11)])
def test_too_few_prompts_or_pieces_have_no_interval(prompts: int, pieces: int) -> None:
    [(low, high)] = half_sample_intervals(lambda some, others: [0.0], [1.0], prompts=prompts, pieces=pieces)
    assert np.isnan([low, high]).all()


@pytest.mark.parametrize(("takes", "pieces"), [(14, 60), (60, 14)])
def test_intervals_of_the_distances_are_as_wide_as_new_sets_differ(
    monkeypatch: pytest.MonkeyPatch, takes: int, pieces: int
) -> None:
    """The smaller set, whichever it is, makes most of the width."""
    monkeypatch.setattr(half_samples, "DRAWS", 20)
    rng = np.random.default_rng(0)

    def draw(count: int, shift: float) -> Heard:
        """Takes of two windows that are alike."""
        mixed = 0.8 * rng.normal(size=(count, 1, 4)) + 0.6 * rng.normal(size=(count, 2, 4))
        return heard_rows(shift + mixed.reshape(-1, 4), windows=2)

    values, reaches = [], []
    for seed in range(40):
        results = compare(draw(takes, 0.8), draw(pieces, 0.0), np.arange(takes), seed=seed)
        values.append([result.value for result in results])
        reaches.append([(result.high - result.low) / 2 for result in results])
    ratio = np.mean(reaches, axis=0) / (1.96 * np.std(values, axis=0, ddof=1))
    assert (ratio > 0.7).all()
    assert (ratio < 1.4).all()
