"""The intervals of numbers."""

from __future__ import annotations

import numpy as np
import pytest

from midi_llm.evaluate.metric import Measured, Metric, bootstrap, summarise

METRIC = Metric(name="test.mean", unit="share", better="higher", about="a test")


def test_an_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    result = summarise(Measured(metric=METRIC, values=values), np.arange(400))
    half = 1.96 * values.std() / 20
    assert result.value == pytest.approx(values.mean(), abs=1e-12)
    assert (result.high - result.low) / 2 == pytest.approx(half, rel=0.1)


def test_takes_of_one_prompt_are_no_independent_evidence() -> None:
    values = np.repeat(np.random.default_rng(2).normal(size=50), 8)
    apart = summarise(Measured(metric=METRIC, values=values), np.arange(400))
    together = summarise(Measured(metric=METRIC, values=values), np.repeat(np.arange(50), 8))
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_what_does_not_apply_is_left_out_and_nothing_is_no_number() -> None:
    values = np.array([1.0, np.nan, 3.0])
    result = summarise(Measured(metric=METRIC, values=values), np.arange(3))
    assert (result.value, result.count) == (2.0, 2)
    assert np.isnan(result.values[1])
    nothing = summarise(Measured(metric=METRIC, values=np.full(3, np.nan)), np.arange(3))
    assert nothing.count == 0
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()


def test_the_same_seed_gives_the_same_interval() -> None:
    groups = np.arange(20)
    intervals = [bootstrap(lambda chosen: float(chosen.mean()), groups, seed=seed) for seed in (3, 3, 4)]
    assert intervals[0] == intervals[1] != intervals[2]


def test_a_share_of_all_or_none_is_not_certain() -> None:
    """The bounds of Clopper and Pearson: the share at which so many successes in a row have a chance of 2.5 %."""
    every = summarise(Measured(metric=METRIC, values=np.ones(200)), np.arange(200))
    assert (every.value, every.high) == (1.0, 1.0)
    assert every.low**200 == pytest.approx(0.025, abs=1e-12)
    none = summarise(Measured(metric=METRIC, values=np.zeros(10)), np.arange(10))
    assert (none.value, none.low) == (0.0, 0.0)
    assert (1 - none.high) ** 10 == pytest.approx(0.025, abs=1e-12)
    takes = summarise(Measured(metric=METRIC, values=np.ones(200)), np.repeat(np.arange(10), 20))
    assert takes.low == pytest.approx(1 - none.high)
    number = Metric(name="test.count", unit="", better=None, about="a test")
    assert summarise(Measured(metric=number, values=np.ones(9)), np.arange(9)).low == 1.0
