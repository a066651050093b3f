"""The notes of a score drawn to the grid of its tempo map, by a share of the way: `quantised(score, strength=0.9)`.

Lines are sixteenths, triplets in a quarter that these fit better, and off-beats where they swing (`quantise.py`); in a
compound metre sixteenths alone. Onsets that no line is near to, and ornaments, stay as played; so does a whole score
whose notes keep to another grid than its own. No note vanishes or passes another one of its pitch.
In and out: a `Score` in seconds, whose tempo map and metres are taken as true.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from midi_llm.music.features import note_table, swing_ratio
from midi_llm.music.metre import is_compound
from midi_llm.music.quantise import STRAIGHT, grid_lines
from midi_llm.music.repair import MIN_SECONDS, repair
from midi_llm.music.score import NoteArray, Score
from midi_llm.music.tempo_map import TempoMap

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

NEAR_SECONDS, NEAR_QUARTERS = 0.025, 0.05
"""An onset that is both so near to a line is on it, played loosely."""
LEAST_NEAR = 0.8
"""Share of such onsets from which a grid is the music's own: of real pieces on a wrong tempo 95 % have at most 0.6,
on the right one 75 % have at least 0.85 (docs/musicianship.md)."""
REACH_SECONDS = 0.04
"""An onset farther from every line belongs to none."""
TOGETHER_SECONDS = 0.02
"""Onsets of a track at one line that are so much farther from it than the nearest are ornaments: flams, grace notes,
slow strums."""
_ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Grid:
    """The lines that a score draws."""

    clock: TempoMap
    is_compound: bool
    swing: float | None
    """Where in a quarter the off-beats lie, if they swing otherwise than a triplet does."""

    @classmethod
    def of(cls, score: Score) -> Self:
        """The grid of `score`: 120 bpm where it says nothing."""
        clock = TempoMap.of(score)
        in_three = any(is_compound((metre.numerator, metre.denominator)) for metre in score.time_signatures)
        return cls(clock=clock, is_compound=in_three, swing=None if in_three else _swing(score, clock))

    def lines(self, seconds: Floats) -> Floats:
        """The line that each of some times [n] belongs to, in quarter notes."""
        position = self.clock.position(seconds)
        if self.is_compound:
            return np.asarray(np.rint(position * STRAIGHT) / STRAIGHT)
        return grid_lines(position, swing=self.swing)

    def share_near(self, onsets: Floats) -> float:
        """Share (0 to 1) of `onsets` [n] in seconds that are near a line; 0.0 for none."""
        lines = self.lines(onsets)
        seconds = np.abs(self.clock.times(lines) - onsets)
        quarters = np.abs(lines - self.clock.position(onsets))
        near = (seconds <= NEAR_SECONDS + _ROUNDING) & (quarters <= NEAR_QUARTERS + _ROUNDING)
        return float(near.mean()) if len(onsets) else 0.0


def quantised(score: Score, *, strength: float) -> Score:
    """`score` with onsets drawn to its grid: `strength` 0 leaves them as played, 1 puts them on their lines.

    A note that ends near a line is drawn to it at its end too, any other one keeps its length.
    """
    if not strength or not keeps_to_grid(score):
        return score
    grid = Grid.of(score)
    laid = np.concatenate([track.notes for track in score.tracks])
    owner = np.repeat(np.arange(len(score.tracks)), [len(track.notes) for track in score.tracks])
    lines = grid.lines(laid["time"])
    off = grid.clock.times(lines) - laid["time"]
    drawn = (np.abs(off) <= REACH_SECONDS) & ~_ornaments(owner, lines, off) & _first_struck(owner, laid, lines, off)
    start = laid["time"] + strength * np.where(drawn, off, 0.0)
    moved = laid.copy()
    moved["time"] = start
    moved["duration"] = _lengths(laid, start, lines, grid, strength)
    tracks = tuple(replace(track, notes=moved[owner == index]) for index, track in enumerate(score.tracks))
    return repair(replace(score, tracks=tracks), only=("restruck",))[0]


def keeps_to_grid(score: Score) -> bool:
    """At least `LEAST_NEAR` of the onsets are near a line of the tempo map; else it is not the music's."""
    return Grid.of(score).share_near(note_table(score).start) >= LEAST_NEAR


def _lengths(notes: NoteArray, start: Floats, lines: Floats, grid: Grid, strength: float) -> Floats:
    """Durations [n] of notes that now begin at `start`."""
    ends = notes["time"] + notes["duration"]
    end_lines = grid.lines(ends)
    off = grid.clock.times(end_lines) - ends
    closes = (np.abs(off) <= NEAR_SECONDS) & (end_lines > lines + _ROUNDING)
    length = np.where(closes, ends + strength * off - start, notes["duration"])
    return np.asarray(np.maximum(length, np.minimum(notes["duration"], MIN_SECONDS)))


def _ornaments(owner: Integers, lines: Floats, off: Floats) -> Flags:
    """Onsets much farther from their line than the nearest one of their track."""
    _, group = np.unique(np.stack((owner, lines)), axis=1, return_inverse=True)
    nearest = np.full(len(off), np.inf)
    np.minimum.at(nearest, group, np.abs(off))
    return np.abs(off) > nearest[group] + TOGETHER_SECONDS


def _first_struck(owner: Integers, notes: NoteArray, lines: Floats, off: Floats) -> Flags:
    """Of the strikes of one pitch in a track that share a line, those at the time that is nearest to it."""
    order = np.lexsort((notes["time"], np.abs(off), lines, notes["pitch"], owner))
    keys = np.stack((owner, notes["pitch"], lines))[:, order]
    begins = np.r_[True, (np.diff(keys, axis=1) != 0).any(axis=0)]
    first = order[begins][np.cumsum(begins) - 1]
    found = np.empty(len(notes), np.bool_)
    found[order] = notes["time"][order] == notes["time"][first]
    return found


def _swing(score: Score, clock: TempoMap) -> float | None:
    """Where the off-beats lie, as a share of a quarter; None where they are unclear, or near an eighth or a triplet."""
    notes = note_table(score)
    ratio = swing_ratio(replace(notes, start=clock.position(notes.start)), 1.0) if len(notes) else None
    if ratio is None:
        return None
    share = ratio / (1 + ratio)
    quarter = score.seconds / float(clock.position(score.seconds))
    is_plain = min(abs(share - 1 / 2), abs(share - 2 / 3)) * quarter < NEAR_SECONDS
    return None if is_plain else share
