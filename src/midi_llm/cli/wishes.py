"""The options that ask for music in so many words: tempo, key, metre, bars, instruments, pitches.

In: parsed arguments. Out: `Wishes`. What each one means is known to compose/asked.py alone.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midi_llm.compose.wishes import Wishes


def add_wishes(parser: argparse.ArgumentParser) -> None:
    """Add the options; each comes before what the prompt says about the same thing."""
    group = parser.add_argument_group("wishes", "what the piece is to be, beside the prompt; each is reported on")
    add = group.add_argument
    add("--tempo", type=float, metavar="BPM", help="quarter notes a minute")
    add("--metre", metavar="N/N", help="such as 3/4")
    add("--key", metavar="KEY", help="such as 'Bb minor'")
    add("--bars", type=int, metavar="N", help="exactly so many bars, in place of --seconds")
    add("--sections", metavar="PLAN", help="names with their bars: 'intro 4, verse 8, chorus 8, verse 8, outro 4'")
    add("--loop", action="store_true", help="whole bars, nothing sounds past the end: it can be repeated")
    add("--only", metavar="NAMES", help="these instruments and no others: 'piano, bass, drums'")
    add("--with", dest="also", metavar="NAMES", help="these instruments at least")
    add("--without", metavar="NAMES", help="none of these instruments")
    add("--density", metavar="HOW", help="sparse, medium or dense")
    add_pitches(parser)


def add_pitches(parser: argparse.ArgumentParser) -> None:
    """Add the options for the pitches that may be used."""
    add = parser.add_argument
    add("--scale", metavar="NOTES", help="only these notes: 'A minor pentatonic', or 'C D E G A'")
    add(
        "--range",
        dest="ranges",
        action="append",
        default=[],
        metavar="NAME:LOW-HIGH",
        help="the pitches of an instrument, such as 'bass:E1-C3' (may be repeated)",
    )


def wishes_of(args: argparse.Namespace) -> Wishes:
    """The wishes of the command line. Raises `RequestError`."""
    from midi_llm.compose.asked import asked_for

    return asked_for(
        tempo=args.tempo,
        key=args.key,
        metre=args.metre,
        bars=args.bars,
        loop=args.loop,
        sections=args.sections,
        density=args.density,
        only=args.only,
        also=args.also,
        without=args.without,
        scale=args.scale,
        ranges=args.ranges,
    )
