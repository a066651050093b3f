"""Onsets on the grid of a beat: sixteenths, or triplets where a beat is played in three, or swung eighths.

In: positions in beats. Out: the grid line that belongs to each. Where beats are, and in which unit, is the caller's
knowledge. Vectorised.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

STRAIGHT, TRIPLET = 4, 3
"""Lines in a beat."""
EARLY = 0.08
"""Share of a beat by which an onset may come before the beat that it belongs to."""
_TIE = 1e-9


def grid_lines(positions: Floats, *, swing: float | None = None) -> Floats:
    """The line nearest to each of `positions` [n] (beats): of sixteenths, or of triplets where these fit a beat better.

    With `swing` a beat may also be split in two at that share of it. A beat's division is the one with the smallest
    sum of squared distances over all its onsets; straight on a tie.
    """
    if not len(positions):
        return positions
    whole = np.floor(positions + EARLY)
    options = [np.rint(positions * lines) / lines for lines in (STRAIGHT, TRIPLET)]
    if swing is not None:
        phase = positions - whole
        options.append(whole + np.where(phase < swing / 2, 0.0, np.where(phase < (1 + swing) / 2, swing, 1.0)))
    beats = (whole - whole.min()).astype(np.int64)
    costs = np.array([np.bincount(beats, (positions - lines) ** 2) for lines in options])
    costs[1:] += _TIE
    return np.asarray(np.choose(costs.argmin(axis=0)[beats], options))
