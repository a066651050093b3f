"""Key: relatives, golden scales, transposition, modes, drums alone, and no wish."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.control.wishing import melody, played, values, wish
from midi_llm.evaluate.control import key
from midi_llm.music.key import KEYS, PITCH_CLASSES
from midi_llm.music.score import DRUMS, Score

KEY_NAMES = st.sampled_from(KEYS)
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
TUNES = {"major": (0, 4, 7, 12, 11, 7, 9, 5, 2, 7, 4, 0), "minor": (0, 3, 7, 12, 11, 7, 8, 5, 2, 7, 3, 0)}


def in_key(name: str) -> Score:
    """A melody on the scale of a key, from its tonic to its tonic."""
    tonic, mode = name.split()
    return melody([60 + PITCH_CLASSES.index(tonic) + above for above in TUNES[mode]], repeat=3, length=0.5)


def pitch_classes(name: str) -> set[int]:
    tonic, mode = name.split()
    return {(PITCH_CLASSES.index(tonic) + above) % 12 for above in SCALES[mode]}


@given(KEY_NAMES)
def test_the_relative_of_the_relative_is_the_key(name: str) -> None:
    other = key.relative(name)
    assert key.relative(other) == name
    assert other.split()[1] != name.split()[1]
    assert pitch_classes(other) == pitch_classes(name)


@given(KEY_NAMES, KEY_NAMES)
def test_keys_are_relatives_when_they_have_the_same_notes(asked: str, found: str) -> None:
    assert key.same_or_relative(asked, found) == (pitch_classes(asked) == pitch_classes(found))
    assert key.same_or_relative(asked, found) == key.same_or_relative(found, asked)


def test_relatives_by_name() -> None:
    assert key.relative("C major") == "A minor"
    assert key.relative("Db minor") == "E major"
    assert key.relative("Gb major") == "Eb minor"
    assert not key.same_or_relative("A minor", "Gb major")
    assert not key.same_or_relative("A minor", "A major")
    assert not key.same_or_relative("A minor", "")


@pytest.mark.parametrize("name", KEYS)
def test_a_melody_is_in_its_key_and_in_no_other(name: str) -> None:
    found = values(key.evaluate([wish(in_key(name), key=other, mode=other.split()[1]) for other in KEYS]))
    assert found["key"] == [float(other == name) for other in KEYS]
    assert found["key_or_relative"] == [float(other in (name, key.relative(name))) for other in KEYS]
    assert found["mode"] == [float(other.split()[1] == name.split()[1]) for other in KEYS]


def test_a_mode_may_be_asked_for_without_a_key() -> None:
    found = values(key.evaluate([wish(in_key("D minor"), mode=mode) for mode in ("minor", "major")]))
    assert found["mode"] == [1.0, 0.0]
    assert all(math.isnan(value) for name in ("key", "key_or_relative") for value in found[name])


def test_drums_alone_have_no_key() -> None:
    found = values(key.evaluate([wish(played({DRUMS: 40}), key="C major", mode="major")]))
    assert found == {"key": [0.0], "key_or_relative": [0.0], "mode": [0.0]}


def test_no_wish_and_no_notes_are_not_judged() -> None:
    found = values(key.evaluate([wish(in_key("C major")), wish(Score(), key="C major", mode="major")]))
    assert all(math.isnan(value) for one in found.values() for value in one)
