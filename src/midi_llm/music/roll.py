"""A piano roll of a `Score` as one self-contained SVG text: time in seconds to the right, pitch upwards.

One colour per instrument with a legend, softer notes paler, drums as ticks in a lane of their own below. The same score
gives the same text, byte for byte. Colours carry their own background, so the picture reads on light and dark pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape

import numpy as np

from midi_llm.errors import RequestError
from midi_llm.music.features import instruments_by_sounding_time
from midi_llm.music.instruments import instrument_name
from midi_llm.music.names import clean_text
from midi_llm.music.score import DRUMS, NoteArray, Score

COLOURS = (
    *("#5b8ff9", "#f6903d", "#3ecf8e", "#e8684a", "#b37feb", "#f6c744", "#36cfc9", "#ff85c0"),
    *("#9ccc4a", "#8c9eff", "#d7a26b", "#5cdbd3", "#ef6b8a", "#7bb8f0", "#c0ca33", "#c8a2e8"),
)
"""Instruments in order of sounding time; beyond 16 the colours repeat."""

DRUM_COLOUR = "#aab4c8"
_BACKGROUND, _PANEL, _BLACK_KEY, _GRID, _LABEL, _TITLE = (
    "#161b26",
    "#1c2331",
    "#192030",
    "#2b3447",
    "#8c98ad",
    "#eef2f8",
)
_FONT = "font-family='-apple-system,Segoe UI,Helvetica,Arial,sans-serif'"
_BLACK_KEYS = (1, 3, 6, 8, 10)
_MARGIN_LEFT, _MARGIN_RIGHT, _AXIS, _LEGEND_ROW = 48.0, 16.0, 26.0, 18.0
_MIN_WIDTH, _MIN_HEIGHT = 200, 120
_MIN_SEMITONES, _MIN_PANEL = 18, 40.0
_NARROW, _WIDE = 4.0, 6.6
"""Rough widths of letters at 11 px: SVG text cannot be measured here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plot:
    """Where things are, in pixels: the pitch panel, the drum lane (height 0 without drums), and the scales."""

    width: float
    top: float
    bottom: float
    drum_top: float
    drum_bottom: float
    seconds: float
    low: int
    high: int

    def x(self, seconds: float) -> float:
        return _MARGIN_LEFT + seconds / self.seconds * (self.width - _MARGIN_LEFT - _MARGIN_RIGHT)

    @property
    def row(self) -> float:
        """Height of a semitone."""
        return (self.bottom - self.top) / (self.high - self.low + 1)

    def y(self, pitch: int) -> float:
        """Upper edge of the row of `pitch`."""
        return self.top + (self.high - pitch) * self.row


def piano_roll_svg(score: Score, *, title: str | None = None, width: int = 960, height: int = 400) -> str:
    """Draw `score` as an SVG of `width` x `height` pixels; `title` stands above it, or nothing when None.

    An empty score gives an empty roll. Raises `RequestError` below 200 x 120 pixels.
    """
    if width < _MIN_WIDTH or height < _MIN_HEIGHT:
        raise RequestError(f"a piano roll of {width} x {height} is too small; at least {_MIN_WIDTH} x {_MIN_HEIGHT}")
    instruments = [instrument for instrument, _ in instruments_by_sounding_time(score)]
    melodic = [instrument for instrument in instruments if instrument != DRUMS]
    colours = {instrument: COLOURS[index % len(COLOURS)] for index, instrument in enumerate(melodic)}
    colours |= {DRUMS: DRUM_COLOUR} if DRUMS in instruments else {}
    legend, legend_height = _legend(colours, width)
    head = 34.0 if title else 12.0
    plot = _plot(score, width, top=head, bottom=height - legend_height - 8.0)
    if plot.drum_bottom - head < _MIN_PANEL:
        raise RequestError(f"{len(colours)} instruments need more room than {width} x {height}: make the roll larger")
    name = escape(clean_text(title or "Piano roll"), {"'": "&apos;"})
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}'"
        f" role='img' aria-label='{name}'>",
        f"<rect width='{width}' height='{height}' rx='10' fill='{_BACKGROUND}'/>",
    ]
    if title:
        parts.append(_text(_MARGIN_LEFT, 23, name, size=14, colour=_TITLE, weight=600))
    parts += [*_panel(plot), *_time_axis(plot)]
    groups = [(_of(score, instrument), colours[instrument]) for instrument in melodic]
    groups.sort(key=lambda group: -float(group[0]["duration"].mean()))  # long notes first: short ones stay visible
    parts += [_notes(plot, notes, colour) for notes, colour in groups]
    if DRUMS in colours:
        parts.append(_drums(plot, _of(score, DRUMS)))
    parts.append(f"<g transform='translate(0 {_n(height - legend_height - 2.0)})'>{''.join(legend)}</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _plot(score: Score, width: int, *, top: float, bottom: float) -> _Plot:
    pitches = np.concatenate([np.empty(0, np.uint8)] + [t.notes["pitch"] for t in score.tracks if not t.is_drum])
    low, high = (int(pitches.min()) - 2, int(pitches.max()) + 2) if len(pitches) else (51, 69)
    missing = max(_MIN_SEMITONES - (high - low), 0)
    low, high = max(low - missing // 2, 0), min(high + (missing + 1) // 2, 127)
    panel_bottom = bottom - _AXIS
    has_drums = any(track.is_drum and len(track.notes) for track in score.tracks)
    if len(pitches) or not has_drums:
        lane = min(max((panel_bottom - top) * 0.16, 24.0), 64.0) if has_drums else 0.0
        gap = 6.0 if has_drums else 0.0
    else:  # drums alone get all the room
        lane, gap = panel_bottom - top, 0.0
    return _Plot(
        width=width,
        top=top,
        bottom=panel_bottom - lane - gap,
        drum_top=panel_bottom - lane,
        drum_bottom=panel_bottom,
        seconds=max(score.seconds, 1.0),
        low=low,
        high=high,
    )


def _of(score: Score, instrument: int) -> NoteArray:
    return np.concatenate([track.notes for track in score.tracks if track.instrument == instrument])


def _panel(plot: _Plot) -> list[str]:
    """Background of the pitch panel: rows of black keys, a line and a label for every C; and the drum lane."""
    left, wide = _MARGIN_LEFT, plot.width - _MARGIN_LEFT - _MARGIN_RIGHT
    parts = []
    if plot.bottom > plot.top:
        pitches = range(plot.low, plot.high + 1)
        parts.append(_rect(left, plot.top, wide, plot.bottom - plot.top, _PANEL))
        parts += [_rect(left, plot.y(p), wide, plot.row, _BLACK_KEY) for p in pitches if p % 12 in _BLACK_KEYS]
        for pitch in (p for p in pitches if p % 12 == 0):
            y = plot.y(pitch) + plot.row
            parts.append(_line(left, y, left + wide, y))
            parts.append(_text(left - 8, y - plot.row / 2 + 3.5, f"C{pitch // 12 - 1}", anchor="end"))
    if plot.drum_bottom > plot.drum_top:
        parts.append(_rect(left, plot.drum_top, wide, plot.drum_bottom - plot.drum_top, _PANEL))
        middle = (plot.drum_top + plot.drum_bottom) / 2 + 3.5
        parts.append(_text(left - 8, middle, "drums", anchor="end"))
    return parts


def _time_axis(plot: _Plot) -> list[str]:
    step = next((step for step in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600) if plot.seconds / step <= 12), 3600)
    step = max(step, int(plot.seconds / 24))
    parts = []
    for second in range(0, int(plot.seconds) + 1, step):
        x = plot.x(second)
        parts.append(_line(x, plot.top, x, plot.drum_bottom))
        label = f"{second} s" if plot.seconds < 120 else f"{second // 60}:{second % 60:02d}"
        parts.append(_text(x, plot.drum_bottom + 16, label, anchor="middle"))
    return parts


def _notes(plot: _Plot, notes: NoteArray, colour: str) -> str:
    """One group of rounded bars; opacity follows velocity."""
    tall = max(plot.row * 0.86, 2.0)
    bars = []
    for time, duration, pitch, velocity in np.sort(notes, order=["time", "pitch"]).tolist():
        x, y = plot.x(time), plot.y(pitch) + (plot.row - tall) / 2
        wide = max(plot.x(time + duration) - x - 0.6, 1.2)
        corner = min(tall / 2.5, wide / 2, 3.0)
        bars.append(
            f"<rect x='{_n(x)}' y='{_n(y)}' width='{_n(wide)}' height='{_n(tall)}' rx='{_n(corner)}'"
            f" opacity='{_n(_opacity(velocity))}'/>"
        )
    return f"<g fill='{colour}'>" + "".join(bars) + "</g>"


def _drums(plot: _Plot, notes: NoteArray) -> str:
    """One tick per stroke: its height in the lane is the order of its pitch among the drums used, low drums below."""
    used = np.unique(notes["pitch"]).tolist()
    lane = (plot.drum_bottom - plot.drum_top - 6.0) / len(used)
    tall = max(min(lane * 0.8, 14.0), 1.6)
    ticks = []
    for time, _, pitch, velocity in np.sort(notes, order=["time", "pitch"]).tolist():
        y = plot.drum_bottom - 3.0 - (used.index(pitch) + 0.5) * lane - tall / 2
        ticks.append(
            f"<rect x='{_n(plot.x(time))}' y='{_n(y)}' width='2' height='{_n(tall)}' rx='1'"
            f" opacity='{_n(_opacity(velocity))}'/>"
        )
    return f"<g fill='{DRUM_COLOUR}'>" + "".join(ticks) + "</g>"


def _opacity(velocity: int) -> float:
    """Of a note: a velocity of 30 can be told from one of 70 and one of 110, and nothing is invisible."""
    return min(0.2 + 0.8 * velocity / 110, 1.0)


def _legend(colours: dict[int, str], width: int) -> tuple[list[str], float]:
    """Legend entries in rows from y = 0 on, and the height they need."""
    parts, x, row = [], _MARGIN_LEFT, 0
    for instrument, colour in colours.items():
        name = instrument_name(instrument)
        wide = 36.0 + sum(_NARROW if letter in "fijlrtI() " else _WIDE for letter in name)
        if x + wide > width - _MARGIN_RIGHT and x > _MARGIN_LEFT:
            x, row = _MARGIN_LEFT, row + 1
        y = row * _LEGEND_ROW
        parts.append(_rect(x, y - 2, 10, 10, colour, corner=3))
        parts.append(_text(x + 15, y + 7, name, colour="#c3ccdb"))
        x += wide
    return parts, (row + 1) * _LEGEND_ROW + 2.0 if colours else 0.0


def _n(value: float) -> str:
    """Format a coordinate with two decimals at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _rect(x: float, y: float, wide: float, tall: float, colour: str, corner: float = 0) -> str:
    rx = f" rx='{_n(corner)}'" if corner else ""
    return f"<rect x='{_n(x)}' y='{_n(y)}' width='{_n(wide)}' height='{_n(tall)}'{rx} fill='{colour}'/>"


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f"<line x1='{_n(x1)}' y1='{_n(y1)}' x2='{_n(x2)}' y2='{_n(y2)}' stroke='{_GRID}'/>"


def _text(
    x: float, y: float, text: str, *, size: int = 11, colour: str = _LABEL, anchor: str = "start", weight: int = 400
) -> str:
    return (
        f"<text x='{_n(x)}' y='{_n(y)}' {_FONT} font-size='{size}' font-weight='{weight}' text-anchor='{anchor}'"
        f" fill='{colour}'>{text}</text>"
    )
