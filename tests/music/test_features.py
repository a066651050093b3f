from __future__ import annotations

import numpy as np
import pytest

from midi_llm.music.features import (
    NoteTable,
    articulation,
    dynamics,
    instruments_by_sounding_time,
    max_polyphony,
    mean_pitch,
    mean_polyphony,
    note_density,
    note_table,
    sounding_time,
    swing_ratio,
)
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


def table(*spans: tuple[float, float], pitch: int = 60, program: int = 0, velocity: int = 72) -> NoteTable:
    notes = [Note(time=time, duration=duration, pitch=pitch, velocity=velocity) for time, duration in spans]
    return note_table(Score(tracks=(Track(program=program, notes=note_array(notes)),)))


def test_a_note_table_lays_the_tracks_flat_in_time_order() -> None:
    flat = note_table(Score(tracks=(track((1.0, 0.5), program=5), Track(program=9), track((0.0, 2.0), is_drum=True))))
    assert (len(flat), flat.start.tolist(), flat.instrument.tolist()) == (2, [0.0, 1.0], [128, 5])
    assert len(note_table(Score())) == 0


def test_pitched_notes_are_not_drums_percussion_or_effects() -> None:
    tracks = tuple(track((0.0, 1.0), program=program) for program in (0, 47, 112, 113, 114, 115, 127))
    kept = note_table(Score(tracks=(*tracks, track((0.0, 1.0), is_drum=True)))).pitched()
    assert kept.instrument.tolist() == [0, 47, 112, 114]


def test_mean_polyphony_is_taken_over_the_time_in_which_something_sounds() -> None:
    assert mean_polyphony(table((0.0, 1.0), (9.0, 1.0))) == pytest.approx(1.0)
    assert mean_polyphony(table((0.0, 2.0), (0.0, 1.0), (1.0, 1.0))) == pytest.approx(2.0)
    assert mean_polyphony(table()) == 0.0


def test_mean_pitch_is_weighted_by_duration() -> None:
    notes = [Note(time=0.0, duration=3.0, pitch=40), Note(time=0.0, duration=1.0, pitch=80)]
    assert mean_pitch(note_table(Score(tracks=(Track(notes=note_array(notes)),)))) == pytest.approx(50.0)
    assert mean_pitch(table()) is None


@pytest.mark.parametrize("length", [0.25, 0.5, 1.0])
def test_articulation_is_the_share_of_the_way_to_the_next_onset(length: float) -> None:
    line = [(0.5 * k, 0.5 * length) for k in range(12)]
    assert articulation(table(*line)) == pytest.approx(length)
    chords = [span for span in line for _ in range(3)]
    assert articulation(table(*chords)) == pytest.approx(length)


def test_articulation_looks_at_each_instrument_alone_and_not_at_rests() -> None:
    line = [(0.5 * k, 0.5) for k in range(12)]
    two = Score(tracks=(track(*line), track(*((time + 0.25, length) for time, length in line), program=5)))
    assert articulation(note_table(two)) == pytest.approx(1.0)
    assert articulation(table(*((3.0 * k, 0.2) for k in range(12)))) is None
    assert articulation(table(*line[:5])) is None


@pytest.mark.parametrize(("phase", "ratio"), [(0.5, 1.0), (0.6, 1.5), (2 / 3, 2.0)])
def test_swing_is_the_ratio_of_the_two_eighths(phase: float, ratio: float) -> None:
    beat = 0.5
    line = [(beat * (k + part), 0.1) for k in range(16) for part in (0.0, phase)]
    assert swing_ratio(table(*line), beat) == pytest.approx(ratio, rel=0.01)


@pytest.mark.parametrize(
    "parts",
    [(0.0,), (0.0, 1 / 3, 2 / 3), (0.0, 0.25, 0.5, 0.75), (0.0, 0.75), (0.0, 0.25)],
    ids=["quarters", "triplets", "sixteenths", "dotted", "snaps"],
)
def test_other_divisions_are_no_evidence_of_swing(parts: tuple[float, ...]) -> None:
    assert swing_ratio(table(*((0.5 * (k + part), 0.1) for k in range(32) for part in parts)), 0.5) is None


def test_swing_needs_enough_offbeats_that_agree() -> None:
    assert swing_ratio(table(*((0.5 * (k + part), 0.1) for k in range(5) for part in (0.0, 0.5))), 0.5) is None
    straight_and_swung = [(0.5 * (k + part), 0.1) for k in range(32) for part in (0.0, (0.5, 2 / 3)[k % 2])]
    assert swing_ratio(table(*straight_and_swung), 0.5) is None
    assert swing_ratio(table(), 0.5) is None


def test_dynamics_are_the_mean_and_the_change_from_the_first_to_the_last_third() -> None:
    notes = [Note(time=float(k), duration=0.5, pitch=60, velocity=40 + 10 * (k // 3)) for k in range(9)]
    found = dynamics(note_table(Score(tracks=(Track(notes=note_array(notes)),))))
    assert found == (pytest.approx(50.0), pytest.approx(np.mean([60, 60, 60]) - np.mean([40, 40, 40])))
    assert dynamics(table((0.0, 1.0), (1.0, 1.0))) is None
    assert dynamics(table()) is None
