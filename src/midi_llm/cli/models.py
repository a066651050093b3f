"""`midi-llm models`: the models known by name, and whether they are on this machine."""

from __future__ import annotations

import argparse
import dataclasses
import json

from midi_llm.model.catalog import list_models


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `models`."""
    parser.add_argument("--json", action="store_true", help='print one JSON object {"models": [...]}')


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    entries = list_models()
    if args.json:
        print(json.dumps({"models": [dataclasses.asdict(entry) for entry in entries]}, indent=2, default=str))
        return 0
    for entry in entries:
        print(f"{entry.name:<12} {entry.description}")
        here = "on this machine" if entry.available else "not on this machine"
        print(f"{'':<12} {entry.licence}; {entry.where}; {here}")
    return 0
