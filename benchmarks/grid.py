"""Q5: onsets on the grid that the file draws, before notes are drawn to it and after, over takes of mixed prompts.

    python benchmarks/grid.py [--prompts 30] [--takes 2] [--seconds 20] [--model nano] [--seed 0] [-o table.md]

A take is composed once and left as played; its finished score is then quantised at each strength. Q5 is the share of
onsets within 15 ms of a sixteenth or triplet of the written tempo map. Takes are parted by the confidence of the ear,
and by whether they keep to their grid (music/align.py): those that do not stay as played, and count as they are.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

import machine
import prompts
from midi_llm import Composer
from midi_llm.compose.settings import Settings
from midi_llm.evaluate.control.written import on_written_grid
from midi_llm.music.align import keeps_to_grid, quantised
from midi_llm.music.beats import estimate_beats
from midi_llm.music.features import note_table
from midi_llm.music.score import Score

STRENGTHS = (0.5, 0.8, 1.0)
CLEAR = (0.5, 0.8)
"""Bounds of confidence."""
GOAL = 0.95
MOVED_SECONDS, FAR_SECONDS = 0.001, 0.03
"""A note that moves by less than the first has not moved; one that moves farther than the second is another rhythm."""


@dataclass(frozen=True, kw_only=True)
class Row:
    kept: bool
    confidence: float
    shares: tuple[float, ...]
    """Q5 as played, then at each strength."""
    moves: np.ndarray
    """Seconds [n] that the onsets move at strength 1, in the order of their onsets as played."""


def look(score: Score) -> Row:
    grid = estimate_beats(note_table(score))
    after = [quantised(score, strength=strength) for strength in STRENGTHS]
    moves = note_table(after[-1]).start - note_table(score).start
    return Row(
        kept=keeps_to_grid(score),
        confidence=0.0 if grid is None else grid.confidence,
        shares=tuple(on_written_grid(one) for one in (score, *after)),
        moves=np.abs(moves),
    )


def compose_all(composer: Composer, args: argparse.Namespace) -> list[Row]:
    """`args.takes` takes of each prompt; prompt i has the seeds seed + 1000 i, seed + 1000 i + 1, …"""
    rows: list[Row] = []
    for number, (text, _) in enumerate(prompts.PROMPTS[: args.prompts]):
        seed = args.seed + 1000 * number
        settings = Settings(seconds=args.seconds, takes=args.takes, seed=seed, quantise=0, retries=0)
        rows += [look(piece.score) for piece in composer.compose_takes(text, settings) if piece.score.note_count]
        print(f"{len(rows):4}  {text}", flush=True)
    return rows


def table(rows: list[Row]) -> str:
    bounds = (0.0, *CLEAR, np.inf)
    parts = [("**all takes**", rows)]
    parts += [
        (f"confidence {low:g} to {min(high, 1):g}", [row for row in rows if low <= row.confidence < high])
        for low, high in pairwise(bounds)
    ]
    parts += [
        ("on their grid", [row for row in rows if row.kept]),
        ("on another, left as played", [row for row in rows if not row.kept]),
    ]
    heads = ["as played", *(f"strength {strength:g}" for strength in STRENGTHS), f"takes with {GOAL:.0%}"]
    heads += ["onsets moved", "mean move, ms", f"moved > {1000 * FAR_SECONDS:.0f} ms"]
    lines = [f"| | takes | {' | '.join(heads)} |", "|---" * (2 + len(heads)) + "|"]
    return "\n".join(lines + [line(name, part) for name, part in parts if part])


def line(name: str, rows: list[Row]) -> str:
    """Means over takes; moves over all notes, at strength 1."""
    shares = np.array([row.shares for row in rows])
    moves = np.concatenate([row.moves for row in rows])
    cells = [f"{share:.3f}" for share in shares.mean(axis=0)]
    cells += [f"{(shares[:, -1] >= GOAL).mean():.0%}"]
    cells += [
        f"{(moves > MOVED_SECONDS).mean():.1%}",
        f"{1000 * moves.mean():.1f}",
        f"{(moves > FAR_SECONDS).mean():.1%}",
    ]
    return f"| {name} | {len(rows)} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=30)
    parser.add_argument("--takes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    with Composer.open(args.model, engine=args.engine) as composer:
        rows = compose_all(composer, args)
    text = f"{table(rows)}\n\n{args.seconds:g} s asked for, model {args.model}, seeds from {args.seed};"
    text += f" {machine.describe('onnxruntime', 'numpy')}\n"
    print(text)
    if args.output:
        args.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
