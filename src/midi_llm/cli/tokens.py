"""`midi-llm tokens FILE`: a MIDI file as readable events, and such a text (FILE.txt) back to MIDI.

A model's window says times below 100 s; the dump of a longer file has one part per 100 s, headed `# from N s`.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from midi_llm.cli.files import check_file, write_text
from midi_llm.errors import MidiReadError, OutputError

if TYPE_CHECKING:
    from midi_llm.music.score import Score


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `tokens`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a MIDI file, or a .txt that this command wrote")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to (default: stdout; needed for MIDI)")
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")


def run(args: argparse.Namespace) -> int:
    """Convert in the direction that the file's name tells; stdout gets the text, or the path of the file."""
    if args.file.suffix.lower() == ".txt":
        return _to_midi(args)
    from midi_llm.music.read import read_midi

    text = to_text(read_midi(args.file))
    if args.output is None:
        print(text, end="")
    else:
        write_text(text, args.output, force=args.force)
        print(args.output)
    return 0


def to_text(score: Score) -> str:
    """Readable events of a whole score, in parts of 100 s when it is longer."""
    from midi_llm.tokens.codec import encode, quantize, rebase
    from midi_llm.tokens.dump import dump
    from midi_llm.tokens.vocab import MAX_TIME_TICKS, TICKS_PER_SECOND

    events = quantize(score)
    if not len(events) or events[-1, 0] < MAX_TIME_TICKS:
        return dump(encode(events))
    parts = []
    for start in range(0, int(events[-1, 0]) + 1, MAX_TIME_TICKS):
        rows = events[(events[:, 0] >= start) & (events[:, 0] < start + MAX_TIME_TICKS)]
        if len(rows):
            parts.append(f"# from {start // TICKS_PER_SECOND} s\n{dump(encode(rebase(rows, start)))}")
    return "".join(parts)


def from_text(text: str) -> Score:
    """The score of a text that `to_text` wrote (perhaps edited by hand). Raises `TokenError` naming the line."""
    import numpy as np

    from midi_llm.tokens.codec import decode, dequantize, tidy
    from midi_llm.tokens.dump import parse_dump
    from midi_llm.tokens.rests import remove_rests
    from midi_llm.tokens.vocab import TICKS_PER_SECOND

    pieces = re.split(r"^# from (\d+) s$", text, flags=re.MULTILINE)
    parts = [("0", pieces[0]), *zip(pieces[1::2], pieces[2::2], strict=True)]
    line, chunks = 0, []
    for start, part in parts:
        events = decode(parse_dump("\n" * line + part)).copy()
        events[:, 0] += int(start) * TICKS_PER_SECOND
        chunks.append(remove_rests(events))
        line += part.count("\n")
    return dequantize(tidy(np.concatenate(chunks)))


def _to_midi(args: argparse.Namespace) -> int:
    """Text back to a MIDI file."""
    from midi_llm.music.write import write_midi

    if args.output is None:
        raise OutputError(f"MIDI is not text: say where to write it, midi-llm tokens {args.file} -o FILE.mid")
    check_file(args.output, force=args.force)
    try:
        text = args.file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MidiReadError(
            f"cannot read {args.file}: {error}; it must be a text that midi-llm tokens wrote"
        ) from error
    write_midi(from_text(text), args.output, overwrite=args.force)
    print(args.output)
    return 0
