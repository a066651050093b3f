"""How figures are said."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.report.reports import DENSITY, KEY, NAN, NUMBERS, found, nothing
from midi_llm.evaluate.metric import Result
from midi_llm.evaluate.report.wording import NOTHING, Said, fact, number, pairs, plural, say, say_row


def share(value: float, low: float, high: float) -> Result:
    return replace(found(KEY, value), low=low, high=high)


def other(value: float, low: float, high: float) -> Result:
    return replace(found(DENSITY, value), low=low, high=high)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (share(0.826, 0.79, 0.87), "0.83 [0.79, 0.87]"),
        (share(0.97, 0.93, 1.0), "0.97 [0.93, 1.00]"),
        (share(0.998, 0.99, 1.0), "0.998 [0.990, 1.000]"),
        (share(0.9999, 0.9998, 1.0), ">0.999 [>0.999, 1.000]"),
        (share(3e-7, 0.0, 0.021), "<0.001 [0.000, 0.021]"),
        (share(1.3, 0.9, 2.0), "1.3 [0.9, 2.0]"),
        (other(0.0933, -0.035, 0.221), "0.09 [-0.04, 0.22]"),
        (other(-0.001, -0.06, 0.06), "0.00 [-0.06, 0.06]"),
        (other(171.2, 167.4, 175.1), "171 [167, 175]"),
        (other(1210.4, 1210.4, 1210.4), "1,210 [1,210, 1,210]"),
        (other(0.05004, 0.0490, 0.0515), "0.0500 [0.0490, 0.0515]"),
        (other(0.0, 0.0, 0.0), "0 [0, 0]"),
        (other(5.0, NAN, NAN), "5.00"),
        (other(math.inf, 1.0, math.inf), "∞ [1.00, ∞]"),
    ],
)
def test_a_value_has_as_many_digits_as_mean_something(result: Result, said: str) -> None:
    words = say(result, 12)
    assert f"{words.value} {words.interval}".strip() == said


def test_the_count_is_said_where_it_is_not_that_of_all_takes() -> None:
    assert say(found(KEY, 0.5, count=12), 12).count == ""
    assert say(found(KEY, 0.5, count=1200), 12).count == "n = 1,200"


def test_what_is_no_number_is_a_dash_and_nothing_else() -> None:
    assert say(nothing(KEY), 12) == Said(value=NOTHING)


def test_neighbours_have_equally_many_decimals_unless_they_differ_much() -> None:
    row = [other(3.21, 2.88, 3.59), None, other(4.4, 3.6, 5.3), other(18.0, 12.0, 29.0), nothing(DENSITY)]
    said = [one.value if one is not None else None for one in say_row(row, [12] * 5)]
    assert said == ["3.21", None, "4.40", "18", NOTHING]


@given(NUMBERS, st.integers(0, 6), st.sampled_from(["share", ""]))
def test_any_number_can_be_said_and_a_share_between_is_never_said_to_be_at_an_end(
    value: float, decimals: int, unit: str
) -> None:
    said = number(value, decimals, unit)
    assert said
    assert not said.startswith("-0") or float(said.replace(",", "")) != 0
    if unit == "share" and 0 < value < 1:
        assert said[0] in "<>" or 0 < float(said) < 1


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "none"),
        (True, "yes"),
        (48000.0, "48000"),
        (-23.1254321, "-23.1254"),
        (2**40, "1099511627776"),
        (NAN, NOTHING),
        ({"a": 1, "b": {"c": [1, 2]}}, "a 1; b (c (1, 2))"),
        ([], "none"),
        ({}, "none"),
    ],
)
def test_facts_are_said_as_they_are(value: object, said: str) -> None:
    assert fact(value) == said  # type: ignore[arg-type]


def test_names_of_settings_are_words() -> None:
    assert pairs({"prompts_sha256": "ab_c"}) == [("prompts sha256", "ab_c")]
    assert (plural(1, "take"), plural(1200, "take")) == ("1 take", "1,200 takes")
