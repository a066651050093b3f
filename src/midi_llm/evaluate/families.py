"""All families of metrics over one set of takes.

In: takes, and the yardsticks at hand: real music to compare distributions with, an index of the training corpus. Out:
`Result`s in the order of the families, with intervals, and what to be warned of. Analysis and the families that need
nothing but single takes run in several processes; the results do not depend on how many. Audio and the race of
engines are not here: they need more than takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from midi_llm.data.parallel import run_tasks
from midi_llm.data.runs import RunIndex
from midi_llm.errors import RequestError
from midi_llm.evaluate import (
    control,
    distribution,
    memorisation,
    repetition,
    rhythm,
    speed,
    texture,
    tonality,
    validity,
)
from midi_llm.evaluate.analysis import Analysis, analyse_takes
from midi_llm.evaluate.estimators import estimator_facts, load_errors
from midi_llm.evaluate.metric import Integers, Measured, Result, summarise
from midi_llm.evaluate.take import Take

CHUNK = 8
"""Takes that a process is given at once."""
MOST_COPIES = 5
"""Takes that a report names as closest to the training pieces."""
MUSIC = (tonality, rhythm, texture, repetition)
"""Families that look at notes and nothing else."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Findings:
    """What was found of a set of takes."""

    results: tuple[Result, ...]
    warnings: tuple[str, ...]
    copies: tuple[memorisation.Copied, ...] = ()
    """The longest runs shared with the training pieces."""


def measure_takes(
    takes: Sequence[Take],
    *,
    reference: Sequence[Analysis] | None = None,
    runs: RunIndex | None = None,
    seed: int = 0,
    workers: int = 1,
    on_done: Callable[[int, int], None] | None = None,
) -> Findings:
    """Every family over `takes`. `on_done(chunks, of)` is called while they are analysed.

    `reference` is real music, for `distribution`; no piece of it may be among the takes. `runs` is the index of the
    training corpus, for `memorisation`. Without one its family is left out. Raises `RequestError` without takes. With
    `workers` > 1 processes are spawned (`data.parallel.run_tasks`).
    """
    if not takes:
        raise RequestError("there are no takes to judge; at least one is needed")
    groups = prompt_groups(takes)
    analyses, by_take = _analysed(takes, workers=workers, on_done=on_done)
    measured = [*validity.evaluate(takes), *by_take]
    warnings = [*validity.validate(takes), *control.validate(takes, analyses)]
    for family in MUSIC:
        warnings += family.validate(analyses)
    errors = load_errors()
    results = [summarise(one, groups, seed=seed, facts=estimator_facts(one.metric.name, errors)) for one in measured]
    if reference is not None:
        compared = distribution.evaluate(analyses, reference, groups, seed=seed)
        results += compared
        warnings += [warning for result in compared for warning in result.warnings]
    copies: list[memorisation.Copied] = []
    if runs is not None:
        facts = memorisation.index_facts(runs)
        warnings += memorisation.validate(takes, runs)
        results += [summarise(one, groups, seed=seed, facts=facts) for one in memorisation.evaluate(takes, runs)]
        copies = memorisation.longest(takes, runs, count=MOST_COPIES)
    if any(take.wall_seconds is not None for take in takes):
        warnings += speed.validate(takes)
        results += [summarise(one, groups, seed=seed) for one in speed.evaluate(takes)]
    return Findings(results=tuple(results), warnings=tuple(dict.fromkeys(warnings)), copies=tuple(copies))


def prompt_groups(takes: Sequence[Take]) -> Integers:
    """The number [takes] of each take's prompt, in the order in which prompts first come."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(take.prompt.id, len(numbers)) for take in takes], np.int64)


def analyse_all(
    takes: Sequence[Take], *, workers: int = 1, on_done: Callable[[int, int], None] | None = None
) -> list[Analysis]:
    """The `Analysis` of each take, in several processes."""
    parts = run_tasks(analyse_takes, _chunks(takes), workers=workers, on_done=on_done)
    return [analysis for part in parts for analysis in part]


def _chunks(takes: Sequence[Take]) -> list[Sequence[Take]]:
    return [takes[first : first + CHUNK] for first in range(0, len(takes), CHUNK)]


def _analysed(
    takes: Sequence[Take], *, workers: int, on_done: Callable[[int, int], None] | None
) -> tuple[list[Analysis], list[Measured]]:
    """The `Analysis` of each take, and the families `control` and `MUSIC`, a value a take."""
    parts = run_tasks(_analyse_chunk, _chunks(takes), workers=workers, on_done=on_done)
    analyses = [analysis for found, _ in parts for analysis in found]
    columns = zip(*(measured for _, measured in parts), strict=True)
    return analyses, [
        Measured(metric=column[0].metric, values=np.concatenate([one.values for one in column])) for column in columns
    ]


def _analyse_chunk(takes: Sequence[Take]) -> tuple[list[Analysis], list[Measured]]:
    analyses = analyse_takes(takes)
    measured = control.evaluate(takes, analyses)
    for family in MUSIC:
        measured += family.evaluate(analyses)
    return analyses, measured
