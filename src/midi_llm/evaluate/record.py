"""What a run found, as one JSON file: systems side by side, their takes, every result, and how to repeat it.

In: a `Report`. Out: results.json, and a `Report` again. Values are rounded to 6 significant digits, nan becomes null;
metrics are written once. Knows how nothing is measured and how nothing is shown.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from midi_llm.data.files import write_whole
from midi_llm.errors import RequestError
from midi_llm.evaluate.metric import Floats, Metric, Result
from midi_llm.evaluate.systems.base import JSON

VERSION = 1
RESULTS_FILE = "results.json"
_DIGITS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeLine:
    """A take in a report."""

    prompt: str
    """Id of the prompt."""
    text: str
    number: int
    seed: int | None = None
    file: str | None = None
    """The MIDI file, relative to the folder of the report; None where nothing was delivered."""
    error: str | None = None
    rank: float = float("nan")
    """0 (worst) to 1 (best) among the takes of its set (`take_ranks`); nan where nothing judges it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyLine:
    """A run of notes that a take shares with the training pieces (`memorisation.longest`)."""

    prompt: str
    number: int
    notes: int
    varied: int
    """Notes, where what repeats within the run counts once."""
    seconds: float
    """Where it begins in the take."""
    instrument: int
    """0 to 127, as General MIDI numbers programs."""
    piece: str
    """Id of a training piece that has it."""
    pieces: int
    """How many have it: what stands in many is a pattern of the style."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SetReport:
    """One system: what it says of itself, its takes, and what was measured of them."""

    name: str
    description: Mapping[str, JSON] = field(default_factory=dict)
    takes: tuple[TakeLine, ...] = ()
    results: tuple[Result, ...] = ()
    """In the order of the metric families."""
    warnings: tuple[str, ...] = ()
    copies: tuple[CopyLine, ...] = ()
    """The longest varied runs shared with the training pieces, longest first; empty where no index was at hand."""

    def result(self, name: str) -> Result | None:
        """The first result of the metric `name`, if there is one."""
        return next((result for result in self.results if result.metric.name == name), None)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Report:
    """A run. The first of `sets` is the system under test, the others stand beside it."""

    sets: tuple[SetReport, ...]
    settings: Mapping[str, JSON] = field(default_factory=dict)
    """Prompts, takes, seed, seconds ...: what the figures follow from."""
    where: Mapping[str, JSON] = field(default_factory=dict)
    """Machine, versions, commit."""
    command: str = ""
    """Repeats the run."""
    date: str = ""


def take_ranks(results: Sequence[Result], count: int) -> Floats:
    """Rank [count] of each take: 0 to 1, the mean over the families that judge single takes; nan where none does.

    In each metric with a better direction a take gets the share of the other takes that it beats, ties half; one that
    the metric does not apply to gets a half, so that a take is not the best for what cannot be said of it. The metrics
    of a family are averaged, then the families. Speed is no merit of the music and left out.
    """
    families: dict[str, list[Floats]] = {}
    for result in results:
        family = result.metric.name.partition(".")[0]
        if result.metric.better is None or len(result.values) != count or family == "speed":
            continue
        values = np.array(result.values, np.float64) * (1.0 if result.metric.better == "higher" else -1.0)
        known = np.flatnonzero(~np.isnan(values))
        if len(known) < 2:
            continue
        in_order = np.sort(values[known])
        below = np.searchsorted(in_order, values[known], side="left")
        above = len(known) - np.searchsorted(in_order, values[known], side="right")
        ranks = np.full(count, 0.5)
        ranks[known] += (below - above) / (2 * (len(known) - 1))
        families.setdefault(family, []).append(ranks)
    if not families:
        return np.full(count, np.nan)
    return np.asarray(np.mean([np.mean(ranks, axis=0) for ranks in families.values()], axis=0))


def write_report(report: Report, path: Path) -> None:
    """Write the JSON whole or not at all. Raises `DatasetError` when the disk refuses."""
    metrics = {result.metric.name: result.metric for one in report.sets for result in one.results}
    content = {
        "version": VERSION,
        "command": report.command,
        "date": report.date,
        "settings": report.settings,
        "where": report.where,
        "metrics": {name: _without_name(metric) for name, metric in metrics.items()},
        "sets": [_set_to_json(one) for one in report.sets],
    }
    text = json.dumps(_plain(content), indent=1, allow_nan=False) + "\n"
    write_whole({path: lambda file: file.write(text.encode("ascii"))})


def read_report(path: Path) -> Report:
    """Read what `write_report` wrote; a folder stands for the results.json in it.

    Raises `RequestError` when it is missing, damaged or of another version.
    """
    path = path / RESULTS_FILE if path.is_dir() else path
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            raise RequestError(
                f"{path} has version {content['version']!r}, expected {VERSION}; run the evaluation anew"
            )
        metrics = {name: Metric(name=name, **metric) for name, metric in content["metrics"].items()}
        return Report(
            sets=tuple(_set_from_json(one, metrics) for one in content["sets"]),
            settings=content["settings"],
            where=content["where"],
            command=content["command"],
            date=content["date"],
        )
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}; give the folder of an evaluation") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RequestError(f"{path} is no report of an evaluation ({error!r:.200})") from error


def _without_name(metric: Metric) -> dict[str, Any]:
    return {key: value for key, value in asdict(metric).items() if key != "name"}


def _set_to_json(one: SetReport) -> dict[str, Any]:
    return {
        "name": one.name,
        "description": one.description,
        "takes": [asdict(take) for take in one.takes],
        "results": [_result_to_json(result) for result in one.results],
        "warnings": one.warnings,
        "copies": [asdict(copy) for copy in one.copies],
    }


def _result_to_json(result: Result) -> dict[str, Any]:
    return {
        "metric": result.metric.name,
        "value": result.value,
        "low": result.low,
        "high": result.high,
        "count": result.count,
        "values": result.values,
        "facts": result.facts,
        "warnings": result.warnings,
    }


def _set_from_json(content: Mapping[str, Any], metrics: Mapping[str, Metric]) -> SetReport:
    return SetReport(
        name=content["name"],
        description=content["description"],
        takes=tuple(TakeLine(**{**take, "rank": _number(take["rank"])}) for take in content["takes"]),
        results=tuple(_result_from_json(result, metrics) for result in content["results"]),
        warnings=tuple(content["warnings"]),
        copies=tuple(CopyLine(**copy) for copy in content["copies"]),
    )


def _result_from_json(content: Mapping[str, Any], metrics: Mapping[str, Metric]) -> Result:
    return Result(
        metric=metrics[content["metric"]],
        value=_number(content["value"]),
        low=_number(content["low"]),
        high=_number(content["high"]),
        count=int(content["count"]),
        values=tuple(_number(value) for value in content["values"]),
        facts=content["facts"],
        warnings=tuple(content["warnings"]),
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _plain(value: Any) -> Any:
    """`value` for JSON: numbers of 6 significant digits, null for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
