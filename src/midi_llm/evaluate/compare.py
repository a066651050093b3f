"""Two systems side by side: what differs, by how much, and whether chance would explain it.

In: two `SetReport`s. Out: a `Difference` a metric, B less A. Where both were given the same prompts these are paired:
a prompt's own difficulty then cancels. Takes of one prompt are averaged first. Statistics of a whole set (overlap, FAD)
have no values a take: they stand side by side with their intervals, untested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from midi_llm.errors import RequestError
from midi_llm.evaluate.metric import LEVEL, Floats, Metric, Result
from midi_llm.evaluate.record import Report, SetReport

FLIPS = 10_000
SIGNIFICANT = 1.0 - LEVEL
LABELS = ("contender", "batch", "embedding")
"""Facts that tell results of one metric apart: engines in a race, ears that listen."""
_COMPARED = ("prompts_sha256", "takes", "seconds", "seed")
"""Settings that should agree."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A metric in A and in B. Without values a take `value`, `low`, `high` and `p` are nan."""

    metric: Metric
    a: Result
    b: Result
    paired: bool
    prompts: int
    """Prompts that the difference rests on: in both sets when paired, in the smaller set otherwise."""
    value: float
    """B less A."""
    low: float
    high: float
    """Bootstrap interval of the difference, over prompts."""
    p: float
    """Two-sided, by permutation; adjusted for the number of metrics that judge (Holm 1979); nan where none was made."""

    @property
    def better(self) -> str:
        """Which is better, "a" or "b"; empty where the metric does not judge or the difference is not significant."""
        if not self.p < SIGNIFICANT or self.metric.better is None or self.value == 0:
            return ""
        return "b" if (self.value > 0) == (self.metric.better == "higher") else "a"


def compare_sets(a: SetReport, b: SetReport, *, seed: int = 0) -> list[Difference]:
    """All metrics that both sets have, in A's order. Raises `RequestError` when there is none."""
    theirs = {_key(result): result for result in b.results}
    pairs = [(result, theirs[_key(result)]) for result in a.results if _key(result) in theirs]
    if not pairs:
        raise RequestError(f"{a.name} and {b.name} have no metric in common: {len(a.results)} and {len(b.results)}")
    shared = _shared_prompts(a, b)
    found = [_difference(one, other, a, b, shared, seed) for one, other in pairs]
    return _adjusted(found)


def comparison_warnings(a: Report, b: Report) -> list[str]:
    """What makes two runs hard to compare: other prompts, lengths, takes or seeds."""
    return [
        f"{name} was {a.settings.get(name)!r:.80} in A and {b.settings.get(name)!r:.80} in B"
        for name in _COMPARED
        if a.settings.get(name) != b.settings.get(name)
    ]


def _key(result: Result) -> tuple[str, ...]:
    """Results of one metric are told apart by `LABELS`."""
    return result.metric.name, *(str(result.facts.get(name, "")) for name in LABELS)


def _shared_prompts(a: SetReport, b: SetReport) -> set[str]:
    """Ids of the prompts that both sets have with the same text."""
    texts = {take.prompt: take.text for take in a.takes}
    return {take.prompt for take in b.takes if texts.get(take.prompt) == take.text}


def _difference(one: Result, other: Result, a: SetReport, b: SetReport, shared: set[str], seed: int) -> Difference:
    """Paired where prompts are shared, else between the sets."""
    ours, theirs = _by_prompt(one, a), _by_prompt(other, b)
    common = sorted(ours.keys() & theirs.keys() & shared)
    rng = np.random.default_rng(seed)
    nan = float("nan")
    value = low = high = p = nan
    paired, prompts = bool(shared), len(common)
    if common:
        gaps = np.array([theirs[name] - ours[name] for name in common])
        value, (low, high), p = float(gaps.mean()), _interval(gaps, rng), _sign_flip(gaps, rng)
    elif not shared and ours and theirs:
        x, y = np.array(list(ours.values())), np.array(list(theirs.values()))
        prompts = min(len(x), len(y))
        value, p = float(y.mean() - x.mean()), _permuted(x, y, rng)
        low, high = _interval_between(x, y, rng)
    return Difference(
        metric=one.metric, a=one, b=other, paired=paired, prompts=prompts, value=value, low=low, high=high, p=p
    )


def _by_prompt(result: Result, one: SetReport) -> Mapping[str, float]:
    """The mean value of each prompt's takes; prompts to which the metric does not apply are absent."""
    if len(result.values) != len(one.takes):
        return {}
    values: dict[str, list[float]] = {}
    for take, value in zip(one.takes, result.values, strict=True):
        if not np.isnan(value):
            values.setdefault(take.prompt, []).append(value)
    return {name: float(np.mean(found)) for name, found in values.items()}


def _interval(gaps: Floats, rng: np.random.Generator) -> tuple[float, float]:
    means = rng.choice(gaps, size=(1000, len(gaps))).mean(axis=1)
    return _percentiles(means)


def _interval_between(x: Floats, y: Floats, rng: np.random.Generator) -> tuple[float, float]:
    means = [rng.choice(values, size=(1000, len(values))).mean(axis=1) for values in (x, y)]
    return _percentiles(means[1] - means[0])


def _percentiles(means: Floats) -> tuple[float, float]:
    low, high = np.percentile(means, (50 * (1 - LEVEL), 50 * (1 + LEVEL)))
    return float(low), float(high)


def _sign_flip(gaps: Floats, rng: np.random.Generator) -> float:
    """Chance of the mean of paired `gaps` [n]: how often random signs give one as far from 0 (`FLIPS` draws).

    The observed signs count as one draw, so that p is never 0 (Phipson and Smyth 2010).
    """
    signs = rng.choice((-1.0, 1.0), size=(FLIPS, len(gaps)))
    return _share_as_far(np.abs(signs @ gaps) / len(gaps), abs(float(gaps.mean())))


def _permuted(x: Floats, y: Floats, rng: np.random.Generator) -> float:
    """Chance of the difference of two means: how often prompts dealt anew to both sets give one as far from 0."""
    both = np.concatenate([x, y])
    drawn = np.array([rng.permutation(both) for _ in range(FLIPS // 5)])
    gaps = drawn[:, len(x) :].mean(axis=1) - drawn[:, : len(x)].mean(axis=1)
    return _share_as_far(np.abs(gaps), abs(float(y.mean() - x.mean())))


def _share_as_far(drawn: Floats, observed: float) -> float:
    return float((1 + np.count_nonzero(drawn >= observed - 1e-12)) / (1 + len(drawn)))


def _adjusted(found: Sequence[Difference]) -> list[Difference]:
    """Adjust p by Holm's step-down method over the metrics that judge; the others keep theirs."""
    judged = [index for index, one in enumerate(found) if one.metric.better is not None and not np.isnan(one.p)]
    judged.sort(key=lambda index: found[index].p)
    adjusted = list(found)
    least = 0.0
    for place, index in enumerate(judged):
        least = max(least, min((len(judged) - place) * found[index].p, 1.0))
        adjusted[index] = replace(found[index], p=least)
    return adjusted
