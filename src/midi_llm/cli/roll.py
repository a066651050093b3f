"""`midi-llm roll FILE`: a MIDI file as a piano roll (SVG), to stdout or to a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from midi_llm.cli.files import write_text


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `roll`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a MIDI file")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to write the SVG (default: stdout)")
    parser.add_argument("--title", help="written above the picture")
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")


def run(args: argparse.Namespace) -> int:
    """Draw it; stdout gets the SVG, or the path of the file."""
    from midi_llm.music.read import read_midi
    from midi_llm.music.roll import piano_roll_svg

    svg = piano_roll_svg(read_midi(args.file), title=args.title)
    if args.output is None:
        print(svg)
    else:
        write_text(svg, args.output, force=args.force)
        print(args.output)
    return 0
