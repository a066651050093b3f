"""Onsets on the grid of a beat: sixteenths, or triplets where a beat is played in three.

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


def grid_lines(positions: Floats) -> Floats:
    """The line nearest to each of `positions` [n] (beats): of sixteenths, or of triplets where these fit a beat better.

    A beat's division is the one with the smaller sum of squared distances over all its onsets; straight on a tie.
    """
    if not len(positions):
        return positions
    beats = np.floor(positions + EARLY).astype(np.int64)
    beats -= beats.min()
    straight, triplet = (np.rint(positions * lines) / lines for lines in (STRAIGHT, TRIPLET))
    costs = [np.bincount(beats, (positions - lines) ** 2) for lines in (straight, triplet)]
    in_three = costs[1] < costs[0] - 1e-9
    return np.where(in_three[beats], triplet, straight)
