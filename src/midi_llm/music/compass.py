"""The pitches at which instruments usually sound.

Out: `LOWEST` and `HIGHEST`, int32 [128] by General MIDI program. Drums have no compass.
"""

from __future__ import annotations

import numpy as np

from midi_llm.music.score import DRUMS

HIGHEST_PITCH = 127

_FREE = (0, HIGHEST_PITCH)
_RANGES: tuple[tuple[int, int, int], ...] = (
    (0, 21, 108), (4, 28, 103), (6, 29, 89), (7, 28, 96),  # pianos, harpsichord, clavinet
    (8, 60, 108), (9, 67, 108), (10, 48, 96), (11, 53, 89), (12, 45, 96), (13, 53, 108), (14, 60, 79), (15, 48, 96),
    (16, 24, 108), (21, 41, 96), (24, 38, 88), (32, 23, 67),  # organs, accordions, guitars, basses
    (40, 55, 103), (41, 48, 91), (42, 36, 81), (43, 23, 67), (44, 23, 103), (47, 36, 60),  # strings, harp, timpani
    (48, 23, 103), (52, 36, 84), (55, *_FREE),  # string ensembles, voices
    (56, 52, 87), (57, 34, 77), (58, 24, 65), (59, 52, 87), (60, 34, 77), (61, 28, 96),  # brass
    (64, 56, 88), (65, 49, 81), (66, 44, 76), (67, 36, 69), (68, 58, 93), (69, 52, 84), (70, 34, 76), (71, 50, 96),
    (72, 74, 108), (73, 59, 98), (74, 53, 98), (80, *_FREE),  # pipes; synthesizers, ethnic, effects
)  # fmt: skip
"""First program, lowest and highest pitch at which it and those up to the next entry usually sound: our table, after
the instruments' compass; those without one of their own may sound anywhere."""

_RANGE_OF_PROGRAM = np.repeat(
    np.array(_RANGES, np.int32)[:, 1:], np.diff([*(first for first, _, _ in _RANGES), DRUMS]), axis=0
)
LOWEST, HIGHEST = _RANGE_OF_PROGRAM.T
"""Sounding range of each program [128]."""
