"""Words for amounts: lengths, density and register, with the limits that the captions go by."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.control.wishing import melody, played, values, wish
from evaluate.tunes import Row, track
from midi_llm.data.facts import window_facts
from midi_llm.data.sources.base import Metadata
from midi_llm.data.windows import Window
from midi_llm.evaluate.control import words
from midi_llm.music.features import note_table
from midi_llm.music.score import DRUMS, Score


def lasting(seconds: float) -> Score:
    return Score(tracks=(track([(0.0, 1.0, 60, 80), (0.5, seconds - 0.5, 64, 80)]),))


def spread(count: int, seconds: float, programs: tuple[int, ...] = (0,)) -> Score:
    """So many notes in all, in turn by each program, the last of which ends at `seconds`."""
    rows: dict[int, list[Row]] = {program: [] for program in programs}
    for at in range(count):
        rows[programs[at % len(programs)]].append((at * seconds / count, seconds / count, 60, 80))
    return Score(tracks=tuple(track(one, program) for program, one in rows.items()))


def test_the_length_is_the_end_of_the_last_note() -> None:
    lengths = (30.0, 24.0, 36.0, 45.0, 23.9)
    found = values(words.evaluate([wish(lasting(length), seconds=30.0) for length in lengths]))
    assert found["seconds_error"] == pytest.approx([0.0, 0.2, 0.2, 0.5, 6.1 / 30], abs=1e-12)
    assert found["seconds_within_20"] == [1, 1, 1, 0, 0]


def test_a_length_asked_for_beside_the_prompt_overrules_it() -> None:
    takes = [wish(lasting(20.0), seconds=60.0, beside=beside) for beside in (20.0, 60.0, None)]
    found = values(words.evaluate([*takes, wish(lasting(20.0), beside=20.0)]))
    for name, expected in (("seconds_error", 2 / 3), ("seconds_within_20", 0.0)):
        assert np.isnan(found[name]).tolist() == [True, False, False, True]
        assert found[name][1:3] == pytest.approx([expected] * 2, abs=1e-12)


@pytest.mark.parametrize(
    ("count", "programs", "sparse", "dense"),
    [
        (44, (0,), 1, 0),
        (45, (0,), 0, 0),
        (99, (0,), 0, 0),
        (100, (0,), 0, 1),
        (89, (0, 1, 2, 3), 1, 0),  # 8.9 notes/s by four are 4.45 of one
        (91, (0, 1, 2, 3), 0, 0),
        (199, (0, 1, 2, 3), 0, 0),
        (201, (0, 1, 2, 3), 0, 1),
    ],
)
def test_density_is_relative_to_the_number_of_instruments(
    count: int, programs: tuple[int, ...], sparse: float, dense: float
) -> None:
    score = spread(count, 10.0, programs)
    found = values(words.evaluate([wish(score, density=word) for word in ("sparse", "dense")]))
    assert found["density"] == [sparse, dense]


@given(
    st.lists(
        st.tuples(st.integers(0, 900), st.integers(1, 300), st.sampled_from([0, 40, DRUMS]), st.integers(30, 90)),
        min_size=1,
        max_size=40,
    )
)
def test_density_and_register_are_measured_as_for_the_captions(notes: list[tuple[int, int, int, int]]) -> None:
    events = np.array(sorted(notes), np.int32)
    window = Window(
        events=events,
        velocities=np.full(len(events), 80, np.uint8),
        bpm=None,
        metre=None,
        key=None,
        semitones=0,
        is_opening=True,
        is_ending=True,
    )
    facts = window_facts(window, Metadata())
    tracks = [
        track(
            [(time / 100, length / 100, pitch, 80) for time, length, number, pitch in notes if number == instrument],
            0 if instrument == DRUMS else instrument,
            drums=instrument == DRUMS,
        )
        for instrument in (0, 40, DRUMS)
    ]
    score = Score(tracks=tuple(tracks))
    assert words.density(note_table(score)) == pytest.approx(facts.relative_density, abs=1e-9)
    judged = values(words.evaluate([wish(score, register=register) for register in ("low", "high")]))["register"]
    pitch = facts.mean_pitch
    if pitch is None or min(abs(pitch - 53), abs(pitch - 66)) > 1e-6:
        assert judged == [float(pitch is not None and pitch < 53), float(pitch is not None and pitch > 66)]


def test_register_is_the_mean_pitch_weighted_by_length() -> None:
    short_and_long = Score(tracks=(track([(0.0, 1.0, 90, 80), (1.0, 9.0, 40, 80)]),))  # 45
    scores = [short_and_long, *(melody([pitch], length=0.5) for pitch in (52, 53, 66, 67))]
    assert values(words.evaluate([wish(score, register="low") for score in scores]))["register"] == [1, 1, 0, 0, 0]
    assert values(words.evaluate([wish(score, register="high") for score in scores]))["register"] == [0, 0, 0, 0, 1]


def test_drums_have_no_register() -> None:
    found = values(words.evaluate([wish(played({DRUMS: 30}), register=word) for word in ("low", "high")]))
    assert found["register"] == [0.0, 0.0]


def test_no_wish_and_no_notes_are_not_judged() -> None:
    empty = wish(Score(), density="sparse", register="low", seconds=30.0)
    found = values(words.evaluate([wish(lasting(9.0)), empty]))
    assert all(math.isnan(value) for one in found.values() for value in one)
