"""Two sets compared: paired by prompt, tested by permutation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from midi_llm.errors import RequestError
from midi_llm.evaluate.compare import compare_sets, comparison_warnings
from midi_llm.evaluate.metric import Metric, Result
from midi_llm.evaluate.record import Report, SetReport, TakeLine

GOOD = Metric(name="test.good", unit="share", better="higher", about="a good thing")
BAD = Metric(name="test.bad", unit="", better="lower", about="a bad thing")
PLAIN = Metric(name="test.plain", unit="", better=None, about="a thing")


def result(metric: Metric, values: object, **facts: str | int) -> Result:
    found = np.atleast_1d(np.asarray(values, float))
    mean = float(np.nanmean(found)) if len(found) else 0.5
    return Result(
        metric=metric, value=mean, low=mean, high=mean, count=len(found), values=tuple(found.tolist()), facts=facts
    )


def made(name: str, *results: Result, takes: int = 1, prefix: str = "p", count: int = 40) -> SetReport:
    lines = [
        TakeLine(prompt=f"{prefix}{prompt}", text=f"{prefix} tune {prompt}", number=number)
        for prompt in range(count // takes)
        for number in range(takes)
    ]
    return SetReport(name=name, takes=tuple(lines), results=results)


def noise(seed: int, count: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=count)


def test_pairing_finds_what_the_difficulty_of_prompts_would_hide() -> None:
    difficulty, gain = 5 * noise(1), 0.3 + 0.1 * noise(2)
    paired = compare_sets(made("a", result(GOOD, difficulty)), made("b", result(GOOD, difficulty + gain)))[0]
    apart = compare_sets(made("a", result(GOOD, difficulty)), made("b", result(GOOD, difficulty + gain), prefix="q"))[0]
    assert paired.value == pytest.approx(gain.mean())
    assert apart.value == pytest.approx(gain.mean())
    assert (paired.paired, apart.paired) == (True, False)
    assert paired.p < 0.001 < 0.5 < apart.p
    assert paired.low < gain.mean() < paired.high
    assert (paired.better, apart.better) == ("b", "")


def test_the_better_one_follows_from_the_direction_of_the_metric() -> None:
    low, high = noise(3), noise(3) + 2
    found = compare_sets(
        made("a", result(GOOD, low), result(BAD, low), result(PLAIN, low)),
        made("b", result(GOOD, high), result(BAD, high), result(PLAIN, high)),
    )
    assert [one.better for one in found] == ["b", "a", ""]


def test_the_chance_of_equal_sets_is_one() -> None:
    (same,) = compare_sets(made("a", result(GOOD, noise(4))), made("b", result(GOOD, noise(4))))
    assert (same.value, same.p, same.better) == (0.0, 1.0, "")


def test_the_sign_test_agrees_with_all_signs_counted_out() -> None:
    gaps = np.array([0.9, -0.2, 0.4, 0.7, 0.1, -0.3, 0.6, 0.2])
    signs = np.array(list(product((-1, 1), repeat=8)))
    exact = np.mean(np.abs(signs @ gaps) >= abs(gaps.sum()) - 1e-12)
    (found,) = compare_sets(made("a", result(GOOD, np.zeros(8)), count=8), made("b", result(GOOD, gaps), count=8))
    assert found.p == pytest.approx(exact, abs=0.012)


def test_p_values_of_pure_chance_are_uniform() -> None:
    sets = [
        (made("a", result(PLAIN, noise(seed), count=40)), made("b", result(PLAIN, noise(1000 + seed)), prefix=prefix))
        for seed in range(60)
        for prefix in ("p", "q")
    ]
    found = np.array([compare_sets(a, b)[0].p for a, b in sets])
    assert abs(found.mean() - 0.5) < 0.1
    assert np.mean(found < 0.05) < 0.12


def test_takes_of_a_prompt_are_one_piece_of_evidence() -> None:
    per_prompt = noise(5, 10)
    once = compare_sets(made("a", result(GOOD, np.zeros(10)), count=10), made("b", result(GOOD, per_prompt), count=10))[
        0
    ]
    eight = compare_sets(
        made("a", result(GOOD, np.zeros(80)), takes=8, count=80),
        made("b", result(GOOD, np.repeat(per_prompt, 8)), takes=8, count=80),
    )[0]
    assert eight.prompts == 10
    assert (eight.value, eight.p) == pytest.approx((once.value, once.p))


def test_p_is_adjusted_for_the_number_of_metrics_that_judge() -> None:
    gap = 0.75 * np.ones(40) + noise(6)
    metrics = [Metric(name=f"test.m{number}", unit="", better="higher", about="") for number in range(20)]
    alone = compare_sets(made("a", result(metrics[0], np.zeros(40))), made("b", result(metrics[0], gap)))[0]
    many = compare_sets(
        made("a", *(result(metric, np.zeros(40)) for metric in metrics)),
        made("b", *(result(metric, gap if metric is metrics[0] else noise(7) * 0) for metric in metrics)),
    )
    assert many[0].p == pytest.approx(20 * alone.p, rel=0.6)
    assert all(one.p == 1.0 for one in many[1:])


def test_prompts_to_which_a_metric_does_not_apply_are_left_out() -> None:
    values = noise(8)
    values[:10] = np.nan
    (found,) = compare_sets(made("a", result(GOOD, noise(9))), made("b", result(GOOD, values)))
    assert found.prompts == 30
    assert found.value == pytest.approx(np.mean(values[10:] - noise(9)[10:]))


def test_one_id_with_two_texts_is_no_pair() -> None:
    a, b = made("a", result(GOOD, noise(1))), made("b", result(GOOD, noise(2)))
    other = SetReport(
        name="b",
        takes=tuple(TakeLine(prompt=take.prompt, text="something else", number=0) for take in b.takes),
        results=b.results,
    )
    assert compare_sets(a, b)[0].paired
    assert not compare_sets(a, other)[0].paired


def test_statistics_of_a_set_stand_side_by_side_without_a_test() -> None:
    overlap = Metric(name="distribution.overlap", unit="share", better="higher", about="")
    (found,) = compare_sets(made("a", result(overlap, ())), made("b", result(overlap, ())))
    assert np.isnan([found.value, found.p]).all()
    assert found.better == ""


def test_engines_are_compared_contender_by_contender() -> None:
    speed = Metric(name="speed.rtf", unit="", better="higher", about="")
    a = made("a", result(speed, (1.0,), contender="onnx", batch=1), result(speed, (2.0,), contender="onnx", batch=4))
    b = made("b", result(speed, (3.0,), contender="onnx", batch=4))
    (found,) = compare_sets(a, b)
    assert (found.a.value, found.b.value) == (2.0, 3.0)


def test_sets_without_a_common_metric_are_refused() -> None:
    with pytest.raises(RequestError, match="no metric in common"):
        compare_sets(made("a", result(GOOD, noise(1))), made("b", result(BAD, noise(1))))


def test_other_settings_are_warned_of() -> None:
    a, b = (Report(sets=(), settings={"takes": 1, "seconds": seconds}) for seconds in (30.0, 20.0))
    assert comparison_warnings(a, b) == ["seconds was 30.0 in A and 20.0 in B"]
    assert comparison_warnings(a, a) == []
