"""Metrics and their results: what a number means, its value over a set of takes, and how sure it is.

In: one value a take (nan where a metric does not apply), or a statistic of a whole set. Out: `Result`s with a
bootstrap interval. Knows no music.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Better = Literal["higher", "lower"]

RESAMPLES = 1000
LEVEL = 0.95
"""Intervals hold 95 % of 1,000 bootstrap resamples (percentile method: Efron and Tibshirani 1993, ch. 13)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """`name` is "family.metric"; `unit` is "share" (0 to 1), "notes/s", "bits", "s" or empty."""

    name: str
    unit: str
    better: Better | None
    """None: it describes and does not judge; such a metric is compared through the distribution of real music."""
    about: str
    """One sentence for the report: what is counted, over what."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Measured:
    """A metric's value for each take: `values` [takes], nan where it does not apply to that take."""

    metric: Metric
    values: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """A metric over a set: `value` with the interval `low` to `high`; all three nan when `count` is 0."""

    metric: Metric
    value: float
    low: float
    high: float
    count: int
    """Takes (or samples) that the value rests on."""
    values: tuple[float, ...] = ()
    """One a take (nan: does not apply), in the order of the takes; empty for a statistic of the whole set."""
    facts: Mapping[str, str | float | int] = field(default_factory=dict)
    """What the number depends on: embedding, sound font, sample rate, error of the estimator, ..."""
    warnings: tuple[str, ...] = ()


def summarise(
    measured: Measured, groups: Integers, *, seed: int = 0, facts: Mapping[str, str | float] | None = None
) -> Result:
    """Mean over the takes to which the metric applies. `groups` [takes] numbers the prompt of each take.

    Takes of one prompt are resampled together: they are no independent evidence. A share of exactly 0 or 1 has nothing
    to resample; its interval is that of as many yes or no answers as there are prompts (`certain`).
    """
    here = np.flatnonzero(~np.isnan(measured.values))
    values = measured.values[here]
    if not len(values):
        low = high = value = float("nan")
    else:
        value = float(values.mean())
        if measured.metric.unit == "share" and value in (0.0, 1.0):
            low, high = certain(value, len(np.unique(groups[here])))
        else:
            low, high = bootstrap(lambda chosen: float(values[chosen].mean()), groups[here], seed=seed)
    return Result(
        metric=measured.metric,
        value=value,
        low=low,
        high=high,
        count=len(values),
        values=tuple(measured.values.tolist()),
        facts=facts or {},
    )


def certain(value: float, count: int) -> tuple[float, float]:
    """The interval of a share of 0 or 1 in `count` independent answers (Clopper and Pearson 1934, Biometrika 26).

    200 of 200 is a share of 0.982 or more, 10 of 10 one of 0.69 or more.
    """
    away = 1.0 - ((1.0 - LEVEL) / 2) ** (1 / count)
    return (0.0, away) if value == 0.0 else (1.0 - away, 1.0)


def bootstrap(
    statistic: Callable[[Integers], float],
    groups: Integers,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """The interval (low, high) of `statistic` of indices into the n samples, drawn anew group by group.

    `groups` [n] >= 0: samples with the same number are drawn together. Percentile bootstrap of `LEVEL`.
    """
    found = [statistic(chosen) for chosen in redraws(groups, seed=seed, resamples=resamples)]
    return interval(found)


def redraws(groups: Integers, *, seed: int = 0, resamples: int = RESAMPLES) -> Iterator[Integers]:
    """Indices into the n samples, group by group with replacement, `resamples` times."""
    rng = np.random.default_rng(seed)
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(groups[order]) != 0]) if len(order) else np.zeros(0, np.int64)
    members: Sequence[Integers] = np.split(order, starts[1:])
    for row in rng.integers(len(members), size=(resamples, len(members))):
        yield np.concatenate([members[index] for index in row])


def interval(found: Sequence[float] | Floats) -> tuple[float, float]:
    """The middle `LEVEL` of resampled values; nan among them do not count."""
    low, high = np.nanpercentile(found, (50 * (1 - LEVEL), 50 * (1 + LEVEL)))
    return float(low), float(high)
