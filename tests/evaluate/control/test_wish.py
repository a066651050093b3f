"""The control family as a whole: wishes, warnings, errors, names, and takes that cannot be judged."""

from __future__ import annotations

import numpy as np
import pytest

from evaluate.tunes import EMPTY, tune
from midi_llm.errors import RequestError
from midi_llm.evaluate import control
from midi_llm.evaluate.analysis import Analysis, analyse_takes
from midi_llm.evaluate.control.wish import control_metric, judge, wishes
from midi_llm.evaluate.prompts import Prompt, PromptFacts
from midi_llm.evaluate.take import Take
from midi_llm.music.features import note_table
from midi_llm.music.score import DRUMS, Score

ALL_FACTS = PromptFacts(
    instruments=((73,), (0,), (DRUMS,)),
    only=True,
    without=(40,),
    bpm=120.0,
    pace="fast",
    key="C major",
    mode="major",
    metre=(4, 4),
    seconds=32.0,
    density="sparse",
    register="low",
)


def take(facts: PromptFacts, score: Score | None = None) -> Take:
    return Take(prompt=Prompt(id="p", text="music", facts=facts), score=tune(0) if score is None else score)


def test_every_metric_judges_and_says_what_it_counts() -> None:
    takes = [take(ALL_FACTS)]
    measured = control.evaluate(takes, analyse_takes(takes))
    names = [one.metric.name for one in measured]
    assert len(set(names)) == len(names)
    for one in measured:
        assert one.metric.name.startswith("control.")
        assert one.metric.unit == "share"
        assert one.metric.better == ("lower" if "error" in one.metric.name else "higher")
        assert one.metric.about.endswith(".")
        assert one.values.shape == (1,)
    unknown = {one.metric.name for one in measured if np.isnan(one.values).any()}
    assert unknown == {"control.drums_unwanted"}  # drums were asked for


def test_what_a_prompt_does_not_state_is_not_judged() -> None:
    takes = [take(PromptFacts(moods=("sad",), styles=("folk",)))]
    measured = control.evaluate(takes, analyse_takes(takes))
    assert [one.metric.name for one in measured if not np.isnan(one.values).any()] == ["control.on_written_grid"]


def test_failed_takes_are_not_judged_here() -> None:
    failed = Take(prompt=take(ALL_FACTS).prompt, score=Score(), error="no MIDI file")
    takes = [take(ALL_FACTS), failed, take(ALL_FACTS)]
    for one in control.evaluate(takes, analyse_takes(takes)):
        assert np.isnan(one.values[1])
        assert np.array_equal(one.values[0], one.values[2], equal_nan=True)


def test_warnings_say_what_cannot_be_judged() -> None:
    takes = [take(ALL_FACTS), take(PromptFacts(moods=("sad",))), take(ALL_FACTS, Score())]
    few = Analysis(notes=note_table(tune(0)))  # as if no beat could be heard
    nothing, empty, beatless = control.validate(takes, [few, *analyse_takes(takes[1:])])
    assert nothing.startswith("1 of 3 takes have a prompt without a fact")
    assert empty.startswith("1 of 3 takes have no notes")
    assert beatless.startswith("1 of 3 takes have no beat")
    assert control.validate(takes[:1], analyse_takes(takes[:1])) == ()


@pytest.mark.parametrize("judged", [control.evaluate, control.validate, wishes])
def test_no_takes_and_analyses_of_others_are_refused(judged) -> None:
    with pytest.raises(RequestError, match="no takes to judge"):
        judged([], [])
    with pytest.raises(RequestError, match="2 takes came with 1 analyses"):
        judged([take(ALL_FACTS), take(ALL_FACTS)], [EMPTY])


def test_wishes_carry_what_was_asked_for_in_order() -> None:
    takes = [take(PromptFacts(bpm=float(bpm))) for bpm in (60, 70)]
    analyses = analyse_takes(takes)
    asked = wishes(takes, analyses)
    assert [wish.facts.bpm for wish in asked] == [60.0, 70.0]
    assert [wish.notes for wish in asked] == [analysis.notes for analysis in analyses]


def test_a_value_that_is_none_becomes_nan() -> None:
    takes = [take(PromptFacts(bpm=float(bpm))) for bpm in (60, 70)]
    answers = {60.0: None, 70.0: 0.25}
    measured = judge(
        control_metric("x", "X."), wishes(takes, analyse_takes(takes)), lambda one: answers[one.facts.bpm or 0]
    )
    assert np.isnan(measured.values[0])
    assert measured.values[1] == 0.25
    assert measured.metric.name == "control.x"
