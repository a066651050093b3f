"""Several systems under one plan: composed, measured, and set side by side.

In: `Entrant`s, the first of them under test, real music as the yardstick. Out: a `SetReport` each, and the files of
their takes in a folder each. What takes are composed is the system's business, what they are worth the families'; here
is only the order of things, so that a run that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from midi_llm.data.runs import RunIndex
from midi_llm.errors import RequestError
from midi_llm.evaluate.families import Findings, analyse_all, measure_takes
from midi_llm.evaluate.memorisation import Copied
from midi_llm.evaluate.metric import Result
from midi_llm.evaluate.prompts import Prompt
from midi_llm.evaluate.record import CopyLine, SetReport, TakeLine, take_ranks
from midi_llm.evaluate.run import Plan, compose_takes
from midi_llm.evaluate.systems.base import System
from midi_llm.evaluate.systems.pieces import Pieces
from midi_llm.evaluate.take import Take
from midi_llm.music.read import parse_midi

OnStep = Callable[[str, int, int], None]
"""Called with a step's name, what is done of it, and of how much."""


class Listener(Protocol):
    """Whoever judges takes by ear (`evaluate.audio`): results of a set against real music, if there is any."""

    def __call__(self, takes: Sequence[Take], reference: Sequence[Take], name: str) -> Sequence[Result]:
        """Results of the set called `name`."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Entrant:
    """A system and what it is asked for."""

    system: System
    plan: Plan


def assess(
    entrants: Sequence[Entrant],
    folder: Path,
    *,
    reference: Sequence[Take] = (),
    runs: RunIndex | None = None,
    listen: Listener | None = None,
    seed: int = 0,
    workers: int = 1,
    on_step: OnStep | None = None,
) -> tuple[SetReport, ...]:
    """Compose and measure every entrant, in order.

    `reference` is real music, for distributions and for the ear; `runs` the training corpus; what is not there is not
    measured. All takes are composed before any is measured. Raises `RequestError` for two systems of one name or for
    none, and as `compose_takes`.
    """
    names = [entrant.system.name for entrant in entrants]
    if not names or len(set(names)) < len(names):
        raise RequestError(f"systems are {names}; needed is one or more, each with a name of its own")
    step = on_step or (lambda name, done, of: None)
    sets = [_composed(entrant, folder, step) for entrant in entrants]
    real = None
    if reference:
        real = analyse_all(reference, workers=workers, on_done=lambda done, of: step("measuring real music", done, of))
    reports = []
    for entrant, takes in zip(entrants, sets, strict=True):
        name = entrant.system.name

        def on_done(done: int, of: int, name: str = name) -> None:
            step(f"measuring {name}", done, of)

        found = measure_takes(takes, reference=real, runs=runs, seed=seed, workers=workers, on_done=on_done)
        results = [*found.results, *(listen(takes, reference, name) if listen is not None else ())]
        reports.append(_report(entrant, takes, results, found, folder))
    return tuple(reports)


def takes_of(pieces: Pieces, prompts: Sequence[Prompt]) -> list[Take]:
    """Pieces that are there already as takes of their prompts, without a folder: a reference, not an entrant."""
    return [Take(prompt=prompt, score=parse_midi(pieces.midi[prompt.id], name=prompt.id)) for prompt in prompts]


def _composed(entrant: Entrant, folder: Path, step: OnStep) -> list[Take]:
    name, plan = entrant.system.name, entrant.plan
    of = len(plan.prompts) * plan.takes
    done = 0

    def on_take(take: Take) -> None:
        nonlocal done
        done += 1
        step(f"composing {name}", done, of)

    return compose_takes(entrant.system, plan, folder / name, on_take=on_take)


def _report(
    entrant: Entrant, takes: Sequence[Take], results: Sequence[Result], found: Findings, folder: Path
) -> SetReport:
    has_notes = np.array([take.score.note_count > 0 for take in takes])
    ranks = np.where(has_notes, take_ranks(results, len(takes)), 0.0)
    lines = [
        TakeLine(
            prompt=take.prompt.id,
            text=take.prompt.text,
            number=take.number,
            seed=take.seed,
            file=take.path.relative_to(folder).as_posix() if take.path is not None else None,
            error=take.error,
            rank=float(rank),
        )
        for take, rank in zip(takes, ranks, strict=True)
    ]
    return SetReport(
        name=entrant.system.name,
        description=entrant.system.describe(),
        takes=tuple(lines),
        results=tuple(results),
        warnings=found.warnings,
        copies=tuple(_copy_line(copy) for copy in found.copies),
    )


def _copy_line(copy: Copied) -> CopyLine:
    run = copy.run
    return CopyLine(
        prompt=copy.take.prompt.id,
        number=copy.take.number,
        notes=run.notes,
        varied=run.varied,
        seconds=run.seconds,
        instrument=run.instrument,
        piece=run.piece,
        pieces=run.pieces,
    )
