"""The drums of the built-in synthesizer: `stroke(pitch, rate)` returns the sound of one drum, mono.

Skins are sines that fall in pitch, metal and snares are noise in a band of frequencies, sticks and bells a few sines.
General MIDI drums 35-81 have sounds of their own; other pitches sound as the nearest of them. The numbers are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from midi_llm.synth.waveform import Samples

Floats = npt.NDArray[np.float64]

_SILENT = 6.9
_MOST_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Drum:
    """Sines of `hertz` that begin `fall` times as high; noise from `low` to `high` Hz; seconds to -60 dB of each."""

    hertz: tuple[float, ...] = ()
    fall: float = 1.0
    ring: float = 0.2
    noise: float = 0.0
    low: float = 0.0
    high: float = 16_000.0
    hiss: float = 0.2
    bursts: int = 1
    gain: float = 0.0


_KICK = _Drum(hertz=(50.0,), fall=3.2, ring=0.45, noise=0.12, high=3_500, hiss=0.03, gain=4)
_SNARE = _Drum(hertz=(185.0, 330.0), fall=1.2, ring=0.2, noise=0.6, low=900, high=8_000, hiss=0.28, gain=0)
_TOM = _Drum(hertz=(100.0, 160.0), fall=1.5, ring=0.7, noise=0.1, high=2_000, hiss=0.08, gain=2)
_HAT = _Drum(noise=1.0, low=6_500, high=13_000, hiss=0.12, gain=-9)
_CRASH = _Drum(noise=1.0, low=2_000, high=10_000, hiss=2.2, gain=-11)
_RIDE = _Drum(hertz=(3_150.0, 4_270.0, 5_510.0), ring=0.6, noise=0.4, low=4_000, high=11_000, hiss=1.2, gain=-18)
_HAND = _Drum(hertz=(300.0, 470.0), fall=1.15, ring=0.3, noise=0.15, high=4_000, hiss=0.04, gain=-1)
_STICK = _Drum(hertz=(1_700.0,), ring=0.08, noise=0.3, low=800, high=6_000, hiss=0.05, gain=-5)
_SHAKE = _Drum(noise=1.0, low=5_500, hiss=0.12, gain=-12)
_TWO_TONE = _Drum(hertz=(540.0, 800.0, 1_620.0), ring=0.35, gain=-6)


def _skin(kind: _Drum, hertz: float, ring: float | None = None) -> _Drum:
    ratio = hertz / kind.hertz[0]
    return replace(kind, hertz=tuple(h * ratio for h in kind.hertz), ring=kind.ring if ring is None else ring)


_KIT: dict[int, _Drum] = {
    35: _skin(_KICK, 44.0),
    36: _KICK,
    37: _STICK,
    38: _SNARE,
    39: _Drum(noise=1.0, low=900, high=4_500, hiss=0.2, bursts=3, gain=-3),
    40: replace(_SNARE, hertz=(220.0, 390.0), hiss=0.22),
    41: _skin(_TOM, 75.0),
    42: _HAT,
    43: _skin(_TOM, 90.0),
    44: replace(_HAT, hiss=0.09, gain=-11),
    45: _skin(_TOM, 110.0),
    46: replace(_HAT, low=4_000, high=10_000, hiss=0.7, gain=-15),
    47: _skin(_TOM, 130.0),
    48: _skin(_TOM, 155.0, 0.6),
    49: _CRASH,
    50: _skin(_TOM, 185.0, 0.5),
    51: _RIDE,
    52: replace(_CRASH, low=1_500, hiss=1.6),
    53: _Drum(hertz=(1_250.0, 2_210.0, 3_400.0, 5_100.0), ring=1.2, noise=0.15, low=5_000, hiss=0.6, gain=-14),
    54: replace(_SHAKE, low=6_500, hiss=0.25, bursts=2, gain=-9),
    55: replace(_CRASH, low=3_500, hiss=0.9),
    56: _TWO_TONE,
    57: replace(_CRASH, low=1_700, hiss=1.9),
    58: _Drum(noise=1.0, low=1_500, high=5_000, hiss=0.5, bursts=9, gain=-8),
    59: replace(_RIDE, hertz=(2_800.0, 3_900.0, 5_100.0)),
    60: _skin(_HAND, 420.0, 0.2),
    61: _skin(_HAND, 300.0, 0.22),
    62: _skin(_HAND, 330.0, 0.12),
    63: _skin(_HAND, 300.0, 0.35),
    64: _skin(_HAND, 210.0, 0.4),
    65: _skin(_TOM, 360.0, 0.4),
    66: _skin(_TOM, 260.0, 0.45),
    67: _skin(_TWO_TONE, 900.0),
    68: _skin(_TWO_TONE, 670.0),
    69: _SHAKE,
    70: replace(_SHAKE, hiss=0.07),
    71: _Drum(hertz=(2_300.0,), ring=0.2, noise=0.2, low=2_000, hiss=0.15, gain=-9),
    72: _Drum(hertz=(2_100.0,), ring=0.7, noise=0.2, low=2_000, hiss=0.6, gain=-9),
    73: _Drum(noise=1.0, low=2_500, high=7_000, hiss=0.12, bursts=4, gain=-10),
    74: _Drum(noise=1.0, low=2_500, high=7_000, hiss=0.5, bursts=12, gain=-10),
    75: _skin(_STICK, 2_500.0, 0.1),
    76: _skin(_STICK, 1_050.0, 0.1),
    77: _skin(_STICK, 780.0, 0.12),
    78: _skin(_HAND, 520.0, 0.15),
    79: _skin(_HAND, 380.0, 0.35),
    80: _Drum(hertz=(4_100.0, 6_600.0, 9_300.0), ring=0.15, gain=-14),
    81: _Drum(hertz=(4_100.0, 6_600.0, 9_300.0), ring=1.8, gain=-14),
}


def stroke(pitch: int, rate: int) -> Samples:
    """The drum of `pitch`, [n] samples with its whole fading; about unit level at its beginning."""
    drum = _KIT[min(max(pitch, min(_KIT)), max(_KIT))]
    seconds = min(max(drum.ring if drum.hertz else 0.0, drum.hiss if drum.noise else 0.0), _MOST_SECONDS)
    time = np.arange(max(round(seconds * rate), 1)) / rate
    sound = np.zeros(len(time))
    for number, hertz in enumerate(drum.hertz):
        if hertz < 0.45 * rate:
            fallen = time + (drum.fall - 1) * 0.03 * (1 - np.exp(-time / 0.03))  # the integral of a falling pitch
            sound += np.sin(2 * np.pi * hertz * fallen) * np.exp(-_SILENT / drum.ring * time) / (1 + number)
    if drum.noise:
        hiss = _noise(drum, len(time), rate, seed=pitch)
        sound += drum.noise * hiss * _bursts(drum, time)
    sound *= 10 ** (drum.gain / 20) * 1.4
    rise = min(max(rate // 2_000, 1), len(sound))
    sound[:rise] *= np.linspace(0, 1, rise)
    return sound.astype(np.float32)


def _noise(drum: _Drum, count: int, rate: int, *, seed: int) -> Floats:
    """Noise of unit level between two frequencies, with soft edges."""
    size = 1 << max(count - 1, 1).bit_length()
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(size))
    hertz = np.maximum(np.arange(len(spectrum)) * (rate / size), 1.0)
    shape = 1 / np.sqrt(1 + (drum.low / hertz) ** 6) / np.sqrt(1 + (hertz / drum.high) ** 6)
    sound = np.fft.irfft(spectrum * shape, size)[:count]
    return np.asarray(sound / (np.sqrt(np.mean(sound**2)) or 1.0))


def _bursts(drum: _Drum, time: Floats) -> Floats:
    """The fading of the noise: once, or begun anew every 12 ms or so, as hands do that clap."""
    pace = -_SILENT / drum.hiss
    if drum.bursts == 1:
        return np.exp(pace * time)
    every = max(0.4 * drum.hiss / drum.bursts, 0.011)
    since = np.where(time < every * (drum.bursts - 1), time % every, time - every * (drum.bursts - 1))
    return np.where(time < every * (drum.bursts - 1), np.exp(pace * 3 * since), np.exp(pace * since))
