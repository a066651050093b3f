"""Compose the passages of an `Edit` with an opened model, and put them into the file.

In: a `Composer`, an `Edit`, a text. Out: `Edited` pieces: the bytes of the new file and what was composed. Everything
else of the file is kept (music/song_edit.py). The engines onnx and torch serve it; vLLM cannot be given notes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from midi_llm.compose.composer import Composer
from midi_llm.compose.editing import Edit, mean_tempo
from midi_llm.compose.reading import restate
from midi_llm.compose.retake import Retake
from midi_llm.compose.settings import Settings
from midi_llm.compose.take import Ending, Progress
from midi_llm.compose.wishes import NO_WISHES
from midi_llm.music.instruments import instrument_name
from midi_llm.music.song_edit import NewNotes, edited
from midi_llm.tokens.codec import tidy
from midi_llm.whole_file import check_target, write_file

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Edited:
    """One take of an edit."""

    content: bytes
    """The whole new MIDI file."""
    added: NewNotes
    removed: int
    """Notes of the old file that are gone."""
    prompt: str
    seed: int
    ending: Ending
    seconds_taken: float

    @property
    def instruments(self) -> list[str]:
        """Names of the instruments of the new notes."""
        return [instrument_name(one) for one in np.unique(self.added["instrument"]).tolist()]

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the file, completely or not at all; raises `OutputError`."""
        target = Path(path)
        check_target(target, overwrite=overwrite)
        write_file(self.content, target)
        return target

    def summary(self) -> dict[str, str | int | float | list[str]]:
        """What was done, as JSON-able values."""
        return {
            "prompt": self.prompt,
            "notes_added": len(self.added),
            "notes_removed": self.removed,
            "instruments": self.instruments,
            "seed": self.seed,
            "ending": self.ending,
            "seconds_taken": round(self.seconds_taken, 3),
        }


def edit_takes(
    composer: Composer,
    edit: Edit,
    prompt: str,
    settings: Settings,
    *,
    on_progress: OnProgress | None = None,
    cancel: threading.Event | None = None,
) -> list[Edited]:
    """`settings.takes` takes of `edit`, in the order of their seeds; its length, wishes for pitches and seed count.

    `prompt` "" describes the piece by its instruments and tempo. When `cancel` is set the takes hold what there is.
    """
    text = prompt or describe(edit)
    asked = settings.wishes or NO_WISHES
    ids = composer.prompt_ids(restate(text, (*asked.parts(), *asked.facts())))
    given = edit.given
    takes = [
        Retake(
            index=index,
            seed=seed,
            prompt_ids=ids,
            given=given,
            passages=edit.passages,
            params=composer.params(settings),
            bounds=composer.bounds,
            wishes=asked,
            text_rows=composer.text_rows,
            max_positions=composer.engine.max_positions,
        )
        for index, seed in enumerate(settings.seeds())
    ]
    wall = composer.run(takes, on_progress, cancel)
    return [_edited(edit, take, text, seconds) for take, seconds in zip(takes, wall, strict=True)]


def describe(edit: Edit) -> str:
    """A text for a piece without one: its instruments, those to be composed first, and its tempo."""
    wanted = set().union(*(passage.instruments or () for passage in edit.passages))
    kept = frozenset(edit.given[:, 2].tolist())
    order = sorted(wanted) + sorted(kept - wanted)
    return f"{', '.join(instrument_name(one).lower() for one in order)}, {mean_tempo(edit.song):.0f} bpm"


def _edited(edit: Edit, take: Retake, prompt: str, seconds_taken: float) -> Edited:
    notes = edit.new_notes(tidy(take.composed), seed=take.seed)
    content, added = edited(edit.song, removed=edit.removed, added=notes)
    return Edited(
        content=content,
        added=added,
        removed=int(edit.removed.sum()),
        prompt=prompt,
        seed=take.seed,
        ending=take.ending or "cancelled",
        seconds_taken=seconds_taken,
    )
