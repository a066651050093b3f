"""Keys and the end of a piece in MIDI files."""

from __future__ import annotations

import io

import mido
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi_llm.errors import OutputError
from midi_llm.music.key import KEYS, key_number, sharps
from midi_llm.music.read import parse_midi
from midi_llm.music.score import KeySignature, Note, Score, Track, note_array
from midi_llm.music.write import to_midi_bytes


def piece(*keys: KeySignature, duration: float = 0.5, end: float = 0.0) -> Score:
    note = Note(time=0.0, duration=duration, pitch=60)
    return Score(tracks=(Track(notes=note_array([note])),), key_signatures=keys, end=end)


def by_mido(score: Score) -> mido.MidiFile:
    return mido.MidiFile(file=io.BytesIO(to_midi_bytes(score)))


@given(st.sampled_from(KEYS), st.sampled_from(KEYS))
def test_keys_are_written_and_read_back(first: str, second: str) -> None:
    keys = (KeySignature(time=0.0, key=first), KeySignature(time=2.0, key=second))
    again = parse_midi(to_midi_bytes(piece(*keys)))
    expected = [first, second] if first != second else [first]
    assert [signature.key for signature in again.key_signatures] == expected


@pytest.mark.parametrize(
    ("key", "count"),
    [("C major", 0), ("A minor", 0), ("F# major", 6), ("Gb major", -6), ("C# minor", 4), ("Bb minor", -5)],
)
def test_a_key_has_the_accidentals_of_its_spelling(key: str, count: int) -> None:
    score = piece(KeySignature(time=0.0, key=key))
    message = next(m for m in by_mido(score).tracks[0] if m.type == "key_signature")
    assert sharps(key) == count
    assert key_number(f"{message.key.rstrip('m')} {'minor' if message.key.endswith('m') else 'major'}") == key_number(
        key
    )


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(OutputError, match="a key called 'H major'"):
        to_midi_bytes(piece(KeySignature(time=0.0, key="H major")))


def test_a_piece_lasts_until_its_end() -> None:
    score = piece(end=3.0)
    assert score.seconds == 3.0
    assert by_mido(score).length == pytest.approx(3.0)
    assert piece(duration=4.0, end=3.0).seconds == 4.0
