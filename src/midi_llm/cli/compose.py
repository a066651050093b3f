"""`midi-llm "prompt"`: compose MIDI files from a text.

stdout: the path of every file, or with --json one JSON object {"takes": [...]}; stderr: progress and summaries.
The paths are checked before anything is composed. Ctrl-C writes nothing, or with --keep-partial what there is.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from midi_llm.cli.drawing import add_drawing, stoppable
from midi_llm.cli.files import plan_takes, save_somewhere, slug
from midi_llm.cli.wishes import add_wishes, wishes_of
from midi_llm.compose.settings import (
    DEFAULT_DYNAMICS,
    DEFAULT_QUANTISE,
    DEFAULT_RETRIES,
    DEFAULT_SECONDS,
    MAX_SECONDS,
    MIN_SECONDS,
    Settings,
)
from midi_llm.errors import PromptError

if TYPE_CHECKING:
    from midi_llm.compose.piece import Piece
    from midi_llm.compose.ranking import CopiedShare
    from midi_llm.music.score import Score

EXIT_INTERRUPTED = 130


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `compose`."""
    add = parser.add_argument
    add("prompt", metavar="PROMPT", help="what to compose, in words")
    add(
        "-o", "--output", metavar="FILE|DIR", help="a name ending in .mid, or a folder; default: named after the prompt"
    )
    add(
        "--seconds",
        type=seconds,
        metavar="S",
        help=f"length, {MIN_SECONDS:g} to {MAX_SECONDS:g}, or auto: the model decides (default: as the prompt says,"
        f" else {DEFAULT_SECONDS:g})",
    )
    add_drawing(parser)
    add(
        "--no-parse",
        action="store_true",
        help="leave what the prompt says about instruments, tempo, key and length to the model",
    )
    add(
        "--dynamics",
        type=float,
        default=DEFAULT_DYNAMICS,
        metavar="D",
        help=f"velocities: 0 = all alike, 1 = as unequal as in real music (default {DEFAULT_DYNAMICS:g})",
    )
    add("--json", action="store_true", help="print a JSON description of the takes instead of their paths")
    add(
        "--best", type=int, metavar="K", help="keep only so many of the takes, ranked by wishes met, health and novelty"
    )
    add(
        "--retries",
        type=int,
        default=DEFAULT_RETRIES,
        metavar="N",
        help=f"how often a take that is stuck, silent or a copy is composed again (default {DEFAULT_RETRIES})",
    )
    add(
        "--quantise",
        type=float,
        default=DEFAULT_QUANTISE,
        metavar="Q",
        help="how far notes are drawn to the grid of the tempo written, 0 (as played) to 1; swing and triplets stay"
        f" (default {DEFAULT_QUANTISE:g})",
    )
    add("--against", type=Path, metavar="DATA", help="a data set with an index of runs: tells copies of its pieces")
    add_wishes(parser)
    add("--keep-partial", action="store_true", help="on Ctrl-C save what has been composed so far")
    add("--force", action="store_true", help="overwrite existing files")
    add("-q", "--quiet", action="store_true", help="no progress and no summary")


def seconds(text: str) -> float | Literal["auto"]:
    """A number of seconds, or "auto"."""
    if text == "auto":
        return "auto"
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of seconds nor auto") from None


def run(args: argparse.Namespace) -> int:
    """Compose, save, and say where; returns the exit code."""
    wishes = Settings(
        seconds=args.seconds,
        takes=args.takes,
        seed=args.seed,
        temperature=args.temperature,
        top_p=args.top_p,
        guidance=args.guidance,
        parse=not args.no_parse,
        dynamics=args.dynamics,
        wishes=wishes_of(args),
        best=args.best,
        retries=args.retries,
        quantise=args.quantise,
    )
    if not args.prompt.strip():
        raise PromptError('the prompt is empty; describe the music in words, such as "a calm piano piece"')
    seeds = wishes.seeds()
    kept = seeds if args.best is None else seeds[: args.best]
    paths = plan_takes(args.output, name=slug(args.prompt), seeds=kept, force=args.force)
    pieces, stopped = _compose(args, replace(wishes, seed=seeds[0]))
    if stopped and not (args.keep_partial and any(piece.score.note_count for piece in pieces)):
        print("midi-llm: stopped, nothing was written (--keep-partial saves what there is)", file=sys.stderr)
        return EXIT_INTERRUPTED
    saved = [_save(piece, path, args) for piece, path in zip(pieces, paths, strict=False) if piece.score.note_count]
    if args.json:
        takes = [{"path": str(path), **piece.summary()} for path, piece in saved]
        print(json.dumps({"takes": takes}, indent=2, ensure_ascii=False))
    else:
        for path, _ in saved:
            print(path)
    return EXIT_INTERRUPTED if stopped else 0


def _compose(args: argparse.Namespace, wishes: Settings) -> tuple[list[Piece], bool]:
    """The pieces, and whether Ctrl-C stopped them."""
    from midi_llm.cli.progress import Bar
    from midi_llm.compose.composer import Composer

    copied_share = None if args.against is None else _copied_share(args.against)
    with Composer.open(args.model, engine=args.engine) as composer:
        composer.copied_share = copied_share
        plan = composer.plan(args.prompt, wishes)
        composer.prompt_ids(plan.text)  # a bad prompt is reported before the bar appears
        with Bar(seconds=plan.seconds, takes=wishes.takes, quiet=args.quiet) as bar, stoppable() as cancel:
            pieces = composer.compose_takes(args.prompt, wishes, on_progress=bar.update, cancel=cancel)
    return pieces, cancel.is_set()


def _copied_share(data: Path) -> CopiedShare:
    """What tells copies of a data set's training pieces. Raises `DatasetError` where it has no index of runs."""
    from midi_llm.data.runs import RunIndex, shared_runs

    index = RunIndex.open(data)

    def copied_share(score: Score) -> float:
        shared = shared_runs(score, index)
        return shared.copied / max(shared.notes, 1)

    return copied_share


def _save(piece: Piece, path: Path, args: argparse.Namespace) -> tuple[Path, Piece]:
    """Write one piece, and its summary unless quiet; the path it went to."""
    from midi_llm.cli.progress import describe

    saved = save_somewhere(lambda target: _write(piece, target, args.force), path)
    if not args.quiet:
        print(describe(piece, saved), file=sys.stderr)
    return saved, piece


def _write(piece: Piece, target: Path, force: bool) -> None:
    piece.save(target, overwrite=force)
