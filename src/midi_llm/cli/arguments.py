"""Argument parsing: the command table, the parser of each command, and one-line usage errors.

In: argv. Out: the chosen command's name and its parsed arguments. A first word that is no command is a prompt.
A command's module is imported only when it is chosen, so that the command line starts fast.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import NoReturn, Protocol, cast

from midi_llm.errors import RequestError
from midi_llm.version import VERSION

PROGRAM = "midi-llm"

COMMANDS = {
    "compose": "compose MIDI from a text prompt (the default command)",
    "continue": "go on where a MIDI file ends",
    "infill": "compose some bars of a MIDI file anew",
    "accompany": "compose parts to the music of a MIDI file",
    "replace": "compose one part of a MIDI file anew",
    "vary": "compose a share of a MIDI file anew",
    "tokens": "show a MIDI file as readable events, or turn such a text back into MIDI",
    "show": "show a MIDI file in the terminal: its tracks and a piano roll",
    "play": "play a MIDI file",
    "render": "make a sound file of a MIDI file (WAV, FLAC, Ogg, MP3)",
    "roll": "draw a MIDI file as a piano roll (SVG, PNG)",
    "score": "write a MIDI file as notes on staves (MusicXML, PDF, PNG, SVG)",
    "stems": "write one MIDI file for each track",
    "serve": "serve the studio and the HTTP API",
    "models": "list the models known by name",
    "bench": "measure how fast this machine composes, by each engine that can run a model here",
    "export": "make the ONNX files, or a GGUF file, of a checkpoint folder",
    "data": "build a data set from MIDI and text, look at it, check it",
    "train": "train a stage: recipes from the small model to the 1B, on one device or many",
    "evaluate": "measure a model or any system's files beside real music and chance; compare two runs",
    "finetune": "let a model learn from your own MIDI files",
}
"""Name and one-line description, in the order of the help."""

MODULES = {"continue": "continuation"}
"""Of commands that no module can be named after."""

DEFAULT_COMMAND = "compose"


class Command(Protocol):
    """What a command's module holds."""

    def register(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments to its parser."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit code is returned."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are our own: raised, to be printed as one line."""

    def error(self, message: str) -> NoReturn:
        """Raise `RequestError` instead of printing the usage and exiting."""
        raise RequestError(f"{message} (see {self.prog} --help)")


def load(command: str) -> Command:
    """The module of a command."""
    return cast(Command, importlib.import_module(f"midi_llm.cli.{MODULES.get(command, command)}"))


def parser_for(command: str) -> Parser:
    """The complete parser of one command."""
    is_default = command == DEFAULT_COMMAND
    parser = Parser(
        prog=PROGRAM if is_default else f"{PROGRAM} {command}",
        description=f"{COMMANDS[command][0].upper()}{COMMANDS[command][1:]}.",
        epilog=command_list() if is_default else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if is_default:
        parser.add_argument("--version", action="version", version=f"{PROGRAM} {VERSION}")
    parser.add_argument("-v", "--verbose", action="store_true", help="say on stderr what is being done")
    load(command).register(parser)
    return parser


def command_list() -> str:
    """The commands, one a line, as the help prints them."""
    lines = [f"  {PROGRAM} {name:<9} {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "commands:",
            *lines,
            "",
            f"A prompt that equals a command's name: {PROGRAM} compose PROMPT. All commands: --help.",
        ]
    )


def split(argv: Sequence[str]) -> tuple[str, list[str]]:
    """The command's name and the rest of the arguments; without a command it is `compose`."""
    if argv and argv[0] in COMMANDS:
        return argv[0], list(argv[1:])
    return DEFAULT_COMMAND, list(argv)


def parse(argv: Sequence[str]) -> tuple[str, argparse.Namespace]:
    """Parse a whole command line. Raises `RequestError`, or `SystemExit` for --help and --version."""
    command, rest = split(argv)
    return command, parser_for(command).parse_args(rest)
