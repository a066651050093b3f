"""Distribution: whether a set of takes is like a set of real pieces, and as varied, feature by feature.

In: the `Analysis`es of generated takes and of reference pieces. Out: `Result`s of the set: for each feature the
overlapping area and the divergence of two densities: that of the distances within a set, and that of the distances
between the sets. Alike sets have alike distances; a set that is narrower, wider or elsewhere than the other has not.
Source: Yang and Lerch 2020, "On the evaluation of generative models in music", Neural Computing and Applications 32
(mgeval). Per-take values say nothing of this: it knows no good and no bad take.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from midi_llm.evaluate import rhythm, texture, tonality
from midi_llm.evaluate.analysis import Analysis, check_coverage
from midi_llm.evaluate.density import density, divergence, overlapping_area
from midi_llm.evaluate.metric import Floats, Integers, Metric, Result, interval, redraws

FEW_TAKES = 30
"""Below this many takes in either set there is a warning: densities of few distances are mostly bandwidth."""
FEWEST_TAKES = 3
CELLS = 1024
Cells = npt.NDArray[np.int16]
"""Numbers of cells, small: a run keeps three square tables a feature."""
RESAMPLES = 200

INTERVAL_EDGES_SECONDS: Floats = 0.02 * 2.0 ** np.arange(9, dtype=np.float64)
"""0.02, 0.04 ... 5.12 s; what is shorter or longer falls into the first or last bin, beyond these edges."""
VELOCITY_EDGES: Integers = np.arange(16, 128, 16, dtype=np.int64)


@dataclass(frozen=True, kw_only=True, slots=True)
class Feature:
    """A number, or a histogram, of a take: `value` gives an array [d], with nan where it does not apply."""

    name: str
    about: str
    value: Callable[[Analysis], Floats]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Distances:
    """Distances of one feature as numbers of cells, `step` wide, so that a redrawn set needs no new distances."""

    takes: Integers
    """Generated takes [g] that have the feature."""
    pieces: Integers
    """Reference pieces [r] that have it."""
    within: Cells
    """Cell [g, g] of the distance of two takes."""
    across: Cells
    """Cell [g, r] of the distance of a take and a piece."""
    apart: Cells
    """Cell [r, r] of the distance of two pieces."""
    step: float


def pitch_classes(analysis: Analysis) -> Floats:
    """Share [12] of the time of the pitched notes that each pitch class has, from C up."""
    notes = analysis.notes.pitched()
    return _shares(np.bincount(notes.pitch % 12, notes.duration, 12))


def intervals(analysis: Analysis) -> Floats:
    """Share [10] of the intervals between successive onsets in octaves of time; onsets within 10 ms are one."""
    onsets = analysis.notes.start
    gaps = np.diff(onsets[np.r_[True, np.diff(onsets) > 0.01]]) if len(onsets) else onsets
    return _histogram(gaps, INTERVAL_EDGES_SECONDS)


def durations(analysis: Analysis) -> Floats:
    """Share [10] of the pitched notes by length in octaves of time."""
    return _histogram(analysis.notes.pitched().duration, INTERVAL_EDGES_SECONDS)


def velocities(analysis: Analysis) -> Floats:
    """Share [8] of the notes by velocity, 16 to a bin."""
    return _histogram(analysis.notes.velocity, VELOCITY_EDGES)


def _histogram(values: Floats | Integers, edges: Floats | Integers) -> Floats:
    """Share of `values` in each bin between `edges`, below the first and above the last one."""
    return _shares(np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1))


def _shares(counts: Floats | Integers) -> Floats:
    total = counts.sum()
    return counts / total if total > 0 else np.full(len(counts), np.nan)


def _number(metric: Metric, value: Callable[[Analysis], float]) -> Feature:
    """A metric of a take as a feature."""
    name = metric.name.split(".")[1]
    return Feature(name=name, about=metric.about, value=lambda one: np.array([value(one)]))


FEATURES = (
    _number(tonality.PITCH_CLASS_ENTROPY, lambda one: tonality.pitch_class_entropy(one.notes)),
    _number(tonality.SCALE_CONSISTENCY, lambda one: tonality.scale_consistency(one.notes)),
    _number(tonality.KEY_CLARITY, lambda one: tonality.key_clarity(one.notes)),
    _number(tonality.PITCH_RANGE, lambda one: tonality.pitch_range(one.notes)),
    _number(tonality.DISTINCT_PITCHES, lambda one: tonality.distinct_pitches(one.notes)),
    _number(rhythm.GROOVE_CONSISTENCY, lambda one: rhythm.groove_consistency(one.bars) if one.bars else np.nan),
    _number(rhythm.INTERVAL_ENTROPY, lambda one: rhythm.interval_entropy(one.bars) if one.bars else np.nan),
    _number(texture.NOTE_DENSITY, lambda one: texture.note_density(one.notes)),
    _number(texture.MEAN_POLYPHONY, lambda one: texture.mean_polyphony(one.notes)),
    _number(texture.INSTRUMENTS, lambda one: texture.instruments(one.notes)),
    _number(texture.NOTE_SECONDS, lambda one: texture.note_seconds(one.notes)),
    _number(texture.MELODIC_LEAP, lambda one: texture.melodic_leap(one.notes)),
    Feature(name="pitch_classes", about="Histogram of the pitch classes, weighted by duration.", value=pitch_classes),
    Feature(name="intervals", about="Histogram of the intervals between onsets.", value=intervals),
    Feature(name="durations", about="Histogram of the lengths of pitched notes.", value=durations),
    Feature(name="velocities", about="Histogram of the velocities.", value=velocities),
)

OVERLAP = Metric(
    name="distribution.overlap",
    unit="share",
    better="higher",
    about="Overlapping area, mean over all features that could be compared; 1 is alike.",
)


def overlap_metric(feature: Feature) -> Metric:
    """The overlapping area of one feature."""
    about = f"Overlapping area of the distances within a set and to the other. {feature.about}"
    return replace(OVERLAP, name=f"distribution.overlap_{feature.name}", about=about)


def divergence_metric(feature: Feature) -> Metric:
    """The Kullback-Leibler divergence of one feature."""
    about = f"Divergence (KL) of the distances within a set from those to the other. {feature.about}"
    return Metric(name=f"distribution.kl_{feature.name}", unit="bits", better="lower", about=about)


def validate(generated: Sequence[Analysis], reference: Sequence[Analysis]) -> tuple[str, ...]:
    """Warnings about few takes and takes without notes. Raises `RequestError` when one of the sets is empty."""
    warnings: list[str] = []
    for name, analyses in (("generated", generated), ("reference", reference)):
        found = check_coverage(analyses, lambda one: len(one.notes) > 0, "no notes")
        warnings += [f"{name} set: {warning}" for warning in found]
        if len(analyses) < FEW_TAKES:
            warnings.append(f"{name} set: {len(analyses)} takes; below {FEW_TAKES} the densities are hardly known")
    return tuple(warnings)


def evaluate(
    generated: Sequence[Analysis], reference: Sequence[Analysis], groups: Integers, *, seed: int = 0
) -> list[Result]:
    """The mean overlap, then overlap and divergence of each of `FEATURES`, with intervals.

    `groups` [generated] numbers the prompt of each take, as for `metric.summarise`: its takes are drawn together. A
    feature that is equal in all takes is nan, with a warning, and not in the mean.
    """
    warnings = validate(generated, reference)
    found = [distances(_table(feature, generated), _table(feature, reference)) for feature in FEATURES]
    whole = _compare_all(found, np.ones(len(groups), np.int64), np.ones(len(reference), np.int64))
    drawn = _redrawn(found, groups, len(reference), seed)
    usable = ~np.isnan(whole[:, 0])
    means = (float(whole[usable, 0].mean()), drawn[:, usable, 0].mean(axis=1)) if usable.any() else (float("nan"), None)
    result = partial(_result, pieces=len(reference))
    facts = {"features": int(usable.sum()), "of": len(FEATURES)}
    results = [result(OVERLAP, *means, counted=len(generated), warnings=warnings, facts=facts)]
    for place, feature in enumerate(FEATURES):
        for column, metric in enumerate((overlap_metric(feature), divergence_metric(feature))):
            values = float(whole[place, column]), drawn[:, place, column]
            results.append(result(metric, *values, counted=len(found[place].takes)))
    return results


def _table(feature: Feature, analyses: Sequence[Analysis]) -> Floats:
    """The feature of each take [takes, d]."""
    return np.stack([feature.value(analysis) for analysis in analyses]).astype(np.float64)


def _compare_all(found: Sequence[Distances], takes: Integers, pieces: Integers) -> Floats:
    """Overlap and divergence [features, 2] of each feature (`compare`)."""
    return np.array([compare(one, takes, pieces) for one in found], np.float64)


def _redrawn(found: Sequence[Distances], groups: Integers, pieces: int, seed: int) -> Floats:
    """The same [resamples, features, 2] for sets that are drawn anew, prompts and pieces apart."""
    rng = np.random.default_rng((seed, 1))
    return np.stack(
        [
            _compare_all(
                found,
                np.bincount(chosen, minlength=len(groups)),
                np.bincount(rng.integers(pieces, size=pieces), minlength=pieces),
            )
            for chosen in redraws(groups, seed=seed, resamples=RESAMPLES)
        ]
    )


def distances(generated: Floats, reference: Floats) -> Distances:
    """Euclidean distances between the rows of `generated` [takes, d] and `reference` [pieces, d], in cells.

    Rows with nan are left out. The cells go from half the largest distance below 0 to as much above it.
    """
    takes, pieces = (np.flatnonzero(~np.isnan(rows).any(axis=1)) for rows in (generated, reference))
    rows, others = generated[takes], reference[pieces]
    found = [_euclid(rows, rows), _euclid(rows, others), _euclid(others, others)]
    largest = max(part.max(initial=0.0) for part in found)
    step = float(2.0 * largest / CELLS) if largest > 0 else 1.0
    within, across, apart = (np.rint(part / step).astype(np.int16) + np.int16(CELLS // 4) for part in found)
    return Distances(takes=takes, pieces=pieces, within=within, across=across, apart=apart, step=step)


def _euclid(left: Floats, right: Floats) -> Floats:
    """Distances [n, m] of rows [n, d] and [m, d]."""
    return np.asarray(np.sqrt(((left[:, None] - right[None]) ** 2).sum(axis=2)))


def compare(found: Distances, takes: Integers, pieces: Integers) -> tuple[float, float]:
    """Overlapping area (0 to 1) and divergence (bits) of the distances within a set and those between the sets.

    Of the two sets, generated and reference, the one whose distances are less like those between them counts. `takes`
    [generated] and `pieces` [reference] say how often each is drawn; nothing has a distance to itself, however often it
    is drawn. Both nan with fewer than `FEWEST_TAKES` different takes or pieces, or where all distances of a kind are
    equal. Differences from mgeval:

    1. Each pair of a set counts once, there twice, which makes the bandwidth within the sets 13 % narrower there.
    2. Both densities are taken on all of the line; there up to the largest distance, so that alike sets overlap by less
       than 1. Its divergence compares densities at different places when the largest distances differ.
    3. Distances are put in 1,024 cells (`density`). Divergence is in bits, there in nats, and bounded
       (`density.LEAST_DENSITY`), there infinite where the distances between the sets have a gap.
    4. mgeval prints the numbers of both sets. The reference's alone does not see a set that always plays one typical
       piece, the generated set's alone hardly one that is much more varied than real music; the worse sees both.
    """
    drawn, others = takes[found.takes], pieces[found.pieces]
    if min(np.count_nonzero(drawn), np.count_nonzero(others)) < FEWEST_TAKES:
        return float("nan"), float("nan")
    between = density(np.bincount(found.across.ravel(), np.outer(drawn, others).ravel(), CELLS), found.step)
    sets = [_density_within(found.within, drawn, found.step), _density_within(found.apart, others, found.step)]
    overlap = np.min([overlapping_area(one, between, found.step) for one in sets])
    return float(overlap), float(np.max([divergence(one, between, found.step) for one in sets]))


def _density_within(cells: Cells, drawn: Integers, step: float) -> Floats:
    """Density of the distances [n, n] of a set whose members are drawn so often [n]."""
    first, second = np.triu_indices(len(drawn), 1)
    return density(np.bincount(cells[first, second], drawn[first] * drawn[second], CELLS), step)


def _result(
    metric: Metric,
    whole: float,
    drawn: Floats | None,
    *,
    pieces: int,
    counted: int,
    warnings: tuple[str, ...] = (),
    facts: Mapping[str, int] | None = None,
) -> Result:
    """The value of all takes and pieces with the interval of redrawn ones, widened to hold the value itself.

    A difference by chance is still a difference: redrawn sets look less alike than whole ones, so that close to an
    overlap of 1 the value is at the upper end of its interval, or was above it.
    """
    low = high = whole
    if np.isnan(whole) or drawn is None:
        if metric.better == "higher":  # said once a feature: its divergence lacks the same
            lack = f"nothing to compare: {counted} takes have this feature, in too few or all of them it is equal"
            warnings = (*warnings, f"{metric.name}: {lack}")
        counted = 0
    else:
        low, high = interval(drawn)
        low, high = float(np.fmin(low, whole)), float(np.fmax(high, whole))
    return Result(
        metric=metric,
        value=whole,
        low=low,
        high=high,
        count=counted,
        facts={"reference": pieces, **(facts or {})},
        warnings=warnings,
    )
