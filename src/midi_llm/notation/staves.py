"""Parts and staves of a score: which clef, how many staves, which voices. `make_parts(score, layout)`.

In: a `Score` and its `Layout`. Out: one `Part` for each track with notes: keyboards and harps on two staves where they
need them, drums on a percussion staff (hands above, feet below), all others on one, with the clef of their instrument.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import median

from midi_llm.music.instruments import instrument_name
from midi_llm.music.score import Score, Track
from midi_llm.notation.bars import QUARTER, Layout, columns
from midi_llm.notation.voices import MIDDLE_C, Chord, Row, split_hands, voices_of

_TWO_STAVES = {*range(8), *range(16, 21), 46, 8, 11, 12, 15}
"""Pianos, organs, harp, celesta, vibraphone, marimba, dulcimer."""
_OCTAVE_LOWER = {*range(24, 40), 43}
"""Guitars, basses, contrabass: written an octave above their sound."""
_VIOLA = 41
_FEET = {35, 36, 44}

DRUM_PLACES: dict[int, tuple[str, int, str]] = {
    35: ("E", 4, "normal"),
    36: ("F", 4, "normal"),
    37: ("C", 5, "x"),
    38: ("C", 5, "normal"),
    39: ("E", 5, "x"),
    40: ("C", 5, "normal"),
    41: ("G", 4, "normal"),
    42: ("G", 5, "x"),
    43: ("A", 4, "normal"),
    44: ("D", 4, "x"),
    45: ("B", 4, "normal"),
    46: ("G", 5, "circle-x"),
    47: ("B", 4, "normal"),
    48: ("D", 5, "normal"),
    49: ("A", 5, "x"),
    50: ("E", 5, "normal"),
    51: ("F", 5, "x"),
    52: ("A", 5, "circle-x"),
    53: ("F", 5, "diamond"),
    54: ("B", 5, "x"),
    55: ("B", 5, "x"),
    56: ("B", 5, "triangle"),
    57: ("B", 5, "x"),
    59: ("F", 5, "x"),
}
"""Line or space and note head of each drum: Weinberg, "Guide to Standardized Drumset Notation" (1998), as far as it has
them."""
OTHER_DRUM = ("D", 5, "triangle")


@dataclass(frozen=True, kw_only=True, slots=True)
class Clef:
    """A clef: `sign` on `line`, sounding `octave` octaves higher than a plain one."""

    sign: str
    line: int
    octave: int = 0


TREBLE, BASS, ALTO, PERCUSSION = (
    Clef(sign="G", line=2),
    Clef(sign="F", line=4),
    Clef(sign="C", line=3),
    Clef(sign="percussion", line=2),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Staff:
    """A staff: its clef and its voices, each a list of chords that follow each other."""

    clef: Clef
    voices: list[list[Chord]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A part of the score: a name, the track that it comes from, and its staves from the top down."""

    name: str
    track: Track
    staves: tuple[Staff, ...]


def make_parts(score: Score, layout: Layout) -> list[Part]:
    """The parts of `score` in the order of its tracks; equal names are numbered."""
    parts = []
    for track, placed in zip(score.tracks, layout.tracks, strict=True):
        if not len(track.notes):
            continue
        rows = columns(track.notes, placed)
        staves = _drum_staff(rows) if track.is_drum else _pitched_staves(rows, track.program)
        parts.append(Part(name=track.name or instrument_name(track.instrument), track=track, staves=staves))
    counts, seen = Counter(part.name for part in parts), Counter[str]()
    numbered = []
    for part in parts:
        seen[part.name] += 1
        numbered.append(replace(part, name=f"{part.name} {seen[part.name]}") if counts[part.name] > 1 else part)
    return numbered


def _pitched_staves(rows: list[Row], program: int) -> tuple[Staff, ...]:
    pitches = [pitch for _, _, pitch in rows]
    if program in _TWO_STAVES and min(pitches) < MIDDLE_C - 3 and max(pitches) > MIDDLE_C + 3:
        right, left = split_hands(rows)
        return Staff(clef=TREBLE, voices=voices_of(right)), Staff(clef=BASS, voices=voices_of(left))
    return (Staff(clef=_clef(pitches, program), voices=voices_of(rows)),)


def _clef(pitches: list[int], program: int) -> Clef:
    if program == _VIOLA:
        return ALTO
    shift = 12 if program in _OCTAVE_LOWER else 0
    written = median(pitches) + shift
    clef = TREBLE if written >= MIDDLE_C - (3 if shift else 0) else BASS
    return replace(clef, octave=-1) if shift else clef


def _drum_staff(rows: list[Row]) -> tuple[Staff, ...]:
    """Hands in the first voice, feet in the second; a stroke is as long as it is until the next, within its beat."""
    voices = []
    for of_feet in (False, True):
        strokes = [row for row in rows if (row[2] in _FEET) == of_feet]
        chords = [
            Chord(start=start, end=start, pitches=tuple(sorted(pitch for _, _, pitch in group)))
            for start, group in groupby(strokes, key=lambda row: row[0])
        ]
        for number, chord in enumerate(chords):
            beat_end = (chord.start // QUARTER + 1) * QUARTER
            after = chords[number + 1].start if number + 1 < len(chords) else beat_end
            chord.end = min(after, beat_end)
        if chords:
            voices.append(chords)
    return (Staff(clef=PERCUSSION, voices=voices),)
