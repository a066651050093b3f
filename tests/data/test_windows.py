from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.corpora import make_score
from midi_llm.data.augment import AugmentSettings
from midi_llm.data.sources.base import Metadata
from midi_llm.data.windows import (
    EIGHTHS_PER_MINUTE_TICKS,
    MAX_GAP_TICKS,
    MIN_NOTES,
    Window,
    bar_grid,
    cut_window,
    main_metre,
    main_tempo,
    snap_tempo,
    straighten,
    transpose_key,
)
from midi_llm.music.features import note_table
from midi_llm.music.score import DRUMS, NOTE_DTYPE, Score, Tempo, TimeSignature, Track
from midi_llm.tokens.codec import decode, encode, quantize

AS_WRITTEN = AugmentSettings().as_written()
PLAIN = replace(AS_WRITTEN, snap=0.06)
"""Snapped, but neither stretched, transposed nor played by others."""


def cut(score: Score, seed: int | np.random.Generator, *, max_notes: int = 60, augment=PLAIN, **facts) -> Window | None:
    rng = np.random.default_rng(seed)
    return cut_window(score, metadata=Metadata(**facts), max_notes=max_notes, settings=augment, rng=rng)


def steps(times, *, program: int = 0, duration: float = 0.1) -> Track:
    notes = np.zeros(len(times), NOTE_DTYPE)
    notes["time"], notes["duration"], notes["velocity"] = times, duration, 70
    notes["pitch"] = 60 + np.arange(len(times)) % 12
    return Track(program=program, notes=notes)


@settings(max_examples=50, deadline=None)
@given(bpm=st.floats(30, 260), seed=st.integers(0, 2**32))
def test_a_snapped_tempo_has_an_eighth_of_whole_ticks_and_is_near(bpm, seed):
    snapped = snap_tempo(bpm, np.random.default_rng(seed), snap=0.06)
    eighth = EIGHTHS_PER_MINUTE_TICKS / snapped
    assert eighth == pytest.approx(round(eighth))
    assert abs(snapped / bpm - 1) <= 0.06 / 0.94 + 1e-9
    assert snap_tempo(bpm, np.random.default_rng(seed), snap=0.0) == pytest.approx(bpm)
    assert snap_tempo(1e6, np.random.default_rng(seed), snap=0.06) == 1e6


@settings(max_examples=25, deadline=None)
@given(bpm=st.floats(60, 200), seed=st.integers(0, 2**32))
def test_every_onset_of_a_metrical_window_lies_on_the_eighth_grid_of_its_tempo(bpm, seed):
    window = cut(make_score(1, bpm=bpm), seed, augment=AugmentSettings())
    assert window is not None
    assert window.bpm is not None
    eighth = round(EIGHTHS_PER_MINUTE_TICKS / window.bpm)
    assert not (window.events[:, 0] % eighth).any()
    np.testing.assert_array_equal(decode(encode(window.events)), window.events)


def test_windows_start_at_a_bar_line_and_a_share_holds_the_beginning_or_the_end():
    score, rng = make_score(3, bars=60), np.random.default_rng(0)
    windows = [window for _ in range(80) if (window := cut(score, rng))]
    assert len(windows) == 80
    assert all(w.events[0, 0] == 0 and len(w.events) <= 60 for w in windows)
    assert 12 <= sum(w.is_ending for w in windows) <= 35
    assert 12 <= sum(w.is_opening for w in windows) <= 35
    assert len({bytes(w.events[:5]) for w in windows}) > 15


def test_windows_as_written_hold_the_events_and_velocities_of_the_codec():
    score = make_score(4)
    score.tracks[0].notes["velocity"] = 1 + np.arange(len(score.tracks[0].notes)) % 127
    whole = quantize(score)
    velocities = np.concatenate([t.notes["velocity"] for t in score.tracks])
    velocities = velocities[np.argsort(np.concatenate([t.notes["time"] for t in score.tracks]), kind="stable")]
    window = cut(score, 0, max_notes=1000, augment=AS_WRITTEN)
    assert window is not None
    assert window.is_opening
    assert window.is_ending
    assert window.velocities.dtype == np.uint8
    found = np.column_stack([window.events, window.velocities])
    expected = np.column_stack([whole, velocities])
    np.testing.assert_array_equal(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)])


def test_beginning_and_ending_are_said_of_the_windows_that_hold_the_first_and_the_last_note():
    score, rng = make_score(3), np.random.default_rng(1)
    score.tracks[0].notes["velocity"][[0, -1]] = 1, 2
    windows = [window for _ in range(40) if (window := cut(score, rng, augment=AugmentSettings()))]
    for window in windows:
        assert window.is_opening == (1 in window.velocities)
        assert window.is_ending == (2 in window.velocities)
    assert {(w.is_opening, w.is_ending) for w in windows} == {(True, False), (False, True), (False, False)}


def test_a_short_piece_is_one_window():
    window = cut(make_score(1, bars=3), 2)
    assert window is not None
    assert window.is_opening
    assert window.is_ending
    assert cut(make_score(1, bars=1), 2) is None


def test_bar_lines_follow_changes_of_tempo_and_metre():
    score = Score(
        tracks=(steps(np.arange(40) * 0.5),),
        tempos=(Tempo(time=0.0, bpm=120.0), Tempo(time=8.0, bpm=60.0)),
        time_signatures=(
            TimeSignature(time=0.0, numerator=4, denominator=4),
            TimeSignature(time=3.0, numerator=3, denominator=4),
        ),
    )
    grid = bar_grid(score)
    lines = [
        0.0,
        2.0,
        3.0,
        4.5,
        6.0,
        7.5,
        10.0,
        13.0,
        16.0,
    ]  # a bar of 2 before the change; quarters of 1 s from 8 s on
    for line, following in pairwise(lines):
        assert grid.line(line) == pytest.approx(line)
        assert grid.line(line, after=True) == pytest.approx(line)
        assert grid.line((line + following) / 2) == pytest.approx(line)
        assert grid.line((line + following) / 2, after=True) == pytest.approx(following)


def test_tempo_and_metre_are_stated_where_they_hold_in_the_window_though_not_in_the_piece():
    first, second = np.arange(200) * 0.25, 50 + np.arange(200) * 0.5
    score = Score(
        tracks=(steps(np.concatenate([first, second])),),
        tempos=(Tempo(time=0.0, bpm=120.0), Tempo(time=50.0, bpm=60.0)),
        time_signatures=(
            TimeSignature(time=0.0, numerator=4, denominator=4),
            TimeSignature(time=50.0, numerator=3, denominator=4),
        ),
    )
    rng = np.random.default_rng(0)
    windows = [w for _ in range(60) if (w := cut(score, rng, max_notes=40))]
    stated = {(round(w.bpm / 10) * 10 if w.bpm else None, w.metre) for w in windows}
    assert {(120, (4, 4)), (60, (3, 4))} <= stated
    assert all((bpm is None) == (metre is None) or metre is None for bpm, metre in stated)


def test_the_main_tempo_is_the_one_that_lasts_and_small_changes_are_steady():
    score = replace(make_score(1), tempos=(Tempo(time=0.0, bpm=60.0), Tempo(time=1.0, bpm=140.0)))
    assert main_tempo(score, 0.0, 40.0) == (140.0, True)
    assert main_tempo(score, 0.0, 4.0) == (140.0, False)
    assert main_tempo(score, 0.0, 1.0) == (60.0, True)
    nearly = replace(score, tempos=(Tempo(time=0.0, bpm=139.0), Tempo(time=1.0, bpm=140.0)))
    assert main_tempo(nearly, 0.0, 4.0) == (140.0, True)


def test_what_the_file_does_not_state_is_not_known():
    score = make_score(2)
    silent = cut(replace(score, tempos=(), time_signatures=()), 0, key="C major")
    assert silent is not None
    assert (silent.bpm, silent.metre, silent.key) == (None, None, "C major")
    default = cut(score, 0, tempo_is_known=False)
    assert default is not None
    assert (default.bpm, default.metre, default.key) == (None, (4, 4), None)
    assert main_metre(replace(score, time_signatures=score.time_signatures * 2), 0, 9) == (4, 4)
    drums = cut(replace(score, tracks=score.tracks[1:]), 0, key="C major")
    assert drums is not None
    assert drums.key is None


def test_key_and_notes_are_transposed_together():
    always = replace(PLAIN, transpose_rate=1.0, semitones=5)
    seen = set()
    for seed in range(30):
        window = cut(make_score(5), seed, max_notes=1000, augment=always, key="Bb minor")
        assert window is not None
        plain = cut(make_score(5), seed, max_notes=1000, key="Bb minor")
        assert plain is not None
        melodic = window.events[:, 2] != DRUMS
        difference = np.sort(window.events[melodic, 3]) - np.sort(plain.events[plain.events[:, 2] != DRUMS, 3])
        assert set(difference) == {window.semitones}
        assert set(window.events[~melodic, 3]) == {36}
        assert window.key == transpose_key("Bb minor", window.semitones)
        seen.add(window.semitones)
    assert seen == set(range(-5, 6))
    assert transpose_key("F# major", -1) == "F major"
    assert transpose_key("unknown", 2) is None


def test_a_window_ends_before_a_silence_or_a_cluster_that_a_row_cannot_say():
    times = np.concatenate([np.arange(40) * 0.25, 30 + np.arange(40) * 0.25])
    gap = cut(
        Score(tracks=(steps(times),)), 1, max_notes=80, augment=replace(AS_WRITTEN, opening_rate=1.0, ending_rate=0.0)
    )
    assert gap is not None
    assert len(gap.events) == 40
    assert not gap.is_ending
    assert np.diff(gap.events[:, 0]).max() <= MAX_GAP_TICKS
    organ = Score(tracks=tuple(steps(np.arange(40) * 0.5, program=p, duration=9.0) for p in range(16, 20)))
    assert cut(organ, 0, max_notes=400) is None or len(cut(organ, 0, max_notes=400).events) <= 80


def test_nothing_sounds_beyond_a_windows_100_seconds():
    score = Score(tracks=(steps(np.arange(120) * 0.99, duration=8.0),))
    window = cut(score, 0, max_notes=300, augment=replace(AS_WRITTEN, opening_rate=1.0, ending_rate=0.0))
    assert window is not None
    assert len(window.events) == 102
    assert (window.events[:, 0] + window.events[:, 1]).max() == 10_000


def test_scores_without_enough_to_learn_from_give_no_window():
    assert cut(Score(), 0) is None
    assert cut(Score(tracks=(steps(np.arange(MIN_NOTES - 1.0)),)), 0) is None
    assert cut(Score(tracks=(steps(np.arange(400) * 0.01),)), 0) is None
    assert cut(Score(tracks=tuple(steps(np.arange(9.0), program=p) for p in range(16))), 0, max_notes=300) is None


def test_a_loosely_played_piece_is_straightened_and_a_performance_is_not():
    score, rng = make_score(3, bpm=120.0), np.random.default_rng(0)

    def loosened(spread: float) -> Score:
        tracks = []
        for track in score.tracks:
            notes = track.notes.copy()
            notes["time"] = np.maximum(notes["time"] + rng.uniform(-spread, spread, len(notes)), 0)
            tracks.append(replace(track, notes=notes))
        return replace(score, tracks=tuple(tracks))

    grid = bar_grid(score)
    straight = straighten(note_table(loosened(0.02)), grid, tolerance=0.025)
    np.testing.assert_allclose(straight.start, note_table(score).start, atol=1e-9)
    assert (np.diff(straight.start) >= 0).all()
    performed = note_table(loosened(0.12))
    assert straighten(performed, grid, tolerance=0.025) is performed
