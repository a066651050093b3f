"""Pictures of takes: the piano roll of a take's MIDI file, or a line that says why there is none.

In: a `TakeLine` and the folder of its report. Out: markup. A long piece is drawn from its beginning, as far as there is
room, so that a page with many pictures stays small.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from midi_llm.data.plots import small_roll, text
from midi_llm.errors import MidiReadError
from midi_llm.evaluate.record import TakeLine
from midi_llm.evaluate.report.picks import rank_said
from midi_llm.music.read import parse_midi
from midi_llm.music.score import Score

MOST_NOTES = 1200
MOST_SECONDS = 60.0
"""A roll holds notes that begin up to these; a note takes some 75 bytes of the page."""


def take_figure(kind: str, take: TakeLine, folder: Path) -> str:
    """A take as a figure: why it is shown, its prompt, its music, and which take it is."""
    drawing, cut = _drawing(take, folder)
    seed = f"seed {take.seed}" if take.seed is not None else ""
    said = [f"prompt {take.prompt}, take {take.number}", seed, take.file or "", cut]
    caption = " · ".join(text(part) for part in said if part)
    return (
        f"<figure><p class='over'>{text(kind)} · rank {rank_said(take)}</p><blockquote>{text(take.text)}</blockquote>"
        f"{drawing}<figcaption>{caption}</figcaption></figure>"
    )


def _drawing(take: TakeLine, folder: Path) -> tuple[str, str]:
    """The roll, or the reason why there is none; and which part of the piece it shows."""
    if take.file is None:
        return _missing(take.error or "nothing was delivered"), ""
    if Path(take.file).is_absolute() or ".." in Path(take.file).parts:
        return _missing(f"{take.file} lies outside the folder of the report"), ""
    try:
        score = parse_midi((folder / take.file).read_bytes(), name=take.file)
    except MidiReadError as error:
        return _missing(str(error)), ""
    except OSError as error:
        return _missing(f"{take.file} cannot be read: {error.strerror or 'unknown error'}"), ""
    except ValueError:  # a zero byte in the name
        return _missing(f"{take.file} is no name of a file"), ""
    if not score.note_count:
        return _missing(f"{take.file} has no notes"), ""
    beginning = _beginning(score)
    cut = "" if beginning.note_count == score.note_count else f"first {beginning.seconds:.0f} of {score.seconds:.0f} s"
    return small_roll(beginning), cut


def _missing(reason: str) -> str:
    return f"<p class='missing'>No picture: {text(reason)}</p>"


def _beginning(score: Score) -> Score:
    """The notes that begin in time and are not too many; tracks that are then empty are left out."""
    onsets = np.sort(np.concatenate([track.notes["time"] for track in score.tracks]))
    last = min(float(onsets[min(MOST_NOTES, len(onsets)) - 1]), MOST_SECONDS)
    tracks = [replace(track, notes=track.notes[track.notes["time"] <= last]) for track in score.tracks]
    return Score(tracks=tuple(track for track in tracks if len(track.notes)))
