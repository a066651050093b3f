"""Seconds and quarter notes of a score, by the tempo map that it has.

In: a `Score`. Out: a `TempoMap`, which turns times into positions and back. Knows no metre.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from midi_llm.music.score import Score
from midi_llm.music.write import DEFAULT_BPM

Floats = npt.NDArray[np.float64]

_FAR_SECONDS = 1e6


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TempoMap:
    """`seconds` and `quarters` [k], ascending from 0, at which the tempo changes; the last of them is far away."""

    seconds: Floats
    quarters: Floats

    @classmethod
    def of(cls, score: Score) -> Self:
        """The map of `score`; 120 bpm where it says nothing."""
        times = np.array([0.0, *(max(tempo.time, 0.0) for tempo in score.tempos)])
        bpm = np.array([DEFAULT_BPM, *(tempo.bpm for tempo in score.tempos)])
        seconds = np.append(times, times[-1] + _FAR_SECONDS)
        return cls(seconds=seconds, quarters=np.r_[0.0, np.cumsum(np.diff(seconds) * bpm / 60.0)])

    def position(self, seconds: Floats | float) -> Floats:
        """Quarter notes from the start, at any number of times."""
        return np.asarray(np.interp(seconds, self.seconds, self.quarters))

    def times(self, quarters: Floats | float) -> Floats:
        """Seconds of positions: the inverse of `position`."""
        return np.asarray(np.interp(quarters, self.quarters, self.seconds))
