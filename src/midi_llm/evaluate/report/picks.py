"""The takes that stand for a set: the best, the middle and the worst by rank.

In: `TakeLine`s. Out: some of them, in order. Knows nothing of pictures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from midi_llm.evaluate.record import Report, SetReport, TakeLine
from midi_llm.evaluate.report.wording import NOTHING

EACH = 3
"""Takes of a kind, of the system under test."""


def picks(takes: Sequence[TakeLine], each: int = EACH) -> dict[str, list[TakeLine]]:
    """The "best", "median" and "worst" takes, best first, at most `each` of a kind and no take twice.

    Kinds are equally many, and the middle ones lie around the median rank. Takes without a rank are not among them.
    """
    ranked = sorted((take for take in takes if not math.isnan(take.rank)), key=_order)
    size = min(each, max(len(ranked) // 3, 1))
    best, rest = ranked[:size], ranked[size:]
    between, worst = rest[:-size], rest[-size:]
    start = (len(between) - size + 1) // 2
    found = {"best": best, "median": between[max(start, 0) :][:size], "worst": worst}
    return {kind: chosen for kind, chosen in found.items() if chosen}


def median_take(one: SetReport) -> TakeLine | None:
    """The middle take of a set by rank; where none is ranked, the first that is there."""
    ranked = sorted((take for take in one.takes if not math.isnan(take.rank)), key=_order)
    if ranked:
        return ranked[(len(ranked) - 1) // 2]
    return next((take for take in one.takes if take.file is not None), None)


def shown_takes(report: Report) -> list[tuple[str, TakeLine]]:
    """(what it is, take): best, median and worst of the system under test, then the median of each other set."""
    first, *others = report.sets
    own = [(kind, take) for kind, chosen in picks(first.takes).items() for take in chosen]
    return own + [(f"median of {one.name}", take) for one in others if (take := median_take(one)) is not None]


def rank_said(take: TakeLine) -> str:
    """Its rank, or a dash."""
    return NOTHING if math.isnan(take.rank) else f"{take.rank:.2f}"


def _order(take: TakeLine) -> tuple[float, str, int]:
    return -take.rank, take.prompt, take.number
