"""Interval plots: a dot with whiskers for each set, over the distribution of its takes, on one axis a metric.

In: names and `Result`s. Out: inline SVG with every name escaped; colours come from the style sheets, by class. The same
input gives the same text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from midi_llm.data.plots import ends, image, text
from midi_llm.evaluate.metric import Floats, Result
from midi_llm.evaluate.report.wording import Said

_WIDE = 330.0
_LETTER = 6.8
"""Rough width of a letter at 11 px: SVG text cannot be measured here."""
_MOST_LETTERS = 20
_GAP, _HEAD, _FOOT, _MARK_HEAD = 9.0, 4.0, 20.0, 14.0
_FLAT_ROW, _TALL_ROW, _SHAPE, _LEAST = 17.0, 27.0, 16.0, 1.2
_BINS = 32
_FEWEST_VALUES = 5
_TAILS = (2.0, 98.0)
"""Percentiles of the takes that the axis holds; what lies beyond is counted in its last bins."""
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_SHARE_TOPS = (0.1, 0.2, 0.5, 1.0)
_MOST_STEPS = 5
_LARGEST = 1e15
"""Values beyond, and what is no number, do not move the axis."""
_LEAST_SPAN = 1e-4
"""An axis of less, relative to its values, is widened: its labels would be equal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A row of a plot."""

    name: str
    result: Result
    said: Said
    is_tested: bool
    """Of the system under test."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """Values `low` to `high` with labels at `ticks`."""

    low: float
    high: float
    ticks: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plot:
    """Where things are, in pixels."""

    left: float
    right: float
    axis: Axis

    def x(self, value: float) -> float:
        share = (min(max(value, self.axis.low), self.axis.high) - self.axis.low) / (self.axis.high - self.axis.low)
        return self.left + share * (self.right - self.left)


def interval_plot(lines: Sequence[Line], *, title: str, mark: float = math.nan) -> str:
    """Dots with whiskers, one line under the other, values at the right. `mark` is a dashed line across, with a label.

    Takes are shown where they are at least five with more values than two; a rate of yes and no has no shape.
    """
    shapes = [takes_with_shape(line.result) for line in lines]
    axis = axis_for([line.result for line in lines], [shape for shape in shapes if shape is not None], mark)
    names = [shortened(line.name) for line in lines]
    plot = _Plot(
        left=_GAP + _LETTER * max(map(len, names)),
        right=_WIDE - _GAP - _LETTER * max(len(line.said.value) for line in lines),
        axis=axis,
    )
    top = _HEAD + (0.0 if math.isnan(mark) else _MARK_HEAD)
    height = _FLAT_ROW if all(shape is None for shape in shapes) else _TALL_ROW
    is_alone = all(line.is_tested for line in lines)
    y, rows = top, []
    for line, name, shape in zip(lines, names, shapes, strict=True):
        y += height
        style = ("tested" if is_alone else "tested strong") if line.is_tested else ""
        rows.append(_row(line, name, shape, plot, y - 6.0, style))
    parts = [*_grid(plot, top, y, _beyond(shapes, axis)), *rows, *_mark(plot, mark, top, y)]
    label = f"{title}: " + "; ".join(f"{line.name} {line.said.value}" for line in lines)
    return f"<svg class='plot' viewBox='0 0 {_WIDE:g} {y + _FOOT:g}' {image(label)}>{''.join(parts)}</svg>"


def takes_with_shape(result: Result) -> Floats | None:
    """The values of the takes, where they are worth a shape; None else."""
    values = np.array([value for value in result.values if math.isfinite(value)])
    return values if len(values) >= _FEWEST_VALUES and len(np.unique(values)) > 2 else None


def axis_for(results: Sequence[Result], shapes: Sequence[Floats], mark: float = math.nan) -> Axis:
    """An axis that holds all intervals and nearly all takes. Shares begin at 0, others where they are not far from it.

    Shares end at 1, or at 0.1, 0.2 or 0.5 where all are small.
    """
    found = [value for one in results for value in (one.value, one.low, one.high)]
    found += [float(value) for shape in shapes for value in np.percentile(shape, _TAILS)]
    drawn = [value for value in (*found, mark) if abs(value) <= _LARGEST]
    low, high = min(drawn, default=0.0), max(drawn, default=1.0)
    if results[0].metric.unit == "share" and low >= 0 and high <= 1:
        return _stepped(0.0, next(top for top in _SHARE_TOPS if top >= (high or 1.0)))
    if 0 <= low < 0.4 * high:
        low = 0.0
    if high - low <= _LEAST_SPAN * max(abs(low), abs(high), _LEAST_SPAN):
        room = max(abs(high) * 0.1, 0.5)
        low, high = (0.0, high + room) if low == 0 else (low - room, high + room)
    return _stepped(low, high)


def _stepped(low: float, high: float) -> Axis:
    """Round ends and at most `_MOST_STEPS` steps between them, one more where the ends are moved."""
    rough = (high - low) / _MOST_STEPS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(one * power for one in _STEPS if one * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(number * step for number in range(first, last + 1))
    return Axis(low=ticks[0], high=ticks[-1], ticks=ticks)


def shortened(name: str) -> str:
    """At most 20 letters; what is left out is in the middle, since names differ at their ends."""
    if len(name) <= _MOST_LETTERS:
        return name
    tail = _MOST_LETTERS // 2
    return f"{name[: _MOST_LETTERS - tail - 1]}…{name[-tail:]}"


def _grid(plot: _Plot, top: float, bottom: float, beyond: tuple[bool, bool]) -> list[str]:
    """A line and a label for each tick; the first and the last say when takes lie beyond."""
    ticks = plot.axis.ticks
    labels = [f"{value:.6g}" for value in ticks]
    labels[0] = f"{'≤' if beyond[0] else ''}{labels[0]}"
    labels[-1] = f"{labels[-1]}{'+' if beyond[1] else ''}"
    every = _label_every(labels, plot)
    parts = []
    for place, (value, label) in enumerate(zip(ticks, labels, strict=True)):
        x = plot.x(value)
        parts.append(f"<line class='rule' {ends(x, top, x, bottom)}/>")
        if place % every == 0:
            parts.append(f"<text x='{x:.1f}' y='{bottom + 13:.1f}' text-anchor='middle'>{label}</text>")
    return parts


def _label_every(labels: Sequence[str], plot: _Plot) -> int:
    """Every how manyth tick has room for its label, the first and the last among them."""
    steps = len(labels) - 1
    wide = _LETTER * max(map(len, labels)) + _GAP
    fits = (n for n in range(1, steps) if steps % n == 0 and (plot.right - plot.left) * n / steps >= wide)
    return next(fits, steps)


def _beyond(shapes: Sequence[Floats | None], axis: Axis) -> tuple[bool, bool]:
    """Whether any take lies below the axis, and above it."""
    known = [shape for shape in shapes if shape is not None]
    return any(shape.min() < axis.low for shape in known), any(shape.max() > axis.high for shape in known)


def _row(line: Line, name: str, shape: Floats | None, plot: _Plot, y: float, style: str) -> str:
    """Name, shape, interval, dot and value of one line, standing on `y`."""
    said = line.said
    told = " ".join(part for part in (f"{line.name}:", said.value, said.interval, said.count) if part)
    kind = f"row {style}".strip()
    parts = [
        f"<title>{text(told)}</title>",
        f"<text class='name' x='0' y='{y + 4:.1f}'>{text(name)}</text>",
        f"<text class='value' x='{_WIDE:g}' y='{y + 4:.1f}' text-anchor='end'>{text(said.value)}</text>",
    ]
    if shape is not None:
        parts.append(f"<path class='shape' d='{_bars(shape, plot, y)}'/>")
    if math.isfinite(line.result.low) and math.isfinite(line.result.high):
        parts.append(f"<line class='span' {ends(plot.x(line.result.low), y, plot.x(line.result.high), y)}/>")
    if math.isfinite(line.result.value):
        parts.append(f"<circle class='dot' cx='{plot.x(line.result.value):.1f}' cy='{y:.1f}' r='3.6'/>")
    return f"<g class='{kind}'>{''.join(parts)}</g>"


def _bars(shape: Floats, plot: _Plot, y: float) -> str:
    """A histogram of the takes over the axis as one path; the fullest bin is as high as any other set's."""
    axis = plot.axis
    counts, edges = np.histogram(np.clip(shape, axis.low, axis.high), bins=_BINS, range=(axis.low, axis.high))
    heights = np.where(counts, np.maximum(counts / counts.max() * _SHAPE, _LEAST), 0.0)
    wide = (plot.right - plot.left) / _BINS
    return "".join(
        f"M{plot.x(edge):.1f} {y:.1f}v-{tall:.1f}h{wide - 0.8:.1f}v{tall:.1f}z"
        for edge, tall in zip(edges[:-1].tolist(), heights.tolist(), strict=True)
        if tall
    )


def _mark(plot: _Plot, mark: float, top: float, bottom: float) -> list[str]:
    """The dashed line of `mark` and its label above."""
    if math.isnan(mark):
        return []
    x = plot.x(mark)
    return [
        f"<line class='mark' {ends(x, top - 3, x, bottom)}/>",
        f"<text class='small' x='{min(max(x, plot.left + 30), plot.right - 30):.1f}' y='{top - 6:.1f}'"
        " text-anchor='middle'>estimator</text>",
    ]
