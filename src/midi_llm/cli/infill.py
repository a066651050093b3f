"""`midi-llm infill FILE --bars 9-12`: some bars of a MIDI file composed anew."""

from __future__ import annotations

import argparse

from midi_llm.cli.edits import add_edit, run_edit
from midi_llm.errors import RequestError


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `infill`."""
    add_edit(parser)
    parser.add_argument("--bars", required=True, metavar="N-M", help="the bars to compose, counted from 1: 9-12, or 9")
    parser.add_argument("--instruments", metavar="NAMES", help="these parts only (default: all of the file)")


def run(args: argparse.Namespace) -> int:
    """Fill them in; returns the exit code."""
    from midi_llm.compose.asked import read_programs
    from midi_llm.compose.editing import infilled

    first, last = read_bars(args.bars)
    chosen = None if args.instruments is None else read_programs(args.instruments)
    return run_edit(args, "infilled", lambda song: infilled(song, first=first, last=last, instruments=chosen))


def read_bars(text: str) -> tuple[int, int]:
    """First and last bar of "9-12" or "9"; raises `RequestError`."""
    first, dash, last = text.partition("-")
    if not first.strip().isdecimal() or (dash and not last.strip().isdecimal()):
        raise RequestError(f"bars {text!r}; write a range such as 9-12, or a single bar")
    return int(first), int(last if dash else first)
