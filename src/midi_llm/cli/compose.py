"""`midi-llm "prompt"`: compose MIDI files from a text.

stdout: the path of every file, or with --json one JSON object {"takes": [...]}; stderr: progress and summaries.
The paths are checked before anything is composed. Ctrl-C writes nothing, or with --keep-partial what there is.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from midi_llm.cli.files import plan_takes, save_somewhere, slug
from midi_llm.compose.settings import (
    DEFAULT_DYNAMICS,
    DEFAULT_ENGINE,
    DEFAULT_GUIDANCE,
    DEFAULT_MODEL,
    DEFAULT_SECONDS,
    DEFAULT_TEMPERATURE,
    DEFAULT_TOP_P,
    MAX_SECONDS,
    MAX_TAKES,
    MIN_SECONDS,
    Settings,
)
from midi_llm.errors import PromptError

if TYPE_CHECKING:
    from midi_llm.compose.piece import Piece

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
        default=DEFAULT_SECONDS,
        metavar="S",
        help=f"length, {MIN_SECONDS:g} to {MAX_SECONDS:g}, or auto: the model decides (default {DEFAULT_SECONDS:g})",
    )
    add(
        "--takes",
        type=int,
        default=1,
        metavar="N",
        help=f"pieces to compose side by side, 1 to {MAX_TAKES} (default 1)",
    )
    add("--seed", type=int, metavar="N", help="makes the result repeatable; take 2 uses N+1, ... (default: drawn)")
    add(
        "--temperature",
        type=float,
        metavar="T",
        help=f"0 = always the likeliest, higher = bolder (default: the model's own, else {DEFAULT_TEMPERATURE:g})",
    )
    add(
        "--top-p",
        type=float,
        metavar="P",
        help=f"draw from the likeliest ids that make up this share (default: the model's own, else {DEFAULT_TOP_P:g})",
    )
    add(
        "--guidance",
        type=float,
        metavar="G",
        help=f"above 1 the text counts more, and composing takes twice as long (default: the model's own, else"
        f" {DEFAULT_GUIDANCE:g})",
    )
    add(
        "--dynamics",
        type=float,
        default=DEFAULT_DYNAMICS,
        metavar="D",
        help=f"velocities: 0 = all alike, 1 = as unequal as in real music (default {DEFAULT_DYNAMICS:g})",
    )
    add("--model", default=DEFAULT_MODEL, metavar="NAME|DIR|ID", help=f"see midi-llm models (default {DEFAULT_MODEL})")
    add("--engine", default=DEFAULT_ENGINE, metavar="ENGINE", help="auto, onnx, torch or vllm (default auto)")
    add("--no-parse", action="store_true", help="leave instruments, tempo, metre and key in the prompt to the model")
    add("--json", action="store_true", help="print a JSON description of the takes instead of their paths")
    add("--keep-partial", action="store_true", help="on Ctrl-C save what has been composed so far")
    add("--force", action="store_true", help="overwrite existing files")
    add("-q", "--quiet", action="store_true", help="no progress and no summary")


def seconds(text: str) -> float | None:
    """A number of seconds, or None for "auto"."""
    if text == "auto":
        return None
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
    )
    if not args.prompt.strip():
        raise PromptError('the prompt is empty; describe the music in words, such as "a calm piano piece"')
    seeds = wishes.seeds()
    paths = plan_takes(args.output, name=slug(args.prompt), seeds=seeds, force=args.force)
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

    with Composer.open(args.model, engine=args.engine) as composer:
        composer.prompt_ids(args.prompt)  # a bad prompt is reported before the bar appears
        with Bar(seconds=wishes.seconds, takes=wishes.takes, quiet=args.quiet) as bar, _stoppable() as cancel:
            pieces = composer.compose_takes(args.prompt, wishes, on_progress=bar.update, cancel=cancel)
    return pieces, any(piece.finish_reason == "cancelled" for piece in pieces)


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; the second one interrupts as usual."""
    cancel = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield cancel  # signals belong to the main thread
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: object) -> None:
        cancel.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop)
    try:
        yield cancel
    finally:
        signal.signal(signal.SIGINT, before)


def _save(piece: Piece, path: Path, args: argparse.Namespace) -> tuple[Path, Piece]:
    """Write one piece, and its summary unless quiet; the path it went to."""
    from midi_llm.cli.progress import describe

    saved = save_somewhere(lambda target: _write(piece, target, args.force), path)
    if not args.quiet:
        print(describe(piece, saved), file=sys.stderr)
    return saved, piece


def _write(piece: Piece, target: Path, force: bool) -> None:
    piece.save(target, overwrite=force)
