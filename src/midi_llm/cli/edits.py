"""What the commands that work on a MIDI file have in common: their options, composing, saving, saying what was done.

In: parsed arguments and a function that makes an `Edit` of the opened file. Out: files; stdout has their paths, or with
--json what was done. The file given is never changed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from midi_llm.cli.drawing import add_drawing, stoppable
from midi_llm.cli.files import plan_takes, save_somewhere
from midi_llm.cli.wishes import add_pitches

if TYPE_CHECKING:
    from midi_llm.compose.editing import Edit
    from midi_llm.compose.editor import Edited
    from midi_llm.compose.settings import Settings
    from midi_llm.music.song_file import SongFile

EXIT_INTERRUPTED = 130


def add_edit(parser: argparse.ArgumentParser) -> None:
    """Add the file, the text, where the result goes, and how to draw."""
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help="the MIDI file to work on; it stays as it is")
    add("--prompt", default="", metavar="TEXT", help="the music in words (default: its instruments and tempo)")
    add("-o", "--output", metavar="FILE|DIR", help="a name ending in .mid, or a folder; default: named after the file")
    add_drawing(parser)
    add_pitches(parser)
    add("--json", action="store_true", help="print a JSON description of the takes instead of their paths")
    add("--force", action="store_true", help="overwrite existing files")
    add("-q", "--quiet", action="store_true", help="no progress and no summary")


def run_edit(args: argparse.Namespace, verb: str, make: Callable[[SongFile], Edit]) -> int:
    """Open the file, make the edit, compose its takes and save them; returns the exit code."""
    from midi_llm.compose.asked import asked_for
    from midi_llm.compose.settings import Settings
    from midi_llm.music.song_file import open_song

    settings = Settings(
        takes=args.takes,
        seed=args.seed,
        temperature=args.temperature,
        top_p=args.top_p,
        guidance=args.guidance,
        wishes=asked_for(scale=args.scale, ranges=args.ranges),
    )
    edit = make(open_song(args.file))
    seeds = settings.seeds()
    paths = plan_takes(args.output, name=f"{args.file.stem}-{verb}", seeds=seeds, force=args.force)
    takes = _compose(args, edit, replace(settings, seed=seeds[0]))
    if takes is None:
        print("midi-llm: stopped, nothing was written", file=sys.stderr)
        return EXIT_INTERRUPTED
    saved = [
        (save_somewhere(partial(take.save, overwrite=args.force), path), take)
        for path, take in zip(paths, takes, strict=True)
    ]
    if args.json:
        print(json.dumps({"takes": [{"path": str(path), **take.summary()} for path, take in saved]}, indent=2))
        return 0
    for path, take in saved:
        print(path)
        if not args.quiet:
            print(_describe(take), file=sys.stderr)
    return 0


def _compose(args: argparse.Namespace, edit: Edit, settings: Settings) -> list[Edited] | None:
    """The takes; None where Ctrl-C stopped them."""
    from midi_llm.cli.progress import Bar
    from midi_llm.compose.composer import Composer
    from midi_llm.compose.editor import edit_takes

    with (
        Composer.open(args.model, engine=args.engine) as composer,
        Bar(seconds=edit.seconds, takes=settings.takes, quiet=args.quiet) as bar,
        stoppable() as cancel,
    ):
        takes = edit_takes(composer, edit, args.prompt, settings, on_progress=bar.update, cancel=cancel)
    return None if cancel.is_set() else takes


def _describe(take: Edited) -> str:
    facts = take.summary()
    names = ", ".join(take.instruments) or "nothing"
    return (
        f"  composed     {facts['notes_added']} notes: {names}; {facts['notes_removed']} notes of the file are gone\n"
        f"  prompt       {take.prompt}\n"
        f"  seed         {take.seed}\n"
        f"  time taken   {take.seconds_taken:.1f} s"
    )
