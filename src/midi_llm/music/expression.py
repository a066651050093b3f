"""What tells how loud a note is played: its place in bar, chord, phrase and pattern, its register, the crowd.

In: a `NoteTable` in order of onset and, where beats are heard, their `BeatGrid`. Out: for every note the part that it
belongs to, its group of instruments (`parts`), and a row of features. Velocity is not looked at. Equal notes get equal
rows, in whatever order they come.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from midi_llm.music.beats import BeatGrid, position
from midi_llm.music.features import NoteTable
from midi_llm.music.metre import beats_in_bar
from midi_llm.music.parts import DRUM_KEYS, GROUPS, part_means, parts_and_groups
from midi_llm.music.quantise import grid_lines
from midi_llm.music.score import DRUMS

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Columns = list[Flags | Floats]

LEVELS = ("downbeat", "middle", "beat", "half", "third", "early quarter", "late quarter")
"""Where in the bar, from strong to weak: its first beat, its middle one, another one, or a subdivision of a beat."""
CELLS = 16
"""Sixteenths of a bar of four beats."""
VARIANTS = ((37,), (39,), (40,), (22, 44), (26, 46), (53,))
"""Drums that sound unlike others of their kind: cross-stick, clap, rim shot, pedal hat, open hat, bell."""
PLAIN = (
    *("chord top", "chord bottom", "chord size", "highest of all", "lowest of all", "together"),
    *("register", "above its surroundings", "leap", "peak", "same pitch again"),
    *("length", "gap before", "gap before squared", "gap after", "gap after squared"),
    *("crowd of the part", "crowd of the piece", "parts around"),
    *("phrase begins", "phrase ends", "arc of the phrase", "way through the piece", "arc of the piece", "fourth bar"),
    "usual place",
)
FEATURES = (
    *LEVELS,
    *(f"cell {cell}" for cell in range(CELLS)),
    *(f"with {kind}" for kind in DRUM_KEYS),
    *(f"key {keys[-1]}" for keys in VARIANTS),
    *PLAIN,
)
"""Names of the columns."""

TOGETHER_SECONDS = 0.03
NEAR_SECONDS, AROUND_SECONDS = 1.0, 4.0
"""Onsets this near make the crowd; a note's surroundings in pitch reach further."""
SHORTEST_SECONDS, LONGEST_SECONDS = 0.06, 4.0
"""Gaps and lengths are counted in octaves between these."""
PHRASE_SECONDS, PHRASE_GAPS = 0.6, 2.5
"""A gap so long, and so many times the part's usual one, is between phrases."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Described:
    """`part` [n], `group` [n] (index into `parts.GROUPS`) and `features` [n, len(FEATURES)] of the notes of a piece."""

    part: Integers
    group: Integers
    features: Floats


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Chords:
    """Onsets of each part, by part and time: `of` [n] is the chord of a note, the rest is [chords]."""

    of: Integers
    part: Integers
    start: Floats
    top: Integers
    bottom: Integers
    size: Integers
    before: Floats
    """Seconds since the part's last chord, `LONGEST_SECONDS` at most and at its beginning."""
    after: Floats


def describe(notes: NoteTable, grid: BeatGrid | None) -> Described:
    """Find part, group and features of each of `notes` (ordered by onset). Without `grid` the metre says nothing."""
    part, group = parts_and_groups(notes)
    drums = notes.instrument == DRUMS
    chords = _chords(notes, part)
    columns = [
        *_metre(notes, grid),
        *(_near(notes, group == GROUPS.index(kind)) for kind in DRUM_KEYS),
        *(drums & np.isin(notes.pitch, keys) for keys in VARIANTS),
        *_chord_columns(notes, chords, drums),
        *_line_columns(notes, chords, part),
        *_crowd_columns(notes, part),
        *_arc_columns(notes, chords),
        *_pattern_columns(notes, grid, part),
    ]
    return Described(part=part, group=group, features=np.stack([np.asarray(c, np.float64) for c in columns], axis=1))


def _chords(notes: NoteTable, part: Integers) -> _Chords:
    order = np.lexsort((notes.pitch, notes.start, part))
    start, parts, pitch = notes.start[order], part[order], notes.pitch[order]
    begins = np.r_[True, (np.diff(parts) != 0) | (np.diff(start) > TOGETHER_SECONDS)][: len(order)]
    first = np.flatnonzero(begins)
    of = np.empty(len(order), np.int64)
    of[order] = np.cumsum(begins) - 1
    gap = np.diff(start[first])
    gap = np.where(np.diff(parts[first]) == 0, np.minimum(gap, LONGEST_SECONDS), LONGEST_SECONDS)
    return _Chords(
        of=of,
        part=parts[first],
        start=start[first],
        top=np.maximum.reduceat(pitch, first),
        bottom=np.minimum.reduceat(pitch, first),
        size=np.diff(np.r_[first, len(order)]),
        before=np.r_[LONGEST_SECONDS, gap],
        after=np.r_[gap, LONGEST_SECONDS],
    )


def _places(notes: NoteTable, grid: BeatGrid) -> tuple[Integers, Integers, Integers]:
    """Bar, beat in the bar and twelfth of the beat [n] at which each note lies, on the grid of `quantise`."""
    twelfths = np.rint(grid_lines(position(grid, notes.start)) * 12).astype(np.int64)
    beat, twelfth = np.divmod(twelfths, 12)
    per_bar = beats_in_bar(grid.metre)
    bar = np.searchsorted(grid.downbeats, beat, side="right") - 1
    in_bar = beat - grid.downbeats[np.maximum(bar, 0)]
    return np.where(bar < 0, in_bar // per_bar, bar), in_bar % per_bar, twelfth


def _metre(notes: NoteTable, grid: BeatGrid | None) -> Columns:
    """The columns of `LEVELS` and cells; all 0 without a grid."""
    if grid is None or not len(grid.downbeats):
        return [np.zeros(len(notes))] * (len(LEVELS) + CELLS)
    _, beat, twelfth = _places(notes, grid)
    per_bar = beats_in_bar(grid.metre)
    on = twelfth == 0
    middle = on & (beat * 2 == per_bar) & (per_bar > 2)
    down = on & (beat == 0)
    levels = [down, middle, on & ~down & ~middle, twelfth == 6, np.isin(twelfth, (4, 8)), twelfth == 3, twelfth == 9]
    cell = np.where(per_bar == CELLS // 4, beat * 4 + twelfth // 3, -1)
    straight = twelfth % 3 == 0
    return [*levels, *(straight & (cell == index) for index in range(CELLS))]


def _near(notes: NoteTable, chosen: Flags) -> Flags:
    """Whether one of the `chosen` notes begins with each note."""
    times = notes.start[chosen]
    low = np.searchsorted(times, notes.start - TOGETHER_SECONDS)
    return np.searchsorted(times, notes.start + TOGETHER_SECONDS, side="right") > low


def _chord_columns(notes: NoteTable, chords: _Chords, drums: Flags) -> Columns:
    size = chords.size[chords.of]
    low = np.searchsorted(notes.start, notes.start - TOGETHER_SECONDS)
    high = np.searchsorted(notes.start, notes.start + TOGETHER_SECONDS, side="right")
    highest = _most(np.where(drums, -1, notes.pitch), low, high)
    lowest = -_most(np.where(drums, -128, -notes.pitch), low, high)
    return [
        (size > 1) & (notes.pitch == chords.top[chords.of]),
        (size > 1) & (notes.pitch == chords.bottom[chords.of]),
        np.log2(size),
        ~drums & (notes.pitch == highest),
        ~drums & (notes.pitch == lowest),
        np.log2(high - low),
    ]


def _most(values: Integers, low: Integers, high: Integers) -> Integers:
    """The largest of `values[low:high]` for each pair of bounds."""
    bounds = np.stack((low, high), axis=1).ravel()
    return np.asarray(np.maximum.reduceat(np.r_[values, values[-1:]], bounds)[::2])


def _line_columns(notes: NoteTable, chords: _Chords, part: Integers) -> Columns:
    first = np.r_[True, np.diff(chords.part) != 0]
    last = np.r_[first[1:], True]
    before, after = np.r_[chords.top[:1], chords.top[:-1]], np.r_[chords.top[1:], chords.top[-1:]]
    before, after = np.where(first, chords.top, before), np.where(last, chords.top, after)
    mean = part_means(notes.pitch.astype(np.float64), part)
    gaps = [_octaves(gap)[chords.of] for gap in (chords.before, chords.after)]
    return [
        (notes.pitch - mean) / 12,
        (notes.pitch - _surroundings(notes, part)) / 12,
        np.clip((notes.pitch - before[chords.of]) / 12, -1, 1),
        ((chords.top > before) & (chords.top > after))[chords.of] & (notes.pitch == chords.top[chords.of]),
        (notes.pitch == before[chords.of]) & ~first[chords.of],
        _octaves(notes.duration),
        *(value for gap in gaps for value in (gap, gap**2)),
    ]


def _octaves(seconds: Floats) -> Floats:
    """Octaves from the middle of the range of gaps, about -3 to 3."""
    middle = np.sqrt(SHORTEST_SECONDS * LONGEST_SECONDS)
    return np.asarray(np.log2(np.clip(seconds, SHORTEST_SECONDS, LONGEST_SECONDS) / middle))


def _within(notes: NoteTable, part: Integers, seconds: float) -> tuple[Integers, Integers, Integers]:
    """The notes' order by part and onset, and for each note the bounds in it of its part's notes within `seconds`."""
    apart = float(notes.start[-1]) + 2 * seconds + 1
    key = part * apart + notes.start
    order = np.argsort(key, kind="stable")
    low, high = (np.searchsorted(key[order], key + away) for away in (-seconds, seconds))
    return order, low, high


def _surroundings(notes: NoteTable, part: Integers) -> Floats:
    """The mean pitch of the part's notes around each note."""
    order, low, high = _within(notes, part, AROUND_SECONDS)
    summed = np.r_[0, np.cumsum(notes.pitch[order])]
    return np.asarray((summed[high] - summed[low]) / (high - low))


def _crowd_columns(notes: NoteTable, part: Integers) -> Columns:
    _, low, high = _within(notes, part, NEAR_SECONDS)
    left, right = (np.searchsorted(notes.start, notes.start + away) for away in (-NEAR_SECONDS, NEAR_SECONDS))
    parts = np.zeros(len(notes))
    for each in np.unique(part):
        times = notes.start[part == each]
        parts += np.searchsorted(times, notes.start + NEAR_SECONDS) > np.searchsorted(times, notes.start - NEAR_SECONDS)
    return [np.log2(high - low), np.log2(right - left), np.log2(parts)]


def _arc_columns(notes: NoteTable, chords: _Chords) -> Columns:
    """Place in the phrase and in the piece. An arc is 0 at both ends and 1 in the middle."""
    usual = _medians(chords.before, chords.part)
    begins = chords.before > np.maximum(PHRASE_SECONDS, PHRASE_GAPS * usual)
    begins |= np.r_[True, np.diff(chords.part) != 0]
    first = np.flatnonzero(begins)
    phrase = np.cumsum(begins) - 1
    last = np.r_[first[1:], len(chords.start)] - 1
    length = np.maximum(chords.start[last] - chords.start[first], 1e-6)
    way = ((chords.start - chords.start[first][phrase]) / length[phrase])[chords.of]
    ends = np.zeros(len(chords.start), np.bool_)
    ends[last] = True
    through = (notes.start - notes.start.min()) / max(float(np.ptp(notes.start)), 1e-6)
    arcs = [4 * way * (1 - way), through, 4 * through * (1 - through)]
    return [begins[chords.of], ends[chords.of], *arcs]


def _medians(values: Floats, part: Integers) -> Floats:
    """The median of `values` over the part of each; `part` ascends."""
    _, first, counts = np.unique(part, return_index=True, return_counts=True)
    middle = [np.median(values[at : at + count]) for at, count in zip(first, counts, strict=True)]
    return np.repeat(middle, counts)


def _pattern_columns(notes: NoteTable, grid: BeatGrid | None, part: Integers) -> Columns:
    """Whether the bar is the last of four; the share of bars in which the part plays at this place."""
    if grid is None or not len(grid.downbeats):
        return [np.zeros(len(notes))] * 2
    bar, beat, twelfth = _places(notes, grid)
    place = (part * 32 + beat) * 12 + twelfth
    bars = max(int(np.ptp(bar)) + 1, 1)
    _, where = np.unique(place, return_inverse=True)
    pairs = np.unique(where * (2 * bars) + (bar - bar.min()))
    share = np.bincount(pairs // (2 * bars))[where] / bars
    return [bar % 4 == 3, share]
