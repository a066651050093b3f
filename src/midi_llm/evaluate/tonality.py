"""Tonality: which pitches a take uses and how clearly they make a key.

Conventions: only notes heard as pitches count (no drums, percussion or effects: `NoteTable.pitched`). Entropies are in
bits, ranges in semitones. In: `Analysis`es. Out: a value a take, nan for a take without such notes.
Sources: MusPy (Dong et al. 2020, ISMIR; muspy/metrics/metrics.py) and Wu and Yang 2020 ("The Jazz Transformer on the
Front Line", ISMIR; musdr/eval_metrics.py). They see notes in keys; none hears whether a melody is good.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from midi_llm.evaluate.analysis import Analysis, check_coverage, entropy, measure, pitched_mask
from midi_llm.evaluate.metric import Measured, Metric
from midi_llm.music.features import NoteTable
from midi_llm.music.key import correlate

PITCH_CLASS_ENTROPY = Metric(
    name="tonality.pitch_class_entropy",
    unit="bits",
    better=None,
    about="Entropy of the 12 pitch classes over the whole take; 3.58 when all are equally frequent.",
)
BAR_ENTROPY = Metric(
    name="tonality.pitch_class_entropy_1_bar",
    unit="bits",
    better=None,
    about="Entropy of the 12 pitch classes in each bar, mean over the bars.",
)
FOUR_BAR_ENTROPY = Metric(
    name="tonality.pitch_class_entropy_4_bars",
    unit="bits",
    better=None,
    about="Entropy of the 12 pitch classes in each run of 4 bars, mean over the runs.",
)
SCALE_CONSISTENCY = Metric(
    name="tonality.scale_consistency",
    unit="share",
    better="higher",
    about="Share of the notes in the major or minor scale that holds most of them; 0.58 is chance.",
)
KEY_CLARITY = Metric(
    name="tonality.key_clarity",
    unit="",
    better="higher",
    about="Correlation of the pitch classes, weighted by duration, with the profile of the key that fits best.",
)
PITCH_RANGE = Metric(
    name="tonality.pitch_range",
    unit="",
    better=None,
    about="Semitones from the lowest to the highest pitch.",
)
DISTINCT_PITCHES = Metric(
    name="tonality.distinct_pitches",
    unit="",
    better=None,
    about="Different pitches used.",
)

MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11)
_SCALES = np.array([[(pitch - tonic) % 12 in MAJOR_SCALE for pitch in range(12)] for tonic in range(12)], np.int64)


def validate(analyses: Sequence[Analysis]) -> tuple[str, ...]:
    """Warnings about takes without pitched notes. Raises `RequestError` when there is no take."""
    return check_coverage(analyses, lambda one: len(one.notes.pitched()) > 0, "no pitched notes (no tonality metric)")


def evaluate(analyses: Sequence[Analysis]) -> list[Measured]:
    """All metrics of the family, a value a take."""
    validate(analyses)
    return [
        measure(PITCH_CLASS_ENTROPY, analyses, lambda one: pitch_class_entropy(one.notes)),
        measure(BAR_ENTROPY, analyses, lambda one: windowed_entropy(one, bars=1)),
        measure(FOUR_BAR_ENTROPY, analyses, lambda one: windowed_entropy(one, bars=4)),
        measure(SCALE_CONSISTENCY, analyses, lambda one: scale_consistency(one.notes)),
        measure(KEY_CLARITY, analyses, lambda one: key_clarity(one.notes)),
        measure(PITCH_RANGE, analyses, lambda one: pitch_range(one.notes)),
        measure(DISTINCT_PITCHES, analyses, lambda one: distinct_pitches(one.notes)),
    ]


def pitch_class_entropy(notes: NoteTable) -> float:
    """Entropy (bits, 0 to log2 12) of the counts of the pitch classes; as `muspy.pitch_class_entropy`.

    1. MusPy leaves out drum tracks only; here programs that are percussion or effects are left out too.
    """
    return entropy(np.bincount(notes.pitched().pitch % 12, minlength=12))


def windowed_entropy(analysis: Analysis, *, bars: int) -> float:
    """Mean `pitch_class_entropy` over all runs of `bars` bars that hold pitched notes (H of Wu and Yang 2020).

    A take of fewer bars is one run. nan without bars. Differences from MusDr (musdr/eval_metrics.py):

    1. Bars are those heard (`music.beats`), not those of the tokens; a pick-up before the first downbeat is left out.
    2. A take without pitched notes is nan there too, but with a warning of numpy.
    """
    if analysis.bars is None or not analysis.bars.count:
        return float("nan")
    pitched = pitched_mask(analysis.notes) & (analysis.bars.bar >= 0)
    counts = np.zeros((analysis.bars.count + 1, 12), np.int64)
    np.add.at(counts, (analysis.bars.bar[pitched] + 1, analysis.notes.pitch[pitched] % 12), 1)
    run = min(bars, analysis.bars.count)
    total = counts.cumsum(axis=0)
    windows = total[run:] - total[:-run]
    found = [entropy(row) for row in windows if row.any()]
    return float(np.mean(found)) if found else float("nan")


def scale_consistency(notes: NoteTable) -> float:
    """Largest share (0 to 1) of the notes that lies in one of the 24 major and natural minor scales.

    Defined by Mogren 2016 ("C-RNN-GAN") and MusPy. The 24 scales are 12 sets of pitch classes: a minor scale is that
    of its relative major. Chance for pitches drawn uniformly is 7/12, a little more for few notes; one pitch scores 1.

    1. MusPy leaves out drum tracks only; here programs that are percussion or effects are left out too.
    """
    counts = np.bincount(notes.pitched().pitch % 12, minlength=12)
    total = int(counts.sum())
    return float((_SCALES @ counts).max() / total) if total else float("nan")


def key_clarity(notes: NoteTable) -> float:
    """Largest correlation (-1 to 1) of the pitch classes with the profile of a key (Albrecht and Shanahan 2013).

    Also called key strength or key clarity, after Krumhansl 1990; 0 where all pitch classes weigh the same.

    1. Notes weigh by the root of their duration, as in `music.key`; MIRtoolbox's `mirkey` weighs a chromagram.
    """
    pitched = notes.pitched()
    if not len(pitched):
        return float("nan")
    weights = np.bincount(pitched.pitch % 12, np.sqrt(pitched.duration), 12).astype(np.float64)
    return float(correlate(weights).max())


def pitch_range(notes: NoteTable) -> float:
    """Highest less lowest pitch in semitones. 1. MusPy counts drums as pitches."""
    pitched = notes.pitched()
    return float(np.ptp(pitched.pitch)) if len(pitched) else float("nan")


def distinct_pitches(notes: NoteTable) -> float:
    """Number of different pitches (0 to 128), `n_pitches_used` of MusPy; nan without a pitched note."""
    pitched = notes.pitched()
    return float(len(np.unique(pitched.pitch))) if len(pitched) else float("nan")
