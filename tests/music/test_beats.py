"""Beats heard in tunes whose beats are known by construction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi_llm.music.beats import BeatGrid, estimate_beats, position, seconds_at, tempos
from midi_llm.music.features import NoteTable
from midi_llm.music.metre import bar_features, bar_hypotheses, beat_quarters, beats_in_bar, is_compound
from midi_llm.music.pulse import accents
from midi_llm.music.score import DRUMS

KICK, SNARE, HAT = 36, 38, 42
CHORDS = ((48, 64, 67), (45, 60, 64), (41, 60, 65), (43, 62, 67))


def table(rows: list[tuple[float, float, int, int]]) -> NoteTable:
    """Notes of (beat or second, length, instrument, pitch)."""
    start, duration, instrument, pitch = (np.array(column) for column in zip(*sorted(rows), strict=True))
    return NoteTable(
        start=start.astype(float),
        duration=duration.astype(float),
        instrument=instrument,
        pitch=pitch,
        velocity=np.full(len(start), 72),
    )


def band(per_bar: int, *, bars: int = 12) -> NoteTable:
    """Bass and chord on each downbeat, off-beat hats, kick and snare; starts are beats."""
    rows: list[tuple[float, float, int, int]] = []
    for bar in range(bars):
        first = bar * per_bar
        bass, *chord = CHORDS[bar % 4]
        rows += [(first, per_bar, 33, bass - 12), *((first, per_bar, 0, pitch) for pitch in chord)]
        rows += [(first, 0.1, DRUMS, KICK)] + ([(first + 2, 0.1, DRUMS, KICK)] if per_bar == 4 else [])
        rows += [(first + beat, 0.1, DRUMS, SNARE) for beat in ((1, 3) if per_bar == 4 else range(1, per_bar))]
        rows += [(first + half / 2, 0.1, DRUMS, HAT) for half in range(2 * per_bar)]
    return table(rows)


def played(notes: NoteTable, bpm: float, *, start: float = 0.0) -> NoteTable:
    """`notes` in beats, played at `bpm` from `start` seconds on, times rounded to 10 ms."""
    return NoteTable(
        start=np.rint((notes.start * 60 / bpm + start) * 100) / 100,
        duration=notes.duration * 60 / bpm,
        instrument=notes.instrument,
        pitch=notes.pitch,
        velocity=notes.velocity,
    )


def heard(notes: NoteTable, *, bpm: float | None = None, metre: tuple[int, int] | None = None) -> BeatGrid:
    grid = estimate_beats(notes, bpm=bpm, metre=metre)
    assert grid is not None
    return grid


@pytest.mark.parametrize("bpm", [84, 97, 120, 143])
@pytest.mark.parametrize("start", [0.0, 0.37])
def test_a_band_in_four_is_heard_to_the_bar_line(bpm: int, start: float) -> None:
    grid = heard(played(band(4), bpm, start=start))
    assert grid.bpm == pytest.approx(bpm, abs=0.1)
    assert grid.steady
    assert grid.metre == (4, 4)
    bar_lines = start + np.arange(12) * 4 * 60 / bpm
    np.testing.assert_allclose(grid.beats[grid.downbeats][:12], bar_lines, atol=0.02)


def test_three_beats_a_bar_are_told_from_four() -> None:
    grid = heard(played(band(3, bars=16), 110))
    assert grid.metre == (3, 4)
    assert grid.beats[grid.downbeats[0]] == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("bpm", [45.0, 90.0, 180.0])
def test_a_tempo_known_beforehand_settles_the_octave(bpm: float) -> None:
    notes = played(table([(beat / 2, 0.4, 0, 60 + beat % 5) for beat in range(64)]), 90)
    assert heard(notes, bpm=bpm).bpm == pytest.approx(bpm, rel=0.01)


def test_a_metre_known_beforehand_is_taken_and_sets_the_unit_of_the_tempo() -> None:
    jig = played(table([(eighth / 3, 0.3, 73, 72 + eighth % 3) for eighth in range(96)]), 80)
    grid = heard(jig, bpm=120, metre=(6, 8))
    assert grid.metre == (6, 8)
    assert np.median(np.diff(grid.downbeats)) == 2
    assert 60 / np.median(np.diff(grid.beats)) == pytest.approx(80, rel=0.01)
    assert grid.bpm == pytest.approx(120, rel=0.01)
    assert grid.quarters_per_beat == 1.5


def test_a_tempo_that_slows_a_little_is_followed() -> None:
    notes = band(4, bars=16)
    knots = np.arange(0, 65.0)
    at = np.r_[0, np.cumsum(60 / np.linspace(120, 112, 64))]
    seconds = np.interp(notes.start, knots, at)
    slowing = NoteTable(
        start=np.rint(seconds * 100) / 100,
        duration=notes.duration * 0.5,
        instrument=notes.instrument,
        pitch=notes.pitch,
        velocity=notes.velocity,
    )
    grid = heard(slowing)
    assert not grid.steady
    near = np.abs(grid.beats[:, None] - at[None, :]).min(axis=0)
    assert (near[4:-4] < 0.05).all()
    written = tempos(grid)
    assert written[2].bpm > written[-3].bpm + 4


def test_one_tempo_is_written_for_a_steady_piece() -> None:
    grid = heard(played(band(4), 100))
    (tempo,) = tempos(grid)
    assert tempo.bpm == grid.bpm
    assert tempo.time == grid.beats[0]


def test_beats_reach_from_the_first_onset_past_the_last() -> None:
    notes = played(band(4), 96, start=3.2)
    grid = heard(notes)
    assert grid.beats[0] <= notes.start[0] + 0.02
    assert grid.beats[-1] > notes.start[-1]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_too_few_onsets_give_no_beats(count: int) -> None:
    notes = table([(second, 0.5, 0, 60) for second in range(9)]).where(slice(0, count))
    assert estimate_beats(notes) is None


def test_a_burst_of_notes_gives_no_beats() -> None:
    assert estimate_beats(table([(0.03 * index, 0.1, 0, 60) for index in range(30)])) is None


@given(st.lists(st.floats(0, 60), min_size=12, max_size=60), st.sampled_from([None, 60.0, 133.0]))
def test_any_onsets_give_an_ascending_grid_that_holds_them(onsets: list[float], bpm: float | None) -> None:
    notes = table([(round(onset, 2), 0.2, 0, 60) for onset in onsets])
    grid = estimate_beats(notes, bpm=bpm)
    if grid is None:
        return
    assert (np.diff(grid.beats) > 0).all()
    assert grid.beats[0] <= notes.start[0] + 0.03
    assert grid.beats[-1] >= notes.start[-1]
    assert 0 <= grid.confidence <= 1 + 1e-9
    assert ((grid.downbeats >= 0) & (grid.downbeats < len(grid.beats))).all()


@given(st.lists(st.floats(-20, 120), min_size=1, max_size=20))
def test_position_and_seconds_are_inverse(seconds: list[float]) -> None:
    grid = heard(played(band(4), 112, start=0.4))
    times = np.array(seconds)
    np.testing.assert_allclose(seconds_at(grid, position(grid, times)), times, atol=1e-6)
    np.testing.assert_allclose(position(grid, grid.beats), np.arange(len(grid.beats)), atol=1e-9)


def test_the_same_notes_later_have_the_same_beats_later() -> None:
    early, late = heard(played(band(4), 105)), heard(played(band(4), 105, start=40.0))
    assert late.bpm == pytest.approx(early.bpm, abs=1e-6)
    np.testing.assert_allclose(late.beats[:20] - 40, early.beats[:20], atol=0.015)


def test_units_of_metres() -> None:
    assert [beats_in_bar(metre) for metre in ((4, 4), (3, 4), (6, 8), (12, 8), (3, 8), (2, 2))] == [4, 3, 2, 4, 3, 2]
    assert [beat_quarters(metre) for metre in ((4, 4), (6, 8), (3, 8), (2, 2), (6, 16))] == [1, 1.5, 0.5, 2, 0.75]
    assert is_compound((9, 8))
    assert not is_compound((6, 4))


def test_bar_features_have_a_row_a_hypothesis_and_a_block_a_length() -> None:
    notes = played(band(4), 120)
    length, first = bar_hypotheses()
    features = bar_features(notes, accents(notes), np.arange(48) * 0.5, length, first)
    assert features.shape[0] == len(length) == 2 + 3 + 4
    blocks = features.reshape(len(length), 3, -1)
    for row, count in zip(blocks, length, strict=True):
        assert [bool(block.any()) for block in row] == [count == each for each in (2, 3, 4)]
