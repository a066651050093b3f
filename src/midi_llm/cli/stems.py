"""`midi-llm stems FILE`: one MIDI file for each track, with the same tempo, metres and names."""

from __future__ import annotations

import argparse
from pathlib import Path

from midi_llm.cli.files import check_stems, write_stems


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `stems`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a MIDI file")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="the folder for them (default: NAME-stems)")
    parser.add_argument("--force", action="store_true", help="overwrite existing files")


def run(args: argparse.Namespace) -> int:
    """Split it; stdout gets the paths of the files."""
    from midi_llm.music.read import midi_content

    content = midi_content(args.file)
    folder = args.output if args.output is not None else Path(f"{args.file.stem}-stems")
    stems = check_stems(content, args.file, folder, ".mid", force=args.force)
    for path in write_stems(stems, lambda stem: stem):
        print(path)
    return 0
