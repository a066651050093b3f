"""Names of pitches: the right sound in every key, the usual names, and accidentals only where they are needed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi_llm.notation.spelling import Accidentals, key_alter, spell

SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@given(st.integers(0, 127), st.integers(-7, 7))
def test_a_name_is_the_pitch_again(pitch: int, fifths: int) -> None:
    name = spell(pitch, fifths)
    assert 12 * (name.octave + 1) + SEMITONES[name.step] + name.alter == pitch
    assert -2 <= name.alter <= 2


@pytest.mark.parametrize(
    ("fifths", "names"),
    [
        (0, "C C# D Eb E F F# G G# A Bb B"),
        (-3, "C Db D Eb E F Gb G Ab A Bb B"),
        (2, "C C# D D# E F F# G G# A A# B"),
        (-6, "C Db D Eb Fb F Gb G Ab Bbb Bb Cb"),
    ],
)
def test_chromatic_notes_have_their_usual_names(fifths: int, names: str) -> None:
    signs = {-2: "bb", -1: "b", 0: "", 1: "#", 2: "##"}
    found = [spell(60 + step, fifths) for step in range(12)]
    assert " ".join(name.step + signs[name.alter] for name in found) == names


def test_the_signature_alters_its_steps() -> None:
    assert [key_alter(step, 2) for step in "CDEFGAB"] == [1, 0, 0, 1, 0, 0, 0]
    assert [key_alter(step, -3) for step in "CDEFGAB"] == [0, 0, -1, 0, 0, -1, -1]


def test_an_accidental_holds_for_its_bar_and_its_octave() -> None:
    bar = Accidentals(1)
    drawn = [bar.needed(spell(pitch, 1)) for pitch in (66, 65, 65, 77, 66, 60)]
    assert drawn == [None, "natural", None, "natural", "sharp", None]
