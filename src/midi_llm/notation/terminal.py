"""A piece in the terminal: `show(score)` gives lines of text, its tracks in a table and a piano roll of letters.

In: a `Score`, the width of the terminal, and what it can show. Out: lines without line ends. A letter of the roll is
two rows of pitches by one step of time; each track has its colour, of those of `music.roll`. Bars are marked and
numbered, drums lie below in groups. Knows no terminal: who prints asks it for width, colours and letters.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from midi_llm.errors import RequestError
from midi_llm.music.instruments import instrument_name
from midi_llm.music.key import sharps
from midi_llm.music.names import clean_text
from midi_llm.music.roll import COLOURS, DRUM_COLOUR
from midi_llm.music.score import NoteArray, Score, Track
from midi_llm.notation.bars import Layout, lay_out
from midi_llm.notation.spelling import spell

LETTERS = "\u2580\u2584\u2588\u2502\u25a0\u2013"
"""What the roll needs where letters are not only ASCII."""
MOST_ROWS = 28
"""Rows of the roll; with more than 56 semitones a row stands for more than two."""
NARROWEST = 40
_MARGIN = 5
_LABEL_ROOM = 4
"""Columns from one numbered bar to the next, at least."""
_DIM, _RESET = "\x1b[2m", "\x1b[0m"

DRUM_GROUPS: tuple[tuple[str, frozenset[int]], ...] = (
    ("cymb", frozenset((49, 51, 52, 53, 55, 57, 59))),
    ("hats", frozenset((42, 44, 46))),
    ("toms", frozenset((41, 43, 45, 47, 48, 50))),
    ("snar", frozenset((37, 38, 39, 40))),
    ("kick", frozenset((35, 36))),
)
OTHER_DRUMS = "perc"

Cells = npt.NDArray[np.int64]
"""Track numbers [rows, columns], -1 where nothing sounds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Window:
    """What is shown: bars `first` to `last` (indices), `start` to `stop` seconds, in `columns`."""

    first: int
    last: int
    start: float
    stop: float
    columns: int

    def column(self, seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Columns, unrounded, of times [n]."""
        return np.asarray((seconds - self.start) / (self.stop - self.start) * self.columns)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pen:
    """How letters are drawn: `colours` of the tracks (terminal palette numbers) or None for none; only ASCII or not."""

    colours: tuple[int, ...] | None
    unicode: bool

    def letter(self, upper: int, lower: int, empty: str) -> str:
        """The letter of a cell with one track above, one below, -1 for neither."""
        if upper < 0 and lower < 0:
            return empty
        if self.colours is None or upper < 0 or lower < 0 or upper == lower:
            shape = (LETTERS[:3] if self.unicode else "'.:")[(upper >= 0) + 2 * (lower >= 0) - 1]
            return self.paint(shape, max(upper, lower))
        if not self.unicode:
            return self.paint(":", upper)
        return f"\x1b[38;5;{self.colours[upper]};48;5;{self.colours[lower]}m{LETTERS[0]}{_RESET}"

    def paint(self, text: str, track: int) -> str:
        return text if self.colours is None else f"\x1b[38;5;{self.colours[track]}m{text}{_RESET}"

    def dim(self, text: str) -> str:
        return text if self.colours is None else f"{_DIM}{text}{_RESET}"


def show(
    score: Score,
    *,
    width: int = 80,
    first_bar: int = 1,
    last_bar: int | None = None,
    colour: bool = False,
    unicode: bool = True,
) -> list[str]:
    """The lines of `score`, at most `width` wide (40 at least); bars count from 1, `last_bar` is shown too.

    Raises `RequestError` when `first_bar` lies after the end, and for more bars than `lay_out` makes.
    """
    tracks = [track for track in score.tracks if len(track.notes)]
    pen = _Pen(colours=_palette(tracks) if colour else None, unicode=unicode)
    if not tracks:
        return ["no notes"]
    layout = lay_out(score)
    if first_bar > len(layout.bars):
        raise RequestError(f"bar {first_bar} does not exist; the piece has {len(layout.bars)} bars")
    width = max(width, NARROWEST)
    fifths = (sharps(score.key_signatures[0].key) or 0) if score.key_signatures else 0
    window = _window(layout, first_bar, last_bar, width - _MARGIN)
    lines = [*textwrap.wrap(_facts(score, layout), width), ""]
    lines += [pen.paint(mark, number) + text for number, mark, text in _table(tracks, fifths, width, pen)]
    return [*lines, "", *_roll(tracks, layout, window, pen)]


def _facts(score: Score, layout: Layout) -> str:
    bar = layout.bars[0]
    metre = f"{bar.numerator}/{bar.denominator}"
    if any((b.numerator, b.denominator) != (bar.numerator, bar.denominator) for b in layout.bars):
        metre += " and others"
    bpm = sorted(tempo for _, tempo in layout.tempos)
    tempo = f"{bpm[0]:.0f}" if bpm[-1] - bpm[0] < 1 else f"{bpm[0]:.0f} to {bpm[-1]:.0f}"
    facts = [_clock(score.seconds), f"{len(layout.bars)} bars", f"{tempo} bpm", metre]
    keys = score.key_signatures
    if keys:
        facts.append(keys[0].key + (" and others" if len(keys) > 1 else ""))
    facts.append(f"{score.note_count:,} notes")
    return ", ".join(facts) + (" (beats heard: the notes are not on those of the file)" if layout.heard else "")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


def _table(tracks: list[Track], fifths: int, width: int, pen: _Pen) -> list[tuple[int, str, str]]:
    """Number of each track, its mark, and the rest of its line."""
    rows = []
    for track in tracks:
        notes, name = track.notes, instrument_name(track.instrument)
        low, high = int(notes["pitch"].min()), int(notes["pitch"].max())
        dash = "\u2013" if pen.unicode else "-"
        compass = (
            f"{len(np.unique(notes['pitch']))} drums"
            if track.is_drum
            else f"{_pitch(low, fifths)}{dash}{_pitch(high, fifths)}"
        )
        span = f"{_clock(float(notes['time'].min()))}{dash}{_clock(float((notes['time'] + notes['duration']).max()))}"
        rows.append((clean_text(track.name) or name, name, f"{len(notes):,} notes", compass, span))
    room = [min(max(len(row[column]) for row in rows), limit) for column, limit in enumerate((24, 24, 14, 9, 17))]
    while sum(room) + 15 > width and room[1] > 0:
        room[0 if room[0] > max(room[1], 10) else 1] -= 1
    lines = []
    for number, row in enumerate(rows):
        cells = [text[:size].ljust(size) for text, size in zip(row, room, strict=True) if size]
        lines.append(
            (number, "\u25a0" if pen.unicode else "*", f" {number + 1:2} {'  '.join(cells)}"[: width - 1].rstrip())
        )
    return lines


def _pitch(pitch: int, fifths: int) -> str:
    spelled = spell(pitch, fifths)
    return f"{spelled.step}{'b#'[spelled.alter > 0] * abs(spelled.alter)}{spelled.octave}"


def _palette(tracks: list[Track]) -> tuple[int, ...]:
    """The nearest colour of the terminal's cube of 6 x 6 x 6 for each track."""
    numbers, melodic = [], 0
    for track in tracks:
        colour = DRUM_COLOUR if track.is_drum else COLOURS[melodic % len(COLOURS)]
        melodic += not track.is_drum
        red, green, blue = (round(int(colour[at : at + 2], 16) / 51) for at in (1, 3, 5))
        numbers.append(16 + 36 * red + 6 * green + blue)
    return tuple(numbers)


def _window(layout: Layout, first_bar: int, last_bar: int | None, columns: int) -> _Window:
    last = len(layout.bars) - 1 if last_bar is None else min(last_bar, len(layout.bars)) - 1
    end = layout.bars[last]
    start, stop = layout.second(layout.bars[first_bar - 1].start), layout.second(end.start + end.length)
    return _Window(first=first_bar - 1, last=last, start=start, stop=max(stop, start + 0.01), columns=columns)


def _roll(tracks: list[Track], layout: Layout, window: _Window, pen: _Pen) -> list[str]:
    numbers, lines = _bar_marks(layout, window)
    rows = [" " * _MARGIN + pen.dim(numbers)]
    empty = [pen.dim("\u2502" if pen.unicode else "|") if column in lines else " " for column in range(window.columns)]
    shown = [(number, _within(track.notes, window)) for number, track in enumerate(tracks)]
    melodic = [(number, notes) for number, notes in shown if not tracks[number].is_drum and len(notes)]
    if melodic:
        rows += _pitch_rows(melodic, window, pen, empty)
    drums = [(number, notes) for number, notes in shown if tracks[number].is_drum and len(notes)]
    if drums:
        rows += _drum_rows(drums, window, pen, empty)
    return [row.rstrip() for row in rows]


def _within(notes: NoteArray, window: _Window) -> NoteArray:
    shown: NoteArray = notes[(notes["time"] < window.stop - 1e-6) & (notes["time"] + notes["duration"] > window.start)]
    return shown


def _bar_marks(layout: Layout, window: _Window) -> tuple[str, set[int]]:
    """The line of bar numbers, and the columns of bar lines: of every bar, or of every 2nd, 4th, 8th where crowded."""
    bars = layout.bars[window.first : window.last + 1]
    edges = window.column(np.array([layout.second(bar.start) for bar in bars])).astype(np.int64).tolist()
    step = 1
    while len(bars) // step * _LABEL_ROOM > window.columns:
        step *= 2
    text, lines = [" "] * window.columns, set()
    for index in range(0, len(bars), step):
        label = str(window.first + index + 1)
        lines.add(edges[index])
        text[edges[index] : edges[index] + len(label)] = label
    return "".join(text)[: window.columns], lines


def _spans(notes: NoteArray, window: _Window) -> list[tuple[int, int]]:
    """First column of each note and the one after its last; ends are rounded down, so that notes can be told apart."""
    first = np.clip(window.column(notes["time"]), 0, window.columns - 1).astype(np.int64)
    stop = np.floor(window.column(notes["time"] + notes["duration"]) + 0.3).astype(np.int64)
    return list(zip(first.tolist(), np.clip(stop, first + 1, window.columns).tolist(), strict=True))


def _pitch_rows(tracks: list[tuple[int, NoteArray]], window: _Window, pen: _Pen, empty: list[str]) -> list[str]:
    low = min(int(notes["pitch"].min()) for _, notes in tracks)
    high = max(int(notes["pitch"].max()) for _, notes in tracks)
    each = -(-(high - low + 1) // (2 * MOST_ROWS))  # semitones of half a row
    low -= low % each
    count = (high - low) // each + 1
    count += count % 2
    cells: Cells = np.full((count, window.columns), -1, np.int64)
    for number, notes in sorted(tracks, key=lambda item: -float(item[1]["duration"].mean())):  # short notes on top
        for pitch, (first, stop) in zip(notes["pitch"].tolist(), _spans(notes, window), strict=True):
            cells[count - 1 - (pitch - low) // each, first:stop] = number
    rows = []
    for top in range(0, count, 2):
        pitches = range(low + (count - top - 2) * each, low + (count - top) * each)
        label = next((f"C{pitch // 12 - 1}" for pitch in pitches if pitch % 12 == 0), "")
        pairs = zip(cells[top].tolist(), cells[top + 1].tolist(), empty, strict=True)
        rows.append(pen.dim(f"{label:>{_MARGIN - 1}} ") + "".join(pen.letter(*pair) for pair in pairs))
    return rows


def _drum_rows(tracks: list[tuple[int, NoteArray]], window: _Window, pen: _Pen, empty: list[str]) -> list[str]:
    known = frozenset().union(*(pitches for _, pitches in DRUM_GROUPS))
    rows = []
    for name, pitches in (*DRUM_GROUPS, (OTHER_DRUMS, frozenset(range(128)) - known)):
        letters, struck = list(empty), False
        for number, notes in tracks:
            mine = notes[np.isin(notes["pitch"], list(pitches)) & (notes["time"] >= window.start - 1e-6)]
            for first, _ in _spans(mine, window):
                letters[first] = pen.paint("\u25a0" if pen.unicode else "x", number)
                struck = True
        if struck:
            rows.append(pen.dim(f"{name:>{_MARGIN - 1}} ") + "".join(letters))
    return rows
