"""Which pieces are worth learning from: limits, and the first one that a piece breaks.

In: a `Score` and `FilterSettings`. Out: None, or one of `REASONS`. Knows no sources and no licences.
Unlike AMT, lengths reach from the first onset to the last: silence before the music is not music.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from midi_llm.errors import DatasetError
from midi_llm.music.score import Score
from midi_llm.tokens.vocab import MAX_INSTRUMENTS, MAX_PITCH

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterSettings:
    """Limits that a piece must keep, inclusive.

    The first four are AMT's (anticipation/config.py at af37397: MIN_TRACK_EVENTS, MIN_TRACK_TIME_IN_SECONDS,
    MAX_TRACK_TIME_IN_SECONDS, MAX_TRACK_INSTR). The others are ours, for broken files: each drops at most 0.14 % of the
    open corpus (docs/log.md).
    """

    min_notes: int = 100
    min_seconds: float = 10.0
    max_seconds: float = 3600.0
    max_instruments: int = MAX_INSTRUMENTS
    min_notes_per_second: float = 0.5
    max_notes_per_second: float = 100.0
    max_share_of_one_note: float = 0.8
    """Share of the notes that are the commonest pair of instrument and pitch."""
    max_notes_per_onset: float = 16.0
    """Mean number of notes that begin at one moment."""
    max_silence_seconds: float = 30.0
    """Longest time inside the piece in which nothing sounds."""
    min_bpm: float = 10.0
    max_bpm: float = 400.0
    """A tempo outside may pass (a fermata), but not last for more than half of the piece."""
    max_tempo_changes_per_second: float = 20.0

    def __post_init__(self) -> None:
        pairs = {
            "seconds": (self.min_seconds, self.max_seconds),
            "notes_per_second": (self.min_notes_per_second, self.max_notes_per_second),
            "bpm": (self.min_bpm, self.max_bpm),
        }
        for name, (low, high) in pairs.items():
            if not low <= high:
                raise DatasetError(f"min_{name} is {low} and max_{name} {high}; the minimum must not be larger")


AMT = FilterSettings()
LENIENT = FilterSettings(min_notes=24, min_seconds=4.0)
"""For collections with short drum loops, hymns and exercises; 24 notes are the least that a training window has."""
PRESETS: Mapping[str, FilterSettings] = {"lenient": LENIENT, "amt": AMT}

REASONS = (
    "too few notes",
    "too short",
    "too long",
    "too many instruments",
    "too sparse",
    "too dense",
    "one note repeated",
    "stacked notes",
    "long silence",
    "broken tempo",
)
"""Every reason, in the order in which they are looked for."""


def rejection(score: Score, settings: FilterSettings = AMT) -> str | None:
    """The first of `REASONS` for which `score` is not used, or None when it is."""
    tracks = [track for track in score.tracks if len(track.notes)]
    if score.note_count < max(settings.min_notes, 1):
        return "too few notes"
    start = np.concatenate([track.notes["time"] for track in tracks])
    count, seconds = len(start), float(np.ptp(start))
    if seconds < settings.min_seconds:
        return "too short"
    if seconds > settings.max_seconds:
        return "too long"
    if len({track.instrument for track in tracks}) > settings.max_instruments:
        return "too many instruments"
    if count < settings.min_notes_per_second * seconds:
        return "too sparse"
    if count > settings.max_notes_per_second * seconds:
        return "too dense"
    values = np.concatenate([track.notes["pitch"] + np.intp(track.instrument * MAX_PITCH) for track in tracks])
    if np.bincount(values).max() > settings.max_share_of_one_note * count:
        return "one note repeated"
    order = np.argsort(start, kind="stable")
    start, end = start[order], (start + np.concatenate([track.notes["duration"] for track in tracks]))[order]
    if count > settings.max_notes_per_onset * (1 + np.count_nonzero(np.diff(start))):
        return "stacked notes"
    if (start[1:] - np.maximum.accumulate(end)[:-1]).max(initial=0.0) > settings.max_silence_seconds:
        return "long silence"
    return "broken tempo" if _tempo_is_broken(score, settings) else None


def _tempo_is_broken(score: Score, settings: FilterSettings) -> bool:
    """Whether the tempo lies outside its limits most of the time, or changes without end."""
    if not score.tempos:
        return False
    bpm = np.array([tempo.bpm for tempo in score.tempos])
    times = np.array([tempo.time for tempo in score.tempos])
    lasts = np.diff(np.minimum(np.append(times, np.inf), score.seconds))
    outside = (bpm < settings.min_bpm) | (bpm > settings.max_bpm)
    too_many = len(bpm) - 1 > settings.max_tempo_changes_per_second * score.seconds
    return bool(too_many or lasts[outside].sum() > 0.5 * score.seconds)
