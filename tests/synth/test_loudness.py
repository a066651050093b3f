"""Loudness: closed forms, the EBU's test signals, the recursion of the standard written out, gates, and invariances."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.errors import SynthesisError
from midi_llm.synth.loudness import (
    HIGH_PASS,
    SHELF,
    integrated_loudness,
    match_loudness,
    peak,
)
from midi_llm.synth.waveform import Waveform


def tone(*parts: tuple[float, float], rate: int = 48_000, hertz: float = 1000.0, channels: int = 2) -> Waveform:
    """A sine in all channels, (dBFS, seconds) after (dBFS, seconds)."""
    level = np.concatenate([np.full(round(seconds * rate), 10 ** (dbfs / 20)) for dbfs, seconds in parts])
    wave = level * np.sin(2 * np.pi * hertz / rate * np.arange(len(level)))
    return Waveform(samples=np.tile(wave.astype(np.float32), (channels, 1)), sample_rate=rate)


def noise(seconds: float, *, seed: int = 0, channels: int = 2, rate: int = 48_000) -> Waveform:
    drawn = np.random.default_rng(seed).standard_normal((channels, round(seconds * rate))) * 0.1
    return Waveform(samples=drawn.astype(np.float32), sample_rate=rate)


def by_recursion(waveform: Waveform) -> float:
    """BS.1770-4 as it is written: two recursions a channel, blocks, two gates. For 48 kHz."""
    power = None
    for channel in waveform.samples.tolist():
        for (b0, b1, b2), (_, a1, a2) in (SHELF, HIGH_PASS):
            out, x1, x2, y1, y2 = [], 0.0, 0.0, 0.0, 0.0
            for x in channel:
                y = b0 * x + b1 * x1 + b2 * x2 - a1 * y1 - a2 * y2
                x1, x2, y1, y2 = x, x1, y, y1
                out.append(y)
            channel = out
        square = np.square(channel)
        blocks = np.array([square[at : at + 19_200].mean() for at in range(0, len(square) - 19_199, 4_800)])
        power = blocks if power is None else power + blocks
    loudness = -0.691 + 10 * np.log10(power)
    loud = power[loudness > -70]
    gate = -0.691 + 10 * np.log10(loud.mean()) - 10
    return float(-0.691 + 10 * np.log10(loud[loudness[loudness > -70] > gate].mean()))


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000])
def test_a_sine_of_997_hz_at_full_scale_is_3_01_below_zero_at_any_rate(rate: int) -> None:
    assert integrated_loudness(tone((0, 3), rate=rate, hertz=997, channels=1)) == pytest.approx(-3.01, abs=0.002)
    assert integrated_loudness(tone((0, 3), rate=rate, hertz=997)) == pytest.approx(0.0, abs=0.002)


@pytest.mark.parametrize("rate", [44_100, 48_000, 96_000])
@pytest.mark.parametrize(("hertz", "gain"), [(38, -6.03), (100, -1.19), (500, 0.01), (1682, 2.41), (10_000, 4.01)])
def test_tones_are_weighted_as_another_meter_weights_them(rate: int, hertz: float, gain: float) -> None:
    """Gains that FFmpeg 5.1 shows for these tones; its `loudnorm` works at 192 kHz and reads 0.03 dB less."""
    loudness = integrated_loudness(tone((-20, 5), rate=rate, hertz=hertz))
    assert loudness == pytest.approx(-20 - 0.691 + gain, abs=0.08)


def test_above_the_range_of_the_standard_the_weight_stays_what_it_is_at_its_end() -> None:
    end, beyond = (integrated_loudness(tone((-20, 2), rate=96_000, hertz=hertz)) for hertz in (23_000, 47_000))
    assert beyond == pytest.approx(end, abs=0.01)


@pytest.mark.parametrize(
    ("parts", "loudness"),
    [
        ([(-23, 20)], -23),
        ([(-33, 20)], -33),
        ([(-36, 10), (-23, 60), (-36, 10)], -23),
        ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23),
        ([(-26, 20), (-20, 20.1), (-26, 20)], -23),
    ],
)
def test_the_signals_of_ebu_tech_3341_read_as_they_must(parts: list[tuple[float, float]], loudness: float) -> None:
    """Cases 1 to 5 of its table 1, which allows 0.1 LU."""
    assert integrated_loudness(tone(*parts, rate=16_000)) == pytest.approx(loudness, abs=0.1)


def test_gates_leave_out_what_is_quiet() -> None:
    loud = integrated_loudness(tone((-20, 20)))
    assert integrated_loudness(tone((-20, 20), (-35, 20))) == pytest.approx(loud, abs=0.05)
    both = loud + 10 * math.log10((1 + 10**-0.9) / 2)  # 9 dB less is within the gate, and counts half
    assert integrated_loudness(tone((-20, 20), (-29, 20))) == pytest.approx(both, abs=0.05)
    assert integrated_loudness(tone((-69, 5))) == pytest.approx(-69, abs=0.1)
    assert integrated_loudness(tone((-71, 5))) == -math.inf


def test_it_equals_the_recursion_across_pieces_and_at_the_edges() -> None:
    sound = noise(10.65, channels=1)
    shaped = sound.samples * np.linspace(0, 1, sound.samples.shape[1], dtype=np.float32) ** 3
    shaped[:, :4800] = 0.7  # a step that excites the high-pass
    sound = Waveform(samples=shaped, sample_rate=48_000)
    assert integrated_loudness(sound) == pytest.approx(by_recursion(sound), abs=1e-9)


def test_channels_add_their_power() -> None:
    left, right = noise(2, seed=1, channels=1).samples, noise(2, seed=2, channels=1).samples * np.float32(0.5)
    one, two, both = (
        integrated_loudness(Waveform(samples=samples, sample_rate=48_000))
        for samples in (left, right, np.concatenate((left, right)))
    )
    assert both == pytest.approx(10 * math.log10(10 ** (one / 10) + 10 ** (two / 10)), abs=0.01)
    assert by_recursion(noise(0.5)) == pytest.approx(integrated_loudness(noise(0.5)), abs=1e-9)


@given(st.floats(-30, 30), st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_gain_in_decibels_is_gain_in_loudness_and_peak(gain: float, seed: int) -> None:
    sound = noise(0.6, seed=seed, rate=8000)
    louder = Waveform(samples=sound.samples * np.float32(10 ** (gain / 20)), sample_rate=8000)
    assert integrated_loudness(louder) - integrated_loudness(sound) == pytest.approx(gain, abs=1e-4)
    assert peak(louder) - peak(sound) == pytest.approx(gain, abs=1e-4)


def test_silence_is_minus_infinity_and_too_short_a_sound_is_nan() -> None:
    assert integrated_loudness(tone((-math.inf, 1))) == -math.inf
    assert math.isnan(integrated_loudness(tone((0, 0.399))))
    assert not math.isnan(integrated_loudness(tone((0, 0.4))))
    assert math.isnan(integrated_loudness(tone((0, 0))))
    assert peak(tone((-math.inf, 1))) == -math.inf
    assert peak(tone((0, 0))) == -math.inf


def test_peak_is_that_of_the_loudest_sample_of_any_channel() -> None:
    assert peak(Waveform(samples=np.array([[0.1, 0.2], [-0.5, 0.0]], np.float32), sample_rate=8)) == pytest.approx(
        -6.0206
    )
    assert peak(Waveform(samples=np.array([[2.0]], np.float32), sample_rate=8)) == pytest.approx(6.0206)


def test_sound_is_brought_to_a_loudness_unless_its_peak_forbids() -> None:
    sound = noise(2)
    assert integrated_loudness(match_loudness(sound, -30)) == pytest.approx(-30, abs=1e-4)
    held = match_loudness(sound, -3)
    assert peak(held) == pytest.approx(-1, abs=1e-4)
    assert integrated_loudness(held) < -3
    silence = tone((-math.inf, 1))
    assert match_loudness(silence, -16) is silence
    with pytest.raises(SynthesisError, match="give two finite numbers"):
        match_loudness(sound, math.nan)


def test_surround_is_refused() -> None:
    with pytest.raises(SynthesisError, match="3 channels"):
        integrated_loudness(noise(1, channels=3))
