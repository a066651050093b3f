"""Bars and beats of a piece, and its notes on them: `lay_out(score)`.

In: a `Score` in seconds. Out: a `Layout`: bars, and for every track onsets and ends in ticks, 24 to the quarter note.
The tempo map and metres of the score say where beats are, unless its onsets plainly do not lie on them (a performance
that was recorded without a click): then the beats are heard (`music.beats`). Within a beat notes go to sixteenths or
triplets, whichever fits better, and to 32nds or sextuplets only where notes would else fall together and lie on them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from midi_llm.errors import RequestError
from midi_llm.music.beats import BeatGrid, estimate_beats, position, seconds_at
from midi_llm.music.features import note_table
from midi_llm.music.metre import is_compound
from midi_llm.music.quantise import EARLY
from midi_llm.music.score import NoteArray, Score

QUARTER = 24
"""Ticks of a quarter note: 32nds and triplet sixteenths are whole."""
MOST_BARS = 100_000
OFF_GRID = 0.035
"""Mean distance in quarter notes of onsets from sixteenths and triplets, above which the written beats are not played.
Onsets anywhere are 0.049 away."""
APART = 0.06
"""Onsets further apart than this share of a beat are two."""
EXACT = 0.03
"""Onsets lie on fine lines when none is off by more than this share of a beat: an uneven stroke is not a 32nd."""
USUAL_BPM = 120.0
_STRAIGHT, _TRIPLET, _FINE, _SEXTUPLET = 6, 8, 3, 4
"""Ticks between the lines of each kind."""

Floats = npt.NDArray[np.float64]
Ticks = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A bar of `length` ticks from `start` on, in the metre `numerator`/`denominator`, in beats of `beat` ticks."""

    start: int
    length: int
    numerator: int
    denominator: int
    beat: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacedTrack:
    """Where the notes of a track begin and end, ticks [n], in the order of its notes."""

    starts: Ticks
    ends: Ticks


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Bars of a piece, its tracks on them, tempo marks as (tick, bpm); `tick` places a second, `second` a tick."""

    bars: tuple[Bar, ...]
    tracks: tuple[PlacedTrack, ...]
    tempos: tuple[tuple[int, float], ...]
    tick: Callable[[float], int]
    second: Callable[[float], float]
    heard: bool
    """The beats are heard, not written."""


def lay_out(score: Score) -> Layout:
    """Place the notes of `score`. Raises `RequestError` beyond 100,000 bars."""
    line = _time_line(score)
    quarters = line.quarters
    places = [(quarters(t.notes["time"]), quarters(t.notes["time"] + t.notes["duration"])) for t in score.tracks]
    last = max((float(ends.max()) for _, ends in places if len(ends)), default=0.0)
    bars = _bars(line.metres, last * QUARTER)
    starts = np.array([bar.start + at for bar in bars for at in range(0, bar.length, bar.beat)], np.int64)
    in_three = np.array([bar.beat == QUARTER for bar in bars for _ in range(0, bar.length, bar.beat)])
    tracks = tuple(_place(begin * QUARTER, end * QUARTER, starts, in_three) for begin, end in places)
    end = max((int(placed.ends.max()) for placed in tracks if len(placed.ends)), default=0)
    return Layout(
        bars=tuple(bar for bar in bars if bar.start < end) or bars[:1],
        tracks=tracks,
        tempos=line.tempos,
        tick=lambda second: round(float(quarters(np.array([second]))[0]) * QUARTER),
        second=lambda tick: float(line.seconds(np.array([tick / QUARTER]))[0]),
        heard=line.heard,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _TimeLine:
    """Seconds to quarter notes and back; metres as (tick, numerator, denominator), tempos as (tick, bpm)."""

    quarters: Callable[[Floats], Floats]
    seconds: Callable[[Floats], Floats]
    metres: list[tuple[int, int, int]]
    tempos: tuple[tuple[int, float], ...]
    heard: bool


def _time_line(score: Score) -> _TimeLine:
    """As written, unless the onsets do not lie on what is written and beats can be heard."""
    written = _written(score)
    table = note_table(score)
    if len(table) and off_grid(written.quarters(table.start)) > OFF_GRID:
        grid = estimate_beats(table)
        if grid is not None:
            return _heard(grid, float(table.start[0]))
    return written


def _written(score: Score) -> _TimeLine:
    tempos = sorted(score.tempos, key=lambda tempo: tempo.time)
    times = np.array([0.0, *(max(tempo.time, 0.0) for tempo in tempos)])
    rates = np.array([USUAL_BPM, *(tempo.bpm for tempo in tempos)]) / 60
    at = np.concatenate(([0.0], np.cumsum(np.diff(times) * rates[:-1])))

    def quarters(seconds: Floats) -> Floats:
        index = np.searchsorted(times, seconds, side="right") - 1
        return np.asarray(at[index] + (seconds - times[index]) * rates[index])

    def seconds(quarters: Floats) -> Floats:
        index = np.maximum(np.searchsorted(at, quarters, side="right") - 1, 0)
        return np.asarray(times[index] + (quarters - at[index]) / rates[index])

    def line(time: float, lines: int) -> int:
        return round(float(quarters(np.array([time]))[0]) * lines) * (QUARTER // lines)

    return _TimeLine(
        quarters=quarters,
        seconds=seconds,
        metres=[(line(sign.time, 4), sign.numerator, sign.denominator) for sign in score.time_signatures],
        tempos=tuple((line(tempo.time, QUARTER), tempo.bpm) for tempo in tempos) or ((0, USUAL_BPM),),
        heard=False,
    )


def _heard(grid: BeatGrid, first: float) -> _TimeLine:
    """Bars on the downbeats that are heard, the first one at or before the onset at `first` seconds."""
    unit, bar = grid.quarters_per_beat, grid.metre[0] * 4 / grid.metre[1]
    downbeat = float(grid.downbeats[0]) if len(grid.downbeats) else 0.0
    before = (float(position(grid, np.array([first]))[0]) - downbeat) * unit
    shift = max(float(np.ceil(-before / bar - 1e-6)), 0.0) * bar - downbeat * unit
    return _TimeLine(
        quarters=lambda seconds: np.asarray(position(grid, seconds) * unit + shift),
        seconds=lambda quarters: np.asarray(seconds_at(grid, (quarters - shift) / unit)),
        metres=[(0, *grid.metre)],
        tempos=((0, grid.bpm),),
        heard=True,
    )


def off_grid(quarters: Floats) -> float:
    """Mean distance of onsets [n] from the nearest sixteenth or triplet, in quarter notes."""
    if not len(quarters):
        return 0.0
    away = [np.abs(quarters * lines - np.rint(quarters * lines)) / lines for lines in (4, 3)]
    return float(np.minimum(*away).mean())


def _bars(metres: list[tuple[int, int, int]], end: float) -> tuple[Bar, ...]:
    """Bars up to `end`; where a metre begins within a bar, that bar is cut short."""
    by_start = {0: (4, 4)} | {start: (numerator, denominator) for start, numerator, denominator in sorted(metres)}
    metres = [(start, *metre) for start, metre in by_start.items()]
    bars: list[Bar] = []
    for number, (start, numerator, denominator) in enumerate(metres):
        length = max(numerator * 4 * QUARTER // denominator // _FINE, 1) * _FINE
        stop = metres[number + 1][0] if number + 1 < len(metres) else np.inf
        while start < min(stop, end) or not bars:
            beat = _beat(numerator, denominator)
            size = int(min(length, stop - start))
            bars.append(Bar(start=start, length=size, numerator=numerator, denominator=denominator, beat=beat))
            start += size
            if len(bars) > MOST_BARS:
                raise RequestError(f"the piece has more than {MOST_BARS:,} bars; cut it into shorter pieces")
    return tuple(bars)


def _beat(numerator: int, denominator: int) -> int:
    """Ticks of a beat: dotted quarters in compound metres and 3/8, quarters where they are longer, else as written."""
    if denominator in (8, 16) and (is_compound((numerator, denominator)) or numerator == 3):
        return 12 * QUARTER // denominator
    return max(min(4 * QUARTER // denominator, QUARTER), _FINE)


def _place(starts: Floats, ends: Floats, beats: Ticks, in_three: npt.NDArray[np.bool_]) -> PlacedTrack:
    """Notes [n] (unrounded ticks) on the lines of their beats."""
    if not len(starts):
        none = np.empty(0, np.int64)
        return PlacedTrack(starts=none, ends=none)
    home = _beat_of(starts, beats)
    steps = _steps(starts - beats[home], home, in_three)
    begin = beats[home] + np.rint((starts - beats[home]) / steps[home]).astype(np.int64) * steps[home]
    begin = np.maximum(begin, 0)
    goal = _beat_of(ends, beats)
    finish = beats[goal] + np.rint((ends - beats[goal]) / steps[goal]).astype(np.int64) * steps[goal]
    return PlacedTrack(starts=begin, ends=np.maximum(finish, begin + steps[_beat_of(begin, beats)]))


def _beat_of(ticks: Floats | Ticks, beats: Ticks) -> Ticks:
    return np.clip(np.searchsorted(beats, ticks + EARLY * QUARTER, side="right") - 1, 0, len(beats) - 1)


def _steps(away: Floats, home: Ticks, in_three: npt.NDArray[np.bool_]) -> Ticks:
    """Ticks between the lines of every beat, from its onsets [n], `away` from the beats `home`."""
    count = len(in_three)
    order = np.lexsort((away, home))
    away, home = away[order], home[order]
    cost, merged, worst = {}, {}, {}
    for step in (_STRAIGHT, _TRIPLET, _FINE, _SEXTUPLET):
        line = np.rint(away / step)
        off = np.abs(away - line * step)
        cost[step] = np.bincount(home, off**2, count)
        worst[step] = np.zeros(count)
        np.maximum.at(worst[step], home, off)
        together = (np.diff(home) == 0) & (np.diff(line) == 0) & (np.diff(away) > APART * QUARTER)
        merged[step] = np.bincount(home[1:][together], minlength=count)
    three = in_three & (cost[_TRIPLET] < cost[_STRAIGHT] - 1e-6)
    coarse = np.where(three, _TRIPLET, _STRAIGHT)
    lost = np.where(three, merged[_TRIPLET], merged[_STRAIGHT])
    six = in_three & (cost[_SEXTUPLET] < cost[_FINE] - 1e-6)
    fine = np.where(six, _SEXTUPLET, _FINE)
    saved = lost > np.where(six, merged[_SEXTUPLET], merged[_FINE])
    exact = np.where(six, worst[_SEXTUPLET], worst[_FINE]) <= EXACT * QUARTER
    return np.where(saved & exact, fine, coarse).astype(np.int64)


def bar_at(bars: tuple[Bar, ...], tick: int) -> int:
    """Index of the bar in which `tick` lies; the last bar for what comes after it."""
    return max(bisect_right(bars, tick, key=lambda bar: bar.start) - 1, 0)


def columns(notes: NoteArray, placed: PlacedTrack) -> list[tuple[int, int, int]]:
    """Notes as (start, end, pitch), in order, each pitch once at a time: a note struck again ends the one before."""
    rows: dict[tuple[int, int], int] = {}
    for start, end, pitch in zip(placed.starts.tolist(), placed.ends.tolist(), notes["pitch"].tolist(), strict=True):
        rows[start, pitch] = max(end, rows.get((start, pitch), 0))
    by_pitch = sorted((pitch, start, end) for (start, pitch), end in rows.items())
    result = []
    for number, (pitch, start, end) in enumerate(by_pitch):
        after = by_pitch[number + 1] if number + 1 < len(by_pitch) else (-1, 0, 0)
        result.append((start, min(end, after[1]) if after[0] == pitch else end, pitch))
    return sorted(result)
