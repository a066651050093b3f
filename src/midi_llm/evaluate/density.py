"""Densities of one number over a set, and how much two of them overlap.

In: counts on equal cells of a line. Out: a smooth density on the same cells; area and divergence of two densities.
Knows no music.
"""

from __future__ import annotations

import numpy as np

from midi_llm.evaluate.metric import Floats, Integers

LEAST_DENSITY = 1e-9
"""The divergence takes no density to be less than this share of the largest: a gap costs 30 bits, not infinity."""


def density(counts: Floats | Integers, step: float) -> Floats:
    """Gaussian kernel density [cells] of `counts` [cells] of values, one cell every `step`; nan where all are equal.

    Bandwidth by Scott's rule, deviation x n^(-1/5) (Scott 1992, "Multivariate Density Estimation"), as
    `scipy.stats.gaussian_kde`, which adds the kernels up one by one. Here they are multiplied in the frequency domain:
    values lie at the middle of their cells and the ends of the line meet, so leave it empty there.
    """
    total = float(counts.sum())
    cells = np.arange(len(counts))
    mean = float((counts * cells).sum()) / total
    deviation = np.sqrt(float((counts * (cells - mean) ** 2).sum()) / max(total - 1.0, 1.0))
    if deviation == 0.0:
        return np.full(len(counts), np.nan)
    bandwidth = deviation * total ** (-1 / 5)  # in cells
    frequency = np.fft.rfftfreq(len(counts))
    smooth = np.fft.irfft(np.fft.rfft(counts) * np.exp(-2 * (np.pi * frequency * bandwidth) ** 2), len(counts))
    return np.asarray(np.maximum(smooth, 0.0) / (total * step))


def overlapping_area(p: Floats, q: Floats, step: float) -> float:
    """Area under the smaller of two densities [cells]: 1 for equal ones, 0 where they never meet."""
    return float(np.minimum(p, q).sum() * step)


def divergence(p: Floats, q: Floats, step: float) -> float:
    """Kullback-Leibler divergence (bits, 0 or more) of density `p` [cells] from `q`, neither below `LEAST_DENSITY`."""
    least = LEAST_DENSITY * max(p.max(), q.max())
    p, q = np.maximum(p, least), np.maximum(q, least)
    return float((p * np.log2(p / q)).sum() * step)
