"""`midi-llm continue FILE`: a MIDI file, and music that goes on after its last bar."""

from __future__ import annotations

import argparse

from midi_llm.cli.edits import add_edit, run_edit
from midi_llm.compose.settings import DEFAULT_SECONDS


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `continue`."""
    add_edit(parser)
    parser.add_argument(
        "--seconds",
        type=float,
        default=DEFAULT_SECONDS,
        metavar="S",
        help=f"how much music is added (default {DEFAULT_SECONDS:g})",
    )


def run(args: argparse.Namespace) -> int:
    """Go on; returns the exit code."""
    from midi_llm.compose.editing import continued

    return run_edit(args, "continued", lambda song: continued(song, seconds=args.seconds))
