"""New notes of an edited piece are as loud and as unequal as their part."""

from __future__ import annotations

import numpy as np
import pytest

from midi_llm.compose.new_velocities import new_velocities
from midi_llm.music.dynamics import with_dynamics
from midi_llm.music.score import Note, Score, Tempo, TimeSignature, Track, note_array
from midi_llm.music.song_edit import NEW_NOTE_DTYPE, NewNotes
from midi_llm.music.song_file import SongFile, parse_song
from midi_llm.music.write import to_midi_bytes

PIANO, FLUTE = 0, 73


def make_song(*, amount: float = 0.0, louder: int = 0) -> SongFile:
    """16 bars of a piano in 4/4 whose velocities are unequal by `amount`; a bass that is always 50."""
    rng = np.random.default_rng(5)
    piano = [Note(time=n / 4, duration=0.2, pitch=int(60 + rng.integers(12)), velocity=72) for n in range(128)]
    score = Score(
        tracks=(Track(program=PIANO, notes=note_array(piano)),),
        tempos=(Tempo(time=0.0, bpm=120.0),),
        time_signatures=(TimeSignature(time=0.0, numerator=4, denominator=4),),
    )
    (track,) = with_dynamics(score, None, amount=amount, seed=3).tracks
    notes = track.notes.copy()
    notes["velocity"] += louder
    bass = note_array([Note(time=n / 2, duration=0.4, pitch=40, velocity=50) for n in range(64)])
    tracks = (Track(program=PIANO, notes=notes), Track(program=33, notes=bass))
    return parse_song(
        to_midi_bytes(Score(tracks=tracks, tempos=score.tempos, time_signatures=score.time_signatures)), name="song"
    )


def new_notes(song: SongFile, instrument: int, count: int = 64) -> NewNotes:
    notes = np.zeros(count, NEW_NOTE_DTYPE)
    notes["start"] = np.arange(count) * song.ticks_per_quarter // 2
    notes["end"] = notes["start"] + song.ticks_per_quarter // 4
    notes["instrument"], notes["pitch"] = instrument, 60 + np.arange(count) % 7
    return notes


def everything(song: SongFile) -> np.ndarray:
    return np.ones(len(song.start), np.bool_)


@pytest.mark.parametrize("instrument", [PIANO, 33])
def test_a_part_that_is_written_all_alike_stays_alike(instrument: int) -> None:
    song = make_song(louder=20)
    found = new_velocities(song, everything(song), new_notes(song, instrument), seed=1)
    assert set(found.tolist()) == {92 if instrument == PIANO else 50}


def test_in_an_unequal_part_new_notes_are_as_unequal_and_as_loud() -> None:
    song = make_song(amount=1.0, louder=15)
    written = song.notes.velocity[song.notes.instrument == PIANO]
    found = new_velocities(song, everything(song), new_notes(song, PIANO), seed=1)
    assert 0.5 < found.std() / written.std() < 1.5
    assert abs(np.median(found) - np.median(written)) < 10  # its notes are lower, on other beats
    assert not np.array_equal(found, new_velocities(song, everything(song), new_notes(song, PIANO), seed=2))


def test_a_new_instrument_and_one_that_is_replaced_are_as_loud_as_the_piece() -> None:
    song = make_song(amount=0.5)
    flute = new_velocities(song, everything(song), new_notes(song, FLUTE), seed=1)
    assert abs(np.median(flute) - np.median(song.notes.velocity)) <= 12
    kept = song.notes.instrument != PIANO
    piano = new_velocities(song, kept, new_notes(song, PIANO), seed=1)
    assert abs(np.median(piano) - np.median(song.notes.velocity[~kept])) < 4


def test_nothing_new_has_no_velocities() -> None:
    song = make_song()
    assert len(new_velocities(song, everything(song), np.zeros(0, NEW_NOTE_DTYPE), seed=1)) == 0
