"""Pieces moved to the key asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi_llm.compose.tonic import in_key, interval
from midi_llm.music.features import note_table
from midi_llm.music.key import KEYS, estimate_key
from midi_llm.music.score import Note, Score, Track, note_array

CADENCES = {
    "major": ((0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7)),
    "minor": ((0, 3, 7), (5, 8, 12), (7, 11, 14), (0, 3, 7)),
}


def piece(tonic, mode, low=48):
    """A cadence, twice, with a kick drum."""
    chords = CADENCES[mode] * 2
    notes = [Note(time=float(i), duration=1.0, pitch=low + tonic + p) for i, chord in enumerate(chords) for p in chord]
    drums = [Note(time=float(i), duration=0.1, pitch=36) for i in range(len(chords))]
    return Score(tracks=(Track(program=0, notes=note_array(notes)), Track(is_drum=True, notes=note_array(drums))))


def heard(score):
    return estimate_key(note_table(score))[0]


@pytest.mark.parametrize("mode", ["major", "minor"])
@pytest.mark.parametrize("tonic", range(12))
def test_a_piece_is_moved_to_the_key_asked_for(tonic, mode):
    score = piece(tonic, mode)
    for asked in (f"Eb {mode}", f"B {mode}"):
        moved = in_key(score, asked)
        assert heard(moved) == asked
        steps = np.unique(moved.tracks[0].notes["pitch"].astype(int) - score.tracks[0].notes["pitch"])
        assert len(steps) == 1
        assert -5 <= steps[0] <= 6
        assert np.array_equal(moved.tracks[1].notes, score.tracks[1].notes), "drums stay"


def test_the_other_mode_moves_to_the_relative_key():
    assert heard(in_key(piece(2, "major"), "A minor")) == "C major"
    assert heard(in_key(piece(2, "minor"), "F major")) == "D minor"


def test_sharps_are_the_same_keys_as_flats():
    assert heard(in_key(piece(0, "minor"), "F# minor")) == "Gb minor"


def test_nothing_moves_without_a_wish_a_clear_key_or_room():
    score = piece(0, "major")
    assert in_key(score, None).tracks is score.tracks
    assert in_key(Score(), "C major").note_count == 0
    chromatic = [Note(time=i / 4, duration=0.25, pitch=48 + i) for i in range(24)]
    unclear = Score(tracks=(Track(notes=note_array(chromatic)),))
    assert in_key(unclear, "Eb major") is unclear
    high = piece(0, "major", low=108)
    assert in_key(high, "Gb major").tracks is high.tracks, "122 and six semitones are no pitch"


def test_a_clear_key_is_written_and_after_a_move_the_one_asked_for():
    assert [one.key for one in in_key(piece(0, "major"), None).key_signatures] == ["C major"]
    assert [one.key for one in in_key(piece(0, "major"), "Eb major").key_signatures] == ["Eb major"]


@given(st.sampled_from(KEYS), st.sampled_from(KEYS))
def test_an_interval_is_the_nearest_and_leads_to_the_same_notes(here, there):
    semitones = interval(here, there)
    assert -5 <= semitones <= 6
    assert interval(here, here) == 0
    assert (semitones + interval(there, here)) % 12 == 0
