"""Notes outside an instrument's compass."""

from midi_llm.compose.playable import playable
from midi_llm.music.score import Note, Score, Track, note_array


def track(*pitches, program=0, is_drum=False):
    notes = note_array([Note(time=float(i), duration=0.5, pitch=pitch) for i, pitch in enumerate(pitches)])
    return Track(program=program, is_drum=is_drum, notes=notes)


def test_a_double_bass_loses_the_chords_of_a_guitar_and_drums_lose_nothing():
    score = Score(tracks=(track(33, 69, 76, 40, program=32), track(0, 127, is_drum=True), track(50, program=73)))
    bass, drums = playable(score).tracks
    assert bass.notes["pitch"].tolist() == [33, 40]
    assert bass.notes["time"].tolist() == [0.0, 3.0]
    assert drums.notes["pitch"].tolist() == [0, 127]


def test_instruments_without_a_compass_play_anything():
    score = Score(tracks=(track(0, 127, program=81),))
    assert playable(score).note_count == 2


def test_where_nothing_would_be_left_all_stays():
    score = Score(tracks=(track(20, program=73),))
    assert playable(score) is score
