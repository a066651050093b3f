"""Simple ways to find beats, in seconds, to compare `music.beats` with. Used by benchmarks/beats.py."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from midi_llm.music.features import NoteTable

Floats = npt.NDArray[np.float64]

FRAMES = 100
"""Frames a second of the onset curve."""


def always_120(notes: NoteTable) -> Floats:
    """What a file without a tempo says."""
    return np.arange(0.0, notes.start[-1] + 0.5, 0.5)


def intervals(notes: NoteTable) -> Floats:
    """The commonest interval between onsets at 60 to 200 bpm after folding into it, from the first onset on.

    The idea of pretty_midi's `estimate_tempo` (a histogram of folded intervals), with the beats a constant grid.
    """
    times = np.unique(np.rint(notes.start * 50) / 50)
    gaps = np.concatenate([times[step:] - times[:-step] for step in range(1, 5)])
    gaps = gaps[(gaps > 0.05) & (gaps < 4)]
    while (gaps >= 1.0).any():
        gaps = np.where(gaps >= 1.0, gaps / 2, gaps)
    while (gaps < 0.3).any():
        gaps = np.where(gaps < 0.3, gaps * 2, gaps)
    counts, edges = np.histogram(gaps, np.arange(0.295, 1.0, 0.01))
    period = float(edges[counts.argmax()] + 0.005)
    return np.arange(times[0], times[-1] + period, period)


def dynamic_programming(notes: NoteTable) -> Floats:
    """Ellis 2007 ("Beat Tracking by Dynamic Programming"): autocorrelation with a tempo prior, then the best chain."""
    count = int(notes.start[-1] * FRAMES) + 2 * FRAMES
    curve = np.bincount(np.rint(notes.start * FRAMES).astype(int), np.ones(len(notes)), count)
    curve = np.convolve(curve, np.exp(-0.5 * (np.arange(-6, 7) / 2.5) ** 2), "same")
    curve /= curve.std()
    spectrum = np.fft.rfft(curve, 2 * count)
    together = np.fft.irfft(np.abs(spectrum) ** 2)[:count]
    lags = np.arange(FRAMES * 60 // 260, FRAMES * 2)
    prior = np.exp(-0.5 * (np.log2(lags / (FRAMES * 0.5)) / 0.9) ** 2)
    period = int(lags[(together[lags] * prior).argmax()])
    steps = np.arange(round(period / 2), 2 * period + 1)
    cost = -100 * np.log(steps / period) ** 2
    score, back = curve.copy(), np.full(count, -1)
    for at in range(2 * period, count):
        options = score[at - steps] + cost
        best = int(options.argmax())
        score[at], back[at] = curve[at] + options[best], at - steps[best]
    at = count - 2 * period + int(score[count - 2 * period :].argmax())
    beats = []
    while at >= 0:
        beats.append(at / FRAMES)
        at = int(back[at])
    return np.array(beats[::-1])
