"""How figures are said: as many digits as mean something, intervals in brackets, units, directions, names.

In: `Result`s and `Metric`s. Out: plain text, not escaped. Shares are said as numbers from 0 to 1, never per cent. What
is no number is said as a dash.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from midi_llm.evaluate.metric import LEVEL, Metric, Result
from midi_llm.evaluate.systems.base import JSON

NOTHING = "\N{EN DASH}"
"""Said for nan: the metric applies to no take."""
READING = (
    "0.83 [0.79, 0.87] n = 38: a value, its interval, and the number of takes behind it where that is not all takes of"
    " the set.",
    f"Intervals hold {100 * LEVEL:.0f} % of bootstrap resamples over prompts; those of a share of exactly 0 or 1 are"
    " Clopper and Pearson's for as many answers as there are prompts. Where engines race, they go from the"
    " least to the most of n rounds; where the facts under a table name another interval, it is that.",
    "Shares are numbers from 0 to 1.",
    "↑ higher is better; ↓ lower is better; no arrow: the metric describes and does not judge.",
    f"{NOTHING} the metric applies to no take, which is not zero. An empty cell was not measured.",
)
"""How to read the tables, sentence by sentence."""

MOST_ENTRIES = 24
"""A fact with more entries is counted and not listed."""

_SHARE = "share"
_DIGITS = 3
_MOST_DECIMALS = 6
_LONGEST = 1e15
"""Numbers beyond are said with an exponent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """A result in words: "0.83", "[0.79, 0.87]", "n = 38"; what goes without saying is empty."""

    value: str
    interval: str = ""
    count: str = ""


def say(result: Result, takes: int, decimals: int | None = None) -> Said:
    """`result` of a set of `takes`; value and interval have equally many decimals, its own where none are given."""
    if math.isnan(result.value):
        return Said(value=NOTHING)
    bounds = (result.low, result.high)
    places = result_decimals(result) if decimals is None else decimals
    value, low, high = (number(one, places, result.metric.unit) for one in (result.value, *bounds))
    return Said(
        value=value,
        interval="" if any(map(math.isnan, bounds)) else f"[{low}, {high}]",
        count="" if result.count == takes else f"n = {result.count:,}",
    )


def say_row(results: Sequence[Result | None], takes: Sequence[int]) -> list[Said | None]:
    """Results of one metric side by side, of sets of so many takes: equally many decimals unless they differ much."""
    own = [None if one is None or math.isnan(one.value) else result_decimals(one) for one in results]
    most = max((one for one in own if one is not None), default=0)
    return [
        None if result is None else say(result, count, most if decimals == most - 1 else decimals)
        for result, count, decimals in zip(results, takes, own, strict=True)
    ]


def number(value: float, decimals: int, unit: str = "") -> str:
    """`value` to so many decimals; a share that is not quite 0 or 1 does not look as if it were."""
    if math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if abs(value) >= _LONGEST:
        return f"{value:.{_DIGITS - 1}e}"
    said = f"{value:,.{decimals}f}"
    rounded, step = float(said.replace(",", "")), 10.0**-decimals
    if unit == _SHARE and 0 < value < 1 and rounded in (0, 1):
        return f">{1 - step:.{decimals}f}" if rounded else f"<{step:.{decimals}f}"
    return said if rounded else said.removeprefix("-")


def result_decimals(result: Result) -> int:
    """Two for shares, three near 0 and 1. Else three digits of the largest number, or two of the interval's width."""
    bounds = (result.low, result.high)
    known = [abs(one) for one in (result.value, *bounds) if math.isfinite(one) and one]
    is_share = result.metric.unit == _SHARE
    if not known:
        return 2 if is_share else 0
    if is_share and max(known) <= 1:
        return 3 if any(one < 0.005 or 0.995 < one < 1 for one in known) else 2
    decimals = _DIGITS - 1 - math.floor(math.log10(max(known)))
    width = result.high - result.low
    if math.isfinite(width) and width > 0:
        decimals = min(decimals, 1 - math.floor(math.log10(width)))
    return min(max(decimals, 0), _MOST_DECIMALS)


def family_of(metric: Metric) -> str:
    """The part of the name before the dot."""
    return metric.name.partition(".")[0]


def short_name(metric: Metric) -> str:
    """The name without its family, in words: "instruments recall"."""
    return (metric.name.partition(".")[2] or metric.name).replace("_", " ")


def arrow(metric: Metric) -> str:
    """↑ where higher is better, ↓ where lower is; empty where the metric does not judge."""
    return {"higher": "↑", "lower": "↓"}.get(metric.better or "", "")


def fact(value: JSON) -> str:
    """A fact or setting as text. Numbers keep six digits, so that seeds and ids can be copied."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return NOTHING if math.isnan(value) else f"{value:.6g}"
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str) and len(value) > MOST_ENTRIES:
        return f"{len(value):,} entries (results.json has them)"
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_inner(item)}" for name, item in value.items()) or "none"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_inner, value)) or "none"
    return str(value)


def _inner(value: JSON) -> str:
    """A fact within a fact: mappings and lists are kept together by parentheses."""
    is_simple = isinstance(value, str) or not isinstance(value, Mapping | Sequence)
    return fact(value) if is_simple else f"({fact(value)})"


def pairs(settings: Mapping[str, JSON]) -> list[tuple[str, str]]:
    """Names in words and values as text."""
    return [(name.replace("_", " "), fact(value)) for name, value in settings.items()]


def plural(count: int, name: str) -> str:
    """So many of it: "1 take", "1,200 takes"."""
    return f"{count:,} {name}" if count == 1 else f"{count:,} {name}s"
