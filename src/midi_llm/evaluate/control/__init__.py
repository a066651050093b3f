"""Control: whether takes are what their prompts say: instruments, tempo, key, metre, length, density, register.

In: takes, whose prompts carry machine-readable facts, and their `Analysis`es. Out: a value a take, nan where the prompt
does not state that fact or the take has no notes. Moods and styles are not judged: that needs ears (CLAP, audio).
What is heard is estimated; `evaluate.estimators.estimator_facts` says of each metric how often its estimator is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from midi_llm.evaluate.analysis import Analysis
from midi_llm.evaluate.control import instruments, key, metre, tempo, words
from midi_llm.evaluate.control.wish import wishes
from midi_llm.evaluate.metric import Measured
from midi_llm.evaluate.prompts import PromptFacts
from midi_llm.evaluate.take import Take

__all__ = ["evaluate", "validate"]


def validate(takes: Sequence[Take], analyses: Sequence[Analysis]) -> tuple[str, ...]:
    """Warnings about prompts that state nothing and takes that cannot be judged.

    Raises `RequestError` when there is no take or not one analysis for each.
    """
    asked = wishes(takes, analyses)
    nothing = PromptFacts()
    counts = (
        (sum(_checkable(wish.facts) == nothing for wish in asked), "have a prompt without a fact that is checked here"),
        (sum(not len(wish.notes) for wish in asked), "have no notes: they count in validity, not in control"),
        (
            sum(len(wish.notes) > 0 and wish.analysis.grid is None for wish in asked),
            "have no beat that could be heard: a tempo, pace or metre asked of them counts as missed",
        ),
    )
    return tuple(f"{count} of {len(asked)} takes {what}" for count, what in counts if count)


def evaluate(takes: Sequence[Take], analyses: Sequence[Analysis]) -> list[Measured]:
    """All metrics of the family, a value a take. Raises `RequestError` as `validate`."""
    asked = wishes(takes, analyses)
    return [measured for family in (instruments, tempo, key, metre, words) for measured in family.evaluate(asked)]


def _checkable(facts: PromptFacts) -> PromptFacts:
    """The facts without those that need ears."""
    return replace(facts, moods=(), styles=())
