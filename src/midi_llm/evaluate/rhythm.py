"""Rhythm: how steadily a take keeps its pattern, its beat and its grid.

Conventions: everything is relative to the beats heard in the take (`music.beats`), which may be wrong; their error on
music whose beats are known is that estimator's, and bounds what these numbers mean. All instruments count, drums too.
In: `Analysis`es. Out: a value a take, nan where no beat is heard.
Sources: Wu and Yang 2020 ("The Jazz Transformer on the Front Line", ISMIR) and MusPy (muspy/metrics/metrics.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from midi_llm.evaluate.analysis import Analysis, Bars, check_coverage, entropy, measure
from midi_llm.evaluate.metric import Measured, Metric
from midi_llm.music.features import NoteTable

GROOVE_CONSISTENCY = Metric(
    name="rhythm.groove_consistency",
    unit="share",
    better="higher",
    about="Likeness of the onset patterns of neighbouring bars: 1 less the share of grid places that differ.",
)
ON_GRID = Metric(
    name="rhythm.on_grid",
    unit="share",
    better="higher",
    about="Share of the onsets within 15 ms of a sixteenth or triplet of the beat heard; about a third is chance.",
)
EMPTY_BEATS = Metric(
    name="rhythm.empty_beats",
    unit="share",
    better=None,
    about="Share of the beats, from the first onset to the last, during which nothing sounds.",
)
INTERVAL_ENTROPY = Metric(
    name="rhythm.interval_entropy",
    unit="bits",
    better=None,
    about="Entropy of the intervals between successive onsets, in steps of 1/12 quarter note.",
)

ON_GRID_SECONDS = 0.015
"""Notes come in ticks of 10 ms, so an onset on the grid is up to 5 ms off, and the beat heard a little more."""


def validate(analyses: Sequence[Analysis]) -> tuple[str, ...]:
    """Warnings about takes without beats. Raises `RequestError` when there is no take."""
    return check_coverage(analyses, lambda one: one.bars is not None, "no beat that could be heard (no rhythm metric)")


def evaluate(analyses: Sequence[Analysis]) -> list[Measured]:
    """All metrics of the family, a value a take."""
    validate(analyses)
    return [
        measure(GROOVE_CONSISTENCY, analyses, lambda one: groove_consistency(one.bars) if one.bars else np.nan),
        measure(ON_GRID, analyses, lambda one: on_grid(one.bars) if one.bars else np.nan),
        measure(EMPTY_BEATS, analyses, lambda one: empty_beats(one.notes, one.bars) if one.bars else np.nan),
        measure(INTERVAL_ENTROPY, analyses, lambda one: interval_entropy(one.bars) if one.bars else np.nan),
    ]


def groove_consistency(bars: Bars) -> float:
    """1 less the mean share of places that differ between a bar and the next: 0 to 1; nan with fewer than two bars.

    The pattern of a bar has a 1 in each place where a note begins. Differences:

    1. MusPy's places are the ticks of the file and MusDr's 64 a bar; here they are 1/12 quarter note (48 in 4/4), with
       onsets moved to sixteenths or triplets, so that 10 ms of jitter cost nothing. More places give higher values.
    2. As in MusPy neighbouring bars are compared; Wu and Yang compare all pairs, which is lower in pieces with parts.
    3. Bars are those heard; a pick-up before the first downbeat is left out, the last bar counts though it may be cut.
    """
    if bars.count < 2:
        return float("nan")
    inside = bars.bar >= 0
    patterns = np.zeros((bars.count, bars.width), np.bool_)
    patterns[bars.bar[inside], bars.place[inside]] = True
    return float(1.0 - (patterns[1:] != patterns[:-1]).mean())


def on_grid(bars: Bars) -> float:
    """Share (0 to 1) of the onsets within `ON_GRID_SECONDS` of their grid line; nan without notes.

    No published counterpart is known to us. The lines are sixteenths, or triplets in beats that these fit better.
    Chance for onsets drawn uniformly is 120 ms over the length of a quarter note (0.24 at 120 bpm) and somewhat more,
    since the grid is fitted to them. Human playing without a metronome scores lower than written music.
    """
    if not len(bars.off_seconds):
        return float("nan")
    return float((np.abs(bars.off_seconds) <= ON_GRID_SECONDS + 1e-9).mean())


def empty_beats(notes: NoteTable, bars: Bars) -> float:
    """Share (0 to 1) of the beats from the one of the first onset to the one of the last in which no note sounds.

    1. MusPy's `empty_beat_rate` counts from the start of the file to its end, and the version at 09cfcec returns the
       share of the beats that are not empty.
    2. A note that ends exactly on a beat does not sound in it; in MusPy it does.
    """
    if not len(notes):
        return float("nan")
    edges = np.searchsorted(bars.beats, notes.start[[0, -1]] + 1e-6, side="right") - 1
    first, last = np.clip(edges, 0, len(bars.beats) - 2)
    begin, end = bars.beats[first : last + 1], bars.beats[first + 1 : last + 2]
    reach = np.maximum.accumulate(notes.start + notes.duration)
    before = np.searchsorted(notes.start, end - 1e-6)  # notes that begin before the beat is over
    begun = np.searchsorted(notes.start, begin - 1e-6)
    held = (begun > 0) & (reach[np.maximum(begun - 1, 0)] > begin + 1e-6)
    return float(1.0 - (held | (before > begun)).mean())


def interval_entropy(bars: Bars) -> float:
    """Entropy (bits) of the intervals between successive onsets of any instrument; nan with fewer than two onsets.

    Onsets on one grid line are one. 1. Yang and Lerch 2020 take the mean of these intervals in seconds.
    """
    intervals = np.diff(np.unique(bars.step))
    return entropy(np.bincount(intervals)) if len(intervals) else float("nan")
