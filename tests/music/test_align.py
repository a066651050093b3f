"""Notes drawn to the grid of their score."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi_llm.music.align import LEAST_NEAR, REACH_SECONDS, Grid, keeps_to_grid, quantised
from midi_llm.music.features import note_table
from midi_llm.music.score import Note, Score, Tempo, TimeSignature, Track, note_array

BPM = 100.0
BEAT = 60 / BPM
BANDS = st.integers(0, 2**32 - 1).map(lambda seed: loose_band(np.random.default_rng(seed)))


def loose_band(rng: np.random.Generator) -> Score:
    """Up to three tracks on sixteenths or triplets, up to 20 ms early or late, in ticks of 10 ms."""
    tracks = []
    phases = ((0, 1 / 4, 1 / 2, 3 / 4), (0, 1 / 2), (0, 1 / 3, 2 / 3))[rng.integers(3)]
    for program in range(rng.integers(1, 4)):
        lines = (np.arange(rng.integers(1, 13))[:, None] + np.array(phases)).ravel() * BEAT
        times = np.sort(np.maximum(np.rint(lines * 100) + rng.integers(-2, 3, len(lines)), 0) / 100)
        lengths, pitches = rng.integers(1, 80, len(lines)) / 100, rng.integers(60, 64, len(lines))
        notes = [Note(time=t, duration=d, pitch=int(p)) for t, d, p in zip(times, lengths, pitches, strict=True)]
        tracks.append(Track(program=program, notes=note_array(notes)))
    return Score(tracks=tuple(tracks), tempos=(Tempo(time=0.0, bpm=BPM),))


def drums(phases: list[float], *, bpm: float = BPM, beats: int = 32, loose: float = 0.008) -> Score:
    rng = np.random.default_rng(3)
    times = [
        max((beat + phase) * 60 / bpm + rng.uniform(-loose, loose), 0.0) for beat in range(beats) for phase in phases
    ]
    notes = note_array([Note(time=time, duration=0.05, pitch=42) for time in sorted(times)])
    return Score(tracks=(Track(is_drum=True, notes=notes),), tempos=(Tempo(time=0.0, bpm=bpm),))


def solo(rows: list[tuple[float, float, int]], *, bpm: float = BPM) -> Score:
    notes = note_array([Note(time=time, duration=duration, pitch=pitch) for time, duration, pitch in rows])
    return Score(tracks=(Track(notes=notes),), tempos=(Tempo(time=0.0, bpm=bpm),))


def off_lines(score: Score) -> np.ndarray:
    grid, onsets = Grid.of(score), note_table(score).start
    return grid.clock.times(grid.lines(onsets)) - onsets


@given(BANDS)
def test_strength_0_is_the_score_itself(score: Score) -> None:
    assert quantised(score, strength=0) is score


@given(BANDS, st.floats(0.05, 1))
def test_no_note_vanishes_overlaps_or_is_too_short_and_order_is_kept(score: Score, strength: float) -> None:
    after = quantised(score, strength=strength)
    if after is score:
        return  # another grid: as played
    for old, new in zip(score.tracks, after.tracks, strict=True):
        assert np.abs(np.sort(new.notes["time"]) - np.sort(old.notes["time"])).max() <= REACH_SECONDS
        for pitch in np.unique(old.notes["pitch"]):
            before, now = (one.notes[one.notes["pitch"] == pitch] for one in (old, new))
            strikes = np.unique(before["time"])
            assert len(np.unique(now["time"])) == len(strikes)
            assert (now["duration"] > 0).all()
            for first, second in pairwise(now):
                assert first["time"] + first["duration"] <= second["time"] + 1e-6


@given(BANDS)
def test_on_the_grid_is_where_notes_stay(score: Score) -> None:
    once = quantised(score, strength=1)
    twice = quantised(once, strength=1)
    for first, second in zip(once.tracks, twice.tracks, strict=True):
        np.testing.assert_allclose(second.notes["time"], first.notes["time"], atol=1e-9)


@given(BANDS)
def test_the_stronger_the_nearer(score: Score) -> None:
    if not keeps_to_grid(score):
        return
    far = [np.abs(off_lines(quantised(score, strength=strength))).sum() for strength in (0, 0.3, 0.6, 1)]
    assert all(later <= earlier + 1e-6 for earlier, later in pairwise(far))


@pytest.mark.parametrize("phases", [[0, 1 / 4, 1 / 2, 3 / 4], [0, 1 / 2], [0, 1 / 3, 2 / 3], [0, 2 / 3]])
def test_sixteenths_and_triplets_fall_on_their_lines(phases: list[float]) -> None:
    times = quantised(drums(phases), strength=1).tracks[0].notes["time"]
    lines = np.array([(beat + phase) * BEAT for beat in range(32) for phase in phases])
    np.testing.assert_allclose(times, lines, atol=1e-9)


def test_half_the_strength_is_half_the_way() -> None:
    loose = drums([0, 1 / 2])
    before = off_lines(loose)
    np.testing.assert_allclose(off_lines(quantised(loose, strength=0.5)), before / 2, atol=1e-9)


@pytest.mark.parametrize("swing", [0.58, 0.61])
def test_swing_is_kept_and_made_even(swing: float) -> None:
    off_beats = quantised(drums([0, swing]), strength=1).tracks[0].notes["time"][1::2] / BEAT % 1
    assert np.ptp(off_beats) < 1e-9
    assert off_beats[0] == pytest.approx(swing, abs=0.01), "neither an eighth nor a triplet"


def test_compound_metres_have_no_triplets() -> None:
    loose = drums([0, 1 / 2], loose=0.01)
    jig = Score(
        tracks=loose.tracks, tempos=loose.tempos, time_signatures=(TimeSignature(time=0, numerator=6, denominator=8),)
    )
    times = quantised(jig, strength=1).tracks[0].notes["time"]
    np.testing.assert_allclose(times / BEAT * 4, np.rint(times / BEAT * 4), atol=1e-6)


def test_music_on_another_grid_stays_as_played() -> None:
    other = drums([0, 1 / 4, 1 / 2, 3 / 4], bpm=113)
    wrong = Score(tracks=other.tracks, tempos=(Tempo(time=0.0, bpm=BPM),))
    assert not keeps_to_grid(wrong)
    assert quantised(wrong, strength=1) is wrong
    assert (
        Grid.of(wrong).share_near(note_table(wrong).start)
        < LEAST_NEAR
        <= Grid.of(other).share_near(note_table(other).start)
    )


def test_a_grace_note_stays_before_its_note_and_a_flam_has_two_strikes() -> None:
    beats = [(beat * BEAT, 0.3, 60) for beat in range(12)]
    grace = solo([*beats[:4], (4 * BEAT - 0.045, 0.04, 62), *beats[4:]])
    assert quantised(grace, strength=1).tracks[0].notes["time"][4] == pytest.approx(4 * BEAT - 0.045)
    flam = solo([*beats[:4], (4 * BEAT - 0.01, 0.04, 60), *beats[4:]])
    assert quantised(flam, strength=1).tracks[0].notes["time"][4:6] == pytest.approx([4 * BEAT - 0.01, 4 * BEAT])


def test_a_chord_that_is_nearly_together_comes_together() -> None:
    rows = [
        (max(beat * BEAT + late, 0.0), 0.3, 60 + int(late * 400)) for beat in range(8) for late in (-0.01, 0.0, 0.01)
    ]
    after = quantised(solo(rows), strength=1).tracks[0].notes["time"]
    assert len(np.unique(np.rint(after * 1e6))) == 8


def test_a_note_that_ends_near_a_line_ends_on_it_and_another_keeps_its_length() -> None:
    rows = [(beat * BEAT + 0.01, BEAT - 0.02 if beat % 2 else 0.52, 60) for beat in range(12)]
    after = quantised(solo(rows), strength=1).tracks[0].notes
    assert after["duration"][1::2] == pytest.approx(BEAT)
    assert after["duration"][::2] == pytest.approx(0.52)


def test_the_grid_follows_a_tempo_map() -> None:
    tempos = (Tempo(time=0.0, bpm=100.0), Tempo(time=2.4, bpm=120.0))
    beats = np.r_[np.arange(4) * 0.6, 2.4 + np.arange(8) * 0.5]
    notes = note_array([Note(time=time + 0.012, duration=0.2, pitch=60) for time in beats])
    after = quantised(Score(tracks=(Track(notes=notes),), tempos=tempos), strength=1)
    np.testing.assert_allclose(after.tracks[0].notes["time"], beats, atol=1e-9)
