from __future__ import annotations

import pytest

from midi_llm.music.features import instruments_by_sounding_time, max_polyphony, note_density, sounding_time
from midi_llm.music.score import Note, Score, Track, note_array


def track(*spans: tuple[float, float], program: int = 0, is_drum: bool = False) -> Track:
    notes = [Note(time=time, duration=duration, pitch=60 + k) for k, (time, duration) in enumerate(spans)]
    return Track(program=program, is_drum=is_drum, notes=note_array(notes))


def test_density_counts_notes_from_the_first_onset_to_the_last_end() -> None:
    score = Score(tracks=(track((10.0, 1.0), (11.0, 1.0)), track((12.0, 2.0), program=5)))
    assert note_density(score) == pytest.approx(3 / 4)


def test_an_empty_score_has_no_density_no_polyphony_and_no_instruments() -> None:
    for score in (Score(), Score(tracks=(Track(),))):
        assert (note_density(score), max_polyphony(score), instruments_by_sounding_time(score)) == (0.0, 0, [])


def test_a_score_without_length_has_density_zero_and_polyphony_one() -> None:
    score = Score(tracks=(track((0.0, 0.0)),))
    assert (note_density(score), max_polyphony(score)) == (0.0, 1)


def test_overlapping_notes_count_once_in_the_sounding_time() -> None:
    assert sounding_time(track((5.0, 1.0), (0.0, 2.0), (1.0, 0.5), (1.5, 1.5)).notes) == pytest.approx(4.0)


def test_instruments_are_listed_by_sounding_time_over_all_their_tracks() -> None:
    tracks = (track((0.0, 2.0), program=7), track((0.0, 1.0), is_drum=True), track((1.0, 3.0), program=7))
    listed = instruments_by_sounding_time(Score(tracks=(*tracks, track((0.0, 1.0), program=3), Track(program=9))))
    assert listed == [(7, pytest.approx(4.0)), (3, pytest.approx(1.0)), (128, pytest.approx(1.0))]


def test_polyphony_counts_all_tracks_and_not_notes_that_only_touch() -> None:
    assert max_polyphony(Score(tracks=(track((0.0, 1.0), (1.0, 1.0)),))) == 1
    assert max_polyphony(Score(tracks=(track((0.0, 1.5), (1.0, 1.0)), track((1.2, 0.1), program=5)))) == 3
