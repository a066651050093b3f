"""A report as one HTML file: nothing is loaded, nothing runs, and whoever has only this file sees all of it.

In: a `Report` and the folder that its takes' MIDI files lie in. Out: the page as text: what the Markdown says, and key
figures, plots of intervals and takes, and piano rolls. Foreign texts are escaped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from midi_llm.data.page import header, page, preformatted, section
from midi_llm.data.plots import table, text
from midi_llm.evaluate.metric import Metric
from midi_llm.evaluate.record import Report, SetReport
from midi_llm.evaluate.report.facts import Estimator
from midi_llm.evaluate.report.picks import shown_takes
from midi_llm.evaluate.report.pictures import take_figure
from midi_llm.evaluate.report.plots import Line, interval_plot
from midi_llm.evaluate.report.sections import (
    COPIES,
    COPY_COLUMNS,
    COPY_WORDS,
    KEY_FIGURES,
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
from midi_llm.evaluate.report.wording import READING, Said, arrow, fact, pairs, plural, say, short_name
from midi_llm.evaluate.systems.base import JSON


def report_html(report: Report, folder: Path) -> str:
    """The whole page. `folder` is that of the report: the files of takes are relative to it.

    A take whose file cannot be read gets a line in place of its picture. Raises `RequestError` for a report without
    sets.
    """
    first, found = tested(report), families(report)
    anchors = [f"family-{number}" for number in range(1, len(found) + 1)]
    parts = [
        header("Evaluation", first.name, text(lead(report)), _key_figures(first)),
        _contents([*zip(anchors, [family.title for family in found], strict=True), *_LAST]),
        _reading(),
        *(_family(family, report.sets, anchor) for family, anchor in zip(found, anchors, strict=True)),
        _takes(report, folder),
        _copies(report.sets),
        _warnings(report.sets),
        _failed(report.sets),
        _again(report),
    ]
    style = files("midi_llm.evaluate.report").joinpath("report.css").read_text(encoding="utf-8")
    return page(f"Evaluation of {first.name}", "\n".join(part for part in parts if part), style=style)


_NAME_REM, _SET_REM = 16, 10
"""Widths of a table's columns at most: names stay near their figures where there are few sets."""

_LAST = (("takes", "Takes"), ("warnings", "Warnings"), ("failed", "Failed takes"), ("again", "To repeat it"))
"""Anchors and titles of the sections after the families."""


def _key_figures(one: SetReport) -> list[tuple[str, str]]:
    """(what it is, value) as markup; nothing for a metric without a value."""
    figures = []
    for name, words in KEY_FIGURES.items():
        result = one.result(name)
        if result is not None and not math.isnan(result.value):
            said = say(result, len(one.takes))
            small = f"{said.interval} {said.count}".strip()
            figures.append((f"{text(words)}<small>{text(small)}</small>", text(said.value)))
    return figures


def _contents(links: Sequence[tuple[str, str]]) -> str:
    return "<nav>" + "".join(f"<a href='#{anchor}'>{text(title)}</a>" for anchor, title in links) + "</nav>"


def _reading() -> str:
    sentences = "".join(f"<li>{text(sentence)}</li>" for sentence in READING)
    return section("How to read the tables", "", f"<ul class='soft'>{sentences}</ul>")


def _systems(report: Report) -> str:
    """What each set says of itself."""
    rows = [
        f"<div><dt>{text(one.name)}<small>{_role(one, report)}</small></dt><dd>{text(fact(one.description))}</dd></div>"
        for one in report.sets
    ]
    return f"<h3 class='later'>What was evaluated</h3><dl class='systems'>{''.join(rows)}</dl>"


def _role(one: SetReport, report: Report) -> str:
    role = "system under test, " if one is report.sets[0] else ""
    lost = f", {len(failed(one)):,} failed" if failed(one) else ""
    return f"{role}{plural(len(one.takes), 'take')}{lost}"


def _family(family: Family, sets: Sequence[SetReport], anchor: str) -> str:
    """The table, its footnotes and facts, and a plot for each metric; the long table of a race is folded away."""
    beside: list[Row] = []
    race: list[Row] = []
    for metric in family.metrics:
        (race if family.is_race(metric) else beside).extend(family.rows_of(metric))
    folded = f"<details><summary>{plural(len(race), 'row')} of these plots as a table</summary>"
    notes = "".join(f"<li value='{number}'>{text(note)}</li>" for note, number in family.notes.items())
    return section(
        text(family.title),
        text(family.about),
        _metrics(family, beside, sets) if beside else "",
        f"<ol class='notes'>{notes}</ol>" if notes else "",
        _list(family.facts),
        f"<div class='plots'>{''.join(_plots(family, sets))}</div>",
        f"{folded}{_metrics(family, race, sets)}</details>" if race else "",
        anchor=anchor,
    )


def _metrics(family: Family, shown: Sequence[Row], sets: Sequence[SetReport]) -> str:
    head = ["", *(text(one.name) for one in sets), *(["estimator on real music"] if family.has_estimators else [])]
    rows = []
    for row in shown:
        cells = [_name(row.metric, row.label)]
        for result, said in zip(row.results, row.said(sets), strict=True):
            marks = family.marks(result) if result is not None else []
            cells.append(_cell(said, marks) if said is not None else "")
        if family.has_estimators:
            cells.append(_estimator(row.estimator) if row.estimator is not None else "")
        rows.append(cells)
    width = _NAME_REM + _SET_REM * len(sets)
    return f"<div class='metrics' style='max-width:{width}rem'>{table(head, rows)}</div>"


def _name(metric: Metric, label: str) -> str:
    """Name, direction, unit and what tells the row apart."""
    said = " ".join(part for part in (short_name(metric), arrow(metric)) if part)
    unit = f" <small>{text(metric.unit)}</small>" if metric.unit else ""
    return f"{text(said)}{unit}" + (f"<small class='label'>{text(label)}</small>" if label else "")


def _cell(said: Said, marks: Sequence[int]) -> str:
    noted = f"<sup>{','.join(map(str, marks))}</sup>" if marks else ""
    small = f"{said.interval} {said.count}".strip()
    return f"<b>{text(said.value)}</b>{noted}" + (f"<small>{text(small)}</small>" if small else "")


def _estimator(estimator: Estimator) -> str:
    small = f"<small>{text(estimator.number)}</small>" if estimator.number else ""
    return text(estimator.said) + small


def _plots(family: Family, sets: Sequence[SetReport]) -> list[str]:
    """A figure for each metric; one for each row where rows and sets both are several. None for what has no value."""
    figures = []
    for metric in family.metrics:
        rows = [row for row in family.rows_of(metric) if row.has_value]
        if rows and family.is_race(metric):
            figures.append(_plot(family, rows, sets, by_row=True))
        else:
            figures += [_plot(family, [row], sets, by_row=False) for row in rows]
    return figures


def _plot(family: Family, rows: Sequence[Row], sets: Sequence[SetReport], *, by_row: bool) -> str:
    """The rows' results under a caption; a line is called by its row or by its set."""
    lines = [
        Line(name=row.label if by_row else one.name, result=result, said=said, is_tested=one is sets[0])
        for row in rows
        for one, result, said in zip(sets, row.results, row.said(sets), strict=True)
        if result is not None and said is not None
    ]
    metric, estimator = rows[0].metric, rows[0].estimator
    label = "" if by_row else rows[0].label
    drawing = interval_plot(lines, title=metric.name, mark=estimator.value if estimator is not None else math.nan)
    about = text(family.about_metric(metric))
    return f"<figure><figcaption>{_name(metric, label)}</figcaption><p>{about}</p>{drawing}</figure>"


def _takes(report: Report, folder: Path) -> str:
    """Best, median and worst takes of the system under test, and a median one of each other set."""
    figures = "".join(take_figure(kind, take, folder) for kind, take in shown_takes(report))
    about = f"{RANKS} Time goes to the right, pitch upwards."
    grid = f"<div class='grid pair examples'>{figures}</div>" if figures else "<p>There are none.</p>"
    return section("Takes", about, grid, anchor="takes")


def _copies(sets: Sequence[SetReport]) -> str:
    """Runs shared with the training pieces; nothing where none are known."""
    rows = [[text(cell) for cell in row] for row in copies(sets)]
    shown = table(COPY_COLUMNS, rows, words=COPY_WORDS)
    return section("Shared with training pieces", COPIES, shown) if rows else ""


def _warnings(sets: Sequence[SetReport]) -> str:
    parts = [
        f"<h3 class='later'>{text(one.name)}</h3><ul>{''.join(f'<li>{text(line)}</li>' for line in lines)}</ul>"
        for one in sets
        if (lines := all_warnings(one))
    ]
    return section("Warnings", "", *parts or ["<p>There are none.</p>"], anchor="warnings")


def _failed(sets: Sequence[SetReport]) -> str:
    parts = []
    for one in sets:
        if lines := failed(one):
            shown = f", the first {MOST_FAILED}" if len(lines) > MOST_FAILED else ""
            rows = [[text(take.prompt), text(take.error or ""), str(take.number)] for take in lines[:MOST_FAILED]]
            parts.append(f"<h3 class='later'>{plural(len(lines), 'take')} of {text(one.name)}{shown}</h3>")
            parts.append(table(["prompt", "error", "take"], rows, words=(0, 1)))
    return section("Failed takes", "", *parts or ["<p>There are none.</p>"], anchor="failed")


def _again(report: Report) -> str:
    """Command, sets, settings, machine."""
    date: Mapping[str, JSON] = {"date": report.date} if report.date else {}
    return section(
        "To repeat it",
        "",
        preformatted(report.command) if report.command.strip() else "",
        _systems(report),
        "<div class='grid later'>",
        f"<div><h3>Settings</h3>{_list(pairs(report.settings)) or '<p>Nothing is recorded.</p>'}</div>",
        f"<div><h3>Where and when</h3>{_list(pairs({**date, **report.where})) or '<p>Nothing is recorded.</p>'}</div>",
        "</div>",
        anchor="again",
    )


def _list(items: Sequence[tuple[str, str]]) -> str:
    """Names and values side by side; nothing for none."""
    rows = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in items)
    return f"<dl class='facts'>{rows}</dl>" if rows else ""
