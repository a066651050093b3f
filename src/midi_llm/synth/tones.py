"""One note of the built-in synthesizer: `tone(voice, pitch, loudness, seconds, rate)` returns mono samples.

In: a `Voice`, which says how an instrument sounds in a dozen numbers. Out: float32 [n] of about unit level for as long
as the key is held, without its end: `release` is for the caller to apply. Harmonics are read from a table of one
period; those that die away do so in three bands, the upper ones sooner, as on strings. Bells, whose partials are no
harmonics, are sums of sines. Nothing above the Nyquist frequency is made. The same arguments give the same samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from midi_llm.synth.waveform import Samples

TABLE = 1 << 14
"""Samples of one period: the nearest one is read, which is 60 dB from the curve."""
BANDS = ((1, 2), (3, 6), (7, 64))
"""First and last harmonic of the bands that die away at their own pace."""
BAND_PACE = (1.0, 2.2, 5.0)
LONGEST_SECONDS = 30.0
"""A note that is held longer ends here."""
SECOND = np.float32(0.6)
"""Amplitude of the second player, so that the two never cancel each other."""
VIBRATO_HERTZ = 5.3
VIBRATO_DELAY = 0.25
_SILENT = 6.9
"""Times the time constant until 60 dB down."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Voice:
    """How an instrument sounds. Times in seconds, `vibrato` and `chorus` in cents, `gain` in dB."""

    tilt: float = 1.2
    """Harmonic k has the amplitude k ** -tilt at a middle velocity; louder is brighter."""
    even: float = 1.0
    """Factor on the even harmonics: small for the hollow sound of a clarinet."""
    top: float = 9_000.0
    """Hz above which there are no harmonics."""
    decay: float = 0.0
    """Seconds to -60 dB at middle C, shorter above; 0 is a sound that holds."""
    attack: float = 0.004
    release: float = 0.12
    vibrato: float = 0.0
    chorus: float = 0.0
    """Detuning of a second player."""
    breath: float = 0.0
    """Noise that goes with the tone."""
    strike: float = 0.0
    """Noise of hammer or pick at the beginning."""
    partials: tuple[tuple[float, float], ...] = ()
    """Ratio and amplitude of sines, in place of harmonics; the higher the ratio, the sooner it dies."""
    gain: float = 0.0
    place: float = 0.0
    """Where it stands, -1 left to 1 right."""


def hertz(pitch: float) -> float:
    """Frequency of a MIDI pitch, A4 = 69 = 440 Hz."""
    return float(440.0 * 2 ** ((pitch - 69) / 12))


def decay_seconds(voice: Voice, pitch: float) -> float:
    """Seconds in which a note of `pitch` dies away: twice as long two octaves below middle C, half two above."""
    return float(voice.decay * 2 ** ((60 - pitch) / 24))


def tone(voice: Voice, pitch: float, loudness: float, seconds: float, rate: int) -> Samples:
    """A note held for `seconds` (at most `LONGEST_SECONDS`; less where it has died away), [n].

    `loudness` from 0 to 1 makes it duller or brighter, not louder.
    """
    held = min(seconds, LONGEST_SECONDS, decay_seconds(voice, pitch) or LONGEST_SECONDS)
    time = np.arange(max(round(held * rate), 1)) / rate
    if voice.partials:
        sound = _sines(voice, pitch, loudness, time, rate)
    else:
        sound = _harmonics(voice, pitch, loudness, time, rate)
        if voice.chorus:
            sound += SECOND * _harmonics(voice, pitch + voice.chorus / 100, loudness, time + 0.37, rate)
    level = float(np.sqrt(np.mean(np.square(sound[: rate // 4], dtype=np.float64)))) or 1.0
    sound *= np.float32(10 ** (voice.gain / 20) / level)
    return _touched(voice, sound, time, rate)


def _harmonics(voice: Voice, pitch: float, loudness: float, time: Floats, rate: int) -> Samples:
    """The three bands, or all harmonics as one where the sound holds."""
    frequency = hertz(pitch)
    highest = min(int(min(voice.top, 0.45 * rate) / frequency), BANDS[-1][1])
    number = np.arange(1, max(highest, 1) + 1)
    amplitude = number.astype(np.float64) ** -(voice.tilt + 0.9 * (0.6 - loudness))
    amplitude[1::2] *= voice.even
    index = (_turns(voice, frequency, time) * TABLE).astype(np.int64) & (TABLE - 1)
    if not voice.decay:
        held: Samples = _period(number, amplitude)[index]
        return held
    sound = np.zeros(len(time), np.float32)
    pace = -_SILENT / decay_seconds(voice, pitch)
    for (first, last), faster in zip(BANDS, BAND_PACE, strict=True):
        band = slice(first - 1, last)
        if len(number[band]):
            fade = np.exp((pace * faster * time).astype(np.float32))
            sound += _period(number[band], amplitude[band])[index] * fade
    return sound


def _turns(voice: Voice, frequency: float, time: Floats) -> Floats:
    """Phase in turns [n], with a vibrato that sets in after a while."""
    turns = frequency * time
    if voice.vibrato:
        depth = (2 ** (voice.vibrato / 1200) - 1) * np.clip((time - VIBRATO_DELAY) / VIBRATO_DELAY, 0, 1)
        turns += frequency * depth / (2 * np.pi * VIBRATO_HERTZ) * np.sin(2 * np.pi * VIBRATO_HERTZ * time)
    return turns


def _period(number: npt.NDArray[np.int64], amplitude: Floats) -> Samples:
    """One period [TABLE] of harmonics [k]; their phases are spread so that it has no spike."""
    spectrum = np.zeros(TABLE // 2 + 1, np.complex128)
    spectrum[number] = amplitude * np.exp(1j * np.pi * number * number / max(len(number), 1)) * TABLE / 2
    return np.fft.irfft(spectrum, TABLE).astype(np.float32)


def _sines(voice: Voice, pitch: float, loudness: float, time: Floats, rate: int) -> Samples:
    sound = np.zeros(len(time), np.float32)
    pace = -_SILENT / decay_seconds(voice, pitch)
    for ratio, amplitude in voice.partials:
        frequency = hertz(pitch) * ratio
        if frequency < 0.45 * rate:
            weight = amplitude * (0.5 + loudness) ** (ratio > 1)
            fade = np.exp((pace * ratio**0.7 * time).astype(np.float32))
            sound += np.float32(weight) * np.sin((2 * np.pi * frequency * time % (2 * np.pi)).astype(np.float32)) * fade
    return sound


def _touched(voice: Voice, sound: Samples, time: Floats, rate: int) -> Samples:
    """With its noises and its beginning."""
    noise = np.random.default_rng(1).standard_normal(len(sound)).astype(np.float32)
    if voice.breath:
        soft = np.convolve(noise, np.full(4, 0.5, np.float32), "same")
        sound = sound + np.float32(voice.breath * 10 ** (voice.gain / 20)) * soft
    if voice.strike:
        click = np.exp(-time[: rate // 10] * 160).astype(np.float32)
        sound[: len(click)] += np.float32(voice.strike * 10 ** (voice.gain / 20)) * click * noise[: len(click)]
    rise = min(max(round(voice.attack * rate), 1), len(sound))
    sound[:rise] *= np.sin(np.linspace(0, np.pi / 2, rise, dtype=np.float32))
    return sound
