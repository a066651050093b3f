"""A wish and what became of it: the facts that a prompt states beside the notes that came.

In: takes and their `Analysis`es. Out: `Wish`es, and a metric's value for each of them. A wish that the prompt does not
state, and a take without notes, give nan: takes that failed count in `validity`, not here. Where there are notes, but
nothing of the kind that was asked for can be heard in them (a key in drums alone), the wish is not fulfilled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from midi_llm.errors import RequestError
from midi_llm.evaluate.analysis import Analysis
from midi_llm.evaluate.metric import Better, Measured, Metric
from midi_llm.evaluate.prompts import PromptFacts
from midi_llm.evaluate.take import Take
from midi_llm.music.features import NoteTable
from midi_llm.music.score import Score


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Wish:
    """What was asked for and what was delivered."""

    facts: PromptFacts
    score: Score
    analysis: Analysis
    seconds_asked: float | None = None
    """Length asked for beside the prompt."""

    @property
    def notes(self) -> NoteTable:
        """The delivered notes laid flat."""
        return self.analysis.notes


def wishes(takes: Sequence[Take], analyses: Sequence[Analysis]) -> list[Wish]:
    """One `Wish` a take, in order. Raises `RequestError` when there is no take or not one analysis for each."""
    if not takes:
        raise RequestError("there are no takes to judge; at least one is needed")
    if len(takes) != len(analyses):
        raise RequestError(f"{len(takes)} takes came with {len(analyses)} analyses; give one for each, in order")
    return [
        Wish(facts=take.prompt.facts, score=take.score, analysis=analysis, seconds_asked=take.seconds_asked)
        for take, analysis in zip(takes, analyses, strict=True)
    ]


def judge(metric: Metric, asked: Sequence[Wish], value: Callable[[Wish], float | None]) -> Measured:
    """`metric` with the `value` of each wish; None, and any take without notes, become nan."""
    values = [value(wish) if len(wish.notes) else None for wish in asked]
    return Measured(metric=metric, values=np.array([np.nan if v is None else v for v in values], np.float64))


def control_metric(name: str, about: str, *, better: Better = "higher") -> Metric:
    """A metric of this family; all of them are shares or relative errors."""
    return Metric(name=f"control.{name}", unit="share", better=better, about=about)
