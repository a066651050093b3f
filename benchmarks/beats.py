"""How well are beats, bars and tempo heard? Against simple methods, on pieces whose beats are known.

    python benchmarks/beats.py CORPUS [--split test] [--each 60] [--seed 1] [--fit] [-o table.md]

CORPUS holds corpus.zip and manifest.jsonl.gz (data/sources/corpus.py). 30 s openings, times rounded to 10 ms. Beat and
downbeat F within 70 ms; tempo 1 within 4 % of the felt beat, tempo 2 also at 2, 3, 3/2 times it and their inverses;
metre is the number of beats in a bar. "Told" is with tempo and metre known beforehand. Means of sources with 5 pieces.
--fit first fits the weights to the train split (160 stretches a source) and writes them into the package.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

import beat_baselines
import machine
from beat_fit import bar_choice, fit, pulse_choice
from beat_truth import Excerpt, excerpts, f_measure
from midi_llm.music import beats as heard_by
from midi_llm.music.beats import BeatGrid, estimate_beats
from midi_llm.music.features import NoteTable
from midi_llm.music.metre import BEATS_PER_BAR, beats_in_bar

Floats = npt.NDArray[np.float64]

COLUMNS = ("beat F", "tempo 1", "tempo 2", "downbeat F", "metre", "ms a piece")
LEVELS = (1, 2, 3, 1 / 2, 1 / 3, 3 / 2, 2 / 3)
WEIGHTS = Path(heard_by.__file__).with_name("beats.json")
TRAIN_EACH, SOURCE_WEIGHT, FEW = 160, 60, 5


def plain(excerpt: Excerpt) -> BeatGrid | None:
    return estimate_beats(excerpt.notes)


def told(excerpt: Excerpt) -> BeatGrid | None:
    metre = excerpt.metre if beats_in_bar(excerpt.metre) in BEATS_PER_BAR else None
    return estimate_beats(excerpt.notes, bpm=excerpt.bpm if metre else excerpt.felt, metre=metre)


def judge_beats(excerpt: Excerpt, beats: Floats) -> list[float]:
    """Beat F, tempo 1, tempo 2."""
    ratio = 60 / float(np.median(np.diff(beats))) / excerpt.felt if len(beats) > 1 else 1e9
    near = [abs(np.log(ratio / level)) < 0.04 for level in LEVELS]
    return [f_measure(excerpt.beats, beats), float(near[0]), float(any(near))]


def judge(hear: Callable[[Excerpt], BeatGrid | None], excerpt: Excerpt) -> list[float]:
    began = time.perf_counter()
    grid = hear(excerpt)
    spent = 1000 * (time.perf_counter() - began)
    if grid is None:
        return [0.0] * 5 + [spent]
    downs = f_measure(excerpt.beats[excerpt.is_down], grid.beats[grid.downbeats])
    same = float(beats_in_bar(grid.metre) == beats_in_bar(excerpt.metre))
    return [*judge_beats(excerpt, grid.beats), downs, same, spent]


def judge_simple(find: Callable[[NoteTable], Floats], excerpt: Excerpt) -> list[float]:
    began = time.perf_counter()
    beats = find(excerpt.notes)
    spent = 1000 * (time.perf_counter() - began)
    return [*judge_beats(excerpt, beats), np.nan, np.nan, spent]


def row(name: str, count: int, values: Floats) -> str:
    cells = ("" if np.isnan(value) else f"{value:.2f}" for value in values)
    return f"| {name} | {count} | {' | '.join(cells)} |"


def rows(name: str, pieces: Sequence[Excerpt], values: Floats) -> list[str]:
    """A line of the mean of sources, and one a source."""
    counts = Counter(piece.source for piece in pieces)
    sources = np.array([piece.source if counts[piece.source] >= FEW else "others" for piece in pieces])
    means = {str(source): values[sources == source].mean(axis=0) for source in np.unique(sources)}
    lines = [row(f"**{name}**", len(pieces), np.mean(list(means.values()), axis=0))]
    return lines + [row(source, int((sources == source).sum()), mean) for source, mean in means.items()]


def fit_weights(corpus: Path, seed: int) -> None:
    pieces = list(excerpts(corpus, "train", each=TRAIN_EACH, seed=seed, anywhere=True))
    counts = Counter(piece.source for piece in pieces)
    stored: dict[str, list[float]] = {}
    for name, choose in (("pulse", pulse_choice), ("bar", bar_choice)):
        choices = [choose(piece, min(1.0, SOURCE_WEIGHT / counts[piece.source])) for piece in pieces]
        fitted, correct = fit([choice for choice in choices if choice is not None])
        stored[name] = [float(f"{weight:.6g}") for weight in fitted]
        print(f"{name}: {len(fitted)} weights, right for {correct:.1%} of what they were fitted to")
    WEIGHTS.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    heard_by.weights.cache_clear()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--each", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    if args.fit:
        fit_weights(args.corpus, args.seed)
    pieces = list(excerpts(args.corpus, args.split, each=args.each, seed=args.seed))
    simple = [beat_baselines.always_120, beat_baselines.intervals, beat_baselines.dynamic_programming]
    lines = [f"| | n | {' | '.join(COLUMNS)} |", "|---" * (2 + len(COLUMNS)) + "|"]
    for find in simple:
        lines += rows(find.__name__, pieces, np.array([judge_simple(find, piece) for piece in pieces]))[:1]
    for hear in (plain, told):
        lines += rows(f"music.beats, {hear.__name__}", pieces, np.array([judge(hear, piece) for piece in pieces]))
    text = "\n".join([*lines, "", f"{args.split} split, {machine.describe('numpy')}", ""])
    print(text)
    if args.output:
        args.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
