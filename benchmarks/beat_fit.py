"""Fit the weights by which `music.beats` hears (src/midi_llm/music/beats.json). Used by benchmarks/beats.py --fit.

A conditional logit model: the probability of a hypothesis is exp(weights . features) over the sum of all of its piece;
the right ones are known. Newton steps, halved until they go up; a ridge keeps the weights small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from beat_truth import Excerpt
from midi_llm.music.beats import LISTEN_SECONDS, densest, pulse_features, pulse_hypotheses
from midi_llm.music.metre import BEATS_PER_BAR, bar_features, bar_hypotheses, beats_in_bar
from midi_llm.music.pulse import accents

Floats = npt.NDArray[np.float64]

RIGHT_TEMPO = 0.04
RIGHT_PHASE = 0.1
RIDGE = 1.0
STEPS = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    features: Floats
    right: npt.NDArray[np.bool_]
    weight: float


def pulse_choice(excerpt: Excerpt, weight: float) -> Choice | None:
    """Hypotheses of the beat; None where the tempo changes or none of them is right."""
    if not excerpt.steady:
        return None
    found = densest(accents(excerpt.notes), LISTEN_SECONDS)
    hertz, phase = pulse_hypotheses(found)
    features = pulse_features(found, hertz, phase)
    middle = float(found.times.mean())
    truth = np.interp(middle, excerpt.beats, np.arange(len(excerpt.beats)))
    away = hertz * middle - phase - truth
    right = np.abs(np.log(hertz * 60 / excerpt.felt)) < RIGHT_TEMPO
    right &= np.abs(away - np.rint(away)) < RIGHT_PHASE
    return Choice(features=features, right=right, weight=weight) if right.any() else None


def bar_choice(excerpt: Excerpt, weight: float) -> Choice | None:
    """Hypotheses of the bar on the true beats; None in metres that are not heard, and where the metre changes."""
    per_bar = beats_in_bar(excerpt.metre)
    downs = np.flatnonzero(excerpt.is_down)
    if per_bar not in BEATS_PER_BAR or len(downs) < 2 or (np.diff(downs) != per_bar).any():
        return None
    length, first = bar_hypotheses()
    features = bar_features(excerpt.notes, accents(excerpt.notes), excerpt.beats, length, first)
    right = (length == per_bar) & (first == downs[0] % per_bar)
    return Choice(features=features, right=right, weight=weight)


def fit(choices: Sequence[Choice]) -> tuple[Floats, float]:
    """The weights [features], and the share of the choices (by weight) in which the best hypothesis is a right one."""
    sampled = np.concatenate([choice.features[:: max(len(choice.features) // 50, 1)] for choice in choices])
    spread = sampled.std(axis=0)
    scale = np.where(spread > 1e-9, spread, 1.0)
    scaled = [replace(choice, features=choice.features / scale) for choice in choices]
    weights = np.zeros(len(scale))
    now = _likelihood(scaled, weights)
    for _ in range(STEPS):
        step = _newton_step(scaled, weights)
        while (then := _likelihood(scaled, weights + step)) < now:
            step = step / 2
        weights, gained, now = weights + step, then - now, then
        if gained < 1e-3:
            break
    correct = sum(choice.weight * bool(choice.right[(choice.features @ weights).argmax()]) for choice in scaled)
    return weights / scale, correct / sum(choice.weight for choice in choices)


def _likelihood(choices: Sequence[Choice], weights: Floats) -> float:
    total = -RIDGE / 2 * float(weights @ weights)
    for choice in choices:
        scores = choice.features @ weights
        total += choice.weight * float(np.logaddexp.reduce(scores[choice.right]) - np.logaddexp.reduce(scores))
    return total


def _newton_step(choices: Sequence[Choice], weights: Floats) -> Floats:
    gradient, curvature = -RIDGE * weights, RIDGE * np.eye(len(weights))
    for choice in choices:
        scores = choice.features @ weights
        odds = np.exp(scores - np.logaddexp.reduce(scores))
        right = np.exp(scores[choice.right] - np.logaddexp.reduce(scores[choice.right]))
        mean = odds @ choice.features
        gradient += choice.weight * (right @ choice.features[choice.right] - mean)
        curvature += choice.weight * ((choice.features * odds[:, None]).T @ choice.features - np.outer(mean, mean))
    return np.asarray(np.linalg.solve(curvature, gradient))
