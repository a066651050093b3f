"""Names of pitches on paper: step, alteration and octave by the key, and which accidentals must be drawn.

In: MIDI pitches and the number of sharps in the key (flats below 0). Out: `Spelled` pitches. A pitch class is spelled
by its place on the line of fifths, in C major from E flat to G sharp, in other keys as far from their tonic.
"""

from __future__ import annotations

from dataclasses import dataclass

_LINE = "FCGDAEB"
_PITCH_CLASS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_FLATTEST = -3
"""Fifths from the key's own C at which its chromatic notes begin."""
_NAMES = {-2: "flat-flat", -1: "flat", 0: "natural", 1: "sharp", 2: "double-sharp"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Spelled:
    """A pitch by name: C4 is middle C, `alter` in semitones."""

    step: str
    alter: int
    octave: int


def spell(pitch: int, fifths: int) -> Spelled:
    """The name of MIDI `pitch` in a key of `fifths` sharps."""
    lowest = fifths + _FLATTEST
    place = lowest + (pitch * 7 - lowest) % 12  # on the line of fifths, C at 0
    step, alter = _LINE[(place + 1) % 7], (place + 1) // 7
    return Spelled(step=step, alter=alter, octave=(pitch - alter - _PITCH_CLASS[step]) // 12 - 1)


def key_alter(step: str, fifths: int) -> int:
    """What the key signature does to `step`: 1 sharp, -1 flat, 0 nothing."""
    order = _LINE.index(step)
    return int(order < fifths) - int(6 - order < -fifths)


class Accidentals:
    """The accidentals in force in one bar of a staff."""

    def __init__(self, fifths: int) -> None:
        self._fifths = fifths
        self._seen: dict[tuple[str, int], int] = {}

    def needed(self, spelled: Spelled) -> str | None:
        """The accidental to draw at `spelled`, None where the key or an earlier one says it already."""
        line = spelled.step, spelled.octave
        if self._seen.get(line, key_alter(spelled.step, self._fifths)) == spelled.alter:
            return None
        self._seen[line] = spelled.alter
        return _NAMES[spelled.alter]
