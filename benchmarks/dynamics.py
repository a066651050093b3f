"""How near do the velocities of `music.dynamics` come to real ones? On pieces that were not fitted to.

    python benchmarks/dynamics.py CORPUS [--fit] [-o table.md]

CORPUS holds corpus.zip and manifest.jsonl.gz. First 90 s of each piece; what counts as real is in dynamics_truth.py.
--fit first fits the weights to the train split and writes them into the package. Tables: cross-validation over works,
games' slots and drummers, five folds, weights fitted anew for each; the package's weights on the valid and test splits,
with the beats of the file and with beats heard. r and rank: correlation within a part (an instrument, or a kind of
drum), mean over parts with 95 % intervals from resampling pieces. Errors are mean absolute ones: all notes 72; ours;
every part at its true mean; ours moved to that mean. Spread is the median deviation within a part.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

import machine
from dynamics_fit import Piece, as_json, fit, level_rows, study
from dynamics_truth import FOLDS, telling, truths
from midi_llm.music import dynamics
from midi_llm.music.beats import BeatGrid, estimate_beats
from midi_llm.music.dynamics import Weights, velocities
from midi_llm.music.parts import GROUPS
from midi_llm.music.score import DEFAULT_VELOCITY, DRUMS

Floats = npt.NDArray[np.float64]

WEIGHTS = Path(dynamics.__file__).with_name("dynamics.json")
COLUMNS = ("parts", "r", "rank", "all 72", "ours 1", "ours 0.5", "own mean", "ours 1", "ours 0.5", "spread", "ours 1")
RESAMPLES = 1000
FEW = 5
GHOST = 25
"""A stroke so much softer than the mean of its drum is a ghost note."""

Judged = dict[tuple[str, str], list[tuple[str, Floats]]]
"""By kind of truth and group: the piece and the figures of each part."""


def judge(pieces: Sequence[Piece], weights: Weights, grid_of: Callable[[Piece], BeatGrid | None]) -> Judged:
    found: Judged = defaultdict(list)
    for piece in pieces:
        notes, grid = piece.truth.notes, grid_of(piece)
        full, half = (velocities(notes, grid, weights, amount=amount, seed=1) for amount in (1.0, 0.5))
        for part in np.unique(piece.found.part):
            own = piece.found.part == part
            if telling(notes.velocity[own]):
                group = GROUPS[int(piece.found.group[own][0])]
                figures = _figures(notes.velocity[own], full[own], half[own])
                found[piece.truth.kind, group].append((piece.truth.id, figures))
    return found


def _figures(*columns: npt.NDArray[np.int64]) -> Floats:
    true, full, half = (column.astype(np.float64) for column in columns)
    at_mean = [velocity - velocity.mean() + true.mean() for velocity in (full, half)]
    errors = [np.abs(true - other).mean() for other in (DEFAULT_VELOCITY, full, half, true.mean(), *at_mean)]
    return np.array([_r(true, full), _r(_ranks(true), _ranks(full)), *errors, true.std(), full.std()])


def _r(a: Floats, b: Floats) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0


def _ranks(values: Floats) -> Floats:
    """Ranks, ties sharing their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def merged(tables: Sequence[Judged]) -> Judged:
    out: Judged = defaultdict(list)
    for table in tables:
        for key, values in table.items():
            out[key] += values
    return out


def lines(judged: Judged) -> list[str]:
    rows = [f"| | {' | '.join(COLUMNS)} |", "|---" * (1 + len(COLUMNS)) + "|"]
    for (kind, group), found in sorted(judged.items(), key=lambda item: (item[0][0], GROUPS.index(item[0][1]))):
        if len(found) < FEW:
            continue
        values = np.array([figures for _, figures in found])
        mean = values.mean(axis=0)
        low, high = _interval([name for name, _ in found], values[:, :2])
        both = [f"{mean[at]:.2f} [{low[at]:.2f}, {high[at]:.2f}]" for at in (0, 1)]
        spread = np.median(values[:, 8:], axis=0)
        cells = [*both, *(f"{value:.1f}" for value in (*mean[2:8], *spread))]
        rows.append(f"| {group}, {kind} | {len(found)} | {' | '.join(cells)} |")
    return rows


def _interval(names: Sequence[str], values: Floats) -> Floats:
    """95 % intervals [2, columns] of the mean over parts; pieces are drawn with replacement."""
    _, piece = np.unique(names, return_inverse=True)
    count = int(piece.max()) + 1
    draws = np.random.default_rng(1).multinomial(count, np.full(count, 1 / count), RESAMPLES)[:, piece]
    return np.asarray(np.percentile(draws @ values / draws.sum(axis=1, keepdims=True), (2.5, 97.5), axis=0))


def balance_lines(pieces: Sequence[Piece], weights: Sequence[Weights]) -> list[str]:
    """How well the levels of parts beside the others of their piece are told."""
    found: dict[str, list[Floats]] = defaultdict(list)
    for piece, own in zip(pieces, weights, strict=True):
        if piece.truth.kind == "marked":  # marks are common to all parts
            continue
        rows, mean, count = level_rows(piece)
        drums = np.unique(piece.found.part) >= DRUMS
        both = np.stack([mean, rows @ np.concatenate([own.level, own.balance]), count], axis=1)
        found[f"pitched parts, {piece.truth.kind}"].append(both[~drums])
        found[f"kinds of drums, {piece.truth.kind}"].append(both[drums])
    told = ["| | parts | r | all alike | ours |", "|---|---|---|---|---|"]
    for name, columns in sorted(found.items()):
        true, ours, count = np.concatenate(columns).T
        errors = [np.average(np.abs(error), weights=count) for error in (true, true - ours)] if len(true) else []
        told += (
            [f"| {name} | {len(true)} | {_r(true, ours):.2f} | {errors[0]:.1f} | {errors[1]:.1f} |"] if errors else []
        )
    return told


def ghost_line(pieces: Sequence[Piece], weights: Sequence[Weights]) -> str:
    """The share of ghost notes on the snare as drummers play it, and as they would be given."""
    true, ours = [], []
    for piece, own in zip(pieces, weights, strict=True):
        snare = piece.found.group == GROUPS.index("snare")
        if piece.truth.kind == "played" and snare.any():
            notes = piece.truth.notes
            given = velocities(notes, piece.truth.grid, own, amount=1.0, seed=1)
            true.append(notes.velocity[snare] - notes.velocity[snare].mean())
            ours.append(given[snare] - given[snare].mean())
    shares = [100 * float((np.concatenate(all_of) < -GHOST).mean()) for all_of in (true, ours)]
    return f"Snare strokes {GHOST} softer than the snare's mean: {shares[0]:.0f} % as played, {shares[1]:.0f} % ours."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    pieces = [study(truth) for truth in truths(args.corpus)]
    if args.fit:
        train = [piece for piece in pieces if piece.truth.split == "train"]
        WEIGHTS.write_text(as_json(fit(train), train), encoding="utf-8")
        dynamics.weights.cache_clear()
    folds = [fit([piece for piece in pieces if piece.truth.fold != fold]) for fold in range(FOLDS)]
    tables = [
        judge([p for p in pieces if p.truth.fold == fold], weights, lambda piece: piece.truth.grid)
        for fold, weights in enumerate(folds)
    ]
    held = [piece for piece in pieces if piece.truth.split != "train"]
    heard = judge(held, dynamics.weights(), lambda piece: estimate_beats(piece.truth.notes))
    own = [folds[piece.truth.fold] for piece in pieces]
    text = "\n".join(
        [
            f"{len(pieces)} pieces, cross-validation:\n",
            *lines(merged(tables)),
            f"\n{ghost_line(pieces, own)}\n\nLevels of parts beside the others of their piece:\n",
            *balance_lines(pieces, own),
            f"\n{len(held)} pieces of the valid and test splits:\n",
            *lines(judge(held, dynamics.weights(), lambda piece: piece.truth.grid)),
            "\nThe same with beats heard:\n",
            *lines(heard),
            f"\n{machine.describe('numpy')}\n",
        ]
    )
    print(text)
    if args.output:
        args.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
