"""`midi-llm vary FILE`: a MIDI file in which a share of the parts is composed anew, four bars at a time."""

from __future__ import annotations

import argparse

from midi_llm.cli.edits import add_edit, run_edit
from midi_llm.compose.settings import DEFAULT_STRENGTH


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vary`."""
    add_edit(parser)
    parser.add_argument(
        "--strength",
        type=float,
        default=DEFAULT_STRENGTH,
        metavar="S",
        help=f"the share that is composed anew, above 0 and at most 1 (default {DEFAULT_STRENGTH:g})",
    )


def run(args: argparse.Namespace) -> int:
    """Vary; returns the exit code."""
    from midi_llm.compose.editing import varied

    seed = args.seed or 0  # which parts: the same for all takes, so that they differ in what was composed
    return run_edit(args, "varied", lambda song: varied(song, share=args.strength, seed=seed))
