"""`midi-llm roll FILE`: a MIDI file as a piano roll, SVG to stdout, or SVG or PNG to a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from midi_llm.cli.files import check_file
from midi_llm.errors import OutputError

SUFFIXES = (".svg", ".png")


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `roll`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a MIDI file")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="where to draw it: .svg or .png (default: SVG to stdout)"
    )
    parser.add_argument("--title", help="written above the picture")
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")


def run(args: argparse.Namespace) -> int:
    """Draw it; stdout gets the SVG, or the path of the file."""
    from midi_llm.music.read import read_midi
    from midi_llm.music.roll import piano_roll_svg
    from midi_llm.whole_file import write_file

    if args.output is not None:
        if args.output.suffix.lower() not in SUFFIXES:
            raise OutputError(f"a piano roll is drawn as {' or '.join(SUFFIXES)}, not as {args.output}")
        check_file(args.output, force=args.force)
    svg = piano_roll_svg(read_midi(args.file), title=args.title)
    if args.output is None:
        print(svg)
        return 0
    content = svg.encode("utf-8")
    if args.output.suffix.lower() == ".png":
        from midi_llm.notation.picture import svg_to_png

        content = svg_to_png([svg])[0]
    write_file(content, args.output)
    print(args.output)
    return 0
