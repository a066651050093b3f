"""Waveforms: what they refuse, and their simple arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from midi_llm.synth.waveform import Waveform

STEREO = np.array([[1.0, 0.5, 0.0, -0.5], [0.0, 0.5, 1.0, -0.5]], np.float32)


def test_length_channels_and_mix() -> None:
    sound = Waveform(samples=STEREO, sample_rate=8)
    assert (sound.channels, sound.seconds) == (2, 0.5)
    assert sound.mono().dtype == np.float32
    assert sound.mono().tolist() == [0.5, 0.5, 0.5, -0.5]


@pytest.mark.parametrize(
    ("start", "stop", "kept"),
    [(0.0, 0.5, [0, 1, 2, 3]), (0.125, 0.375, [1, 2]), (-1.0, 0.13, [0]), (0.25, 9.0, [2, 3]), (0.3, 0.2, [])],
)
def test_a_cut_keeps_the_samples_between_two_seconds(start: float, stop: float, kept: list[int]) -> None:
    sound = Waveform(samples=STEREO, sample_rate=8).cut(start, stop)
    assert sound.samples.tolist() == STEREO[:, kept].tolist()
    assert sound.sample_rate == 8


@pytest.mark.parametrize(
    ("samples", "rate"),
    [
        (np.zeros(4, np.float32), 8),
        (np.zeros((0, 4), np.float32), 8),
        (np.zeros((1, 4), np.float64), 8),
        (np.zeros((1, 4), np.int16), 8),
        (np.full((1, 4), np.nan, np.float32), 8),
        (np.full((1, 4), np.inf, np.float32), 8),
        (np.zeros((1, 4), np.float32), 0),
        (np.zeros((1, 4), np.float32), 44100.0),
    ],
)
def test_what_is_no_waveform_is_refused(samples: np.ndarray, rate: int) -> None:
    with pytest.raises(ValueError, match="sample"):
        Waveform(samples=samples, sample_rate=rate)


def test_a_waveform_may_be_empty() -> None:
    sound = Waveform(samples=np.zeros((2, 0), np.float32), sample_rate=44100)
    assert sound.seconds == 0
    assert sound.mono().shape == (0,)
