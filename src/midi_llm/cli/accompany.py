"""`midi-llm accompany FILE --instruments "bass, drums"`: parts composed to the music of a MIDI file."""

from __future__ import annotations

import argparse

from midi_llm.cli.edits import add_edit, run_edit


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `accompany`."""
    add_edit(parser)
    parser.add_argument("--instruments", required=True, metavar="NAMES", help="the parts to compose: 'bass, drums'")


def run(args: argparse.Namespace) -> int:
    """Accompany; returns the exit code."""
    from midi_llm.compose.asked import first_programs
    from midi_llm.compose.editing import accompanied

    chosen = first_programs(args.instruments)
    return run_edit(args, "accompanied", lambda song: accompanied(song, instruments=chosen))
