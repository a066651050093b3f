"""Systems set side by side: every metric that judges ranks real music above what nobody composed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluate.built import write_dataset
from midi_llm.data.runs import build_runs
from midi_llm.errors import RequestError
from midi_llm.evaluate.assess import Entrant, assess, takes_of
from midi_llm.evaluate.families import measure_takes, prompt_groups
from midi_llm.evaluate.metric import Result
from midi_llm.evaluate.prompts import Prompt
from midi_llm.evaluate.record import SetReport
from midi_llm.evaluate.run import Plan
from midi_llm.evaluate.systems.floor import RandomGrammar, mismatched, shuffled
from midi_llm.evaluate.systems.real import real_set
from midi_llm.evaluate.take import Take
from midi_llm.music.score import Score

SECONDS = 16.0
PIECES = 12
FAMILIES = ("validity", "control", "tonality", "rhythm", "texture", "repetition", "distribution", "memorisation")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("assess")


@pytest.fixture(scope="module")
def sets(folder: Path) -> dict[str, SetReport]:
    dataset = write_dataset(folder / "data", valid=PIECES, test=PIECES)
    prompts, real = real_set(dataset, count=PIECES, seconds=SECONDS)
    others, yardstick = real_set(dataset, count=PIECES, seconds=SECONDS, split="valid")
    plan = Plan(prompts=tuple(prompts), seconds=SECONDS)
    systems = (real, shuffled(real, seed=0), mismatched(real, prompts, seed=1), RandomGrammar())
    reports = assess(
        [Entrant(system=system, plan=plan) for system in systems],
        folder / "out",
        reference=takes_of(yardstick, others),
        runs=build_runs(dataset),
    )
    return {report.name: report for report in reports}


def judged(report: SetReport) -> dict[str, float]:
    """The value of each metric that judges, higher being better; those that are known."""
    signs = {"higher": 1.0, "lower": -1.0}
    return {
        result.metric.name: signs[result.metric.better] * result.value
        for result in report.results
        if result.metric.better is not None and not np.isnan(result.value)
    }


def test_every_family_reports(sets: dict[str, SetReport]) -> None:
    for report in sets.values():
        assert {result.metric.name.split(".")[0] for result in report.results} == set(FAMILIES)
        assert len(report.takes) == PIECES
        assert all(take.error is None for take in report.takes)


LOST = {
    "random": FAMILIES,
    "shuffled": ("validity.", "rhythm.", "repetition.", "distribution.overlap"),
    "mismatched": ("control.",),
}
"""What each floor has lost of real music: metrics whose names begin so must see it."""


@pytest.mark.parametrize("floor", LOST)
def test_every_metric_that_judges_ranks_real_music_first(sets: dict[str, SetReport], floor: str) -> None:
    real, other = judged(sets["real"]), judged(sets[floor])
    names = {name for name in real.keys() & other.keys() if name.startswith(LOST[floor])}
    if floor == "shuffled":  # single features that do not depend on the order are kept
        names = {name for name in names if not name.startswith("distribution.overlap_")}
    assert len(names) >= 10
    # what is drawn from the grammar is valid too, and ends to the tick: there real music need only be as good
    slack = {name: 0.01 if name.startswith("validity.") else 0.0 for name in names}
    below = {name: (real[name], other[name]) for name in names if real[name] < other[name] - slack[name]}
    assert not below


def test_what_only_chance_could_equal_is_better_by_far(sets: dict[str, SetReport]) -> None:
    """Metrics may tie where both are perfect; these must not."""
    real, random = judged(sets["real"]), judged(sets["random"])
    strict = [
        *("control.instruments_recall", "control.tempo_within_5_heard", "control.key", "rhythm.on_grid"),
        *("tonality.scale_consistency", "repetition.compression_ratio", "repetition.repeated_bars"),
        *("distribution.overlap", "rhythm.groove_consistency"),
    ]
    assert all(real[name] > random[name] + 0.05 for name in strict)


def test_what_takes_share_with_the_training_pieces_is_named(sets: dict[str, SetReport]) -> None:
    found = sets["real"].copies
    assert found
    assert [copy.varied for copy in found] == sorted((copy.varied for copy in found), reverse=True)
    assert all(copy.piece.startswith("folk/") and copy.notes >= 2 for copy in found)


def test_takes_are_ranked_and_their_files_are_there(sets: dict[str, SetReport], folder: Path) -> None:
    for report in sets.values():
        for take in report.takes:
            assert take.file is not None
            assert (folder / "out" / take.file).is_file()
            assert 0.0 <= take.rank <= 1.0


def test_a_metric_that_rests_on_an_estimate_says_how_good_that_is(sets: dict[str, SetReport]) -> None:
    key = sets["real"].result("control.key")
    assert key is not None
    assert 0.5 < float(key.facts["estimator_value"]) <= 1.0
    recall = sets["real"].result("control.instruments_recall")
    assert recall is not None
    assert recall.facts["estimator"] == "none: counted"


def as_numbers(results: Sequence[Result]) -> list[tuple[object, ...]]:
    return [(one.metric.name, repr(one.value), repr(one.low), repr(one.high), repr(one.values)) for one in results]


def test_the_number_of_processes_changes_nothing(folder: Path) -> None:
    prompts, real = real_set(write_dataset(folder / "few", test=10), count=10, seconds=SECONDS)
    takes = takes_of(real, prompts)
    one, two = (measure_takes(takes, workers=workers) for workers in (1, 2))
    assert as_numbers(one.results) == as_numbers(two.results)
    assert one.warnings == two.warnings


def test_the_ear_and_the_reference_are_handed_on(folder: Path) -> None:
    prompts, real = real_set(write_dataset(folder / "heard", test=3), count=3, seconds=SECONDS)
    plan = Plan(prompts=tuple(prompts))
    heard: list[tuple[int, int, str]] = []

    def listen(takes: Sequence[Take], reference: Sequence[Take], name: str) -> list[Result]:
        heard.append((len(takes), len(reference), name))
        return []

    steps: list[tuple[str, int, int]] = []
    assess(
        [Entrant(system=real, plan=plan)],
        folder / "heard-out",
        reference=takes_of(real, prompts)[:2],
        listen=listen,
        on_step=lambda *step: steps.append(step),
    )
    assert heard == [(3, 2, "real")]
    assert ("composing real", 3, 3) in steps
    assert steps[-1] == ("measuring real", 1, 1)


def test_failed_takes_are_counted_and_said_and_the_rest_is_judged() -> None:
    prompt = Prompt(id="p", text="x")
    failed = Take(prompt=prompt, score=Score(), error="no idea")
    found = measure_takes([failed, replace(failed, number=1)])
    results = {result.metric.name: result for result in found.results}
    assert results["validity.failed"].value == 1.0
    assert np.isnan(results["tonality.key_clarity"].value)
    assert any("2 of 2 takes failed" in warning for warning in found.warnings)


def test_nobody_and_two_of_one_name_are_refused(tmp_path: Path) -> None:
    twice = [Entrant(system=RandomGrammar(), plan=Plan(prompts=(Prompt(id="p", text="x"),)))] * 2
    for entrants in ([], twice):
        with pytest.raises(RequestError, match="each with a name of its own"):
            assess(entrants, tmp_path)
    with pytest.raises(RequestError, match="no takes"):
        measure_takes([])


def test_takes_of_one_prompt_have_one_number() -> None:
    takes = [Take(prompt=Prompt(id=name, text="x"), score=Score()) for name in ("b", "a", "b")]
    assert prompt_groups(takes).tolist() == [0, 1, 0]
