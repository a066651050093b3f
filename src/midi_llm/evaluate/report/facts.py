"""What figures depend on, said once: labels for results that share a metric, facts by what they hold for, estimators.

In: the facts of `Result`s. Out: plain text, not escaped. Some keys have a meaning here: "contender" and "batch" (a race
of engines); "estimator", "estimator_value" and "estimator_count" (how often what hears tempo, key or metre is right).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from midi_llm.evaluate.metric import Result
from midi_llm.evaluate.report.wording import fact

Facts = Mapping[str, str | float | int]

_RACE = ("contender", "batch")
_ESTIMATOR, _VALUE, _COUNT = "estimator", "estimator_value", "estimator_count"
_FEW = 3
"""A fact of more metrics than these, but not of all of its family, is said without their names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimator:
    """What `evaluate.estimators` says of a metric."""

    sentence: str
    value: float
    """The metric on real music that was asked for what it is; nan where nothing is estimated, or the error unknown."""
    count: int

    @property
    def is_known(self) -> bool:
        """Whether there is a figure."""
        return not math.isnan(self.value)

    @property
    def said(self) -> str:
        """The value, or why there is none: "0.86", "counted"."""
        return f"{self.value:.2f}" if self.is_known else self.sentence.removeprefix("none: ")

    @property
    def number(self) -> str:
        """How many pieces that rests on: "n = 237"."""
        return f"n = {self.count:,}" if self.is_known and self.count else ""

    @classmethod
    def of(cls, facts: Facts) -> Estimator | None:
        """The estimator that `facts` name, if any."""
        if _ESTIMATOR not in facts:
            return None
        value, count = facts.get(_VALUE), facts.get(_COUNT)
        return cls(
            sentence=str(facts[_ESTIMATOR]),
            value=float(value) if isinstance(value, int | float) else float("nan"),
            count=int(count) if isinstance(count, int | float) and math.isfinite(count) else 0,
        )

    @staticmethod
    def owns(key: str) -> bool:
        """Whether `key` is one of these facts."""
        return key in (_ESTIMATOR, _VALUE, _COUNT)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A fact's value for one row of one set."""

    system: str
    metric: str
    parts: Mapping[str, str]
    """What tells the row from others of its metric, by key: {"batch": "batch 4"}."""
    value: str

    @property
    def row(self) -> str:
        """The row's name."""
        return ", ".join((self.metric, *self.parts.values()))


def telling_facts(sets: Sequence[Sequence[Result]]) -> dict[str, tuple[str, ...]]:
    """By metric: as few facts as tell its results of one set apart, names before numbers.

    In a race of engines contender and batch are always among them.
    """
    found: dict[str, list[list[Facts]]] = {}
    for results in sets:
        mine: dict[str, list[Facts]] = {}
        for result in results:
            mine.setdefault(result.metric.name, []).append(result.facts)
        for name, facts in mine.items():
            found.setdefault(name, []).append(facts)
    return {name: tuple(_telling(facts)) for name, facts in found.items()}


def _telling(sets: Sequence[Sequence[Facts]]) -> list[str]:
    """Keys that tell the facts within each of `sets` apart, each of which tells more than those before it."""
    every = dict.fromkeys(key for same in sets for facts in same for key in facts)
    is_number = {key: all(not isinstance(facts.get(key, 0), str) for same in sets for facts in same) for key in every}
    chosen = [key for key in _RACE if key in every] if _RACE[0] in every else []
    for key in sorted(every, key=lambda key: is_number[key]):  # stable: otherwise in their order
        if _distinct(sets, [*chosen, key]) > _distinct(sets, chosen):
            chosen.append(key)
    return chosen


def _distinct(sets: Sequence[Sequence[Facts]], keys: Sequence[str]) -> int:
    """How many results differ by `keys` within their set, all sets together."""
    return sum(len({tuple(str(facts.get(key)) for key in keys) for facts in same}) for same in sets)


def label_parts(facts: Facts, telling: Sequence[str]) -> dict[str, str]:
    """What tells a result apart, by key. A name speaks for itself, a number says what it is the number of."""
    return {
        key: fact(facts[key]) if isinstance(facts[key], str) else f"{key.replace('_', ' ')} {fact(facts[key])}"
        for key in telling
        if key in facts
    }


def labels(results: Sequence[Result], telling: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """A label for each result of a set, different for results of one metric: "onnx-int8, batch 4"."""
    seen: Counter[tuple[str, str]] = Counter()
    for result in results:
        name = result.metric.name
        label = ", ".join(label_parts(result.facts, telling.get(name, ())).values())
        seen[name, label] += 1
        number = seen[name, label]
        yield label if number == 1 else f"{label} (no. {number})".strip()


def grouped(entries: Sequence[Entry], *, rows: int) -> str:
    """A fact in the shortest way that is exact: one value, or what decides about it and has which.

    That may be the set, the metric, or what tells the rows of a metric apart. `rows` is their number in the family.
    """
    lines = list(dict.fromkeys(entry.row for entry in entries))
    if len({entry.value for entry in entries}) == 1:
        where = f" ({'; '.join(lines)})" if len(lines) < rows and len(lines) <= _FEW else ""
        return f"{entries[0].value}{where}"
    keys = dict.fromkeys(key for entry in entries for key in entry.parts)
    ways: tuple[Callable[[Entry], str], ...] = (_system, _metric, *(partial(_part, key=key) for key in keys), _row)
    owner = next((way for way in ways if _decides(entries, way)), _row_of_system)
    owners: dict[str, dict[str, None]] = {}
    for entry in entries:
        owners.setdefault(entry.value, {})[owner(entry)] = None
    return "; ".join(f"{value} ({', '.join(names)})" for value, names in owners.items())


def _system(entry: Entry) -> str:
    return entry.system


def _metric(entry: Entry) -> str:
    return entry.metric


def _part(entry: Entry, *, key: str) -> str:
    return entry.parts.get(key, "others")


def _row(entry: Entry) -> str:
    return entry.row


def _row_of_system(entry: Entry) -> str:
    return f"{entry.system}: {entry.row}"


def _decides(entries: Sequence[Entry], owner: Callable[[Entry], str]) -> bool:
    """Whether entries of one owner have one value."""
    return len({(owner(entry), entry.value) for entry in entries}) == len({owner(entry) for entry in entries})
