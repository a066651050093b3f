"""The structure of music rows: what rows of near times, near durations, one pitch or one instrument have in common.

In: music ids. Out: features; a row of an embedding table is their sum over learned or random parts. One definition for
its two users: new rows (model/expand.py, a matrix product) and rows that train (train/embedding.py, part by part).
  time      Fourier features of the tick, 96 periods from 2 to 20,000 ticks
  duration  Fourier features of d and of log(1 + d)
  note      instrument, pitch and pitch class; drums have pitches of their own and no pitch class
  block     which of the three it is; a control has its event's features and its own block's
REST and the ids from SEPARATOR on have one feature each, which they share with nothing.
Knows no weights and no torch. Shapes: n ids.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from midi_llm.music.score import DRUMS
from midi_llm.tokens.vocab import (
    CONTROL_OFFSET,
    DUR_OFFSET,
    MAX_DURATION_TICKS,
    MAX_INSTRUMENT,
    MAX_PITCH,
    MUSIC_VOCAB_SIZE,
    NOTE_OFFSET,
    REST,
    SEPARATOR,
)
from midi_llm.weights import FloatArray

PERIODS = 96
PITCH_CLASSES = 12
TIME, DURATION, NOTE = range(3)
"""The blocks."""

PARTS: dict[str, int] = {
    "time_matrix": 2 * PERIODS,
    "duration_matrix": 4 * PERIODS,
    "block": 3,
    "instrument": MAX_INSTRUMENT,
    "pitch": MAX_PITCH,
    "pitch_class": PITCH_CLASSES,
    "drum_pitch": MAX_PITCH,
    "rest": 1,
    "control": 3,
    "special": MUSIC_VOCAB_SIZE - SEPARATOR,
}
"""Rows of each part, in the order of the features."""

FEATURES = sum(PARTS.values())
"""985."""

_FIRST = dict(zip(PARTS, np.cumsum([0, *PARTS.values()]).tolist(), strict=False))
"""The number of each part's first feature."""


def fourier_features(values: npt.NDArray[np.float64], shortest: float, longest: float) -> FloatArray:
    """[n] -> [n, 2 * PERIODS]: sine and cosine of `values` at geometrically spaced periods; each row has length 1."""
    periods = shortest * (longest / shortest) ** np.linspace(0.0, 1.0, PERIODS)
    angle = values[:, None] * (2 * math.pi / periods)
    features: FloatArray = np.concatenate([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)
    return features / np.float32(math.sqrt(PERIODS))


def time_features(ticks: npt.NDArray[np.int64]) -> FloatArray:
    """[n] times -> [n, 2 * PERIODS]."""
    return fourier_features(ticks.astype(np.float64), 2, 20_000)


def duration_features(ticks: npt.NDArray[np.int64]) -> FloatArray:
    """[n] durations -> [n, 4 * PERIODS]: of d, and of log(1 + d)."""
    durations = ticks.astype(np.float64)
    logs = 1000 * np.log1p(durations) / math.log(MAX_DURATION_TICKS)
    return np.concatenate([fourier_features(durations, 2, 4_000), fourier_features(logs, 20, 4_000)], axis=1)


def structure_features(ids: npt.NDArray[np.int64]) -> FloatArray:
    """Features of the music ids `ids` [n], [n, FEATURES]: a structured row is their product with the parts' rows."""
    features = np.zeros((len(ids), FEATURES), dtype=np.float32)
    is_control = (ids >= CONTROL_OFFSET) & (ids < SEPARATOR)
    events = np.where(is_control, ids - CONTROL_OFFSET, ids)
    blocks = np.searchsorted((DUR_OFFSET, NOTE_OFFSET, REST), events, side="right")
    instruments, pitches = np.divmod(events - NOTE_OFFSET, MAX_PITCH)
    is_drum = (blocks == NOTE) & (instruments == DRUMS)
    is_melodic = (blocks == NOTE) & ~is_drum

    def set_one(where: npt.NDArray[np.bool_], part: str, rows: npt.NDArray[np.int64]) -> None:
        features[where.nonzero()[0], _FIRST[part] + rows[where]] = 1.0

    def set_all(where: npt.NDArray[np.bool_], part: str, values: FloatArray) -> None:
        features[where, _FIRST[part] : _FIRST[part] + PARTS[part]] = values

    set_all(blocks == TIME, "time_matrix", time_features(events[blocks == TIME]))
    set_all(blocks == DURATION, "duration_matrix", duration_features(events[blocks == DURATION] - DUR_OFFSET))
    set_one(blocks == NOTE, "instrument", instruments)
    set_one(is_melodic, "pitch", pitches)
    set_one(is_melodic, "pitch_class", pitches % PITCH_CLASSES)
    set_one(is_drum, "drum_pitch", pitches)
    set_one(blocks <= NOTE, "block", blocks)
    set_one(is_control, "control", blocks)
    set_one(ids == REST, "rest", ids - REST)
    set_one(ids >= SEPARATOR, "special", ids - SEPARATOR)
    return features
