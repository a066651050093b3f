"""Labels of results that share a metric, and facts by what they hold for."""

from __future__ import annotations

import math

from evaluate.report.reports import FAD, engine, found, heard, make_report
from midi_llm.evaluate import distribution, speed, validity
from midi_llm.evaluate.control import instruments, key, metre, tempo
from midi_llm.evaluate.record import Report, SetReport
from midi_llm.evaluate.report.facts import Entry, Estimator, grouped, labels, telling_facts
from midi_llm.evaluate.report.sections import KEY_FIGURES, families


def entry(system: str, metric: str, value: str, **parts: str) -> Entry:
    return Entry(system=system, metric=metric, parts=parts, value=value)


def test_contender_and_batch_label_a_race_and_nothing_else() -> None:
    results = [engine("onnx", 1, 5.0), engine("onnx", 4, 9.0), engine("torch", 1, 3.0)]
    telling = telling_facts([results])
    assert telling == {"speed.tokens_per_second": ("contender", "batch")}
    assert list(labels(results, telling)) == ["onnx, batch 1", "onnx, batch 4", "torch, batch 1"]
    assert list(labels(results[:1], telling_facts([results[:1]]))) == ["onnx, batch 1"]


def test_as_few_facts_as_suffice_tell_results_apart_names_before_numbers() -> None:
    sets = [[heard(0.5, "clap", -20.0), heard(0.6, "vggish", -21.0)], [heard(0.5, "clap", -22.0)]]
    telling = telling_facts(sets)
    assert telling == {"audio.fad": ("embedding",)}
    assert [list(labels(one, telling)) for one in sets] == [["clap", "vggish"], ["clap"]]
    assert telling_facts([sets[1], sets[1]]) == {"audio.fad": ()}


def test_results_that_nothing_tells_apart_are_numbered() -> None:
    results = [found(FAD, 0.1), found(FAD, 0.2)]
    assert list(labels(results, telling_facts([results]))) == ["", "(no. 2)"]
    report = Report(sets=(SetReport(name="a", results=tuple(results)),))
    assert [row.name for family in families(report) for row in family.rows] == ["fad", "fad, (no. 2)"]


def test_a_fact_is_said_in_the_shortest_way_that_is_exact() -> None:
    same = [entry(system, metric, "1") for system in "ab" for metric in "xy"]
    assert grouped(same, rows=2) == "1"
    assert grouped(same, rows=5) == "1 (x; y)"
    by_set = [entry(system, metric, f"v{system}") for system in "ab" for metric in "xy"]
    assert grouped(by_set, rows=2) == "va (a); vb (b)"
    by_metric = [entry(system, metric, "1" if metric == "x" else "2") for system in "ab" for metric in "xyz"]
    assert grouped(by_metric, rows=3) == "1 (x); 2 (y, z)"
    by_part = [entry("a", metric, who, who=who) for metric in "xy" for who in ("p", "q")]
    assert grouped(by_part, rows=4) == "p (p); q (q)"
    mixed = [entry("a", "x", "1"), entry("a", "y", "2"), entry("b", "x", "2"), entry("b", "y", "1")]
    assert grouped(mixed, rows=2) == "1 (a: x, b: y); 2 (a: y, b: x)"


def test_an_estimator_is_known_by_its_figure() -> None:
    known = Estimator.of({"estimator": "0.86 of them", "estimator_value": 0.861, "estimator_count": 237})
    assert known is not None
    assert (known.said, known.number, known.is_known) == ("0.86", "n = 237", True)
    counted = Estimator.of({"estimator": "none: counted"})
    assert counted is not None
    assert (counted.said, counted.number, counted.is_known) == ("counted", "", False)
    assert math.isnan(counted.value)
    assert Estimator.of({"embedding": "clap"}) is None


def test_rows_of_a_metric_stand_together_in_the_order_of_the_first_set() -> None:
    found_families = families(make_report())
    assert [family.name for family in found_families] == ["validity", "control", "texture", "audio", "speed"]
    speed_rows = [row.label for row in found_families[-1].rows]
    assert speed_rows == ["onnx, batch 1", "onnx, batch 4", "torch, batch 1", "torch, batch 4"]
    assert [result is None for result in found_families[-1].rows[0].results] == [False, True, True]


def test_every_key_figure_is_a_metric_of_ours() -> None:
    metrics = (validity.STRICT, validity.ENDED, instruments.RECALL, key.KEY, metre.HEARD, *tempo.HEARD)
    names = {metric.name for metric in (*metrics, distribution.OVERLAP, speed.TAKE_RTF)}
    assert set(KEY_FIGURES) <= names
