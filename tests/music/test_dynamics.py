"""Velocities given to a piece: their range, what they depend on, and what they follow."""

from __future__ import annotations

import importlib.resources
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.errors import RequestError
from midi_llm.music.beats import estimate_beats
from midi_llm.music.dynamics import parse_weights, velocities, weights, with_dynamics
from midi_llm.music.expression import FEATURES
from midi_llm.music.features import note_table
from midi_llm.music.parts import GROUPS
from midi_llm.music.score import DEFAULT_VELOCITY, NOTE_DTYPE, Note, Score, Track, note_array

BEAT = 0.5
KICK, SNARE, HAT = 36, 38, 42


def drums(bars: int = 8) -> Track:
    """Kick on one and three, snare on two and four with a stroke on the sixteenth after it, hats on every eighth."""
    notes = []
    for bar in range(bars):
        at = 4 * BEAT * bar
        notes += [Note(time=at + beat * BEAT, duration=0.1, pitch=KICK) for beat in (0, 2)]
        notes += [Note(time=at + beat * BEAT, duration=0.1, pitch=SNARE) for beat in (1, 1.75, 2.25, 3)]
        notes += [Note(time=at + eighth * BEAT / 2, duration=0.1, pitch=HAT) for eighth in range(8)]
    return Track(is_drum=True, notes=note_array(sorted(notes, key=lambda note: note.time)))


def piano(bars: int = 8) -> Track:
    notes = [
        Note(time=BEAT * beat, duration=BEAT, pitch=pitch) for beat in range(4 * bars) for pitch in (48, 60, 64, 72)
    ]
    return Track(program=0, notes=note_array(notes))


def band() -> Score:
    return Score(tracks=(drums(), piano()))


def given_to(score: Score, *, amount: float = 1.0, seed: int = 1) -> Score:
    return with_dynamics(score, estimate_beats(note_table(score)), amount=amount, seed=seed)


def stroke_velocities(score: Score, pitch: int, beats: tuple[float, ...]) -> float:
    """Mean velocity of the strokes of a drum at these beats of the bar."""
    notes = score.tracks[0].notes
    at = np.round(notes["time"] / BEAT % 4, 3)
    return float(notes["velocity"][(notes["pitch"] == pitch) & np.isin(at, beats)].mean())


def test_without_dynamics_all_notes_are_alike() -> None:
    given = given_to(band(), amount=0.0)
    assert {int(v) for track in given.tracks for v in track.notes["velocity"]} == {DEFAULT_VELOCITY}


def test_only_velocities_change() -> None:
    score = band()
    given = given_to(score)
    for before, after in zip(score.tracks, given.tracks, strict=True):
        for name in ("time", "duration", "pitch"):
            assert np.array_equal(before.notes[name], after.notes[name])
        assert set(before.notes["velocity"].tolist()) == {DEFAULT_VELOCITY}, "the input is untouched"
        assert len(set(after.notes["velocity"].tolist())) > 4


def test_the_same_seed_gives_the_same_and_another_one_other_velocities() -> None:
    first, again, other = (given_to(band(), seed=seed).tracks[0].notes["velocity"] for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_more_is_more_unequal() -> None:
    spreads = [given_to(band(), amount=amount).tracks[0].notes["velocity"].std() for amount in (0.0, 0.3, 0.6, 1.0)]
    assert spreads == sorted(spreads)
    assert spreads[0] == 0
    assert spreads[-1] > 10


def test_drummers_accent_the_backbeat_and_play_the_strokes_around_it_softly() -> None:
    given = given_to(band())
    backbeat, between = (stroke_velocities(given, SNARE, beats) for beats in ((1, 3), (1.75, 2.25)))
    assert backbeat > between + 20
    assert between < 60


def test_hats_on_the_beat_are_louder_than_between() -> None:
    given = given_to(band())
    assert stroke_velocities(given, HAT, (0, 1, 2, 3)) > stroke_velocities(given, HAT, (0.5, 1.5, 2.5, 3.5)) + 3


def test_without_beats_dynamics_are_given_all_the_same() -> None:
    given = with_dynamics(band(), None, amount=1.0, seed=1)
    assert len(set(given.tracks[1].notes["velocity"].tolist())) > 4


@pytest.mark.parametrize("score", [Score(), Score(tracks=(Track(),)), Score(tracks=(Track(), Track(program=5)))])
def test_a_piece_without_notes_stays_empty(score: Score) -> None:
    assert with_dynamics(score, None, amount=1.0, seed=1).note_count == 0


@pytest.mark.parametrize("amount", [-0.1, 1.1, float("nan")])
def test_another_amount_is_a_request_error(amount: float) -> None:
    with pytest.raises(RequestError, match=r"dynamics is .*allowed is 0"):
        with_dynamics(band(), None, amount=amount, seed=1)


ROWS = st.lists(
    st.tuples(
        st.integers(0, 200).map(lambda tick: tick / 10),
        st.integers(0, 40).map(lambda tick: tick / 10),
        st.integers(0, 127),
        st.just(DEFAULT_VELOCITY),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(ROWS, min_size=1, max_size=4), seed=st.integers(0, 2**32 - 1), order=st.randoms())
def test_velocities_are_in_range_and_depend_on_no_order(rows, seed, order) -> None:
    programs = (0, 33, 48, 0)
    tracks = [
        Track(program=program, is_drum=index == 3, notes=np.array(part, NOTE_DTYPE))
        for index, (program, part) in enumerate(zip(programs, rows, strict=False))
    ]
    score = Score(tracks=tuple(tracks))
    given = given_to(score, seed=seed)
    shuffled = [
        replace(track, notes=np.array(order.sample(part, len(part)), NOTE_DTYPE))
        for track, part in zip(tracks, rows, strict=True)
    ]
    order.shuffle(shuffled)
    again = with_dynamics(Score(tracks=tuple(shuffled)), estimate_beats(note_table(score)), amount=1.0, seed=seed)
    assert listed(given) == listed(again)
    assert all(1 <= row[-1] <= 127 for row in listed(given))


def listed(score: Score) -> list[tuple[float, ...]]:
    return sorted((track.instrument, *row) for track in score.tracks for row in track.notes.tolist())


def test_the_mean_stays_where_it_was() -> None:
    notes = note_table(band())
    given = velocities(notes, estimate_beats(notes), weights(), amount=0.5, seed=3)
    assert given.mean() == pytest.approx(DEFAULT_VELOCITY, abs=1.5)


def test_the_weights_name_what_they_were_fitted_to_and_are_small() -> None:
    text = importlib.resources.files("midi_llm.music").joinpath("dynamics.json").read_text(encoding="utf-8")
    assert len(text) < 30_000
    for entry in json.loads(text)["fitted to"]:
        assert entry["pieces"] > 0
        assert entry["licence"]
    fitted = parse_weights(text)
    assert fitted.shape.shape == (len(GROUPS), len(FEATURES))
    assert (np.diff(fitted.flat) > 0).all(), "quantiles ascend"
    assert (np.diff(fitted.played) >= 0).all()
    assert (np.ptp(fitted.played, axis=1) > np.ptp(fitted.flat, axis=1)).all(), "a fit is flatter than playing"
    assert np.isfinite(fitted.shape).all()
