"""How sure a distance between two sets is: the spread of the distance between halves of them.

In: a statistic of chosen prompts and chosen reference pieces. Out: an interval around its value on all of them. A
bootstrap would draw takes twice, and a set with copies has a larger FAD than any set of real takes of its size. Halves
hold no copies, and the distance of halves varies, to first order, as much around its mean as that of whole sets does
(Politis and Romano 1994, "Large sample confidence regions based on subsamples under minimal assumptions").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np

from midi_llm.evaluate.metric import LEVEL, Floats, Integers

DRAWS = 50
"""The width of an interval is known to 10 %."""
FEWEST = 12
"""Prompts, and reference pieces, without which there is no interval: FAD-infinity cuts a half into parts again."""


def half_sample_intervals(
    statistics: Callable[[Integers, Integers], Sequence[float]],
    values: Sequence[float],
    *,
    prompts: int,
    pieces: int,
    seed: int = 0,
) -> list[tuple[float, float]]:
    """Intervals (low, high) of `LEVEL` around `values`; nan with fewer than `FEWEST` prompts or pieces.

    `statistics` gives one number for each of the values, from ascending numbers of prompts (0 to `prompts` - 1) and of
    reference pieces: in each of `DRAWS` draws half of them, rounded down, without replacement. Their standard deviation
    over the draws is that of the value, which is taken to be normal: their mean is not used, for halves have a larger
    FAD than the whole.
    """
    if min(prompts, pieces) < FEWEST:
        return [(float("nan"), float("nan")) for _ in values]
    rng = np.random.default_rng(seed)
    found: Floats = np.array([statistics(_half(prompts, rng), _half(pieces, rng)) for _ in range(DRAWS)], np.float64)
    reach = NormalDist().inv_cdf((1 + LEVEL) / 2) * found.std(axis=0, ddof=1)
    return [(value - float(away), value + float(away)) for value, away in zip(values, reach, strict=True)]


def _half(count: int, rng: np.random.Generator) -> Integers:
    """Half of the numbers below `count`, ascending."""
    return np.sort(rng.permutation(count)[: count // 2]).astype(np.int64)
