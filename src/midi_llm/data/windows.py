"""Training windows: a stretch of a piece on a grid of whole ticks, starting at a bar line.

In: a `Score` and its metadata. Out: a `Window`: events (int32 [n, 4]) relative to the window's start, and the facts
that hold for it (tempo, key, metre, beginning, ending) after stretching and transposing. Words are made elsewhere.

The tempo is moved by at most 6 % so that an eighth note is a whole number of 10 ms ticks: onsets of metrical music then
fall on exact multiples, which costs the model nothing to say and puts its output on the written grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from midi_llm.data.augment import AugmentSettings, draw_semitones, draw_stretch, substitute, transpose
from midi_llm.data.sources.base import Metadata
from midi_llm.music.features import NoteTable, note_table
from midi_llm.music.key import PITCH_CLASSES, pitch_class
from midi_llm.music.quantise import grid_lines
from midi_llm.music.score import DRUMS, Score
from midi_llm.tokens.codec import Events
from midi_llm.tokens.vocab import (
    MAX_DURATION_TICKS,
    MAX_INSTRUMENTS,
    MAX_TIME_TICKS,
    REST_INTERVAL_TICKS,
    TICKS_PER_SECOND,
)

EIGHTHS_PER_MINUTE_TICKS = 60 * TICKS_PER_SECOND // 2
"""3,000: eighth note in ticks = 3,000 / bpm."""

MIN_NOTES = 24
MAX_NOTES_PER_SECOND = 40.0
MAX_POLYPHONY = 64
"""Notes sounding together, as many as `EventGrammar` lets through."""
MAX_GAP_TICKS = 9 * REST_INTERVAL_TICKS
"""Longest time between onsets: eight rests, as many as `EventGrammar` lets through; a longer one ends the window."""
STEADY_SHARE = 0.95
"""A tempo is stated when it holds for at least this share of the window ..."""
STEADY_BPM = 0.02
"""... where a tempo that differs by no more than this share counts as the same."""
DEFAULT_BPM = 120.0
METRICAL_SHARE = 0.8
"""Of a piece's onsets near the grid, from which on it counts as written and not as performed."""

_HALF_TICK = 0.5 / TICKS_PER_SECOND
"""A note that begins less than half a tick before a bar line begins with it."""
_ON_LINE_QUARTERS = 1e-3

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Events of a window and what is true of it. `bpm`, `metre` and `key` are None when they are not known."""

    events: Events
    velocities: npt.NDArray[np.uint8]
    """[n], parallel to `events`."""
    bpm: float | None
    metre: tuple[int, int] | None
    key: str | None
    semitones: int
    """Transposition of the melodic notes against the piece."""
    is_opening: bool
    """The piece's first note is in it, in its first bar."""
    is_ending: bool
    """The piece's last note is in it."""

    @property
    def seconds(self) -> float:
        """End of the last sounding note in seconds."""
        return float((self.events[:, 0] + self.events[:, 1]).max()) / TICKS_PER_SECOND


@dataclass(frozen=True, kw_only=True, slots=True)
class BarGrid:
    """Where bars begin: a tempo map (`quarters` [k] at `seconds` [k]) and metres (`lengths` [m] from `starts` [m])."""

    seconds: Floats
    quarters: Floats
    starts: Floats
    """Quarter notes from the beginning at which each metre begins, and with it a bar."""
    lengths: Floats
    """Quarter notes in a bar of each metre."""

    def line(self, seconds: float, *, after: bool = False) -> float:
        """Seconds of the last bar line at or before `seconds`, or of the first at or `after` it."""
        quarter = float(np.interp(seconds, self.seconds, self.quarters))
        metre = int(np.searchsorted(self.starts, quarter + _ON_LINE_QUARTERS, side="right")) - 1
        start, length = float(self.starts[metre]), float(self.lengths[metre])
        if after:
            found = start + np.ceil((quarter - start - _ON_LINE_QUARTERS) / length) * length
            found = min(found, self.starts[metre + 1]) if metre + 1 < len(self.starts) else found
        else:
            found = start + np.floor((quarter - start + _ON_LINE_QUARTERS) / length) * length
        return float(np.interp(found, self.quarters, self.seconds))


def bar_grid(score: Score) -> BarGrid:
    """The bars of `score` by its tempo map and metres; 120 bpm and 4/4 where they say nothing, as in any MIDI file."""
    times, bpm = _tempos(score)
    seconds = np.append(times, max(score.seconds, times[-1]) + 60.0)
    quarters = np.concatenate([[0.0], np.cumsum(np.diff(seconds) * bpm / 60.0)])
    metres = [(m.time, 4.0 * m.numerator / m.denominator) for m in score.time_signatures]
    if not metres or metres[0][0] > 0:
        metres.insert(0, (0.0, 4.0))
    metre_times, lengths = np.array(metres).T
    return BarGrid(
        seconds=seconds, quarters=quarters, starts=np.interp(metre_times, seconds, quarters), lengths=lengths
    )


def main_tempo(score: Score, start: float, stop: float) -> tuple[float, bool]:
    """The tempo (bpm) that lasts longest between two times in seconds, and whether it is steady there."""
    times, bpm = _tempos(score)
    bounds = np.clip(np.append(times, np.inf), start, max(stop, start + 1e-9))
    spans = np.diff(bounds)
    values, which = np.unique(bpm, return_inverse=True)
    best = float(values[np.argmax(np.bincount(which, spans))])
    same = np.abs(bpm / best - 1) <= STEADY_BPM
    return best, bool(spans[same].sum() >= STEADY_SHARE * spans.sum())


def main_metre(score: Score, start: float, stop: float) -> tuple[int, int] | None:
    """The metre that the score states for the whole of start to stop (seconds); None when it states none or several."""
    before = [m for m in score.time_signatures if m.time <= start + _HALF_TICK][-1:]
    inside = [m for m in score.time_signatures if start + _HALF_TICK < m.time < stop]
    metres = {(m.numerator, m.denominator) for m in before + inside}
    return metres.pop() if before and len(metres) == 1 else None


def snap_tempo(bpm: float, rng: np.random.Generator, *, snap: float) -> float:
    """A tempo near `bpm` whose eighth note is a whole number of ticks; even numbers (whole sixteenths) preferred.

    `snap` is the largest change, as a share. `bpm` itself where there is none so near.
    """
    low, high = EIGHTHS_PER_MINUTE_TICKS / (bpm * (1 + snap)), EIGHTHS_PER_MINUTE_TICKS / (bpm * (1 - snap))
    ticks = np.arange(max(1, int(np.ceil(low))), int(high) + 1)
    if not len(ticks):
        return bpm
    weights = np.where(ticks % 2 == 0, 6.0, 1.0)
    return float(EIGHTHS_PER_MINUTE_TICKS / rng.choice(ticks, p=weights / weights.sum()))


def transpose_key(key: str | None, semitones: int) -> str | None:
    """`key` ("Bb minor") moved by `semitones`; None stays None, as does a key that is not spelled so."""
    parts = (key or "").split()
    tonic = pitch_class(parts[0]) if len(parts) == 2 else None
    return None if tonic is None else f"{PITCH_CLASSES[(tonic + semitones) % 12]} {parts[1]}"


def cut_window(
    score: Score, *, metadata: Metadata, max_notes: int, settings: AugmentSettings, rng: np.random.Generator
) -> Window | None:
    """One random window of at most `max_notes` notes, or None when the piece has none worth learning from there.

    It starts at a bar line of the score's own tempo map and metres and lasts less than 100 s. Tempo and metre are
    stated where they hold for the whole window and somebody wrote them down.
    """
    notes = _laid_flat(score, settings.straighten_seconds)
    if len(notes) < MIN_NOTES:
        return None
    times = notes.start
    start = _draw_start(times, bar_grid(score), max_notes=max_notes, settings=settings, rng=rng)
    begin = int(np.searchsorted(times, start - _HALF_TICK))
    stop = min(begin + max_notes, int(np.searchsorted(times, start + MAX_TIME_TICKS / TICKS_PER_SECOND)))
    if stop - begin < MIN_NOTES:
        return None
    bpm, is_steady = main_tempo(score, start, float(times[stop - 1]))
    tempo = snap_tempo(bpm * draw_stretch(settings, rng), rng, snap=settings.snap)
    rows = _quantised(notes.where(slice(begin, stop)), start=start, factor=bpm / tempo)
    rows[:, :4] = substitute(rows[:, :4], settings, rng)
    semitones = draw_semitones(rows[:, :4], settings, rng)
    rows[:, :4] = transpose(rows[:, :4], semitones)
    rows = _ordered(rows)
    length = _legal_length(rows)
    events = rows[:length, :4].copy()
    if not _is_usable(events):
        return None
    end = start + float(events[-1, 0]) / TICKS_PER_SECOND * tempo / bpm
    return Window(
        events=events,
        velocities=rows[:length, 4].astype(np.uint8),
        bpm=tempo if is_steady and metadata.tempo_is_known and score.tempos else None,
        metre=main_metre(score, start, end),
        key=transpose_key(metadata.key, semitones) if (events[:, 2] != DRUMS).any() else None,
        semitones=semitones,
        is_opening=begin == 0,
        is_ending=stop == len(times) and length == len(rows),
    )


def _tempos(score: Score) -> tuple[Floats, Floats]:
    """Seconds [k], the first one 0, and bpm [k] of the tempo map."""
    tempos = [(t.time, t.bpm) for t in score.tempos]
    if not tempos or tempos[0][0] > 0:
        tempos.insert(0, (0.0, DEFAULT_BPM))
    times, bpm = np.array(tempos, np.float64).T
    return times, bpm


@lru_cache(maxsize=1)
def _laid_flat(score: Score, tolerance: float) -> NoteTable:
    """All notes by onset; kept for the next window of the same score, of which a build cuts several."""
    notes = note_table(score)
    return straighten(notes, bar_grid(score), tolerance=tolerance) if tolerance and score.tempos else notes


def straighten(notes: NoteTable, grid: BarGrid, *, tolerance: float) -> NoteTable:
    """`notes` with onsets within `tolerance` seconds of a sixteenth or triplet moved onto it; durations stay.

    A piece where less than `METRICAL_SHARE` of the onsets are so near is a performance, and stays as it is.
    """
    positions = np.interp(notes.start, grid.seconds, grid.quarters)
    lines = np.interp(grid_lines(positions), grid.quarters, grid.seconds)
    near = np.abs(lines - notes.start) <= tolerance
    if not len(notes) or near.mean() < METRICAL_SHARE:
        return notes
    start = np.where(near, lines, notes.start)
    return replace(notes, start=start).where(np.argsort(start, kind="stable"))


def _draw_start(
    times: Floats, grid: BarGrid, *, max_notes: int, settings: AugmentSettings, rng: np.random.Generator
) -> float:
    """Seconds of the bar line at which the window starts.

    A window that is to hold the end leaves room for a rest a second, so that the row holds the end as well.
    """
    left = times[-1] - times
    fits = (np.arange(len(times), 0, -1) + left <= max_notes) & (left < 0.8 * MAX_TIME_TICKS / TICKS_PER_SECOND)
    last = float(times[np.argmax(fits)]) if fits.any() else float(times[-1])
    kind = rng.random()
    if fits[0] or kind < settings.opening_rate:
        return grid.line(float(times[0]))
    if kind < settings.opening_rate + settings.ending_rate:
        return grid.line(last, after=True)
    drawn = times[np.searchsorted(times, rng.uniform(times[0], last))]
    return grid.line(float(drawn))


def _quantised(notes: NoteTable, *, start: float, factor: float) -> npt.NDArray[np.int32]:
    """Rows [n, 5]: an event in ticks from `start` seconds on, times `factor`, and its velocity."""
    rows = np.empty((len(notes), 5), np.int32)
    rows[:, 0] = np.maximum(np.rint((notes.start - start) * (factor * TICKS_PER_SECOND)), 0)
    rows[:, 1] = np.clip(np.rint(notes.duration * (factor * TICKS_PER_SECOND)), 1, MAX_DURATION_TICKS - 1)
    rows[:, 2], rows[:, 3], rows[:, 4] = notes.instrument, notes.pitch, notes.velocity
    return rows


def _ordered(rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """`rows` by time, instrument, pitch; of a note that is there twice the longest."""
    ids = (rows[:, 0].astype(np.int64) << 16) + (rows[:, 2] << 8) + rows[:, 3]
    order = np.lexsort((-rows[:, 1], ids))
    repeated = np.zeros(len(rows), bool)
    repeated[1:] = np.diff(ids[order]) == 0
    return rows[order[~repeated]]


def _legal_length(rows: npt.NDArray[np.int32]) -> int:
    """How many of the ordered `rows` can be said in one window; durations are cut at its 100 s in place."""
    times, count = rows[:, 0], np.arange(1, len(rows) + 1)
    rows[:, 1] = np.minimum(rows[:, 1], np.maximum(MAX_TIME_TICKS - times, 1))
    ended = np.searchsorted(np.sort(times + rows[:, 1]), times, side="right")
    legal = (times < MAX_TIME_TICKS) & (np.diff(times, prepend=0) <= MAX_GAP_TICKS) & (count - ended <= MAX_POLYPHONY)
    return len(rows) if legal.all() else int(np.argmin(legal))


def _is_usable(events: Events) -> bool:
    """Whether a window has notes enough, and no more of them or of instruments than can be played."""
    if len(events) < MIN_NOTES:
        return False
    instruments = np.unique(events[:, 2])
    melodic = len(instruments) - int(instruments[-1] == DRUMS)
    per_second = len(events) / max(int(events[-1, 0]), 1) * TICKS_PER_SECOND
    return melodic < MAX_INSTRUMENTS and per_second <= MAX_NOTES_PER_SECOND
