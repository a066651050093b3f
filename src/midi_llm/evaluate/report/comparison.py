"""Two systems compared, as Markdown: what differs, how surely, and what could not be tested.

In: `Difference`s and the two `SetReport`s. Out: text that names its tests and what they do not see.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from midi_llm.evaluate.compare import FLIPS, LABELS, SIGNIFICANT, Difference
from midi_llm.evaluate.metric import LEVEL
from midi_llm.evaluate.record import SetReport
from midi_llm.evaluate.report.markdown import markdown_table, plain
from midi_llm.evaluate.report.sections import ABOUT
from midi_llm.evaluate.report.wording import NOTHING, arrow, family_of, number, plural, say, short_name

_NO_TEST = "not tested"
_DECIMALS = 3


def comparison_markdown(
    differences: Sequence[Difference], a: SetReport, b: SetReport, *, warnings: Sequence[str] = ()
) -> str:
    """The whole page, ending with a line end. A and B may have one name: the columns are called A and B."""
    parts = [
        f"# A: {plain(a.name)}, B: {plain(b.name)}",
        _lead(differences, a, b),
        "\n".join(f"* Careful: {plain(warning)}" for warning in warnings),
        _verdict(differences),
        *_tables(differences, a, b),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _lead(differences: Sequence[Difference], a: SetReport, b: SetReport) -> str:
    paired = any(one.paired for one in differences)
    how = (
        "Both have the same prompts, which are compared one by one: a permutation test that flips signs"
        if paired
        else "They have different prompts, which are compared as two groups: a permutation test that deals them anew"
    )
    return (
        f"{plural(len(a.takes), 'take')} of A, {plural(len(b.takes), 'take')} of B. {how}"
        f" ({FLIPS if paired else FLIPS // 5:,} draws, two-sided), p adjusted by Holm's method over the metrics that"
        f" judge; those that only describe keep theirs. Intervals hold {100 * LEVEL:.0f} % of bootstrap resamples over"
        f" prompts; significant is p < {SIGNIFICANT:.2f}. Statistics of a whole set are {_NO_TEST}: look at their"
        " intervals."
    )


def _verdict(differences: Sequence[Difference]) -> str:
    """Which metrics speak for whom."""
    lines = []
    for name in ("a", "b"):
        found = [f"{family_of(one.metric)} {short_name(one.metric)}" for one in differences if one.better == name]
        lines.append(f"* {name.upper()} is better in {len(found)}: {plain(', '.join(found)) or 'nothing'}")
    return "\n".join(lines)


def _tables(differences: Sequence[Difference], a: SetReport, b: SetReport) -> Iterator[str]:
    """A table for each family."""
    names = dict.fromkeys(family_of(one.metric) for one in differences)
    for family in names:
        rows = [_row(one, a, b) for one in differences if family_of(one.metric) == family]
        yield f"## {ABOUT.get(family, (family.capitalize(), ''))[0]}"
        yield markdown_table(["metric", "unit", "A", "B", "B - A", "prompts", "p", "better"], rows, words=(0, 1))


def _row(one: Difference, a: SetReport, b: SetReport) -> list[str]:
    told = [str(one.a.facts[key]) for key in LABELS if key in one.a.facts]
    name = ", ".join([short_name(one.metric), *told])
    gap = NOTHING
    if not math.isnan(one.value):
        value, low, high = (_signed(found) for found in (one.value, one.low, one.high))
        gap = f"{value} [{low}, {high}]"
    return [
        f"{plain(name)} {arrow(one.metric)}".strip(),
        plain(one.metric.unit),
        say(one.a, len(a.takes)).value,
        say(one.b, len(b.takes)).value,
        gap,
        str(one.prompts) if one.prompts else "",
        _NO_TEST if math.isnan(one.p) else number(one.p, _DECIMALS, "share"),
        one.better.upper(),
    ]


def _signed(value: float) -> str:
    """Three decimals, with the sign that tells who has more."""
    said = number(value, _DECIMALS)
    return said if said.startswith("-") or float(said.replace(",", "")) == 0 else f"+{said}"
