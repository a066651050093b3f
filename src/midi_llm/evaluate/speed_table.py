"""Speed as a table: a row for each contender and number of takes side by side. In: results of a race. Out: Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from midi_llm.evaluate import speed
from midi_llm.evaluate.metric import Metric, Result

_MILLISECONDS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Medians over `rounds`; None where a contender cannot tell. `ids` are those of one take."""

    contender: str
    takes: int
    ids: int
    rounds: int
    seconds: float
    least_seconds: float
    most_seconds: float
    ids_per_second: float
    rtf: float | None
    first_note_seconds: float | None
    opening_seconds: float
    memory_mebibytes: float | None
    """Added by opening and a first take, at their peak."""
    ratio: float | None
    """Ids per second over those of the last contender; None without another one."""


def rows(results: Sequence[Result]) -> list[Row]:
    """The rows of a race, contender by contender in the order in which they ran."""
    found = {(result.metric, result.facts["contender"], result.facts["batch"]): result for result in results}

    def value(metric: Metric, name: str | float, batch: str | float) -> float | None:
        result = found.get((metric, name, batch))
        return None if result is None or math.isnan(result.value) else result.value

    made = [
        Row(
            contender=str(name),
            takes=int(batch),
            ids=int(result.facts["tokens"]),
            rounds=len(result.values),
            seconds=result.value,
            least_seconds=result.low,
            most_seconds=result.high,
            ids_per_second=found[speed.TOKENS, name, batch].value,
            rtf=value(speed.RTF, name, batch),
            first_note_seconds=value(speed.FIRST_NOTE, name, batch),
            opening_seconds=found[speed.OPENING, name, 1].value,
            memory_mebibytes=value(speed.MEMORY, name, 1),
            ratio=value(speed.RATIO, name, batch),
        )
        for (metric, name, batch), result in found.items()
        if metric == speed.BATCH_SECONDS
    ]
    names = list(dict.fromkeys(row.contender for row in made))
    return sorted(made, key=lambda row: names.index(row.contender))


def markdown(made: Sequence[Row], *, first: str = "engine", with_ratio: bool = False) -> str:
    """The rows as an aligned table; `first` heads the first column."""
    heads = [first, "takes", "ids", "s (least, most)", "ids/s", "RTF", "first note, ms", "opening, s", "added MiB"]
    lines = [heads, *(_cells(row) for row in made)]
    if with_ratio:
        lines = [
            [*lines[0], "ratio"],
            *([*line, _number(row.ratio, 1)] for line, row in zip(lines[1:], made, strict=True)),
        ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = "|".join(["", *("-" * (width + 2) for width in widths), ""])
    texts = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    return "\n".join([texts[0], rule, *texts[1:]])


def _cells(row: Row) -> list[str]:
    first_note = None if row.first_note_seconds is None else _MILLISECONDS * row.first_note_seconds
    return [
        row.contender,
        str(row.takes),
        str(row.ids),
        f"{row.seconds:.2f} ({row.least_seconds:.2f}, {row.most_seconds:.2f})",
        f"{row.ids_per_second:.0f}",
        _number(row.rtf, 1),
        _number(first_note, 1),
        f"{row.opening_seconds:.2f}",
        _number(row.memory_mebibytes, 0),
    ]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
