"""Training windows: a stretch of a piece on a grid of whole ticks, starting at a bar line.

In: a `Score` and its metadata. Out: a `Window`: events (int32 [n, 4]) relative to the window's start, and the facts
that hold for it (tempo, key, metre, ending) after stretching and transposing.

The tempo is moved by at most 6 % so that an eighth note is a whole number of 10 ms ticks: onsets of metrical music then
fall on exact multiples, which costs the model nothing to say and puts its output on the written grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from midi_llm.music.score import DRUMS, Score
from midi_llm.tokens.vocab import MAX_DURATION_TICKS, MAX_INSTRUMENTS, MAX_TIME_TICKS, TICKS_PER_SECOND

MAX_STRETCH = 0.06
EIGHTHS_PER_MINUTE_TICKS = 60 * TICKS_PER_SECOND // 2
"""3,000: eighth note in ticks = 3,000 / bpm."""

MIN_NOTES = 24
MAX_NOTES_PER_SECOND = 40.0
PITCH_CLASSES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
_SHARPS = {"C#": 1, "D#": 3, "F#": 6, "G#": 8, "A#": 10, "Cb": 11, "E#": 5, "B#": 0, "Fb": 4}
_PITCH_CLASS = {name: i for i, name in enumerate(PITCH_CLASSES)} | _SHARPS


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Events of a window and what is true of it. `bpm`, `metre` and `key` are None when they are not known."""

    events: npt.NDArray[np.int32]
    bpm: float | None
    metre: tuple[int, int] | None
    key: str | None
    is_ending: bool

    @property
    def seconds(self) -> float:
        """End of the last sounding note in seconds."""
        return float((self.events[:, 0] + self.events[:, 1]).max()) / TICKS_PER_SECOND


def main_tempo(score: Score) -> tuple[float, bool]:
    """The tempo that lasts longest (bpm), and whether it holds for at least 95 % of the piece."""
    if not score.tempos:
        return 120.0, True
    starts = np.array([t.time for t in score.tempos] + [max(score.seconds, score.tempos[-1].time)])
    spans: dict[float, float] = {}
    for tempo, span in zip(score.tempos, np.diff(starts), strict=True):
        spans[tempo.bpm] = spans.get(tempo.bpm, 0.0) + float(span)
    best = max(spans, key=lambda bpm: spans[bpm])
    return best, spans[best] >= 0.95 * max(score.seconds, 1e-9)


def snap_tempo(bpm: float, rng: np.random.Generator) -> float:
    """A tempo near `bpm` whose eighth note is a whole number of ticks; even numbers (whole sixteenths) preferred."""
    low, high = (
        EIGHTHS_PER_MINUTE_TICKS / (bpm * (1 + MAX_STRETCH)),
        EIGHTHS_PER_MINUTE_TICKS / (bpm * (1 - MAX_STRETCH)),
    )
    ticks = np.arange(max(1, int(np.ceil(low))), int(high) + 1)
    if not len(ticks):
        ticks = np.array([max(1, round(EIGHTHS_PER_MINUTE_TICKS / bpm))])
    weights = np.where(ticks % 2 == 0, 6.0, 1.0)
    return float(EIGHTHS_PER_MINUTE_TICKS / rng.choice(ticks, p=weights / weights.sum()))


def transpose_key(key: str | None, semitones: int) -> str | None:
    """`key` ("Bb minor") moved by `semitones`; None stays None, as does a key that is not spelled so."""
    parts = (key or "").split()
    if len(parts) != 2 or parts[0] not in _PITCH_CLASS:
        return None
    return f"{PITCH_CLASSES[(_PITCH_CLASS[parts[0]] + semitones) % 12]} {parts[1]}"


def piece_events(score: Score, *, factor: float, semitones: int) -> npt.NDArray[np.int32]:
    """All notes as events [n, 4], times times `factor`, melodic pitches moved; in order of time, instrument, pitch."""
    columns = []
    for track in score.tracks:
        notes = track.notes
        ticks = np.rint(notes["time"] * (factor * TICKS_PER_SECOND))
        duration = np.clip(np.rint(notes["duration"] * (factor * TICKS_PER_SECOND)), 1, MAX_DURATION_TICKS - 1)
        pitch = notes["pitch"].astype(np.int32) + (0 if track.is_drum else semitones)
        columns.append(np.stack([ticks, duration, np.full(len(notes), track.instrument), pitch], axis=1))
    if not columns:
        return np.empty((0, 4), np.int32)
    events = np.concatenate(columns).astype(np.int32)
    events = events[(events[:, 3] >= 0) & (events[:, 3] <= 127)]
    order = np.lexsort((-events[:, 1], events[:, 3], events[:, 2], events[:, 0]))
    events = events[order]
    repeated = np.zeros(len(events), bool)
    repeated[1:] = (events[1:, [0, 2, 3]] == events[:-1, [0, 2, 3]]).all(axis=1)
    return events[~repeated]


def cut_window(
    score: Score, *, key: str | None, tempo_is_known: bool, max_notes: int, rng: np.random.Generator
) -> Window | None:
    """One random window of at most `max_notes` notes, or None when the piece has none worth learning from.

    A quarter of the windows end with the piece, a quarter begin with it, the rest start at any bar line.
    """
    bpm, constant = main_tempo(score)
    snapped = snap_tempo(bpm, rng)
    semitones = 0 if rng.random() < 0.5 else int(rng.integers(-3, 4))
    events = piece_events(score, factor=bpm / snapped, semitones=semitones)
    if len(events) < MIN_NOTES:
        return None
    metre = (
        (score.time_signatures[0].numerator, score.time_signatures[0].denominator) if score.time_signatures else (4, 4)
    )
    one_metre = len({(t.numerator, t.denominator) for t in score.time_signatures}) <= 1
    bar = EIGHTHS_PER_MINUTE_TICKS / snapped * 8 * metre[0] / metre[1]
    window, is_ending = _choose(events, bar=bar, max_notes=max_notes, rng=rng)
    if len(window) < MIN_NOTES or len(np.unique(window[:, 2])) > MAX_INSTRUMENTS:
        return None
    if len(window) / max(int(window[-1, 0]), 1) * TICKS_PER_SECOND > MAX_NOTES_PER_SECOND:
        return None
    return Window(
        events=window,
        bpm=snapped if constant and tempo_is_known else None,
        metre=metre if one_metre else None,
        key=transpose_key(key, semitones) if set(np.unique(window[:, 2])) != {DRUMS} else None,
        is_ending=is_ending,
    )


def _choose(
    events: npt.NDArray[np.int32], *, bar: float, max_notes: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int32], bool]:
    """Pick the window's start, return its events relative to that bar line and whether the piece ends in it."""
    times = events[:, 0]
    kind = rng.random()
    if kind < 0.25 or len(events) <= max_notes:
        first = int(times[max(0, len(events) - max_notes)] // bar + (len(events) > max_notes))
    elif kind < 0.5:
        first = int(times[0] // bar)
    else:
        first = int(rng.integers(int(times[0] // bar), max(int(times[-max_notes] // bar), 0) + 1))
    start = round(first * bar)
    begin = int(np.searchsorted(times, start))
    stop = min(begin + max_notes, int(np.searchsorted(times, start + MAX_TIME_TICKS)))
    window = events[begin:stop].copy()
    window[:, 0] -= start
    return window, stop == len(events)
