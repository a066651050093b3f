"""What several metric families need of a take, found once: its notes laid flat, the beats heard, its bars.

In: a `Score` as a user opens it. Out: an `Analysis`, which holds arrays and not the score. Tempo and metre written in
a file are not read: systems differ in what they write there, so the same ear hears them all.
Rhythm is counted in steps of 1/12 quarter note, which hold sixteenths and triplets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from midi_llm.errors import RequestError
from midi_llm.evaluate.metric import Floats, Integers, Measured, Metric
from midi_llm.evaluate.take import Take
from midi_llm.music.beats import BeatGrid, estimate_beats
from midi_llm.music.features import LAST_PITCHED, STEEL_DRUMS, NoteTable, note_table
from midi_llm.music.metre import beats_in_bar
from midi_llm.music.quantise import grid_lines
from midi_llm.music.score import Score

STEPS_PER_QUARTER = 12
"""The least number that sixteenths (4) and triplets (3) divide."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Bars:
    """The notes [n] of a take on the grid of its beats. A step is 1/12 quarter note; bars run from the downbeats."""

    beats: Floats
    """Seconds [beats], ascending, from at or before the first onset until past the last."""
    step: Integers
    """Grid line of each onset [n], in steps from the first beat."""
    off_seconds: Floats
    """Onset less its grid line [n], in seconds at the tempo of that beat."""
    bar: Integers
    """Bar of each onset [n], from 0; -1 before the first downbeat."""
    place: Integers
    """Steps [n] from the downbeat of the bar."""
    count: int
    """Bars up to the one in which the last onset is; 0 where all onsets come before the first downbeat."""
    width: int
    """Steps in a bar."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Analysis:
    """`notes` by onset, with the beats heard in them: `grid` and `bars` are None where there is too little to hear."""

    notes: NoteTable
    grid: BeatGrid | None = None
    bars: Bars | None = None


def analyse_takes(takes: Sequence[Take]) -> list[Analysis]:
    """One `Analysis` a take, in order; a take that failed has no notes. Hand the list to every family."""
    return [analyse(take.score) for take in takes]


def analyse(score: Score) -> Analysis:
    """Lay `score` flat and hear its beats. Raises `RequestError` for a time that is not finite."""
    notes = note_table(score)
    if not (np.isfinite(notes.start).all() and np.isfinite(notes.duration).all()):
        raise RequestError(
            "a note has an onset or a duration that is no finite number of seconds; mend or drop the file"
        )
    grid = estimate_beats(notes)
    if grid is None:
        return Analysis(notes=notes)
    bars = lay_in_bars(notes, beats=grid.beats, downbeats=grid.downbeats, metre=grid.metre)
    return Analysis(notes=notes, grid=grid, bars=bars)


def lay_in_bars(notes: NoteTable, *, beats: Floats, downbeats: Integers, metre: tuple[int, int]) -> Bars | None:
    """Put each onset on the line of sixteenths or triplets next to it (`music.quantise`) and find its bar.

    `beats` [m] in seconds, `downbeats` as indices into them, `metre` as written: a bar of 6/8 has three quarter notes.
    None with fewer than two beats or without a downbeat.
    """
    if len(beats) < 2 or not len(downbeats):
        return None
    numerator, denominator = metre
    per_bar = np.median(np.diff(downbeats)) if len(downbeats) > 1 else beats_in_bar(metre)
    quarters = 4 * numerator / denominator / float(per_bar)  # in a beat
    position = np.interp(notes.start, beats, np.arange(len(beats)) * quarters)
    lines = grid_lines(position)
    beat = np.clip(np.searchsorted(beats, notes.start, side="right") - 1, 0, len(beats) - 2)
    step = np.rint(lines * STEPS_PER_QUARTER).astype(np.int64)
    bar_lines = np.rint(downbeats * quarters * STEPS_PER_QUARTER).astype(np.int64)
    bar = np.searchsorted(bar_lines, step, side="right") - 1
    place = np.where(bar >= 0, step - bar_lines[np.maximum(bar, 0)], 0)
    return Bars(
        beats=beats,
        step=step,
        off_seconds=(position - lines) * np.diff(beats)[beat] / quarters,
        bar=bar,
        place=place,
        count=int(bar.max(initial=-1)) + 1,
        width=max(round(4 * numerator / denominator * STEPS_PER_QUARTER), int(place.max(initial=0)) + 1),
    )


def pitched_mask(notes: NoteTable) -> npt.NDArray[np.bool_]:
    """True [n] for the notes that `NoteTable.pitched` keeps."""
    return np.asarray((notes.instrument <= LAST_PITCHED) | (notes.instrument == STEEL_DRUMS))


def bar_table(notes: NoteTable, bars: Bars) -> NoteTable:
    """The notes from the first downbeat on, with onsets on the grid and in bars: second 1 is the second bar line."""
    inside = bars.bar >= 0
    start = bars.bar[inside] + bars.place[inside] / bars.width
    return replace(notes.where(inside), start=start)


def measure(metric: Metric, analyses: Sequence[Analysis], value: Callable[[Analysis], float]) -> Measured:
    """`metric` with the `value` of each take."""
    return Measured(metric=metric, values=np.array([value(analysis) for analysis in analyses], np.float64))


def check_coverage(analyses: Sequence[Analysis], applies: Callable[[Analysis], bool], lack: str) -> tuple[str, ...]:
    """A warning when some takes cannot be judged, for `lack` of something; none when all can.

    Raises `RequestError` when there is no take at all.
    """
    if not analyses:
        raise RequestError("there are no takes to judge; at least one is needed")
    left_out = sum(not applies(analysis) for analysis in analyses)
    if not left_out:
        return ()
    return (f"{left_out} of {len(analyses)} takes have {lack}: their values are not counted",)


def entropy(counts: Integers | Floats) -> float:
    """Shannon entropy in bits of the shares of non-negative `counts` [k]; nan where all are 0."""
    total = float(counts.sum())
    if total <= 0:
        return float("nan")
    shares = counts[counts > 0] / total
    return float(-(shares * np.log2(shares)).sum()) + 0.0
