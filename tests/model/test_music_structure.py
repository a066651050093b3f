from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi_llm.model.music_structure import (
    FEATURES,
    PARTS,
    duration_features,
    fourier_features,
    structure_features,
    time_features,
)
from midi_llm.music.score import DRUMS
from midi_llm.tokens.vocab import (
    CONTROL_OFFSET,
    DUR_OFFSET,
    MAX_TIME_TICKS,
    MUSIC_VOCAB_SIZE,
    NOTE_OFFSET,
    REST,
    SEPARATOR,
)


def features_of(*ids: int) -> np.ndarray:
    return structure_features(np.array(ids))


def parts_of(features: np.ndarray) -> set[str]:
    """The parts that a row of features has something of."""
    columns = np.split(features, np.cumsum(list(PARTS.values()))[:-1])
    return {name for name, own in zip(PARTS, columns, strict=True) if own.any()}


def test_fourier_features_are_sines_and_cosines_of_length_one_that_tell_neighbours_apart() -> None:
    features = time_features(np.arange(MAX_TIME_TICKS))
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1.0, rtol=1e-5)
    similar = features @ features[5000]
    assert similar.argmax() == 5000
    assert similar[5001] < 0.999
    longest = 2 * math.pi * 777 / 20_000
    expected = np.array([math.sin(longest), math.cos(longest)]) / math.sqrt(96)
    np.testing.assert_allclose(features[777, [95, 191]], expected, atol=1e-6)
    np.testing.assert_allclose(fourier_features(np.array([0.25]), 1, 4)[0, [0, 96]] * math.sqrt(96), [1, 0], atol=1e-6)


def test_durations_are_told_by_length_and_by_ratio() -> None:
    near, far = duration_features(np.array([10, 11])), duration_features(np.array([800, 801]))
    logs = slice(2 * 96, None)
    assert near[0, logs] @ near[1, logs] < far[0, logs] @ far[1, logs]
    np.testing.assert_allclose(
        near[0, : logs.start] @ near[1, : logs.start], far[0, : logs.start] @ far[1, : logs.start]
    )


@pytest.mark.parametrize(
    ("music_id", "parts"),
    [
        (0, {"time_matrix", "block"}),
        (DUR_OFFSET, {"duration_matrix", "block"}),
        (REST - 1, {"instrument", "drum_pitch", "block"}),
        (NOTE_OFFSET + 128 * DRUMS - 1, {"instrument", "pitch", "pitch_class", "block"}),
        (REST, {"rest"}),
        (SEPARATOR - 1, {"instrument", "drum_pitch", "block", "control"}),
        (SEPARATOR, {"special"}),
        (MUSIC_VOCAB_SIZE - 1, {"special"}),
    ],
    ids=["first time", "first duration", "last drum", "last melodic note", "REST", "last control", "SEPARATOR", "last"],
)
def test_the_parts_of_an_id(music_id: int, parts: set[str]) -> None:
    assert parts_of(features_of(music_id)[0]) == parts


@given(event=st.integers(0, REST - 1))
def test_a_control_is_its_event_and_its_block_s_control(event: int) -> None:
    event_row, control_row = features_of(event, event + CONTROL_OFFSET)
    added = control_row - event_row
    block = 0 if event < DUR_OFFSET else 1 if event < NOTE_OFFSET else 2
    first = FEATURES - PARTS["special"] - PARTS["control"]
    assert added.nonzero()[0].tolist() == [first + block]


def test_octaves_and_instruments_are_alike_and_rows_that_share_no_part_are_not() -> None:
    piano, octave, tritone, violin, drum = (
        features_of(NOTE_OFFSET + 128 * instrument + pitch)[0]
        for instrument, pitch in ((0, 60), (0, 72), (0, 66), (40, 60), (DRUMS, 60))
    )
    assert [float(piano @ other) for other in (piano, octave, tritone, violin, drum)] == [4, 3, 2, 3, 1]
    first, second = features_of(SEPARATOR, SEPARATOR + 1)
    assert first @ second == 0


def test_ids_may_come_in_any_order() -> None:
    ids = np.random.default_rng(0).integers(0, MUSIC_VOCAB_SIZE, 50)
    each = np.concatenate([features_of(music_id) for music_id in ids.tolist()])
    np.testing.assert_array_equal(structure_features(ids), each)
