"""`midi-llm replace FILE --instrument piano`: one part of a MIDI file composed anew, for it or another instrument."""

from __future__ import annotations

import argparse

from midi_llm.cli.edits import add_edit, run_edit


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `replace`."""
    add_edit(parser)
    parser.add_argument("--instrument", required=True, metavar="NAME", help="the part to compose anew: 'piano'")
    parser.add_argument("--with", dest="by", metavar="NAME", help="the instrument that takes its place (default: it)")


def run(args: argparse.Namespace) -> int:
    """Replace; returns the exit code."""
    from midi_llm.compose.asked import first_programs, read_programs
    from midi_llm.compose.editing import own, replaced

    old = read_programs(args.instrument)
    new = None if args.by is None else first_programs(args.by)
    return run_edit(args, "replaced", lambda song: replaced(song, old=old, new=new or (old & own(song)) or old))
