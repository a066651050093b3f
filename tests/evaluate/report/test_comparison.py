"""Two systems compared, on one page."""

from __future__ import annotations

import numpy as np

from midi_llm.evaluate.compare import compare_sets
from midi_llm.evaluate.metric import Metric, Result
from midi_llm.evaluate.record import SetReport, TakeLine
from midi_llm.evaluate.report import comparison_markdown
from midi_llm.evaluate.report.wording import NOTHING

GOOD = Metric(name="control.key", unit="share", better="higher", about="")
SPARE = Metric(name="texture.note_density", unit="notes/s", better=None, about="")
OVERLAP = Metric(name="distribution.overlap", unit="share", better="higher", about="")


def made(name: str, *columns: tuple[Metric, object], prefix: str = "p") -> SetReport:
    results = []
    for metric, column in columns:
        values = np.atleast_1d(np.asarray(column, float))
        mean = float(values.mean())
        kept = () if metric is OVERLAP else tuple(values.tolist())
        results.append(Result(metric=metric, value=mean, low=mean, high=mean, count=len(values), values=kept))
    takes = tuple(TakeLine(prompt=f"{prefix}{number}", text="x", number=0) for number in range(40))
    return SetReport(name=name, takes=takes, results=tuple(results))


def page(a: SetReport, b: SetReport, *warnings: str) -> str:
    return comparison_markdown(compare_sets(a, b), a, b, warnings=warnings)


def row(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_each_metric_has_both_values_the_difference_and_its_chance() -> None:
    rng = np.random.default_rng(0)
    low, high = rng.random(40) * 0.2, rng.random(40) * 0.2 + 0.5
    a = made("old|one", (GOOD, low), (SPARE, high * 10), (OVERLAP, 0.5))
    text = page(a, made("new", (GOOD, high), (SPARE, low * 10), (OVERLAP, 0.75)), "seed was 1 in A and 2 in B")
    key = row(text, "key")
    assert key[0] == "key ↑"
    assert key[4].startswith(f"+{(high - low).mean():.3f} [+")
    assert key[5:] == ["40", "<0.001", "B"]
    assert row(text, "note density")[4].startswith("-")
    assert row(text, "note density")[7] == ""
    assert row(text, "overlap")[2:] == ["0.50", "0.75", NOTHING, "", "not tested", ""]
    assert "* B is better in 1: control key" in text
    assert "* A is better in 0: nothing" in text
    assert "* Careful: seed was 1 in A and 2 in B" in text
    assert "# A: old\\|one, B: new" in text
    assert "compared one by one" in text


def test_other_prompts_are_compared_as_groups() -> None:
    text = page(made("a", (GOOD, np.zeros(40))), made("b", (GOOD, np.ones(40)), prefix="q"))
    assert "compared as two groups" in text
    assert row(text, "key")[7] == "B"


def test_equal_sets_have_nothing_to_say() -> None:
    values = np.linspace(0, 1, 40)
    text = page(made("a", (GOOD, values)), made("a", (GOOD, values)))
    assert row(text, "key")[4:] == ["0.000 [0.000, 0.000]", "40", "1.000", ""]
    assert text.endswith("|\n")
