"""What is found in a piece that tells how loud its notes are, checked on pieces that can be read by eye."""

from __future__ import annotations

import numpy as np

from midi_llm.music.beats import BeatGrid
from midi_llm.music.expression import FEATURES, describe
from midi_llm.music.features import NoteTable
from midi_llm.music.score import DRUMS

PIANO, VIOLIN = 0, 40


def table(*rows: tuple[float, float, int, int]) -> NoteTable:
    """Notes from (seconds, duration, instrument, pitch), in order."""
    start, duration, instrument, pitch = zip(*rows, strict=True)
    whole = [np.array(column, np.int64) for column in (instrument, pitch)]
    return NoteTable(
        start=np.array(start, float),
        duration=np.array(duration, float),
        instrument=whole[0],
        pitch=whole[1],
        velocity=np.full(len(rows), 72),
    )


def grid(metre: tuple[int, int] = (4, 4), beats: int = 17, first: int = 0) -> BeatGrid:
    """Beats at every whole second."""
    per_bar = metre[0] if metre[1] == 4 else metre[0] // 3
    return BeatGrid(
        beats=np.arange(float(beats)),
        downbeats=np.arange(first, beats, per_bar),
        metre=metre,
        bpm=60,
        steady=True,
        confidence=1,
    )


def column(notes: NoteTable, name: str, beats: BeatGrid | None = None) -> list[float]:
    return describe(notes, beats).features[:, FEATURES.index(name)].tolist()


def test_every_column_has_a_name_and_every_name_is_used_once() -> None:
    found = describe(table((0.0, 1, PIANO, 60)), grid())
    assert found.features.shape == (1, len(FEATURES))
    assert len(set(FEATURES)) == len(FEATURES)
    assert np.isfinite(found.features).all()


def test_levels_of_the_bar() -> None:
    notes = table(*((at, 0.1, PIANO, 60) for at in (0, 0.25, 0.5, 0.75, 1, 2, 3, 4)))
    assert column(notes, "downbeat", grid()) == [1, 0, 0, 0, 0, 0, 0, 1]
    assert column(notes, "middle", grid()) == [0, 0, 0, 0, 0, 1, 0, 0]
    assert column(notes, "beat", grid()) == [0, 0, 0, 0, 1, 0, 1, 0]
    assert column(notes, "half", grid()) == [0, 0, 1, 0, 0, 0, 0, 0]
    assert column(notes, "early quarter", grid()) == [0, 1, 0, 0, 0, 0, 0, 0]
    assert column(notes, "late quarter", grid()) == [0, 0, 0, 1, 0, 0, 0, 0]
    assert column(notes, "cell 4", grid()) == [0, 0, 0, 0, 1, 0, 0, 0]


def test_bars_that_begin_later_and_notes_before_the_first_of_them() -> None:
    notes = table(*((at, 0.1, PIANO, 60) for at in range(6)))
    assert column(notes, "downbeat", grid((3, 4), first=2)) == [0, 0, 1, 0, 0, 1]
    assert column(notes, "cell 0", grid((3, 4), first=2)) == [0] * 6, "cells are those of bars of four beats"


def test_thirds_of_a_beat() -> None:
    notes = table(*((at / 3, 0.1, PIANO, 60) for at in range(6)))
    assert column(notes, "third", grid((6, 8))) == [0, 1, 1, 0, 1, 1]


def test_without_beats_the_metre_says_nothing() -> None:
    notes = table(*((at / 3, 0.1, PIANO, 60) for at in range(6)))
    assert all(column(notes, name) == [0] * 6 for name in ("downbeat", "beat", "cell 0", "usual place"))


def test_places_in_a_chord() -> None:
    notes = table((0, 1, PIANO, 48), (0, 1, PIANO, 60), (0.01, 1, PIANO, 64), (0, 1, VIOLIN, 80), (1, 1, PIANO, 62))
    notes = notes.where(np.argsort(notes.start, kind="stable"))
    assert notes.pitch.tolist() == [48, 60, 80, 64, 62]
    assert column(notes, "chord top") == [0, 0, 0, 1, 0]
    assert column(notes, "chord bottom") == [1, 0, 0, 0, 0]
    assert column(notes, "highest of all") == [0, 0, 1, 0, 1]
    assert column(notes, "lowest of all") == [1, 0, 0, 0, 1]
    assert column(notes, "together") == [2, 2, 2, 2, 0]


def test_the_line_of_a_melody() -> None:
    notes = table(*((at / 2, 0.5, VIOLIN, pitch) for at, pitch in enumerate((60, 67, 60, 60, 72))))
    assert column(notes, "peak") == [0, 1, 0, 0, 0]
    assert column(notes, "same pitch again") == [0, 0, 0, 1, 0]
    assert column(notes, "leap") == [0, 7 / 12, -7 / 12, 0, 1]


def test_phrases_begin_after_a_rest_and_swell_towards_their_middle() -> None:
    notes = table(*((at, 0.4, VIOLIN, 60) for at in (0, 0.5, 1, 3, 3.5, 4)))
    assert column(notes, "phrase begins") == [1, 0, 0, 1, 0, 0]
    assert column(notes, "phrase ends") == [0, 0, 1, 0, 0, 1]
    assert column(notes, "arc of the phrase") == [0, 1, 0, 0, 1, 0]


def test_drums_that_sound_together() -> None:
    notes = table((0, 0.1, DRUMS, 36), (0, 0.1, DRUMS, 42), (0.5, 0.1, DRUMS, 46), (0.51, 0.1, PIANO, 60))
    assert column(notes, "with kick") == [1, 1, 0, 0]
    assert column(notes, "with hat") == [1, 1, 1, 1]
    assert column(notes, "key 46") == [0, 0, 1, 0]


def test_a_usual_place_is_played_in_most_bars() -> None:
    notes = table(*((4 * bar, 0.1, DRUMS, 36) for bar in range(4)), (13.5, 0.1, DRUMS, 36))
    assert column(notes, "usual place", grid()) == [1, 1, 1, 1, 0.25]
    assert column(notes, "fourth bar", grid()) == [0, 0, 0, 1, 1]
