"""How loud a sound is: `integrated_loudness` in LUFS by ITU-R BS.1770-4 (EBU R 128), `peak` in dBFS, `match_loudness`.

In: a `Waveform` of one or two channels, of any rate. Out: a number. Silence is -inf, and so is all that lies below
the absolute gate; sound shorter than one block of 400 ms has no loudness: nan. Differences from other meters:
1. The filters are applied in the frequency domain, 10 s at a time with 1 s before: the recursion at 48 kHz to 1e-9 LU.
2. At other rates the response is still that of the standard's 48 kHz filters, exactly; others transform the filters
   (997 Hz at full scale: -3.010 LUFS here at every rate; by the bilinear transform -3.008 at 44.1 kHz, -2.97 at 16).
3. Mono counts once, as the standard says: 3.01 LU less than the same signal in two channels. No surround layouts.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from midi_llm.errors import SynthesisError
from midi_llm.synth.waveform import Samples, Waveform

ABSOLUTE_GATE = -70.0
"""LUFS; quieter blocks do not count (BS.1770-4, annex 1, equation 5)."""

RELATIVE_GATE = -10.0
"""LU below the loudness of the blocks that passed the absolute gate (equation 6)."""

OFFSET = -0.691
"""dB; makes 997 Hz at full scale in one channel -3.01 LUFS (equation 2)."""

SHELF = ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585))
"""Coefficients b and a at 48 kHz of the first filter, which stands for the head (BS.1770-4, table 1)."""

HIGH_PASS = ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621))
"""Coefficients b and a at 48 kHz of the second filter (table 2)."""

FILTER_RATE = 48_000
"""Hz; the rate of `SHELF` and `HIGH_PASS`."""

_HOPS_PER_SECOND = 10
_HOPS_PER_BLOCK = 4
"""Blocks of 400 ms that overlap by 75 %."""

_CHUNK_HOPS = 100
_HOPS_AHEAD = 1
"""Sound after a chunk that is filtered with it: below 48 kHz the response reaches a little into the future."""

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def integrated_loudness(waveform: Waveform) -> float:
    """Loudness of the whole in LUFS; -inf for silence, nan for sound of less than 400 ms.

    Raises `SynthesisError` for more than two channels.
    """
    if waveform.channels > 2:
        raise SynthesisError(
            f"loudness of {waveform.channels} channels depends on their places; measured are one or two: mix them down"
        )
    edges = _hop_edges(waveform)
    if len(edges) <= _HOPS_PER_BLOCK:
        return math.nan
    energy = np.sum([_hop_energies(channel, edges, waveform.sample_rate) for channel in waveform.samples], axis=0)
    blocks = np.lib.stride_tricks.sliding_window_view(energy, _HOPS_PER_BLOCK)
    power = blocks.sum(axis=1) / (edges[_HOPS_PER_BLOCK:] - edges[:-_HOPS_PER_BLOCK])
    power = power[power > _power(ABSOLUTE_GATE)]
    if not len(power):
        return -math.inf
    gate = _loudness(float(power.mean())) + RELATIVE_GATE
    return _loudness(float(power[power > _power(gate)].mean()))


def peak(waveform: Waveform) -> float:
    """Largest magnitude of any sample in dBFS, 0 at full scale; -inf for silence or no samples at all.

    It is the peak of the samples, not that of the curve through them ("true peak"), which may lie 3 dB higher.
    """
    top = float(np.abs(waveform.samples).max(initial=0.0))
    return 20 * math.log10(top) if top else -math.inf


def match_loudness(waveform: Waveform, target: float, *, ceiling: float = -1.0) -> Waveform:
    """Scale `waveform` by `matching_gain`; sound without a loudness comes back as it is."""
    return scale(waveform, matching_gain(waveform, target, ceiling=ceiling))


def matching_gain(waveform: Waveform, target: float, *, ceiling: float = -1.0) -> float:
    """Factor to an integrated loudness of `target` LUFS, or less where the peak would pass `ceiling` dBFS.

    1.0 for sound without a loudness (silence, or less than 400 ms). Raises as `integrated_loudness`, and for numbers
    that are not finite.
    """
    if not (math.isfinite(target) and math.isfinite(ceiling)):
        raise SynthesisError(f"a loudness of {target} LUFS under {ceiling} dBFS; give two finite numbers (-16 and -1)")
    loudness = integrated_loudness(waveform)
    if not math.isfinite(loudness):
        return 1.0
    return float(10 ** (min(target - loudness, ceiling - peak(waveform)) / 20))


def scale(waveform: Waveform, factor: float) -> Waveform:
    """`waveform` with every sample times `factor`; itself for 1."""
    if factor == 1.0:
        return waveform
    return Waveform(samples=waveform.samples * np.float32(factor), sample_rate=waveform.sample_rate)


def _loudness(power: float) -> float:
    return OFFSET + 10 * math.log10(power)


def _power(loudness: float) -> float:
    return float(10 ** ((loudness - OFFSET) / 10))


def _hop_edges(waveform: Waveform) -> Indices:
    """Samples at which whole hops of 100 ms begin (the nearest ones), and the end of the last: [hops + 1]."""
    rate = waveform.sample_rate
    hops = waveform.samples.shape[1] * _HOPS_PER_SECOND // rate
    return (np.arange(hops + 1, dtype=np.int64) * rate + _HOPS_PER_SECOND // 2) // _HOPS_PER_SECOND


def _hop_energies(channel: Samples, edges: Indices, rate: int) -> Floats:
    """Sum of squares of the weighted signal in each hop; `channel` is [n], the result [hops].

    After 1 s the response of the high-pass, a double pole near 38 Hz, has died away by e ** -230.
    """
    hops = len(edges) - 1
    size = _fast_length(rate + (min(_CHUNK_HOPS, hops) + _HOPS_AHEAD + 1) * rate // _HOPS_PER_SECOND + 1)
    response = _weighting(rate, size)
    parts = []
    for first in range(0, hops, _CHUNK_HOPS):
        bounds = edges[first : first + _CHUNK_HOPS + 1]
        start, stop = int(bounds[0]), int(bounds[-1])
        before = min(start, rate)
        piece = channel[start - before : stop + _HOPS_AHEAD * rate // _HOPS_PER_SECOND].astype(np.float64)
        heard = np.fft.irfft(np.fft.rfft(piece, size) * response, size)[before : before + stop - start]
        parts.append(np.add.reduceat(heard * heard, bounds[:-1] - start))
    return np.concatenate(parts)


def _weighting(rate: int, size: int) -> npt.NDArray[np.complex128]:
    """Response of both filters at the frequencies of `rfft` of `size` samples: [size // 2 + 1].

    Above 24 kHz, where the standard's filters end, it stays what it is there (4 dB up).
    """
    hertz = np.minimum(np.arange(size // 2 + 1) * (rate / size), FILTER_RATE / 2)
    delay = np.exp(-2j * np.pi / FILTER_RATE * hertz)  # z ** -1
    result = np.ones(len(delay), np.complex128)
    for above, below in (SHELF, HIGH_PASS):
        result *= np.polyval(above[::-1], delay) / np.polyval(below[::-1], delay)
    return result


def _fast_length(least: int) -> int:
    """The smallest 2**a * 3**b * 5**c from `least` on: a length that Fourier transforms are fast at."""
    best = 1 << (least - 1).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            rest = -(-least // three)
            best = min(best, three << (rest - 1).bit_length())
            three *= 3
        five *= 5
    return best
