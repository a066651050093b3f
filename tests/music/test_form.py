from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi_llm.music.features import NoteTable, note_table
from midi_llm.music.form import bar_labels, repeated_share
from midi_llm.music.score import Note, Score, Track, note_array

BAR_SECONDS = 2.0


def bars_of(letters: str, *, late: float = 0.0) -> NoteTable:
    """A bar per letter, its four notes told apart by the letter; a dot is a silent bar."""
    notes = [
        Note(time=bar * BAR_SECONDS + beat * 0.5 + late, duration=0.4, pitch=40 + ord(letter) % 32 + beat)
        for bar, letter in enumerate(letters)
        for beat in range(4)
        if letter != "."
    ]
    return note_table(Score(tracks=(Track(notes=note_array(notes)),)))


@given(st.text("ABCD.", min_size=1, max_size=12))
def test_a_label_is_the_first_bar_that_is_alike(letters: str) -> None:
    labels = bar_labels(bars_of(letters), BAR_SECONDS, len(letters))
    assert labels.tolist() == [-1 if letter == "." else letters.index(letter) for letter in letters]


def test_the_share_counts_bars_with_notes() -> None:
    assert repeated_share(bar_labels(bars_of("AABA"), BAR_SECONDS, 4)) == pytest.approx(2 / 4)
    assert repeated_share(bar_labels(bars_of("A.A."), BAR_SECONDS, 4)) == pytest.approx(1 / 2)
    assert repeated_share(bar_labels(bars_of("ABCD"), BAR_SECONDS, 4)) == 0.0
    assert repeated_share(bar_labels(bars_of("A..."), BAR_SECONDS, 4)) is None


def test_a_note_just_before_the_bar_line_belongs_to_the_bar_it_begins() -> None:
    early = bar_labels(bars_of("AAB", late=-0.01), BAR_SECONDS, 3)
    assert early.tolist() == [0, 0, 2]


def test_bars_differ_by_instrument_onset_and_transposition_but_not_by_duration_or_velocity() -> None:
    def second_bar(**changes: float) -> list[int]:
        other = {"time": 2.5, "duration": 0.5, "pitch": 60, "velocity": 80, "program": 0} | changes
        tracks = [Track(program=0, notes=note_array([Note(time=0.5, duration=0.5, pitch=60, velocity=80)]))]
        program = int(other.pop("program"))
        note = Note(time=other["time"], duration=other["duration"], pitch=int(other["pitch"]), velocity=90)
        tracks.append(Track(program=program, notes=note_array([note])))
        return bar_labels(note_table(Score(tracks=tuple(tracks))), BAR_SECONDS, 2).tolist()

    assert second_bar() == [0, 0]
    assert second_bar(duration=1.0) == [0, 0]
    for change in ({"time": 2.75}, {"pitch": 61}, {"program": 3}):
        assert second_bar(**change) == [0, 1]


def test_notes_after_the_last_bar_are_not_looked_at() -> None:
    assert bar_labels(bars_of("ABAB"), BAR_SECONDS, 2).tolist() == [0, 1]
    assert bar_labels(bars_of("."), BAR_SECONDS, 0).tolist() == []
