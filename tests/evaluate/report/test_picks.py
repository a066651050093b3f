"""The takes that stand for a set."""

from __future__ import annotations

import numpy as np
import pytest

from evaluate.report.reports import NAN
from midi_llm.evaluate.record import SetReport, TakeLine
from midi_llm.evaluate.report.picks import median_take, picks, rank_said
from midi_llm.evaluate.report.wording import NOTHING


def lines(*ranks: float) -> list[TakeLine]:
    return [
        TakeLine(prompt=f"p{place:03d}", text="t", number=0, file=f"{place}.mid", rank=rank)
        for place, rank in enumerate(ranks)
    ]


def ranks(kinds: dict[str, list[TakeLine]]) -> dict[str, list[float]]:
    return {kind: [take.rank for take in takes] for kind, takes in kinds.items()}


def test_best_middle_and_worst_are_three_each() -> None:
    shuffled = np.random.default_rng(0).permutation(101) / 100
    assert ranks(picks(lines(*shuffled.tolist()))) == {
        "best": [1.0, 0.99, 0.98],
        "median": [0.51, 0.5, 0.49],
        "worst": [0.02, 0.01, 0.0],
    }


@pytest.mark.parametrize("count", range(1, 12))
def test_no_take_stands_for_two_kinds(count: int) -> None:
    found = [take.prompt for takes in picks(lines(*np.linspace(1, 0, count))).values() for take in takes]
    assert len(set(found)) == len(found) == min(count, max(count // 3, 1) * 3, 9)


def test_a_take_without_a_rank_is_not_picked() -> None:
    assert ranks(picks(lines(NAN, 0.5, NAN))) == {"best": [0.5]}
    assert picks(lines(NAN)) == {}


def test_ties_are_in_the_order_of_the_prompts() -> None:
    assert [take.prompt for take in picks(lines(*[0.5] * 9))["best"]] == ["p000", "p001", "p002"]


def test_the_median_of_a_set_is_its_middle_take_or_the_first_where_none_is_ranked() -> None:
    middle = median_take(SetReport(name="a", takes=tuple(lines(0.9, 0.1, 0.5))))
    assert middle is not None
    assert middle.rank == 0.5
    first = median_take(SetReport(name="a", takes=(TakeLine(prompt="x", text="", number=0), *lines(NAN, NAN))))
    assert first is not None
    assert first.prompt == "p000"
    assert median_take(SetReport(name="a")) is None


def test_a_rank_is_said_with_two_decimals() -> None:
    assert [rank_said(take) for take in lines(0.5, NAN)] == ["0.50", NOTHING]
