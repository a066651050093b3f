"""`midi-llm show FILE`: a MIDI file in the terminal: its tracks in a table, and a piano roll of letters."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from pathlib import Path

from midi_llm.errors import RequestError


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `show`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a MIDI file")
    parser.add_argument("--bars", metavar="FROM-TO", help="show these bars only, such as 1-8 (default: all)")


def run(args: argparse.Namespace) -> int:
    """Show it on stdout, as wide as the terminal, in colours where it has them and NO_COLOR is not set."""
    from midi_llm.music.names import clean_text
    from midi_llm.music.read import read_midi
    from midi_llm.notation.terminal import show

    first, last = bars(args.bars) if args.bars is not None else (1, None)
    lines = show(
        read_midi(args.file),
        width=shutil.get_terminal_size().columns,
        first_bar=first,
        last_bar=last,
        colour=sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
        unicode=can_show_blocks(sys.stdout.encoding),
    )
    for line in (clean_text(args.file.name), *lines):
        print(printable(line, sys.stdout.encoding))
    return 0


def bars(text: str) -> tuple[int, int]:
    """First and last bar of "1-8" or "5". Raises `RequestError` for anything else."""
    match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", text.strip())
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= last:
        raise RequestError(f"--bars {text} is no range of bars; give a first and a last one, such as 1-8, or one")
    return first, last


def can_show_blocks(encoding: str) -> bool:
    """Whether a text of this encoding can hold the letters of the roll."""
    from midi_llm.notation.terminal import LETTERS

    return printable(LETTERS, encoding) == LETTERS


def printable(text: str, encoding: str) -> str:
    """`text` with a question mark for every letter that `encoding` lacks: names may hold any."""
    return text.encode(encoding, "replace").decode(encoding)
