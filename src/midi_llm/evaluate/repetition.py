"""Repetition: how much of a take comes back, exactly, moved, or varied.

Conventions: time in steps of the beats heard, so that jitter hides no repeat; bars are those heard. Where no beat is
heard, compression counts in ticks of 10 ms and the metrics of bars are nan. In: `Analysis`es. Out: a value a take.
"Higher" is better up to the level of real music only: a single bar in a loop scores highest. Read them beside real
music, which stands between a loop and chance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from midi_llm.evaluate.analysis import Analysis, Bars, bar_table, check_coverage, measure, pitched_mask
from midi_llm.evaluate.metric import Floats, Integers, Measured, Metric
from midi_llm.evaluate.pointset import compression_ratio
from midi_llm.music.features import NoteTable
from midi_llm.music.form import bar_labels, repeated_share

COMPRESSION = Metric(
    name="repetition.compression_ratio",
    unit="",
    better="higher",
    about="Notes over the notes and vectors that write them down as patterns and their repeats (COSIATEC).",
)
COMPRESSION_GAIN = Metric(
    name="repetition.compression_gain",
    unit="",
    better="higher",
    about="Compression ratio over that of the same onsets and pitches dealt out anew; 1 is chance.",
)
REPEATED_BARS = Metric(
    name="repetition.repeated_bars",
    unit="share",
    better="higher",
    about="Share of the bars that repeat an earlier bar note for note.",
)
BAR_LIKENESS = Metric(
    name="repetition.bar_likeness",
    unit="share",
    better="higher",
    about="Likeness of each bar to the bar most like it (pitch classes and drums at their places), mean over the bars.",
)
STRUCTURE_SHORT = Metric(
    name="repetition.structure_2_bars",
    unit="share",
    better="higher",
    about="Fitness of the passage of 2 or 3 bars that explains most of the take by its repeats.",
)
STRUCTURE_LONG = Metric(
    name="repetition.structure_4_bars",
    unit="share",
    better="higher",
    about="Fitness of the passage of 4 bars or more that explains most of the take by its repeats.",
)

MOST_POINTS = 1500
"""Compression looks at so many notes from the beginning on: time and memory grow with their square."""
MOST_BARS = 256
TICK_SECONDS = 0.01
ALIKE = 0.5
"""Bars this much alike support a repeat; less counts as `MISMATCH`."""
MISMATCH = -2.0
"""Penalty for a pair of unlike bars within a repeat (Mueller, Jiang and Grosche 2013)."""
SHORT = (2, 3)
LONG = (4, MOST_BARS)


def validate(analyses: Sequence[Analysis]) -> tuple[str, ...]:
    """Warnings about takes without notes or without two bars. Raises `RequestError` when there is no take."""
    return (
        *check_coverage(analyses, lambda one: len(one.notes) > 0, "no notes (no repetition metric)"),
        *check_coverage(analyses, lambda one: one.bars is not None and one.bars.count > 1, "fewer than two bars heard"),
    )


def evaluate(analyses: Sequence[Analysis]) -> list[Measured]:
    """All metrics of the family, a value a take. Up to some seconds a take, for the compression."""
    validate(analyses)
    ratios = measure(COMPRESSION, analyses, lambda one: compression_ratio(point_set(one)))
    chance = measure(COMPRESSION_GAIN, analyses, lambda one: compression_ratio(dealt_anew(point_set(one))))
    likeness = [bar_similarity(one.notes, one.bars) if one.bars else np.zeros((0, 0)) for one in analyses]
    return [
        ratios,
        Measured(metric=COMPRESSION_GAIN, values=ratios.values / chance.values),
        measure(REPEATED_BARS, analyses, repeated_bars),
        Measured(metric=BAR_LIKENESS, values=np.array([bar_likeness(one) for one in likeness])),
        Measured(metric=STRUCTURE_SHORT, values=np.array([structure(one, SHORT) for one in likeness])),
        Measured(metric=STRUCTURE_LONG, values=np.array([structure(one, LONG) for one in likeness])),
    ]


def point_set(analysis: Analysis) -> Integers:
    """Points [n, 2] (step, pitch), the first `MOST_POINTS` by onset, for `compression_ratio`.

    Differences from Meredith 2013, whose points are notes of a score:

    1. Onsets are in steps of the beats heard (1/12 quarter note), or in ticks of 10 ms without them.
    2. Drums and percussion have pitches from 256 on, so that no drum is the octave of a melody.
    3. Notes of several instruments that begin together on one pitch are one point.
    """
    notes = analysis.notes
    time = analysis.bars.step if analysis.bars else np.rint(notes.start / TICK_SECONDS).astype(np.int64)
    pitch = np.where(pitched_mask(notes), notes.pitch, notes.pitch + 256)
    points = np.unique(np.stack([time, pitch], axis=1), axis=0)
    return points[:MOST_POINTS]


def dealt_anew(points: Integers, *, seed: int = 0) -> Integers:
    """The same times and the same pitches [n, 2], but any pitch at any time: what repeats is left to chance.

    Pitched notes and drums are dealt out apart. Points that fall together are one: a few of them are lost.
    """
    rng = np.random.default_rng(seed)
    times = points[:, 0].copy()
    for chosen in (points[:, 1] < 256, points[:, 1] >= 256):
        times[chosen] = rng.permutation(times[chosen])
    return np.stack([times, points[:, 1]], axis=1)


def repeated_bars(analysis: Analysis) -> float:
    """Share (0 to 1) of the bars with notes that repeat an earlier one (`music.form`); nan with fewer than two."""
    if analysis.bars is None:
        return float("nan")
    share = repeated_share(bar_labels(bar_table(analysis.notes, analysis.bars), 1.0, analysis.bars.count))
    return float("nan") if share is None else share


def bar_similarity(notes: NoteTable, bars: Bars) -> Floats:
    """Cosine [bars, bars] between bars as sets of (place, pitch class or drum); 0 for a bar without onsets.

    Only the first `MOST_BARS` bars. The diagonal is 1 for a bar with onsets.
    """
    inside = (bars.bar >= 0) & (bars.bar < MOST_BARS)
    sound = np.where(pitched_mask(notes), notes.pitch % 12, 12 + notes.pitch)[inside]
    column, index = np.unique(bars.place[inside] * 256 + sound, return_inverse=True)
    onsets = np.zeros((min(bars.count, MOST_BARS), len(column)))
    onsets[bars.bar[inside], index] = 1.0
    onsets /= np.maximum(np.linalg.norm(onsets, axis=1, keepdims=True), 1e-9)
    return np.asarray(np.minimum(onsets @ onsets.T, 1.0))


def bar_likeness(similarity: Floats) -> float:
    """Mean over the bars with onsets of the largest similarity to another bar: 0 to 1; nan with fewer than two."""
    sounding = np.diag(similarity) > 0
    others = similarity[np.ix_(sounding, sounding)]
    if len(others) < 2:
        return float("nan")
    np.fill_diagonal(others, 0.0)
    return float(others.max(axis=1).mean())


def structure(similarity: Floats, lengths: tuple[int, int]) -> float:
    """Largest fitness (0 to 1) of a passage whose number of bars lies in `lengths`; nan with fewer than twice as many.

    The structureness indicator of Wu and Yang 2020 is the largest fitness within a range of lengths. Fitness (Mueller,
    Jiang and Grosche 2013, "A Robust Fitness Measure for Capturing Repetitions in Music Recordings", IEEE TASLP 21(3))
    is the harmonic mean of how well the repeats of a passage match and how much of the piece they cover, both
    without the passage itself. Differences:

    1. They compare chroma of audio, twice a second; here notes are compared bar by bar (`bar_similarity`).
    2. Repeats keep the tempo in bars: no warped paths. Transposed repeats do not count (there they may).
    3. Bars support a repeat by an absolute threshold (`ALIKE`), there by the rank among all pairs: that finds
       structure in noise too.
    4. Lengths are in bars, there in seconds (3-8, 8-15, from 15 on).
    """
    bars = len(similarity)
    shortest, longest = lengths
    if bars < 2 * shortest:
        return float("nan")
    support = np.where(similarity >= ALIKE, (similarity - ALIKE) / (1.0 - ALIKE), MISMATCH)
    np.fill_diagonal(support, 1.0)
    match = np.zeros((bars, bars))  # score [s, u] of the passage from bar s at bar u
    best = 0.0
    for length in range(1, min(longest, bars // 2) + 1):
        count = bars - length + 1
        match = match[:count, :count] + support[length - 1 :, length - 1 :]
        if length >= shortest:
            best = max(best, _best_fitness(match, length, bars))
    return best


def _best_fitness(match: Floats, length: int, bars: int) -> float:
    """Largest fitness of the passages of one length: `match` [s, u] is the score of that from bar s, laid at bar u.

    The repeats of a passage do not overlap and have the largest total score (dynamic programming over bars).
    """
    starts = len(match)
    score = np.zeros((bars + 1, starts))  # best total over the bars before this one
    repeats = np.zeros((bars + 1, starts))
    for end in range(length, bars + 1):
        with_this = score[end - length] + match[:, end - length]
        better = with_this > score[end - 1]
        score[end] = np.where(better, with_this, score[end - 1])
        repeats[end] = np.where(better, repeats[end - length] + 1, repeats[end - 1])
    covered = np.maximum(repeats[bars] * length, length)
    quality = np.maximum(score[bars] - length, 0.0) / covered
    coverage = np.maximum(covered - length, 0.0) / bars
    return float((2 * quality * coverage / np.maximum(quality + coverage, 1e-9)).max())
