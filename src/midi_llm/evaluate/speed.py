"""Speed: how long a take takes, how many tokens a second, how many seconds of music a second.

Conventions: RTF is seconds of music per second of wall clock, more is faster (the inverse of speech recognition's use
of the word). Prompts are counted in the time, loading is not. A full take has as many tokens as fit, 2,046 at most.
In: takes that know their tokens and time (`evaluate`), or contenders to measure (`evaluate_engines`): engines and
`transformers.generate` on the same weights, in turn, in one run. Out: a value a take, or a `Result` for each contender
and batch. Knows no other load on the machine: the `Result`'s facts hold the load average.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np

from midi_llm.errors import RequestError
from midi_llm.evaluate.contenders import Run
from midi_llm.evaluate.machine import machine
from midi_llm.evaluate.metric import Better, Measured, Metric, Result
from midi_llm.evaluate.race import Entry, Event, Failed, Lap, Opened, race
from midi_llm.evaluate.take import Take

BATCHES = (1, 2, 4, 8)
ROUNDS = 3


def _metric(name: str, unit: str, better: Better | None, about: str) -> Metric:
    return Metric(name=f"speed.{name}", unit=unit, better=better, about=about)


TAKE_SECONDS = _metric("take_seconds", "s", "lower", "Wall clock from the request to the finished take.")
TAKE_TOKENS = _metric("take_tokens_per_second", "tokens/s", "higher", "Tokens drawn in a take per second.")
TAKE_RTF = _metric("take_rtf", "", "higher", "Seconds of music in a take per second of wall clock (RTF).")
METRICS = (TAKE_SECONDS, TAKE_TOKENS, TAKE_RTF)
"""Of takes, whatever their lengths."""

BATCH_SECONDS = _metric("batch_seconds", "s", "lower", "Wall clock for full takes side by side, till all are finished.")
TOKENS = _metric("tokens_per_second", "tokens/s", "higher", "Tokens of all takes side by side per second.")
RTF = _metric("rtf", "", "higher", "Seconds of music of all takes side by side per second of wall clock (RTF).")
FIRST_NOTE = _metric("first_note_seconds", "s", "lower", "From the request to the first whole note of any take.")
OPENING = _metric("opening_seconds", "s", "lower", "To open it, libraries included that were not loaded before.")
MEMORY = _metric(
    "memory", "MiB", "lower", "Memory that opening and a first full take add at their peak, libraries included."
)
RATIO = _metric("ratio", "", "higher", "Tokens per second over those of the last contender, in the same rounds.")
ENGINE_METRICS = (BATCH_SECONDS, TOKENS, RTF, FIRST_NOTE, OPENING, MEMORY, RATIO)


def validate(takes: Sequence[Take]) -> tuple[str, ...]:
    """Warnings about takes whose time is not known. Raises `RequestError` when there is no take."""
    if not takes:
        raise RequestError("no take was given; at least one is needed")
    unknown = sum(take.wall_seconds is None for take in takes)
    return (f"{unknown} of {len(takes)} takes have no time: their system does not say it",) if unknown else ()


def evaluate(takes: Sequence[Take]) -> list[Measured]:
    """Seconds, tokens per second and RTF of each take; nan where not known, and for takes that failed."""
    validate(takes)
    wall = np.array([_known(take.wall_seconds if take.error is None else None) for take in takes])
    wall = np.where(wall > 0, wall, np.nan)
    tokens = np.array([_known(take.tokens) for take in takes])
    music = np.array([take.score.seconds or np.nan for take in takes])
    columns = ((TAKE_SECONDS, wall), (TAKE_TOKENS, tokens / wall), (TAKE_RTF, music / wall))
    return [Measured(metric=metric, values=values) for metric, values in columns]


def evaluate_engines(
    entries: Sequence[Entry], *, batches: Sequence[int] = BATCHES, rounds: int = ROUNDS, seed: int = 0
) -> list[Result]:
    """Measure every contender at every batch size, `rounds` times in turn; ratios are to the last one.

    A `Result`'s value is the median of the rounds, `low` and `high` are the least and the most (no bootstrap: rounds
    are few, and their spread is the machine's), `values` the rounds. Facts name contender and batch, tokens a take,
    machine and load. A first take of each, which touches the weights, is measured for memory alone. Raises
    `RequestError` for no contender, two of one name, no batch or no round.
    """
    events: list[Event] = []
    with closing(race(entries, batches=batches, rounds=rounds, seed=seed)) as told:
        for event in told:
            if isinstance(event, Failed):
                raise event.error
            events.append(event)
    return engine_results(events)


def engine_results(events: Iterable[Event]) -> list[Result]:
    """What a race has shown up to now, as `evaluate_engines` tells it; contenders that failed have what they finished.

    Ratios are to the last contender that opened.
    """
    runs: dict[tuple[str, int], list[Run]] = {}
    opened: list[Opened] = []
    for event in events:
        if isinstance(event, Opened):
            opened.append(event)
        elif isinstance(event, Lap):
            runs.setdefault((event.contender, event.batch), []).append(event.run)
    last = opened[-1].contender if len(opened) > 1 else None
    results = []
    for (name, batch), made in runs.items():
        results += _results(name, batch, made, runs.get((last, batch), []) if last else [])
    for one in opened:
        facts: dict[str, str | float | int] = {"contender": one.contender, "batch": 1}
        results += [_result(OPENING, [one.seconds], facts), _result(MEMORY, [one.mebibytes], facts)]
    where = machine()
    return [replace(result, facts={**result.facts, **where}) for result in results]


def _known(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _results(name: str, batch: int, made: Sequence[Run], last: Sequence[Run]) -> list[Result]:
    """All metrics of one contender at one batch size; `last` are the runs of the contender it is compared with."""
    facts: dict[str, str | float | int] = {"contender": name, "batch": batch, "tokens": made[0].tokens // batch}
    columns = [
        (BATCH_SECONDS, [run.seconds for run in made]),
        (TOKENS, [run.tokens / run.seconds for run in made]),
        (RTF, [_known(run.music_seconds) / run.seconds for run in made]),
        (FIRST_NOTE, [_known(run.first_note_seconds) for run in made]),
    ]
    if last:
        pairs = zip(made, last, strict=False)  # a race that was stopped may lack the last lap of one of them
        columns.append((RATIO, [run.tokens / run.seconds / (peer.tokens / peer.seconds) for run, peer in pairs]))
    return [_result(metric, values, facts) for metric, values in columns]


def _result(metric: Metric, values: Sequence[float], facts: dict[str, str | float | int]) -> Result:
    """Median, least and most of the rounds; nothing where a contender cannot tell."""
    known = [value for value in values if not np.isnan(value)]
    nothing = float("nan")
    return Result(
        metric=metric,
        value=statistics.median(known) if known else nothing,
        low=min(known, default=nothing),
        high=max(known, default=nothing),
        count=len(known),
        values=tuple(values),
        facts=facts,
    )
