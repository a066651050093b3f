"""Q1 and Q2: do takes of mixed prompts decode without repair, and do they end as they should?

    python benchmarks/takes.py [--takes 200] [--seconds 30] [--model nano] [--engine auto] [--seed 0] [-o table.md]

Every take's ids are decoded strictly again here, window by window, whatever the composer says about them. "Ends at the
length asked for" is checked on the notes: none sounds past it, and the last one to end does so in the last tenth.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import machine
import prompts
from midi_llm import Composer, Piece, TokenError
from midi_llm.compose.settings import Settings
from midi_llm.compose.windows import MIN_END_SHARE
from midi_llm.tokens.codec import decode


@dataclass(frozen=True, kw_only=True)
class Judged:
    piece: Piece
    strict: bool
    ended: bool
    named: int
    heard: int


def decodes(piece: Piece) -> bool:
    try:
        for window in piece.windows:
            decode(window)
    except TokenError:
        return False
    return not piece.reports


def ends_well(piece: Piece) -> bool:
    """By itself or at the length asked for; in both cases in the last tenth, and nothing sounds past the end."""
    asked = piece.seconds_asked
    if piece.ending not in ("own", "asked"):
        return False
    if asked is None:
        return True
    return MIN_END_SHARE * asked <= piece.seconds <= asked + 0.005


def judge(piece: Piece, named: tuple[prompts.Family, ...]) -> Judged:
    sounding = {track.instrument for track in piece.score.tracks}
    heard = sum(bool(family & sounding) for family in named)
    return Judged(piece=piece, strict=decodes(piece), ended=ends_well(piece), named=len(named), heard=heard)


def compose_all(composer: Composer, args: argparse.Namespace) -> list[Judged]:
    """`args.takes` takes, spread over the prompts; prompt i has the seeds seed + 1000 i, seed + 1000 i + 1, …"""
    judged: list[Judged] = []
    count = len(prompts.PROMPTS)
    for number, (text, named) in enumerate(prompts.PROMPTS):
        takes = args.takes // count + (number < args.takes % count)
        if takes:
            settings = Settings(seconds=args.seconds, takes=takes, seed=args.seed + 1000 * number)
            judged += [judge(piece, named) for piece in composer.compose_takes(text, settings)]
            print(f"{len(judged):4} of {args.takes}  {text}", flush=True)
    return judged


def table(judged: list[Judged], wall: float) -> str:
    pieces = [take.piece for take in judged]
    count = len(judged)
    endings = {name: sum(piece.ending == name for piece in pieces) for name in ("own", "asked", "full", "cancelled")}
    named = sum(take.named for take in judged)
    density = [piece.score.note_count / piece.seconds for piece in pieces if piece.seconds]
    lengths = [piece.seconds for piece in pieces]
    ids = sum(len(piece.amt_ids) for piece in pieces)
    rows = [
        ("takes", f"{count} of {len(prompts.PROMPTS)} prompts"),
        ("decode strictly (Q1)", percent(sum(take.strict for take in judged), count)),
        ("end by themselves or at the length asked for (Q2)", percent(sum(take.ended for take in judged), count)),
        ("… by themselves", percent(endings["own"], count)),
        ("… at the length asked for", percent(endings["asked"], count)),
        ("… neither (context full)", percent(endings["full"], count)),
        ("notes per second of music, median (least, most)", spread(density)),
        ("length in seconds, median (least, most)", spread(lengths)),
        ("instruments per take, mean", f"{statistics.mean(len(piece.score.tracks) for piece in pieces):.1f}"),
        ("named instruments that sound", percent(sum(take.heard for take in judged), named)),
        ("takes in which all named instruments sound", all_heard(judged)),
        ("ids per second of wall clock", f"{ids / wall:.0f}"),
        ("seconds of music per second of wall clock", f"{sum(lengths) / wall:.1f}"),
    ]
    return "\n".join(["| what | measured |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)])


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} % ({part}/{whole})" if whole else "none"


def all_heard(judged: list[Judged]) -> str:
    asked = [take for take in judged if take.named]
    return percent(sum(take.heard == take.named for take in asked), len(asked))


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f}, {max(values):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--takes", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    with Composer.open(args.model, engine=args.engine) as composer:
        began = time.perf_counter()
        judged = compose_all(composer, args)
        wall = time.perf_counter() - began
    first = judged[0].piece
    note = (
        f"{args.seconds:g} s asked for, model {Path(first.model).name}, engine {first.engine}, seeds from {args.seed},"
        f" temperature {first.temperature:g}, top-p {first.top_p:g}; {machine.describe('onnxruntime', 'numpy')}"
    )
    text = f"{table(judged, wall)}\n\n{note}\n"
    print(text)
    if args.output:
        args.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
