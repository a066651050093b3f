"""Names of MIDI pitches: 60 is C4, 0 is C-1."""

from __future__ import annotations

import re

from midi_llm.music.compass import HIGHEST_PITCH

_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_NOTE = re.compile(r"([A-Ga-g])([#b]?)(-?\d{1,2})")


def note_name(pitch: int) -> str:
    """Name of MIDI pitch 0-127, sharps only."""
    return f"{_NAMES[pitch % 12]}{pitch // 12 - 1}"


def find_pitch(name: str) -> int:
    """MIDI pitch of a name such as "F#3" or "bb2", or of a number; raises `ValueError` with the reason."""
    match = _NOTE.fullmatch(name)
    if match is not None:
        letter, accidental, octave = match.groups()
        pitch = _NAMES.index(letter.upper()) + {"#": 1, "b": -1, "": 0}[accidental] + 12 * (int(octave) + 1)
    elif name.isascii() and name.isdigit():
        pitch = int(name)
    else:
        raise ValueError(f"the note {name!r} is not a name like C4, F#3, Bb5 or a key number")
    if not 0 <= pitch <= HIGHEST_PITCH:
        raise ValueError(f"the note {name} is outside 0..{HIGHEST_PITCH} (C-1 to G9)")
    return pitch
