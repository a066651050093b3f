"""`midi-llm play FILE`: hear a MIDI file at once, through a program that plays sound; Ctrl-C stops it."""

from __future__ import annotations

import argparse
from pathlib import Path

from midi_llm.cli.render import open_sounds, register_sounds, sound_of


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `play`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a MIDI file")
    register_sounds(parser)


def run(args: argparse.Namespace) -> int:
    """Render and play; nothing is written that stays."""
    from midi_llm.music.read import midi_content
    from midi_llm.synth.loudness import scale
    from midi_llm.synth.player import find_player, play

    content = midi_content(args.file)
    player = find_player()  # before the work, so that nobody waits for a sound that cannot be heard
    sound, gain = sound_of(content, args.file, open_sounds(args))
    play(scale(sound, gain), player)
    return 0
