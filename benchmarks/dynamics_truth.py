"""Pieces of the corpus whose velocities were played or written by people. Used by benchmarks/dynamics.py.

Played: human drumming (groove-midi). Sequenced: game music, written note by note or played in. Marked: quartets and
orchestral scores whose velocities are those of their dynamic marks (p, f, hairpins). Left out: scores of one velocity;
songs and mutopia, whose marks say nothing of what is played under them; bands whose velocities come from a program
(mma-*, bandgen, open-hymnal). A part of which all notes are alike, or nearly, tells nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from beat_truth import beat_times
from midi_llm.data.sources.base import RawPiece
from midi_llm.data.sources.corpus import CorpusSource
from midi_llm.music.beats import BeatGrid
from midi_llm.music.features import NoteTable, note_table
from midi_llm.music.read import parse_midi
from midi_llm.music.score import Score

Floats = npt.NDArray[np.float64]

PLAYED = ("groove-midi",)
SEQUENCED = ("freedoom", "freedoom-history", "blasphemer", "easyrpg", "simutrans")
MARKED = ("openscore-quartets", "openscore-orchestra")
KINDS = {**dict.fromkeys(PLAYED, "played"), **dict.fromkeys(SEQUENCED, "sequenced"), **dict.fromkeys(MARKED, "marked")}

SECONDS = 90.0
"""So much of a piece is looked at, from its first note on: pieces that are composed are no longer."""
MIN_NOTES, MIN_VALUES, MIN_SPREAD = 24, 4, 2.0
"""A part tells something with so many notes, different velocities, and so large a standard deviation."""
FOLDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    source: str
    id: str
    split: str
    licence: str
    fold: int
    """Pieces of one work, of one slot of a game or of one drummer are in the same fold."""
    notes: NoteTable
    grid: BeatGrid

    @property
    def kind(self) -> str:
        return KINDS[self.source]


def truths(corpus: Path) -> Iterator[Truth]:
    """Every piece with velocities that tell something, by source and name."""
    source = CorpusSource(corpus)
    pieces = [piece for part in source.parts() for piece in source.read(part) if isinstance(piece, RawPiece)]
    for piece in sorted(pieces, key=lambda piece: (piece.source, piece.id)):
        if piece.source in KINDS and (found := truth(piece)) is not None:
            yield found


def truth(piece: RawPiece) -> Truth | None:
    """The beginning of `piece`; None where no part has velocities that tell something."""
    score = parse_midi(piece.data, piece.id)
    notes = note_table(score)
    if not len(notes):
        return None
    notes = notes.where(notes.start < notes.start[0] + SECONDS)
    if not any(telling(notes.velocity[notes.instrument == each]) for each in np.unique(notes.instrument)):
        return None
    return Truth(
        source=piece.source,
        id=piece.id,
        split=piece.metadata.split or "train",
        licence=piece.metadata.licence,
        fold=_number(piece.metadata.group or _slot(piece)) % FOLDS,
        notes=notes,
        grid=true_grid(score, float(notes.start[-1]) + 1),
    )


def telling(velocity: npt.NDArray[np.int64]) -> bool:
    """Whether the velocities of a part differ enough to learn from."""
    many = len(velocity) >= MIN_NOTES and len(np.unique(velocity)) >= MIN_VALUES
    return many and float(velocity.std()) >= MIN_SPREAD


def true_grid(score: Score, until: float) -> BeatGrid:
    """The beats that the file writes."""
    beats, is_down, metres = beat_times(score, until)
    return BeatGrid(
        beats=beats,
        downbeats=np.flatnonzero(is_down),
        metre=Counter(metres).most_common(1)[0][0],
        bpm=60 / float(np.median(np.diff(beats))),
        steady=len(score.tempos) <= 1,
        confidence=1.0,
    )


def _slot(piece: RawPiece) -> str:
    """What versions of one piece share: the drummer, or the slot of a game's music ("e1m4")."""
    if piece.source in PLAYED:
        return piece.metadata.composer
    name = re.sub(r"^.*\d{4}_\d\d_\d\d_|_[0-9a-f]{8}$", "", piece.id)
    return name.removeprefix("freedoom_d_")


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
