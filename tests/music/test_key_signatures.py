"""Key signatures: their names, places and impossible values, and keys by name."""

from __future__ import annotations

import pytest

from midi_llm.music.key import KEYS
from midi_llm.music.key_signatures import KeySignature, fifths_of, key_signatures
from music.smf_builder import meta, midi, on, tempo


def key(delta: int, fifths: int, minor: int) -> bytes:
    return meta(delta, 0x59, bytes((fifths & 0xFF, minor)))


def test_keys_are_read_in_seconds_by_name_and_without_repetitions() -> None:
    content = midi(tempo(0, 1_000_000) + key(0, -2, 0) + key(480, -2, 0) + key(480, 4, 1), on(0, 60))
    assert key_signatures(content) == (
        KeySignature(time=0.0, fifths=-2),
        KeySignature(time=2.0, fifths=4, minor=True),
    )
    assert [key.name for key in key_signatures(content)] == ["Bb major", "C# minor"]


def test_impossible_keys_are_left_out() -> None:
    content = midi(key(0, 8, 0) + key(0, 1, 2) + meta(0, 0x59, b"\x01") + key(10, -7, 1))
    assert [key.name for key in key_signatures(content)] == ["Ab minor"]
    assert key_signatures(midi(on(0, 60))) == ()


def test_every_key_that_can_be_heard_has_a_signature() -> None:
    for name in KEYS:
        fifths, minor = fifths_of(name)
        assert -7 <= fifths <= 7
        tonic = KEYS.index(name) % 12
        assert (fifths * 7 + (9 if minor else 0)) % 12 == tonic
    with pytest.raises(ValueError, match="H major"):
        fifths_of("H major")
