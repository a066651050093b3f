"""Interval plots: axes that hold what is drawn, marks where the values are."""

from __future__ import annotations

import math
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.report.reports import DENSITY, EVIL, KEY, NUMBERS, found, nothing
from midi_llm.evaluate.metric import Result
from midi_llm.evaluate.report.plots import Line, axis_for, interval_plot, shortened, takes_with_shape
from midi_llm.evaluate.report.wording import say


def line(result: Result, name: str = "a", *, is_tested: bool = False) -> Line:
    return Line(name=name, result=result, said=say(result, 12), is_tested=is_tested)


def places(svg: str) -> dict[str, list[float]]:
    """x of the dots, ends of the intervals, and of the axis by its labels."""
    root = ElementTree.fromstring(svg)
    spans = [one for one in root.iter("line") if one.get("class") == "span"]
    ticks = [one for one in root.iter("text") if one.get("text-anchor") == "middle" and not one.get("class")]
    return {
        "dots": [float(dot.get("cx", "")) for dot in root.iter("circle")],
        "lows": [float(one.get("x1", "")) for one in spans],
        "highs": [float(one.get("x2", "")) for one in spans],
        "ticks": [float(one.get("x", "")) for one in ticks],
        "labels": [float((one.text or "").strip("+≤")) for one in ticks],
    }


def test_dots_and_whiskers_stand_where_the_axis_says() -> None:
    found_places = places(interval_plot([line(found(KEY, 0.5)), line(found(KEY, 0.75))], title="key"))
    first, last = found_places["ticks"][0], found_places["ticks"][-1]
    assert (found_places["labels"][0], found_places["labels"][-1]) == (0.0, 1.0)
    for name, values in (("dots", [0.5, 0.75]), ("lows", [0.4, 0.65]), ("highs", [0.6, 0.85])):
        assert found_places[name] == pytest.approx([first + value * (last - first) for value in values], abs=0.11)


def test_lines_are_named_and_the_tested_one_is_marked() -> None:
    root = ElementTree.fromstring(
        interval_plot([line(found(KEY, 0.5), "nano", is_tested=True), line(nothing(KEY), EVIL)], title="<k>")
    )
    kinds = {(group.findtext("title") or "").split(":")[0]: group.get("class") for group in root.iter("g")}
    assert kinds["nano"] == "row tested strong"
    assert [group.get("class") for group in root.iter("g")][1] == "row"
    assert len(list(root.iter("circle"))) == 1
    assert "<k>: nano 0.50" in (root.get("aria-label") or "")


def test_takes_have_a_shape_where_they_are_numbers_and_not_yes_or_no() -> None:
    assert takes_with_shape(found(KEY, 0.5, values=(0.0, 1.0) * 6)) is None
    assert takes_with_shape(found(KEY, 0.5, values=(0.1, 0.2, 0.3))) is None
    assert takes_with_shape(found(DENSITY, 3.0, values=(1.0, 2.0, 3.0, 4.0, math.nan, 9.0))) is not None
    values = tuple(np.random.default_rng(0).normal(5, 1, 200).tolist())
    root = ElementTree.fromstring(interval_plot([line(found(DENSITY, 5.0, values=values))], title="d"))
    (path,) = root.iter("path")
    assert 8 <= (path.get("d") or "").count("M") <= 32


def test_takes_beyond_the_axis_are_told_by_a_sign() -> None:
    values = (*np.linspace(4, 6, 99).tolist(), 100.0)
    labels = [
        text.text
        for text in ElementTree.fromstring(interval_plot([line(found(DENSITY, 5.0, values=values))], title="d")).iter(
            "text"
        )
    ]
    assert any((label or "").endswith("+") for label in labels)


@pytest.mark.parametrize(
    ("low", "high", "ends"),
    [(0.95, 1.0, (0.0, 1.0)), (0.0, 0.0, (0.0, 1.0)), (0.001, 0.06, (0.0, 0.1)), (0.1, 0.4, (0.0, 0.5))],
)
def test_the_axis_of_shares_begins_at_nothing(low: float, high: float, ends: tuple[float, float]) -> None:
    axis = axis_for([replace(found(KEY, high), low=low, high=high)], [])
    assert (axis.low, axis.high) == pytest.approx(ends)


def test_the_axis_of_others_begins_near_their_values_where_these_are_far_from_nothing() -> None:
    assert axis_for([replace(found(DENSITY, 3.0), low=2.9, high=3.2)], []).low == pytest.approx(2.9)
    assert axis_for([replace(found(DENSITY, 3.0), low=0.9, high=3.2)], []).low == 0.0


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=4), NUMBERS)
def test_any_axis_is_finite_and_holds_what_can_be_drawn(rows: list[tuple[float, ...]], mark: float) -> None:
    results = [replace(found(DENSITY, value), low=low, high=high) for value, low, high in rows]
    axis = axis_for(results, [], mark)
    assert math.isfinite(axis.high - axis.low)
    assert axis.low < axis.high
    assert 2 <= len(axis.ticks) <= 8
    drawn = [value for row in [*rows, (mark,)] for value in row if abs(value) <= 1e15]
    room = 1e-6 * (axis.high - axis.low)
    assert all(axis.low - room <= value <= axis.high + room for value in drawn)
    ElementTree.fromstring(interval_plot([line(one) for one in results], title="t", mark=mark))


def test_long_names_keep_both_ends() -> None:
    assert shortened("onnx-int8, batch 4") == "onnx-int8, batch 4"
    assert shortened("transformers.generate, batch 4") == "transform…e, batch 4"
    assert len(shortened("x" * 90)) == 20
