"""Beats, bars, metre and tempo heard in the onsets of a piece.

In: a `NoteTable`. Out: a `BeatGrid`. Hypotheses (a pulse and its phase; then a number of beats in a bar and the first
downbeat) are scored by a linear model whose weights benchmarks/beats.py fitted to pieces with known truth
(beats.json); the winner is followed through the piece by its phase in short windows, as in "Extracting predominant
local pulse information from music recordings" (Grosche and Müller 2011). Steady music gets one tempo.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from midi_llm.music.features import NoteTable
from midi_llm.music.metre import bar_features, bar_hypotheses, beat_quarters, beats_in_bar, compound
from midi_llm.music.pulse import KINDS, TOGETHER_SECONDS, Accents, Complex, Floats, accents, spectrum
from midi_llm.music.quantise import grid_lines
from midi_llm.music.score import Tempo

Integers = npt.NDArray[np.int64]

SLOWEST_BPM, FASTEST_BPM = 30.0, 260.0
"""Felt beats a minute that are considered."""
LISTEN_SECONDS = 30.0
"""The pulse is chosen from so much music, where it is densest."""
MIN_ONSETS = 8
PEAKS = 14
RATIOS = (1 / 8, 1 / 6, 1 / 4, 1 / 3, 3 / 8, 1 / 2, 2 / 3, 3 / 4, 1, 4 / 3, 3 / 2, 2, 3, 4)
"""Peaks of the spectrum are pulses of some level; the beat is one of these multiples of them."""
MULTIPLES = (1, 2, 3, 4)
BELOW = (2, 3, 4)
"""Levels looked at beside the beat: its subdivisions, and groups of beats."""
WINDOW_SECONDS, HOP_SECONDS = 8.0, 1.0
LEAST_PACE = 0.4
"""Beats that are followed never come slower than this share of their tempo."""
HEADING = 5
"""Windows that tell where the phase is heading."""
STEADY_SECONDS = 0.03
"""The tempo is constant when the phase of every window stays this close to a line."""
FIT_SECONDS = (0.05, 0.03, 0.025)
"""A steady beat is fitted to the onsets so near to a line, round by round; no beat moves by more than the first."""
PRIOR_SHARE = 0.08
"""A tempo that is known beforehand is believed to this share."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BeatGrid:
    """Beats as they are felt: quarter notes in 4/4, 3/4 and 2/4, dotted quarters in 6/8, 9/8 and 12/8.

    No other metre is heard; one that is given has its own beat (a half note in 2/2).
    """

    beats: Floats
    """Seconds [n], ascending, from at or before the first onset until past the last. May begin before 0."""
    downbeats: Integers
    """Indices into `beats`, ascending."""
    metre: tuple[int, int]
    bpm: float
    """Quarter notes a minute (median), as MIDI writes tempo: 1.5 times the felt beats in a compound metre."""
    steady: bool
    """One tempo holds for the whole piece."""
    confidence: float
    """0 to 1: the model's probability of this tempo among all that it considered."""

    @property
    def quarters_per_beat(self) -> float:
        """Length of a beat in quarter notes: 1 in 4/4, 1.5 in a compound metre, 2 in 2/2."""
        return beat_quarters(self.metre)


def estimate_beats(
    notes: NoteTable, *, bpm: float | None = None, metre: tuple[int, int] | None = None
) -> BeatGrid | None:
    """Hear the beats of `notes` (ordered by onset); None with fewer than 8 onsets or less than 2 seconds of them.

    `bpm` (quarter notes a minute) and `metre` are what is known beforehand, from a prompt for example: tempi within
    8 % of `bpm` alone are then considered, and `metre` is taken as given.
    """
    found = accents(notes) if len(notes) else None
    if found is None or len(found.times) < MIN_ONSETS or np.ptp(found.times) < 2.0:
        return None
    heard = densest(found, LISTEN_SECONDS)
    known = bpm if bpm is None or metre is None else bpm / beat_quarters(metre)
    hertz, phase = pulse_hypotheses(heard, bpm=known)
    scores = pulse_features(heard, hertz, phase) @ weights()["pulse"]
    best = int(scores.argmax())
    odds = np.exp(scores - scores.max())
    alike = np.abs(np.log(hertz / hertz[best])) < 0.04
    beats, steady = _follow(found, hertz[best], phase[best])
    if len(beats) < 3:
        return None
    metre, downbeats = _bars(notes, found, beats, metre)
    felt = 60.0 / float(np.median(np.diff(beats)))
    return BeatGrid(
        beats=beats,
        downbeats=downbeats,
        metre=metre,
        bpm=felt * beat_quarters(metre),
        steady=steady,
        confidence=float(odds[alike].sum() / odds.sum()),
    )


def position(grid: BeatGrid, seconds: Floats) -> Floats:
    """Beats [n] from the first beat at times [n]; beyond the ends the outer beats go on at their tempo."""
    times, numbers = _extended(grid)
    return np.interp(seconds, times, numbers)


def seconds_at(grid: BeatGrid, positions: Floats) -> Floats:
    """The inverse of `position`."""
    times, numbers = _extended(grid)
    return np.interp(positions, numbers, times)


def tempos(grid: BeatGrid) -> tuple[Tempo, ...]:
    """The tempo map in quarter notes a minute: one entry for a steady piece, else one a bar, from the first beat on."""
    if grid.steady:
        return (Tempo(time=float(grid.beats[0]), bpm=grid.bpm),)
    knots = np.unique(np.r_[0, grid.downbeats, len(grid.beats) - 1])
    seconds = grid.beats[knots]
    rates = 60.0 * grid.quarters_per_beat * np.diff(knots) / np.diff(seconds)
    return tuple(Tempo(time=float(time), bpm=float(rate)) for time, rate in zip(seconds, rates, strict=False))


def densest(found: Accents, seconds: float) -> Accents:
    """The stretch of `seconds` with the most onsets (the first of them), all when the piece is shorter."""
    if np.ptp(found.times) <= seconds:
        return found
    counts = np.searchsorted(found.times, found.times + seconds) - np.arange(len(found.times))
    start = float(found.times[counts.argmax()])
    return found.between(start, start + seconds)


def pulse_hypotheses(found: Accents, *, bpm: float | None = None) -> tuple[Floats, Floats]:
    """Beat rates in hertz [h] and phases in turns [h] worth scoring: a beat is where rate * time - phase is whole."""
    low, high = (SLOWEST_BPM, FASTEST_BPM) if bpm is None else (bpm * (1 - PRIOR_SHARE), bpm * (1 + PRIOR_SHARE))
    peaks = _peaks(found)
    rates = np.sort(np.outer(peaks, RATIOS).ravel())
    if bpm is not None:
        rates = np.sort(np.append(rates, bpm / 60))
    rates = rates[(rates * 60 >= low) & (rates * 60 <= high)]
    rates = rates[np.r_[True, np.diff(np.log(rates)) > 0.004][: len(rates)]]
    turns = np.angle(spectrum(found, np.outer(MULTIPLES, rates).ravel())[0]) / (2 * np.pi)
    phases = [
        (-turns.reshape(len(MULTIPLES), -1)[index] + step) / multiple
        for index, multiple in enumerate(MULTIPLES)
        for step in range(multiple)
    ]
    return np.tile(rates, len(phases)), np.concatenate(phases) % 1.0


def pulse_features(found: Accents, hertz: Floats, phase: Floats) -> Floats:
    """What speaks for each hypothesis [h, features]: tempo, accents on the beat and its subdivisions, groups of beats.

    Tempo counts in octaves from 110 bpm and in beats an onset, apart with drums; accents also by tempo. Accents are
    lined up by cos(2 pi m (f t - phase)), averaged over those of a kind: 1 when all are on the m-th subdivision.
    """
    unique, where = np.unique(hertz, return_inverse=True)
    octaves = np.log2(hertz * 60 / 110)
    crowd = np.log2(hertz * np.ptp(found.times) / len(found.times))  # beats an onset
    drummed = float(found.strength[KINDS.index("kick")].any())
    columns = [octaves, octaves**2, np.abs(octaves) ** 3, crowd, crowd**2, octaves * crowd]
    columns += [drummed * column for column in columns]
    for multiple in MULTIPLES:
        lined_up = (spectrum(found, unique * multiple)[:, where] * np.exp(2j * np.pi * multiple * phase)).real
        columns += [*lined_up, *(octaves * lined_up)]
    for group in BELOW:
        grouped = np.abs(spectrum(found, unique / group))[:, where]
        columns += [*grouped, *(octaves * grouped)]
    return np.stack(columns, axis=1)


@functools.cache
def weights() -> dict[str, Floats]:
    """The fitted weights: "pulse" for `pulse_features`, "bar" for `metre.bar_features`."""
    text = importlib.resources.files("midi_llm.music").joinpath("beats.json").read_text(encoding="utf-8")
    stored = json.loads(text)
    return {name: np.array(stored[name], np.float64) for name in ("pulse", "bar")}


def _peaks(found: Accents) -> Floats:
    """Frequencies of the highest local maxima of the spectrum of all onsets, refined between the bins."""
    length = max(float(np.ptp(found.times)), 2.0)
    size = 1 << int(np.ceil(np.log2(length * 100 * 4)))
    signal = np.zeros(size)
    np.add.at(signal, np.rint((found.times - found.times[0]) * 100).astype(np.int64), found.strength[0])
    found_at = np.abs(np.fft.rfft(signal))
    step = 100 / size
    low, high = int(0.4 / step), int(14 / step)
    inner = found_at[low:high]
    tops = np.flatnonzero((inner > found_at[low - 1 : high - 1]) & (inner >= found_at[low + 1 : high + 1])) + low
    tops = tops[np.argsort(-found_at[tops], kind="stable")[:PEAKS]]
    left, middle, right = found_at[tops - 1], found_at[tops], found_at[tops + 1]
    bend = left - 2 * middle + right
    shift = np.divide(0.5 * (left - right), bend, out=np.zeros_like(bend), where=bend != 0)
    return np.asarray((tops + np.clip(shift, -0.5, 0.5)) * step)


def _follow(found: Accents, hertz: float, phase: float) -> tuple[Floats, bool]:
    """Beat times over the whole piece, and whether one tempo holds.

    A drift is followed while it is slow: 120 to 112 bpm in half a minute is, 120 to 100 is lost.

    In each window the finest subdivision that the onsets share gives the phase; the beat keeps its place among them.
    """
    first, last = float(found.times[0]), float(found.times[-1]) + TOGETHER_SECONDS
    centres = np.arange(first, max(last, first + HOP_SECONDS) + HOP_SECONDS, HOP_SECONDS)
    levels = np.abs(spectrum(found, hertz * np.array(MULTIPLES))[0])
    multiple = MULTIPLES[int(levels.argmax())]
    local = _windowed(found, hertz * multiple, centres)
    heavy = np.abs(local) > 1e-9
    turns = _along(-np.angle(local[heavy]) / (2 * np.pi)) / multiple
    centres, strength = centres[heavy], np.abs(local[heavy])
    turns += np.rint((np.average(phase - turns, weights=strength)) * multiple) / multiple
    slope, level = np.polyfit(centres, turns, 1, w=np.sqrt(strength)) if len(centres) > 2 else (0.0, turns.mean())
    off = np.abs(turns - (slope * centres + level)) / hertz
    steady = bool(np.average(off, weights=strength) < STEADY_SECONDS)
    straight = _lattice(first, last, *_fitted(found.times, hertz - slope, level))
    if steady:
        return straight, True
    fine = np.arange(first - 4 / hertz, last + 4 / hertz, 0.05)
    count = hertz * fine - np.interp(fine, centres, turns)
    if (np.diff(count) < LEAST_PACE * 0.05 * hertz).any() or np.floor(count[-1]) - np.ceil(count[0]) < 3:
        return straight, True  # the phase wanders: there is no tempo to follow
    beats = np.interp(np.arange(np.ceil(count[0]), np.floor(count[-1]) + 1), count, fine)
    begin = int(np.searchsorted(beats, first + 0.02, side="right")) - 1
    return beats[max(begin, 0) : int(np.searchsorted(beats, last, side="right")) + 1], False


def _fitted(times: Floats, rate: float, level: float) -> tuple[float, float]:
    """`rate` and `level` of `_lattice`, by least squares from the onsets near lines; unchanged where beats move far."""
    slope, shift = rate, level
    for reach in FIT_SECONDS:
        lines = grid_lines(slope * times - shift)
        near = np.abs(slope * times - shift - lines) <= reach * slope
        if np.count_nonzero(near) < MIN_ONSETS or np.ptp(lines[near]) < 1:
            return rate, level
        slope, turned = np.polyfit(times[near], lines[near], 1)
        shift = -turned
    moved = np.abs((slope - rate) * times[[0, -1]] - (shift - level)).max() / rate
    return (float(slope), float(shift)) if moved <= FIT_SECONDS[0] else (rate, level)


def _lattice(first: float, last: float, rate: float, level: float) -> Floats:
    """Beats where rate * time - level is whole, from at or before `first` to past `last`; 20 ms of grace before it."""
    rounded = round(60 * rate) / 60
    middle = (first + last) / 2
    if abs(rounded - rate) / rate * (last - first) / 2 < 0.005:  # a whole number of beats a minute, if it holds
        level, rate = level + (rounded - rate) * middle, rounded
    start = np.floor(rate * (first + 0.02) - level)
    stop = np.floor(rate * last - level) + 1
    return np.asarray((np.arange(start, stop + 1) + level) / rate)


def _windowed(found: Accents, hertz: float, centres: Floats) -> Complex:
    """The Fourier coefficient of all onsets at `hertz` in a Hann window round each of `centres` [w]."""
    away = (found.times[None, :] - centres[:, None]) / WINDOW_SECONDS
    hann = np.where(np.abs(away) < 0.5, np.cos(np.pi * away) ** 2, 0.0)
    return np.asarray((hann * found.strength[0]) @ np.exp(-2j * np.pi * hertz * found.times))


def _along(turns: Floats) -> Floats:
    """Unwrap phases [w]: each is the nearest to where the last few were heading, so that a drift may go on."""
    out = turns.copy()
    for index in range(1, len(out)):
        past = out[max(index - HEADING, 0) : index]
        heading = (past[-1] - past[0]) / (len(past) - 1) if len(past) > 1 else 0.0
        expected = past[-1] + heading
        out[index] = turns[index] + np.rint(expected - turns[index])
    return out


def _bars(
    notes: NoteTable, found: Accents, beats: Floats, metre: tuple[int, int] | None
) -> tuple[tuple[int, int], Integers]:
    """The metre and the indices of the downbeats."""
    per_bar, first = bar_hypotheses(None if metre is None else beats_in_bar(metre))
    scores = bar_features(notes, found, beats, per_bar, first) @ weights()["bar"]
    best = int(scores.argmax())
    count = int(per_bar[best])
    if metre is None:
        metre = (3 * count, 8) if compound(found, beats) else (count, 4)
    return metre, np.arange(int(first[best]), len(beats), count)


def _extended(grid: BeatGrid) -> tuple[Floats, Floats]:
    """The beats with a far one before and after, so that interpolation goes on past the ends."""
    many = 10_000.0
    before = grid.beats[0] - many * (grid.beats[1] - grid.beats[0])
    after = grid.beats[-1] + many * (grid.beats[-1] - grid.beats[-2])
    return np.r_[before, grid.beats, after], np.r_[-many, np.arange(len(grid.beats)), len(grid.beats) - 1 + many]
