"""Bars and the grid: where notes go, when beats are heard instead of read, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from midi_llm.errors import RequestError
from midi_llm.music.score import Note, Score, Tempo, TimeSignature, Track, note_array
from midi_llm.notation.bars import QUARTER, bar_at, lay_out, off_grid


def score(beats: list[float], *, bpm: float = 120.0, metres: tuple[tuple[float, int, int], ...] = ()) -> Score:
    """Notes of a sixteenth at `beats` (quarter notes)."""
    second = 60 / bpm
    notes = note_array(Note(time=at * second, duration=second / 4, pitch=60) for at in beats)
    return Score(
        tracks=(Track(notes=notes),),
        tempos=(Tempo(time=0, bpm=bpm),),
        time_signatures=tuple(TimeSignature(time=at * second, numerator=n, denominator=d) for at, n, d in metres),
    )


def starts(of: Score) -> list[float]:
    return (lay_out(of).tracks[0].starts / QUARTER).tolist()


def test_played_a_little_early_or_late_they_are_on_their_sixteenths() -> None:
    played = [0.02, 0.23, 0.52, 0.76, 0.98, 2.49]
    assert starts(score(played)) == [0, 0.25, 0.5, 0.75, 1, 2.5]


def test_a_beat_in_three_is_a_triplet_and_its_neighbour_is_not() -> None:
    third = 1 / 3
    assert starts(score([0, third, 2 * third, 1, 1.5, 1.75])) == pytest.approx([0, third, 2 * third, 1, 1.5, 1.75])


def test_32nds_are_kept_where_they_are_exact_but_an_uneven_stroke_is_none() -> None:
    assert starts(score([0, 0.125, 0.25, 0.375, 0.5])) == [0, 0.125, 0.25, 0.375, 0.5]
    assert starts(score([0, 0.09, 0.5, 0.75])) == [0, 0, 0.5, 0.75]


def test_bars_follow_the_metres_and_one_is_cut_short_where_the_metre_changes() -> None:
    layout = lay_out(score([0, 12], metres=((0, 3, 4), (6, 6, 8), (10, 4, 4))))
    assert [(bar.start / QUARTER, bar.length / QUARTER, bar.numerator) for bar in layout.bars] == [
        (0, 3, 3), (3, 3, 3), (6, 3, 6), (9, 1, 6), (10, 4, 4),
    ]  # fmt: skip
    assert [bar.beat for bar in layout.bars] == [24, 24, 36, 36, 24]
    assert bar_at(layout.bars, 9 * QUARTER + 5) == 3
    assert bar_at(layout.bars, 999 * QUARTER) == 4


def test_of_metres_that_begin_together_the_last_counts() -> None:
    layout = lay_out(score([0, 1, 2], metres=((0, 2, 4), (0.01, 3, 4))))
    assert [(bar.start, bar.length, bar.numerator) for bar in layout.bars] == [(0, 72, 3)]


def test_seconds_and_ticks_go_through_every_tempo() -> None:
    piece = Score(
        tracks=(Track(notes=note_array([Note(time=5.0, duration=0.5, pitch=60)])),),
        tempos=(Tempo(time=0, bpm=60), Tempo(time=2, bpm=120)),
    )
    layout = lay_out(piece)
    assert layout.tracks[0].starts.tolist() == [8 * QUARTER]  # two slow ones and six fast ones
    assert [layout.tick(second) for second in (0, 2, 5)] == [0, 48, 192]
    assert [layout.second(tick) for tick in (0, 48, 192)] == pytest.approx([0, 2, 5])
    assert layout.tempos == ((0, 60), (48, 120))


def test_no_tempo_and_no_metre_are_120_and_four_quarters() -> None:
    layout = lay_out(Score(tracks=(Track(notes=note_array([Note(time=1.0, duration=0.5, pitch=60)])),)))
    assert layout.tracks[0].starts.tolist() == [2 * QUARTER]
    assert (layout.bars[0].numerator, layout.bars[0].denominator) == (4, 4)
    assert layout.tempos == ((0, 120.0),)


def test_a_performance_off_the_written_beats_is_heard() -> None:
    """A steady waltz at 93 bpm in a file that says 120."""
    second, notes = 60 / 93, []
    for bar in range(16):
        for beat, pitches in enumerate(((36, 72), (60, 64, 76), (60, 64, 79))):
            at = 0.41 + (3 * bar + beat) * second
            notes += [Note(time=at, duration=second * 0.9, pitch=p, velocity=90 - 20 * (beat > 0)) for p in pitches]
    piece = Score(tracks=(Track(notes=note_array(notes)),), tempos=(Tempo(time=0, bpm=120),))
    assert off_grid(piece.tracks[0].notes["time"] * 2) > 0.035
    layout = lay_out(piece)
    assert layout.heard
    assert layout.tempos[0][1] == pytest.approx(93, abs=1)
    assert set(np.diff(np.unique(layout.tracks[0].starts)).tolist()) == {QUARTER}


def test_onsets_anywhere_are_as_far_from_the_grid_as_the_docstring_says() -> None:
    assert off_grid(np.arange(0, 100, 0.001)) == pytest.approx(0.0486, abs=5e-4)
    assert off_grid(np.arange(0, 100, 0.25)) == 0


def test_bars_without_end_are_refused() -> None:
    with pytest.raises(RequestError, match="more than 100,000 bars"):
        lay_out(score([60_000], metres=((0, 1, 64),)))
