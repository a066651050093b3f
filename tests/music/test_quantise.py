"""Onsets on the grid of a beat."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from midi_llm.music.quantise import grid_lines

POSITIONS = st.lists(st.floats(-4, 400, allow_nan=False), max_size=60).map(np.array)


def test_sixteenths_played_loosely_fall_on_sixteenths() -> None:
    lines = np.arange(32) / 4
    loose = lines + np.random.default_rng(1).uniform(-0.04, 0.04, 32)
    np.testing.assert_array_equal(grid_lines(loose), lines)


def test_a_beat_in_three_beside_one_in_two() -> None:
    lines = np.array([0, 1 / 3, 2 / 3, 1, 1.5, 2])
    np.testing.assert_allclose(grid_lines(lines + np.array([0.01, 0.02, -0.02, 0.01, 0.02, -0.02])), lines, atol=1e-12)


def test_an_early_downbeat_belongs_to_its_beat() -> None:
    np.testing.assert_allclose(grid_lines(np.array([0.95, 1.31, 1.68])), [1, 4 / 3, 5 / 3], atol=1e-12)


@given(POSITIONS)
def test_lines_are_near_and_stay_where_they_are(positions: np.ndarray) -> None:
    lines = grid_lines(positions)
    assert lines.shape == positions.shape
    if len(positions):
        assert np.abs(lines - positions).max() <= 1 / 6 + 1e-9
        assert ((np.abs(lines * 4 - np.rint(lines * 4)) < 1e-6) | (np.abs(lines * 3 - np.rint(lines * 3)) < 1e-6)).all()
