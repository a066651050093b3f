import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.corpora import make_score
from midi_llm.data.windows import (
    EIGHTHS_PER_MINUTE_TICKS,
    MAX_STRETCH,
    cut_window,
    main_tempo,
    piece_events,
    snap_tempo,
    transpose_key,
)
from midi_llm.music.score import Score, Tempo
from midi_llm.tokens.codec import decode, encode


@settings(max_examples=50, deadline=None)
@given(bpm=st.floats(30, 260), seed=st.integers(0, 2**32))
def test_a_snapped_tempo_has_an_eighth_of_whole_ticks_and_is_near(bpm, seed):
    snapped = snap_tempo(bpm, np.random.default_rng(seed))
    eighth = EIGHTHS_PER_MINUTE_TICKS / snapped
    assert eighth == pytest.approx(round(eighth))
    assert abs(snapped / bpm - 1) <= MAX_STRETCH / (1 - MAX_STRETCH) + 1e-9


@settings(max_examples=25, deadline=None)
@given(bpm=st.floats(60, 200), seed=st.integers(0, 2**32))
def test_every_onset_of_a_metrical_window_lies_on_the_eighth_grid_of_its_tempo(bpm, seed):
    window = cut_window(
        make_score(1, bpm=bpm), key=None, tempo_is_known=True, max_notes=100, rng=np.random.default_rng(seed)
    )
    assert window is not None
    assert window.bpm is not None
    eighth = round(EIGHTHS_PER_MINUTE_TICKS / window.bpm)
    assert not (window.events[:, 0] % eighth).any()
    np.testing.assert_array_equal(decode(encode(window.events)), window.events)


def test_windows_start_at_a_bar_line_and_some_hold_the_end():
    score, rng = make_score(3), np.random.default_rng(0)
    windows = [cut_window(score, key=None, tempo_is_known=True, max_notes=60, rng=rng) for _ in range(60)]
    assert all(w is not None and w.events[0, 0] == 0 for w in windows)
    endings = sum(w.is_ending for w in windows if w)
    assert 5 <= endings <= 40


def test_a_long_piece_marked_as_ending_contains_its_last_note():
    score, rng = make_score(3), np.random.default_rng(1)
    for _ in range(40):
        window = cut_window(score, key=None, tempo_is_known=True, max_notes=60, rng=rng)
        assert window is not None
        last_bar_has_all_notes = len(window.events) <= 60
        assert last_bar_has_all_notes
        if window.is_ending:
            tail = piece_events(score, factor=123.0 / (window.bpm or 1), semitones=0)[-1]
            assert window.events[-1, 1] == tail[1]
            assert window.events[-1, 2] == tail[2]


def test_drums_are_not_transposed_and_the_key_follows():
    events = piece_events(make_score(5), factor=1.0, semitones=3)
    plain = piece_events(make_score(5), factor=1.0, semitones=0)
    drums = events[:, 2] == 128
    np.testing.assert_array_equal(events[drums], plain[plain[:, 2] == 128])
    assert events[~drums, 3].sum() == plain[plain[:, 2] != 128, 3].sum() + 3 * (~drums).sum()
    assert transpose_key("Bb minor", 3) == "Db minor"
    assert transpose_key("F# major", -1) == "F major"
    assert transpose_key("unknown", 2) is None


def test_the_main_tempo_is_the_one_that_lasts():
    score = make_score(1)
    changing = Score(tracks=score.tracks, tempos=(Tempo(time=0.0, bpm=60.0), Tempo(time=1.0, bpm=140.0)))
    assert main_tempo(changing) == (140.0, True)
    assert (
        main_tempo(Score(tracks=score.tracks, tempos=(Tempo(time=0.0, bpm=60.0), Tempo(time=9.0, bpm=99.0))))[1]
        is False
    )


def test_an_empty_score_gives_no_window():
    assert cut_window(Score(), key=None, tempo_is_known=True, max_notes=9, rng=np.random.default_rng(0)) is None
