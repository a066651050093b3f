from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi_llm.music.features import NoteTable, note_table
from midi_llm.music.key import KEY_CONFIDENCE, KEYS, PITCH_CLASSES, correlate, estimate_key, key_probabilities
from midi_llm.music.score import Note, Score, Track, note_array

TRIADS = {"major": (0, 4, 7), "minor": (0, 3, 7)}
CADENCES = {
    "major": ((0, "major"), (5, "major"), (2, "minor"), (7, "major"), (0, "major")),
    "minor": ((0, "minor"), (5, "minor"), (8, "major"), (7, "major"), (0, "minor")),
}


def cadence(key: str) -> NoteTable:
    tonic, mode = key.split()
    low = 48 + PITCH_CLASSES.index(tonic)
    notes = [
        Note(time=float(beat), duration=1.0, pitch=low + root + interval)
        for beat, (root, kind) in enumerate(CADENCES[mode])
        for interval in TRIADS[kind]
    ]
    return note_table(Score(tracks=(Track(notes=note_array(notes)),)))


@pytest.mark.parametrize("key", KEYS)
def test_a_cadence_is_in_its_key(key: str) -> None:
    found, confidence = estimate_key(cadence(key))
    assert found == key
    assert confidence > 0.5


def test_the_keys_are_spelled_once_each_and_the_probabilities_add_up() -> None:
    assert len(set(KEYS)) == 24
    assert {"Bb minor", "Gb major", "C major"} <= set(KEYS)
    assert key_probabilities(cadence("Eb major")).sum() == pytest.approx(1.0)


def test_all_twelve_notes_alike_are_in_no_key() -> None:
    notes = [Note(time=float(k), duration=1.0, pitch=60 + k) for k in range(12)]
    _, confidence = estimate_key(note_table(Score(tracks=(Track(notes=note_array(notes)),))))
    assert confidence < 0.1


def test_drums_and_percussion_say_nothing_of_the_key() -> None:
    piece = cadence("A minor")
    noise = [Note(time=0.1 * k, duration=3.0, pitch=37 + 6 * (k % 2)) for k in range(100)]
    loud = (Track(is_drum=True, notes=note_array(noise)), Track(program=115, notes=note_array(noise)))
    score = Score(tracks=(*loud, Track(notes=note_array([]))))
    assert np.allclose(key_probabilities(note_table(score)), 1 / 24)
    mixed = NoteTable(
        **{
            name: np.concatenate([getattr(note_table(score), name), getattr(piece, name)])
            for name in ("start", "duration", "instrument", "pitch", "velocity")
        }
    )
    assert estimate_key(mixed) == estimate_key(piece)


def test_a_relative_key_is_told_by_the_first_bass_note() -> None:
    # the notes of the C major scale, all alike: C major or A minor, the bass decides
    def first(pitch: int) -> NoteTable:
        scale = [Note(time=1.0 + k, duration=1.0, pitch=72 + step) for k, step in enumerate((0, 2, 4, 5, 7, 9, 11))]
        opening = Note(time=0.0, duration=0.001, pitch=pitch)
        return note_table(Score(tracks=(Track(notes=note_array([opening, *scale])),)))

    odds = [key_probabilities(first(pitch))[KEYS.index("A minor")] for pitch in (45, 48)]
    assert odds[0] > 1.3 * odds[1]


@given(st.lists(st.floats(0, 100), min_size=12, max_size=12), st.integers(0, 11))
def test_correlations_move_with_the_transposition(weights: list[float], semitones: int) -> None:
    plain = correlate(np.array(weights)).reshape(2, 12)
    moved = correlate(np.roll(np.array(weights), semitones)).reshape(2, 12)
    np.testing.assert_allclose(np.roll(plain, semitones, axis=1), moved, atol=1e-6)
    assert (np.abs(plain) <= 1 + 1e-9).all()


def test_a_plain_scale_with_its_triads_is_sure_enough_to_be_stated() -> None:
    piece = cadence("D major")
    long = NoteTable(
        **{
            name: np.concatenate([getattr(piece, name)] * 3)
            for name in ("start", "duration", "instrument", "pitch", "velocity")
        }
    )
    assert estimate_key(long)[1] >= KEY_CONFIDENCE
