"""Fit the weights by which `music.dynamics` gives velocities (src/midi_llm/music/dynamics.json). Used by dynamics.py.

Within its part a note's velocity is regressed on its features (ridge); the weights of a group are drawn towards those
of all pitched groups, or of all drums, as far as it has few notes. A part's level is regressed on its group and on what
it plays. A part counts as much as its notes, up to 200 of them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dynamics_truth import Truth, telling
from midi_llm.music.dynamics import BALANCE, WEIGHTS_VERSION, Weights
from midi_llm.music.expression import FEATURES, Described, describe
from midi_llm.music.parts import GROUPS, PITCHED, part_means

Floats = npt.NDArray[np.float64]

RIDGE, POOL_RIDGE, LEVEL_RIDGE = 300.0, 1000.0, 2000.0
"""Chosen by cross-validation; 30 and 1,000 are as good within 0.02 of correlation."""
MOST_NOTES = 200
MARKED_WEIGHT = 0.2
"""Of a part whose velocities come from marks: they tell of loud and soft passages, not of accents."""
FAMILIES = (slice(0, len(PITCHED)), slice(len(PITCHED), len(GROUPS)))
QUANTILES = np.array([0.01, 0.05, *np.arange(0.1, 0.95, 0.1), 0.95, 0.99])
MIN_REPEATS = 8
REPEAT_SECONDS = 4.5
MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    truth: Truth
    found: Described


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A part that tells something: features [n, f] and velocities [n] less their means."""

    group: int
    weight: float
    features: Floats
    velocity: Floats
    variation: float | None


def study(truth: Truth) -> Piece:
    return Piece(truth=truth, found=describe(truth.notes, truth.grid))


def parts(piece: Piece) -> list[Part]:
    found, notes = piece.found, piece.truth.notes
    kept = []
    for part in np.unique(found.part):
        own = found.part == part
        velocity = notes.velocity[own].astype(np.float64)
        if not telling(notes.velocity[own]):
            continue
        features = found.features[own]
        share = min(len(velocity), MOST_NOTES) / len(velocity)
        kept.append(
            Part(
                group=int(found.group[own][0]),
                weight=share * (MARKED_WEIGHT if piece.truth.kind == "marked" else 1.0),
                features=features - features.mean(axis=0),
                velocity=velocity - velocity.mean(),
                variation=None if piece.truth.kind == "marked" else _variation(piece, own),
            )
        )
    return kept


def _variation(piece: Piece, own: npt.NDArray[np.bool_]) -> float | None:
    """How far repeats of one note at one sixteenth of the bar, within a few bars, are apart: as a deviation of one."""
    notes = piece.truth.notes
    cells = [FEATURES.index(f"cell {cell}") for cell in range(16)]
    at = piece.found.features[own][:, cells]
    place = np.where(at.any(axis=1), at.argmax(axis=1), -1) * 128 + notes.pitch[own]
    order = np.lexsort((notes.start[own], place))
    again = (np.diff(place[order]) == 0) & (place[order][1:] >= 0)
    again &= np.diff(notes.start[own][order]) < REPEAT_SECONDS
    apart = np.diff(notes.velocity[own][order])[again]
    return float(MAD * np.median(np.abs(apart)) / np.sqrt(2)) if len(apart) >= MIN_REPEATS else None


def fit(pieces: Sequence[Piece]) -> Weights:
    known = [part for piece in pieces for part in parts(piece)]
    shape = _shapes(known)
    level, balance = _levels(pieces)
    variation = np.zeros(len(GROUPS))
    flat, played = (np.zeros((len(GROUPS), len(QUANTILES))) for _ in range(2))
    for family in FAMILIES:
        members = range(len(GROUPS))[family]
        for group in members:
            own = [part for part in known if part.group == group]
            own = own if len(own) >= 10 else [part for part in known if part.group in members]
            own = [part for part in own if part.variation is not None]
            variation[group] = float(np.mean([part.variation for part in own]))
            flat[group] = _quantiles([part.features @ shape[group] for part in own])
            true = [part.velocity for part in own]
            spread = float(np.median([velocity.std() for velocity in true]))
            played[group] = _quantiles(true) * np.sqrt(max(1 - (variation[group] / spread) ** 2, 0.0))
    return Weights(level=level, balance=balance, shape=shape, flat=flat, played=played, variation=variation)


def _quantiles(parts_of: Sequence[Floats]) -> Floats:
    """Quantiles of the values of all parts, every part brought to the median spread."""
    spreads = np.array([values.std() for values in parts_of])
    counts = np.array([len(values) for values in parts_of])
    scaled = np.concatenate(parts_of) / np.repeat(np.maximum(spreads, 1e-9), counts)
    order = np.argsort(scaled)
    share = np.cumsum(np.repeat(np.minimum(counts, MOST_NOTES) / counts, counts)[order])
    return np.asarray(np.interp(QUANTILES, share / share[-1], scaled[order]) * np.median(spreads))


def _shapes(known: Sequence[Part]) -> Floats:
    size = len(FEATURES)
    products, sums = np.zeros((len(GROUPS), size, size)), np.zeros((len(GROUPS), size))
    for part in known:
        weighed = part.features * part.weight
        products[part.group] += weighed.T @ part.features
        sums[part.group] += weighed.T @ part.velocity
    shape = np.zeros((len(GROUPS), size))
    for family in FAMILIES:
        pooled = np.linalg.solve(products[family].sum(axis=0) + POOL_RIDGE * np.eye(size), sums[family].sum(axis=0))
        for group in range(len(GROUPS))[family]:
            shape[group] = np.linalg.solve(products[group] + RIDGE * np.eye(size), sums[group] + RIDGE * pooled)
    return shape


def level_rows(piece: Piece) -> tuple[Floats, Floats, Floats]:
    """For each part of a piece [p]: what its level is regressed on, its mean velocity, its weight; less the means."""
    found = piece.found
    columns = part_means(found.features[:, [FEATURES.index(name) for name in BALANCE]], found.part)
    _, first, counts = np.unique(found.part, return_index=True, return_counts=True)
    weight = np.minimum(counts, MOST_NOTES).astype(np.float64)
    group = found.group[first]
    rows = np.concatenate(
        [np.eye(len(GROUPS))[group], np.where(group < len(PITCHED), 1, 0)[:, None] * columns[first]], 1
    )
    mean = part_means(piece.truth.notes.velocity.astype(np.float64), found.part)[first]
    return rows - np.average(rows, axis=0, weights=weight), mean - np.average(mean, weights=weight), weight


def _levels(pieces: Sequence[Piece]) -> tuple[Floats, Floats]:
    """Levels of the groups and weights of `BALANCE`, from pieces whose parts were balanced by their players."""
    found = [level_rows(piece) for piece in pieces if piece.truth.kind != "marked"]
    rows, mean, weight = (np.concatenate(column) for column in zip(*found, strict=True))
    weighed = rows.T * weight
    solved = np.linalg.solve(weighed @ rows + LEVEL_RIDGE * np.eye(rows.shape[1]), weighed @ mean)
    return solved[: len(GROUPS)], solved[len(GROUPS) :]


def as_json(weights: Weights, pieces: Sequence[Piece]) -> str:
    """The file of weights, with the sources and licences of what they were fitted to; a group a line."""
    counts = Counter((piece.truth.source, piece.truth.licence) for piece in pieces)
    head = {
        "version": WEIGHTS_VERSION,
        "fitted to": [
            {"source": source, "licence": licence, "pieces": count}
            for (source, licence), count in sorted(counts.items())
        ],
        "features": list(FEATURES),
        "balance features": list(BALANCE),
        "balance": [_short(value) for value in weights.balance],
    }
    groups = [
        json.dumps(name)
        + ": "
        + json.dumps(
            {
                "level": _short(weights.level[index]),
                "variation": _short(weights.variation[index]),
                "flat": [_short(value) for value in weights.flat[index]],
                "played": [_short(value) for value in weights.played[index]],
                "shape": [_short(value) for value in weights.shape[index]],
            }
        )
        for index, name in enumerate(GROUPS)
    ]
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
    return "{\n " + ",\n ".join([*lines, '"groups": {\n  ' + ",\n  ".join(groups) + "\n }"]) + "\n}\n"


def _short(value: float) -> float:
    return float(f"{value:.4g}")
