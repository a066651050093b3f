"""Melodic lines: the top notes of the parts of a piece, and their steps as symbols that know no key and no tempo.

In: notes, part by part, or a `Score`. Out: `Lines`; the `MelodicLine`s of a score with a 16-bit symbol for each step:
semitones up or down, and whether it comes sooner, alike or later than the one before. A part of a score is an
instrument: models see no tracks, so the two hands of a piano are one part. Drums have no line.
Knows no files; `data.fingerprint` and `data.runs` are built on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from midi_llm.music.score import NoteArray, Score

CHORD_SECONDS = 0.05
"""Notes that begin within this time of the note before are one chord; at 0.03 grace notes blur the copies."""
RHYTHM_FACTOR = 1.7
"""Gaps are alike up to this ratio: it lies between 3:2 and 2:1, so that 10 ms of noise seldom move either across."""

SEPARATOR = 0
"""Ends a line of symbols; no step has it."""
SYMBOL_BITS = 10
"""A symbol is semitones + 128 (1 to 255) and, from bit 8 on, the rhythm: 0 sooner, 1 alike, 2 later, 3 the first."""
_FIRST = 3

Floats = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Symbols = npt.NDArray[np.uint16]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Lines:
    """Notes [n], part after part and by onset: the number of the part, seconds, MIDI pitch."""

    part: IntArray
    time: Floats
    pitch: IntArray


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MelodicLine:
    """The top notes [n] of one instrument, n > 1, and the steps between them as symbols [n - 1]."""

    instrument: int
    time: Floats
    """Onsets in seconds."""
    symbols: Symbols


def by_onset(parts: Sequence[NoteArray]) -> Lines:
    """All notes of all parts, of which there is at least one."""
    part = np.repeat(np.arange(len(parts)), [len(notes) for notes in parts])
    time = np.concatenate([notes["time"] for notes in parts])
    pitch = np.concatenate([notes["pitch"] for notes in parts]).astype(np.int64)
    order = np.lexsort((time, part))
    return Lines(part=part[order], time=time[order], pitch=pitch[order])


def chord_starts(notes: Lines) -> IntArray:
    """Indices of the first notes of the chords (`CHORD_SECONDS`) in `notes`, which has at least one note."""
    apart = (np.diff(notes.time) > CHORD_SECONDS) | (np.diff(notes.part) != 0)
    return np.flatnonzero(np.r_[True, apart])


def top_lines(parts: Sequence[NoteArray]) -> Lines:
    """The top note of every chord of every part, at the time of the chord's first note. There is at least one note.

    A top pitch that comes again at once counts once: repeated notes and broken chords then say no more than held ones.
    """
    notes = by_onset(parts)
    starts = chord_starts(notes)
    top = np.maximum.reduceat(notes.pitch, starts)
    moves = np.r_[True, (np.diff(top) != 0) | (np.diff(notes.part[starts]) != 0)]
    kept = starts[moves]
    return Lines(part=notes.part[kept], time=notes.time[kept], pitch=top[moves])


def rhythm(gaps: Floats) -> npt.NDArray[np.int8]:
    """Of each of `gaps` [n] seconds but the first: 0 much shorter than the one before, 1 alike, 2 much longer."""
    before, after = gaps[:-1], gaps[1:]
    return 1 + (after > RHYTHM_FACTOR * before).astype(np.int8) - (after * RHYTHM_FACTOR < before)


def melodic_lines(score: Score) -> list[MelodicLine]:
    """The line of every pitched instrument that has one of two notes or more, in the order of the instruments.

    The first step of a line has no gap before it, and a rhythm of its own: it equals first steps only.
    """
    instruments = sorted({track.instrument for track in score.tracks if not track.is_drum and len(track.notes)})
    if not instruments:
        return []
    lines = top_lines(
        [
            np.concatenate([track.notes for track in score.tracks if track.instrument == instrument])
            for instrument in instruments
        ]
    )
    ends = np.searchsorted(lines.part, np.arange(len(instruments)), side="right").tolist()
    found = []
    for instrument, first, end in zip(instruments, [0, *ends[:-1]], ends, strict=True):
        if end - first > 1:
            time, pitch = lines.time[first:end], lines.pitch[first:end]
            found.append(MelodicLine(instrument=instrument, time=time, symbols=_symbols(time, pitch)))
    return found


def _symbols(time: Floats, pitch: IntArray) -> Symbols:
    """The steps [n - 1] between notes [n]."""
    kind = np.r_[_FIRST, rhythm(np.diff(time))].astype(np.uint16)
    symbols: Symbols = (kind << np.uint16(8)) | (np.diff(pitch) + 128).astype(np.uint16)
    return symbols
