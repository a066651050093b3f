"""`midi-llm score FILE`: a MIDI file on staves, as MusicXML for a notation program, or as pages: PDF, PNG, SVG."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from midi_llm.cli.files import check_file
from midi_llm.errors import OutputError

XML_SUFFIXES = (".musicxml", ".xml")
PAGE_SUFFIXES = (".pdf", ".png", ".svg")


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `score`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a MIDI file")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="where to write it: .musicxml, or pages as .pdf, .png or .svg (default: the MusicXML to stdout)",
    )
    parser.add_argument("--title", metavar="TEXT", help="written above the first page (default: the file's name)")
    parser.add_argument("--force", action="store_true", help="overwrite existing files")


def run(args: argparse.Namespace) -> int:
    """Write it; stdout gets the MusicXML, or the paths of the files."""
    from midi_llm.music.read import read_midi
    from midi_llm.notation.musicxml import to_musicxml

    suffix = args.output.suffix.lower() if args.output is not None else ""
    if args.output is not None:
        if suffix not in (*XML_SUFFIXES, *PAGE_SUFFIXES):
            raise OutputError(
                f"a score is written as {', '.join((*XML_SUFFIXES, *PAGE_SUFFIXES))}, not as {args.output}"
            )
        check_file(args.output, force=args.force)
    title = args.title if args.title is not None else args.file.stem
    text = to_musicxml(read_midi(args.file), title=title)
    if args.output is None:
        sys.stdout.write(text)
        return 0
    contents = [text.encode("utf-8")] if suffix in XML_SUFFIXES else _pages(text, suffix)
    paths = [args.output]
    if len(contents) > 1:
        paths = [args.output.with_stem(f"{args.output.stem}-{number}") for number in range(1, len(contents) + 1)]
    for path in paths:
        check_file(path, force=args.force)
    for page, path in zip(contents, paths, strict=True):
        _write(page, path)
    return 0


def _pages(text: str, suffix: str) -> list[bytes]:
    """One content for each file: a PDF, or as many pictures as there are pages."""
    from midi_llm.notation.engrave import engrave
    from midi_llm.notation.picture import svg_to_pdf, svg_to_png

    pages = engrave(text)
    if suffix == ".svg":
        return [page.encode("utf-8") for page in pages]
    return [svg_to_pdf(pages, paper="white")] if suffix == ".pdf" else svg_to_png(pages, paper="white")


def _write(content: bytes, path: Path) -> None:
    from midi_llm.whole_file import write_file

    write_file(content, path)
    print(path)
