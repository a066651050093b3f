"""Sound as numbers: `Waveform` is what a renderer makes, an audio file holds, and a metric of sound reads.

In: samples [channels, n] of 32-bit floats and a rate in Hz. Out: an immutable value; slices are views, not copies.
Full scale is -1 to 1; samples beyond it are kept (a file of integers clips them when it is written). It knows nothing
of files, scores or sound fonts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
"""Samples of 32-bit floats, [channels, n] or [n]; full scale is -1 to 1."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Waveform:
    """Sound of one or more channels. `samples` [channels, n] float32; `sample_rate` in Hz. Treat it as read-only."""

    samples: Samples
    sample_rate: int

    def __post_init__(self) -> None:
        """Raise `ValueError` for samples of another shape or type or not finite, and for a rate that is none."""
        if self.samples.ndim != 2 or not len(self.samples) or self.samples.dtype != np.float32:
            raise ValueError(
                f"samples of shape {self.samples.shape} and type {self.samples.dtype}; must be [channels, n] float32"
            )
        if not np.isfinite(self.samples).all():
            raise ValueError("samples must be finite; some are nan or infinite")
        if not isinstance(self.sample_rate, int) or self.sample_rate < 1:
            raise ValueError(f"a sample rate of {self.sample_rate!r}; must be a whole number of Hz, at least 1")

    @property
    def channels(self) -> int:
        """Number of channels: 1 is mono, 2 is stereo (left, right)."""
        return len(self.samples)

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return int(self.samples.shape[1]) / self.sample_rate

    def mono(self) -> Samples:
        """Mix down to one channel, samples [n]: the mean of the channels, so it never exceeds the loudest of them."""
        mixed: Samples = self.samples.mean(axis=0, dtype=np.float32)
        return mixed

    def cut(self, start: float, stop: float) -> Waveform:
        """Keep what lies from `start` to `stop` seconds, each to the nearest sample; what is not there is left out."""
        first, last = (max(round(time * self.sample_rate), 0) for time in (start, stop))
        return Waveform(samples=self.samples[:, first:last], sample_rate=self.sample_rate)
