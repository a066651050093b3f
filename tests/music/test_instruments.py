from __future__ import annotations

import pytest

from midi_llm.music.instruments import (
    FAMILIES,
    PROGRAM_NAMES,
    family_instruments,
    family_name,
    find_instrument,
    instrument_name,
)


def test_there_are_128_different_names_in_16_families_of_eight() -> None:
    assert len(set(PROGRAM_NAMES)) == len(PROGRAM_NAMES) == 128
    assert [len(family_instruments(family)) for family in FAMILIES] == [8] * 16


@pytest.mark.parametrize(
    ("number", "name", "family"),
    [
        (0, "Acoustic Grand Piano", "Piano"),
        (24, "Acoustic Guitar (nylon)", "Guitar"),
        (40, "Violin", "Strings"),
        (56, "Trumpet", "Brass"),
        (73, "Flute", "Pipe"),
        (105, "Banjo", "Ethnic"),
        (127, "Gunshot", "Sound Effects"),
        (128, "Drums", "Drums"),
    ],
)
def test_well_known_numbers_have_their_general_midi_names(number: int, name: str, family: str) -> None:
    assert (instrument_name(number), family_name(number)) == (name, family)
    assert number in family_instruments(family)


def test_every_name_is_found_again_whatever_its_case_and_punctuation() -> None:
    for number in range(129):
        assert find_instrument(instrument_name(number).upper().replace("(", " ").replace(")", "")) == number


def test_unknown_names_and_numbers_say_what_is_known() -> None:
    with pytest.raises(ValueError, match="names are like"):
        find_instrument("kazoo")
    with pytest.raises(ValueError, match="families are: Piano"):
        family_instruments("kazoos")
    for number in (-1, 129):
        with pytest.raises(ValueError, match="0-127 and 128"):
            instrument_name(number)
