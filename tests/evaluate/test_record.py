"""The report as a file, and the ranks of its takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi_llm.errors import RequestError
from midi_llm.evaluate.metric import Metric, Result
from midi_llm.evaluate.record import (
    RESULTS_FILE,
    CopyLine,
    Report,
    SetReport,
    TakeLine,
    read_report,
    take_ranks,
    write_report,
)

GOOD = Metric(name="test.good", unit="share", better="higher", about="a good thing")
BAD = Metric(name="test.bad", unit="", better="lower", about="a bad thing")
NEITHER = Metric(name="test.neither", unit="s", better=None, about="a thing")
NAN = float("nan")
COPY = CopyLine(prompt="p1", number=0, notes=20, varied=17, seconds=1.5, instrument=40, piece="folk/x", pieces=2)


def result(metric: Metric, *values: float, **more: object) -> Result:
    known = [value for value in values if not np.isnan(value)]
    mean = float(np.mean(known)) if known else NAN
    return Result(metric=metric, value=mean, low=mean, high=mean, count=len(known), values=values, **more)  # type: ignore[arg-type]


def report(*results: Result) -> Report:
    takes = (
        TakeLine(prompt="p1", text="a «waltz»", number=0, seed=3, file="nano/p1-0.mid", rank=0.25),
        TakeLine(prompt="p2", text="x", number=0, error="no idea"),
    )
    one = SetReport(
        name="nano", description={"model": "nano"}, takes=takes, results=results, warnings=("careful",), copies=(COPY,)
    )
    return Report(
        sets=(one, SetReport(name="real")),
        settings={"takes": 1, "seconds": None},
        where={"cores": 2, "load": NAN},
        command="midi-llm evaluate",
        date="2026-01-01",
    )


def plain(one: Report) -> str:
    return repr(one)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    results = (
        result(GOOD, 0.5, NAN, facts={"n": 3, "where": "here"}, warnings=("few",)),
        result(NEITHER),
        result(BAD, 2.0, 1.0),
    )
    written = report(*results)
    write_report(written, tmp_path / RESULTS_FILE)
    for path in (tmp_path, tmp_path / RESULTS_FILE):
        found = read_report(path)
        assert plain(found).replace("None", "nan") == plain(written).replace("None", "nan")
    assert found.sets[0].result("test.good") is not None
    assert found.sets[0].result("test.unknown") is None


def test_numbers_keep_six_digits_and_what_is_not_finite_is_null(tmp_path: Path) -> None:
    write_report(report(result(GOOD, 1 / 3, NAN)), tmp_path / RESULTS_FILE)
    text = (tmp_path / RESULTS_FILE).read_text(encoding="utf-8")
    content = json.loads(text)
    assert content["sets"][0]["results"][0]["values"] == [0.333333, None]
    assert "NaN" not in text
    assert content["where"]["load"] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no report of an evaluation"),
        ("[]", "no report of an evaluation"),
        ('{"version": 1}', "no report of an evaluation"),
        ('{"version": 99}', "version 99, expected 1"),
        ('{"version": 1, "metrics": {"a.b": {"c": 1}}, "sets": []}', "no report of an evaluation"),
    ],
)
def test_a_file_that_is_no_report_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / RESULTS_FILE).write_text(content, encoding="utf-8")
    with pytest.raises(RequestError, match=message):
        read_report(tmp_path)


def test_texts_that_are_no_valid_unicode_lose_no_report(tmp_path: Path) -> None:
    takes = (TakeLine(prompt="p", text="x", number=0, error="caf\udce9.mid is broken"),)
    write_report(Report(sets=(SetReport(name="files", takes=takes),)), tmp_path / RESULTS_FILE)
    assert read_report(tmp_path).sets[0].takes[0].error == takes[0].error


def test_a_report_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="give the folder of an evaluation"):
        read_report(tmp_path / "nowhere")


def test_the_rank_of_a_take_is_the_share_of_others_that_it_beats() -> None:
    results = [result(GOOD, 0.1, 0.9, 0.5), result(BAD, 3.0, 3.0, 1.0), result(NEITHER, 9.0, 0.0, 0.0)]
    assert take_ranks(results, 3) == pytest.approx([(0 + 0.25) / 2, (1 + 0.25) / 2, (0.5 + 1) / 2])


def test_families_count_equally_however_many_metrics_they_have() -> None:
    other = Metric(name="other.good", unit="", better="higher", about="")
    results = [result(other, 1.0, 0.0), *[result(GOOD, 0.0, 1.0)] * 9]
    assert take_ranks(results, 2) == pytest.approx([0.5, 0.5])


def test_what_is_not_known_of_a_take_moves_it_neither_up_nor_down() -> None:
    ranks = take_ranks([result(GOOD, 0.1, NAN, 0.5), result(BAD, 1.0, NAN, NAN)], 3)
    assert ranks == pytest.approx([0.0, 0.5, 1.0])


def test_speed_and_statistics_of_the_whole_set_rank_no_take() -> None:
    speed = Metric(name="speed.take_seconds", unit="s", better="lower", about="time")
    assert np.isnan(take_ranks([result(speed, 1.0, 2.0), result(GOOD)], 2)).all()


@given(st.lists(st.lists(st.floats(0, 1) | st.just(NAN), min_size=4, max_size=4), min_size=1, max_size=5))
def test_ranks_lie_between_0_and_1_and_average_a_half_where_all_is_known(table: list[list[float]]) -> None:
    ranks = take_ranks([result(GOOD, *row) for row in table], 4)
    assert ((ranks >= 0) & (ranks <= 1) | np.isnan(ranks)).all()
    if not np.isnan(table).any():
        assert ranks.mean() == pytest.approx(0.5)
