"""A report as Markdown that reads well as it is and rendered (GitHub's dialect).

In: a `Report`, or ready cells for `markdown_table`. Out: text. Foreign texts stand between words of ours, never at the
beginning of a line, and every sign that means something in Markdown is escaped. Loses none of a report's figures but
the single values of takes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from midi_llm.evaluate.record import Report, SetReport
from midi_llm.evaluate.report.picks import rank_said, shown_takes
from midi_llm.evaluate.report.sections import (
    COPIES,
    COPY_COLUMNS,
    COPY_WORDS,
    MOST_FAILED,
    RANKS,
    Family,
    Row,
    all_warnings,
    copies,
    failed,
    families,
    lead,
    tested,
)
from midi_llm.evaluate.report.wording import READING, arrow, fact, pairs, plural, short_name
from midi_llm.evaluate.systems.base import JSON
from midi_llm.music.names import clean_text

_SPECIAL = re.compile(r"[\\`*\[\]<>|~$&#]|(?<![^\W_])_|_(?![^\W_])|(?<=:)//|(?<=www)\.|^[-+](?![\d.])|^\d+[.)](?=\s|$)")
"""Signs that mean something: anywhere (an underscore: but within a word), in addresses, or first on a line."""
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def report_markdown(report: Report) -> str:
    """The whole page, ending with a line end. Raises `RequestError` for a report without sets."""
    first = tested(report)
    parts = [
        f"# Evaluation of {plain(first.name)}",
        plain(lead(report)),
        "To repeat it:",
        fenced(report.command, "sh"),
        "## What was evaluated",
        _systems(report),
        "## Settings",
        _pairs(report.settings),
        "## Where and when",
        _pairs({**({"date": report.date} if report.date else {}), **report.where}),
        "## How to read the tables",
        "\n".join(f"* {sentence}" for sentence in READING),
    ]
    for family in families(report):
        parts += _family(family, report.sets)
    parts += _warnings(report.sets)
    parts += _failed(report.sets)
    parts += _takes(report)
    parts += _copies(report.sets)
    return "\n\n".join(part for part in parts if part) + "\n"


def plain(text: str) -> str:
    """`text` on one line, with every sign escaped that would be read as Markdown."""
    return _SPECIAL.sub(_escaped, " ".join(clean_text(text).split()))


def _escaped(found: re.Match[str]) -> str:
    return "".join(sign if sign.isdigit() else f"\\{sign}" for sign in found[0])


def fenced(code: str, language: str = "") -> str:
    """A code block, with a fence longer than any run of backticks in it; nothing for no code."""
    lines = "\n".join(clean_line for line in code.splitlines() if (clean_line := _visible(line)).strip())
    if not lines:
        return ""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", lines)), default=0))
    return f"{fence}{language}\n{lines}\n{fence}"


def _visible(line: str) -> str:
    """`line` without signs that cannot be seen, its indent kept."""
    return " " * (len(line) - len(line.lstrip(" "))) + clean_text(line)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, words: Sequence[int] = (0,)) -> str:
    """A table of ready cells, padded so that columns line up as text; all columns but `words` are set to the right."""
    widths = [max(3, *(_width(line[place]) for line in (head, *rows))) for place in range(len(head))]
    left = [place in words for place in range(len(head))]
    if left[-1]:
        widths[-1] = 3  # nothing lines up after it, and its texts may be long

    def line(cells: Sequence[str]) -> str:
        padded = [_pad(*one) for one in zip(cells, widths, left, strict=True)]
        return f"| {' | '.join(padded)} |"

    rule = "|".join(
        f" {'-' * width} " if is_left else f" {'-' * (width - 1)}: "
        for width, is_left in zip(widths, left, strict=True)
    )
    return "\n".join([line(head), f"|{rule}|", *map(line, rows)])


def _pad(cell: str, width: int, is_left: bool) -> str:
    room = " " * (width - _width(cell))
    return cell + room if is_left else room + cell


def _width(text: str) -> int:
    """Columns of a terminal."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else not unicodedata.combining(sign) for sign in text)


def _systems(report: Report) -> str:
    rows = [
        [
            f"**{plain(one.name)}**" if one is report.sets[0] else plain(one.name),
            "system under test" if one is report.sets[0] else "beside it",
            f"{len(one.takes):,}",
            f"{len(failed(one)):,}",
        ]
        for one in report.sets
    ]
    described = [f"* {plain(one.name)}: " + plain(fact(one.description)) for one in report.sets if one.description]
    table = markdown_table(["set", "role", "takes", "failed"], rows, words=(0, 1))
    return "\n\n".join(part for part in (table, "\n".join(described)) if part)


def _pairs(settings: Mapping[str, JSON]) -> str:
    return "\n".join(f"* {plain(name)}: {plain(value)}" for name, value in pairs(settings)) or "Nothing is recorded."


def _family(family: Family, sets: Sequence[SetReport]) -> Iterator[str]:
    """Heading, table, footnotes, facts, and what the metrics count."""
    yield f"## {plain(family.title)}"
    yield family.about
    head = ["metric", "unit", *(plain(one.name) for one in sets)]
    head += ["estimator on real music"] if family.has_estimators else []
    rows = [_row(row, family, sets) for row in family.rows]
    yield markdown_table(head, rows, words=(0, 1))
    yield "\n".join(f"* {_superscript([number])} {plain(text)}" for text, number in family.notes.items())
    yield "\n".join(f"* {plain(name)}: {plain(value)}" for name, value in family.facts)
    yield "\n".join(
        f"* **{plain(short_name(metric))}**: {plain(family.about_metric(metric))}" for metric in family.metrics
    )


def _row(row: Row, family: Family, sets: Sequence[SetReport]) -> list[str]:
    cells = [f"{plain(row.name)} {arrow(row.metric)}".strip(), plain(row.metric.unit)]
    for result, said in zip(row.results, row.said(sets), strict=True):
        marks = _superscript(family.marks(result)) if result is not None else ""
        cells.append(f"{said.value}{marks} {said.interval} {said.count}".strip() if said is not None else "")
    if family.has_estimators:
        found = row.estimator
        cells.append(plain(f"{found.said} {found.number}".strip()) if found is not None else "")
    return cells


def _superscript(numbers: Sequence[int]) -> str:
    return "˒".join(str(number).translate(_SUPERSCRIPT) for number in numbers)


def _takes(report: Report) -> Iterator[str]:
    yield "## Takes to look at"
    yield RANKS
    rows = [
        [
            plain(kind),
            rank_said(take),
            plain(take.file or "no file"),
            plain(take.prompt),
            str(take.number),
            fact(take.seed) if take.seed is not None else "",
            plain(take.text),
        ]
        for kind, take in shown_takes(report)
    ]
    if rows:
        head = ["", "rank", "file", "prompt", "take", "seed", "text"]
        yield markdown_table(head, rows, words=(0, 2, 3, 6))
    else:
        yield "No take has a rank."


def _copies(sets: Sequence[SetReport]) -> Iterator[str]:
    rows = [[plain(cell) for cell in row] for row in copies(sets)]
    if rows:
        yield "## Shared with training pieces"
        yield COPIES
        yield markdown_table(COPY_COLUMNS, rows, words=COPY_WORDS)


def _warnings(sets: Sequence[SetReport]) -> Iterator[str]:
    yield "## Warnings"
    if not any(map(all_warnings, sets)):
        yield "There are none."
    for one in sets:
        if warnings := all_warnings(one):
            yield f"### Warnings about {plain(one.name)}"
            yield "\n".join(f"* {plain(warning)}" for warning in warnings)


def _failed(sets: Sequence[SetReport]) -> Iterator[str]:
    yield "## Failed takes"
    if not any(map(failed, sets)):
        yield "There are none."
    for one in sets:
        lines = failed(one)
        if lines:
            shown = f", the first {MOST_FAILED}" if len(lines) > MOST_FAILED else ""
            yield f"### {plural(len(lines), 'take')} of {plain(one.name)}{shown}"
            rows = [[plain(take.prompt), str(take.number), plain(take.error or "")] for take in lines[:MOST_FAILED]]
            yield markdown_table(["prompt", "take", "error"], rows, words=(0, 2))
