"""The Markdown page: everything is said, nothing foreign is read as Markdown."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings

from evaluate.report.reports import EVIL, KEY, REPORTS, SETS, STRICT, TAKES, found, make_report, nothing
from midi_llm.errors import RequestError
from midi_llm.evaluate.record import CopyLine, Report, SetReport, TakeLine
from midi_llm.evaluate.report.markdown import fenced, markdown_table, plain, report_markdown
from midi_llm.evaluate.report.wording import NOTHING


def cells(line: str) -> list[str]:
    """The cells of a row: bars that are escaped do not divide."""
    return [cell.strip() for cell in re.split(r"(?<!\\)(?:\\\\)*\|", line)[1:-1]]


def tables(page: str) -> list[list[list[str]]]:
    """Every table as rows of cells, head first, without the rule; code blocks hold none."""
    blocks = re.sub(r"^(`{3,}).*?^\1$", "", page, flags=re.M | re.S).split("\n\n")
    return [
        [cells(line) for place, line in enumerate(block.splitlines()) if place != 1]
        for block in blocks
        if block.startswith("|")
    ]


def row(page: str, name: str) -> list[str]:
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {name} ")]
    return cells(line)


def with_first(report: Report, **changes: object) -> Report:
    """`report` with its system under test changed."""
    return replace(report, sets=(replace(report.sets[0], **changes), *report.sets[1:]))  # type: ignore[arg-type]


def test_the_head_says_what_was_evaluated_and_how_to_repeat_it() -> None:
    page = report_markdown(make_report())
    assert page.startswith("# Evaluation of nano\n")
    assert f"{TAKES} takes of {TAKES} prompts by nano (1 failed), beside real and random." in page
    assert "```sh\nmidi-llm evaluate nano \\\n  --seed 7\n```" in page
    for line in (
        "* seed: 7",
        f"* prompts: count {TAKES}; sha256 ab12",
        "* date: 2026-01-02",
        "* commit: c0ffee",
        "* nano: kind model; bounds (notes 6; gap 4)",
    ):
        assert line in page.splitlines()


def test_every_family_has_a_table_with_every_set() -> None:
    page = report_markdown(make_report())
    assert re.findall(r"^## (.*)$", page, flags=re.M) == [
        "What was evaluated",
        "Settings",
        "Where and when",
        "How to read the tables",
        *("Validity", "Control", "Texture", "Audio", "Speed"),
        "Warnings",
        "Failed takes",
        "Takes to look at",
    ]
    heads = [table[0] for table in tables(page) if table[0][0] == "metric"]
    assert len(heads) == 5
    assert all(head[2:5] == list(SETS) for head in heads)


def test_a_cell_has_the_interval_and_the_count_where_it_is_not_all_takes() -> None:
    page = report_markdown(make_report())
    assert row(page, "strict ↑") == ["strict ↑", "share", "0.83 [0.73, 0.93]", NOTHING, NOTHING]
    assert row(page, "key ↑")[2:] == [
        "0.50 [0.40, 0.60] n = 9",
        "0.60 [0.50, 0.70] n = 9",
        "0.70 [0.60, 0.80] n = 9",
        "0.74 n = 237",
    ]
    assert row(page, "repairs ↓")[1] == ""
    assert row(page, "note density")[:2] == ["note density", "notes/s"]


def test_what_is_no_number_is_a_dash_with_the_reason_and_what_was_not_measured_is_empty() -> None:
    report = with_first(make_report(), results=(found(STRICT, 0.5), nothing(KEY, "nobody asked for a key")))
    page = report_markdown(replace(report, sets=report.sets[:1]))
    assert row(page, "key ↑")[2] == f"{NOTHING}¹"
    assert "* ¹ nobody asked for a key" in page.splitlines()
    assert row(report_markdown(make_report()), "tokens per second, onnx, batch 4 ↑")[3:] == ["", ""]


def test_the_estimators_column_is_there_only_where_an_estimator_is() -> None:
    found_tables = {
        table[1][0]: table[0] for table in tables(report_markdown(make_report())) if table[0][0] == "metric"
    }
    assert found_tables["key ↑"][-1] == "estimator on real music"
    assert [head[-1] for name, head in found_tables.items() if name != "key ↑"] == ["random"] * 4
    assert row(report_markdown(make_report()), "instruments recall ↑")[-1] == "counted"


def test_results_of_one_metric_have_a_row_each() -> None:
    page = report_markdown(make_report())
    names = [line[0] for table in tables(page) for line in table if line[0].startswith("tokens per second")]
    assert names == [f"tokens per second, {who}, batch {batch} ↑" for who in ("onnx", "torch") for batch in (1, 4)]
    assert row(page, "fad, clap ↓")[2].startswith("0.50¹")
    assert row(page, "fad, vggish ↓")[2].startswith("0.70¹")


def test_facts_are_said_once_with_what_they_hold_for() -> None:
    lines = report_markdown(make_report()).splitlines()
    assert "* sound font: GS 2.0" in lines
    assert "* loudness: -23 (nano); -24 (real); -25 (random)" in lines
    assert "* cores: 2" in lines
    assert "* tokens: 2046 (batch 1); 511 (batch 4)" in lines
    assert not [line for line in lines if line.startswith(("* embedding", "* contender", "* estimator"))]


def test_warnings_and_failed_takes_are_listed_by_set() -> None:
    page = report_markdown(make_report())
    for name in SETS:
        assert f"### Warnings about {name}\n\n* 1 of 12 takes failed: {name}\n* audio.fad: few takes" in page
        assert f"### 1 take of {name}" in page
    assert ["p03", "0", "out of memory"] in [line for table in tables(page) for line in table]


def test_of_many_failed_takes_the_first_are_listed_with_the_number_of_all() -> None:
    takes = tuple(TakeLine(prompt=f"q{n}", text="t", number=0, error="broken") for n in range(31))
    page = report_markdown(with_first(make_report(), takes=takes))
    assert "### 31 takes of nano, the first 20" in page
    assert "q19" in page
    assert "q20" not in page


def test_best_median_and_worst_takes_are_listed_with_file_and_rank() -> None:
    (table,) = [table for table in tables(report_markdown(make_report())) if table[0][1:2] == ["rank"]]
    assert [line[0] for line in table[1:]] == [
        *("best", "best", "best", "median", "median", "median", "worst", "worst", "worst"),
        *("median of real", "median of random"),
    ]
    assert table[1] == ["best", "1.00", "nano/p00-0.mid", "p00", "0", "100", "a waltz, no. 0"]


def test_runs_shared_with_training_pieces_are_listed() -> None:
    line = CopyLine(prompt="p1", number=0, notes=41, varied=30, seconds=3.25, instrument=73, piece="op. 9", pieces=2)
    page = report_markdown(with_first(make_report(), copies=(line,)))
    assert ["nano", "p1", "Flute", "op. 9", "2", "0", "3.2", "41", "30"] in [r for table in tables(page) for r in table]
    assert "Shared with training" not in report_markdown(make_report())


def test_foreign_texts_are_escaped() -> None:
    first = SetReport(
        name=EVIL,
        description={EVIL: EVIL},
        takes=(TakeLine(prompt=EVIL, text=EVIL, number=0, error=EVIL, rank=0.5),),
        results=(nothing(STRICT, EVIL), found(KEY, 0.5, facts={EVIL: EVIL})),
        warnings=(EVIL,),
    )
    page = report_markdown(Report(sets=(first,), settings={EVIL: EVIL}, where={EVIL: EVIL}, date=EVIL))
    assert page.count("alert") >= 12
    assert not re.search(r"(?<!\\)[<>`]", page)
    assert "\x00" not in page
    assert "\u202e" not in page
    assert not [line for line in page.splitlines() if line.startswith("# d")]
    for table in tables(page):
        assert len({len(line) for line in table}) == 1


def test_a_report_of_nothing_says_so() -> None:
    page = report_markdown(Report(sets=(SetReport(name="empty"),)))
    assert page.count("Nothing is recorded.") == 2
    assert page.count("There are none.") == 2
    assert "No take has a rank." in page
    with pytest.raises(RequestError, match="no set of takes"):
        report_markdown(Report(sets=()))


def test_the_same_report_gives_the_same_page() -> None:
    assert report_markdown(make_report()) == report_markdown(make_report())


@settings(max_examples=25, deadline=None)
@given(REPORTS)
def test_any_report_gives_tables_whose_rows_are_equally_long(report: Report) -> None:
    page = report_markdown(report)
    page.encode("utf-8")
    found_tables = tables(page)
    assert found_tables
    for table in found_tables:
        assert len({len(line) for line in table}) == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", "a\\|b"),
        ("- a", "\\- a"),
        ("-0.5", "-0.5"),
        ("12. a", "12\\. a"),
        ("3.11.9", "3.11.9"),
        ("snake_case", "snake_case"),
        ("_it_", "\\_it\\_"),
        ("a\nb\tc", "a b c"),
        ("https://a.b", "https:\\/\\/a.b"),
    ],
)
def test_only_signs_that_mean_something_are_escaped(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_a_code_block_cannot_be_closed_from_within() -> None:
    lines = fenced("a\n```\nb").splitlines()
    assert lines == ["````", "a", "```", "b", "````"]
    assert fenced(" \n") == ""


def test_columns_of_a_table_line_up_as_text() -> None:
    lines = markdown_table(["name", "n"], [["音楽", "1"], ["a", "1,000"]]).splitlines()
    assert lines == ["| name |     n |", "| ---- | ----: |", "| 音楽 |     1 |", "| a    | 1,000 |"]
