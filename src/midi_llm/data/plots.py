"""Plots of counts as HTML and inline SVG: bars, histograms, the circle of fifths, the grid of General MIDI programs.

In: names, counts and `Histogram`s. Out: fragments of markup with every name escaped; colours and type come from
`card.css`, by class. The same input gives the same text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from midi_llm.data.stats import Histogram
from midi_llm.music.instruments import DRUMS_NAME, FAMILIES, family_instruments, instrument_name
from midi_llm.music.names import clean_text
from midi_llm.music.roll import piano_roll_svg
from midi_llm.music.score import DRUMS, Score

FIFTHS = ("C", "G", "D", "A", "E", "B", "Gb", "Db", "Ab", "Eb", "Bb", "F")
_WIDE, _TALL = 400.0, 190.0
_ROLL_WIDTH, _ROLL_HEIGHT, _LEGEND_HEIGHT = 520, 190, 18
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 18.0, 18.0, 40.0


def text(value: object) -> str:
    """`value` as text that may stand in markup and in quoted attributes; what cannot be seen becomes a space."""
    return escape(clean_text(str(value)), quote=True)


def compact(value: float) -> str:
    """Three figures: 512, 1.2 k, 33.0 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= 0.9995 * size:
            scaled = value / size
            return f"{scaled:.0f}{unit}" if scaled >= 99.95 else f"{scaled:.1f}{unit}"
    return f"{value:.0f}"


def share(part: float, whole: float) -> str:
    """Per cent, as far as they say something: 12 %, 1.3 %, <0.1 %."""
    percent = 100.0 * part / whole if whole else 0.0
    if percent >= 9.95 or percent == 0.0:
        return f"{percent:.0f} %"
    return f"{percent:.1f} %" if percent >= 0.05 else "<0.1 %"


def bars(counts: Mapping[str, int], *, most: int = 20, whole: int) -> str:
    """A bar per name, the first `most` of them, with its count and its share of `whole`."""
    shown = list(counts.items())[:most]
    largest = max((count for _, count in shown), default=1) or 1
    cells = [
        f"<span class='name'>{text(name)}</span>{_track(0.0, count / largest)}"
        f"<span class='value'>{count:,} <small>{share(count, whole)}</small></span>"
        for name, count in shown
    ]
    more = len(counts) - len(shown)
    rest = f"<p class='soft'><small>and {more:,} more</small></p>" if more > 0 else ""
    return f"<div class='bars'>{''.join(cells)}</div>{rest}" if cells else "<p class='soft'>Nothing is known.</p>"


def waterfall(whole: tuple[str, int], losses: Mapping[str, int], rest: tuple[str, int]) -> str:
    """From `whole` (name, count) over what was lost and why down to `rest`, each bar where the last one ended."""
    total = whole[1] or 1
    cells = [(whole[0], whole[1], _track(0.0, 1.0))]
    left = whole[1]
    for reason, count in losses.items():
        left -= count
        cells.append((f"\N{MINUS SIGN} {reason}", count, _track(left / total, count / total, kind="gone")))
    cells.append((rest[0], rest[1], _track(0.0, rest[1] / total)))
    rows = [
        f"<span class='name'>{text(name)}</span>{track}"
        f"<span class='value'>{count:,} <small>{share(count, total)}</small></span>"
        for name, count, track in cells
    ]
    return f"<div class='bars'>{''.join(rows)}</div>"


def _track(start: float, length: float, kind: str = "") -> str:
    """One bar, from `start` on, as shares of its track."""
    name = f" class='{kind}'" if kind else ""
    offset = f"margin-left:{min(100 * start, 99.0):.2f}%;" if start else ""
    empty = "<span class='track'></span>"
    return f"<span class='track'><i{name} style='{offset}width:{100 * length:.2f}%'></i></span>" if length else empty


def histogram_svg(histogram: Histogram, *, title: str, axis: str, of: str = "pieces") -> str:
    """Bars over `axis` (its name and unit) with the median marked; the y axis counts `of`.

    Bins of width one hold whole numbers: they are named in the middle of their bars.
    """
    low, high = histogram.edges[0], histogram.edges[-1]
    is_whole = histogram.edges[1] - low == 1.0
    centre, last = (0.5, histogram.edges[-2]) if is_whole else (0.0, high)
    floor = _TALL - _BOTTOM

    def x(value: float) -> float:
        return _LEFT + (min(max(value, low), high) - low) / (high - low) * (_WIDE - _LEFT - _RIGHT)

    parts = _y_axis(top := _round_up(max(histogram.counts)), of)
    for left, right, count in zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False):
        name = f"{left:g}" if is_whole else f"{left:g} to {right:g}"
        if count:
            parts.append(_bar(x(left), x(right), max(count / top * (floor - _TOP), 0.8), f"{name}: {count:,} {of}"))
    for value in _ticks(low, last):
        where = f"x='{x(value + centre):.1f}' y='{floor + 15:g}' text-anchor='middle'"
        parts.append(f"<text {where}>{value:g}{'+' if value == last else ''}</text>")
    parts.append(f"<text x='{(_LEFT + _WIDE - _RIGHT) / 2}' y='{_TALL - 6}' text-anchor='middle'>{text(axis)}</text>")
    middle = histogram.percentiles[1]
    parts += _median(x(middle + centre), floor, middle) if sum(histogram.counts) else []
    label = f"{title}: median {middle:.3g}, {axis}"
    return figure(title, f"<svg class='plot' viewBox='0 0 {_WIDE:g} {_TALL:g}' {image(label)}>{''.join(parts)}</svg>")


def _y_axis(top: float, of: str) -> list[str]:
    """Lines and labels at nothing, half and `top`, and what is counted."""
    parts = [f"<text x='{_LEFT:g}' y='11'>{text(of)}</text>"]
    for count in (0.0, top / 2, top):
        y = _TALL - _BOTTOM - count / top * (_TALL - _BOTTOM - _TOP)
        parts.append(f"<line class='{'rule' if count else 'axis'}' {ends(_LEFT, y, _WIDE - _RIGHT, y)}/>")
        parts.append(f"<text x='{_LEFT - 6:g}' y='{y + 4:.1f}' text-anchor='end'>{compact(count)}</text>")
    return parts


def _bar(left: float, right: float, height: float, label: str) -> str:
    place = f"x='{left + 0.6:.1f}' y='{_TALL - _BOTTOM - height:.1f}' width='{right - left - 1.2:.1f}'"
    return f"<rect class='bar' {place} height='{height:.1f}'><title>{text(label)}</title></rect>"


def _median(x: float, bottom: float, value: float) -> list[str]:
    """A dashed line and its label, to the side where there is room."""
    anchor, step = ("end", -5) if x > 0.7 * _WIDE else ("start", 5)
    return [
        f"<line class='mark' {ends(x, _TOP - 8, x, bottom)}/>",
        f"<text class='strong' x='{x + step:.1f}' y='{_TOP - 1:.1f}' text-anchor='{anchor}'>median {value:.3g}</text>",
    ]


def circle_of_fifths_svg(keys: Mapping[str, int], *, title: str) -> str:
    """Keys ("Bb minor") around the circle, major outside, relative minor inside, stronger for more pieces."""
    most = max(keys.values(), default=0) or 1
    total = sum(keys.values())
    parts = []
    for place, tonic in enumerate(FIFTHS):
        relative = FIFTHS[(place + 3) % 12]
        for key, label, inner, outer in (
            (f"{tonic} major", tonic, 104.0, 168.0),
            (f"{relative} minor", f"{relative}m", 48.0, 104.0),
        ):
            count = keys.get(key, 0)
            path = _sector(place, inner, outer)
            middle = (inner + outer) / 2
            angle = math.radians(30 * place - 90)
            x, y = middle * math.cos(angle), middle * math.sin(angle)
            parts.append(
                f"<path class='back' d='{path}'/>"
                f"<path class='shade' d='{path}' fill-opacity='{0.72 * count / most:.3f}'>"
                f"<title>{key}: {count:,}</title></path>"
                f"<text x='{x:.1f}' y='{y + 1:.1f}' text-anchor='middle'>{label}</text>"
                f"<text class='small' x='{x:.1f}' y='{y + 14:.1f}' text-anchor='middle'>{share(count, total)}</text>"
            )
    parts.append(f"<text x='0' y='1' text-anchor='middle'>{compact(total)}</text>")
    parts.append("<text class='small' x='0' y='15' text-anchor='middle'>pieces</text>")
    svg = f"<svg class='plot circle' viewBox='-172 -172 344 344' {image(title)}>{''.join(parts)}</svg>"
    return figure(title, svg)


def _sector(place: int, inner: float, outer: float) -> str:
    """A ring's twelfth whose middle is `place` hours after noon."""
    angles = [math.radians(30 * (place + side) - 90) for side in (-0.5, 0.5)]
    (c1, s1), (c2, s2) = [(math.cos(angle), math.sin(angle)) for angle in angles]
    return (
        f"M{outer * c1:.1f} {outer * s1:.1f}A{outer:g} {outer:g} 0 0 1 {outer * c2:.1f} {outer * s2:.1f}"
        f"L{inner * c2:.1f} {inner * s2:.1f}A{inner:g} {inner:g} 0 0 0 {inner * c1:.1f} {inner * s1:.1f}Z"
    )


def program_grid(instruments: Mapping[int, int], families: Mapping[str, tuple[int, int]], *, whole: int) -> str:
    """The 128 programs, a row per family, shaded by the number of pieces (its root: half as dark is a quarter)."""
    most = max(instruments.values(), default=0) or 1
    rows = []
    for family in (*FAMILIES, DRUMS_NAME):
        cells = [_cell(instrument, instruments.get(instrument, 0), most) for instrument in family_instruments(family)]
        pieces = families.get(family, (0, 0))[0]
        value = f"<td class='number'>{compact(pieces)} <small>{share(pieces, whole)}</small></td>"
        rows.append(f"<tr><th scope='row'>{text(family)}</th>{''.join(cells)}{value}</tr>")
    return f"<table class='programs'><tbody>{''.join(rows)}</tbody></table>"


def _cell(instrument: int, count: int, most: int) -> str:
    depth = 0.75 * math.sqrt(count / most)
    shade = f"<i style='opacity:{depth:.3f}'></i>" if count else ""
    number = compact(count).replace(" ", "") if count else ""
    wide = " colspan='8'" if instrument == DRUMS else ""
    return f"<td{wide} title='{text(instrument_name(instrument))}: {count:,}'>{shade}<span>{number}</span></td>"


def small_roll(score: Score) -> str:
    """A piano roll for a column of a page, high enough for a legend with two instruments a row."""
    instruments = len({track.instrument for track in score.tracks})
    height = _ROLL_HEIGHT + _LEGEND_HEIGHT * ((instruments + 1) // 2)
    return piano_roll_svg(score, width=_ROLL_WIDTH, height=height)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, words: Sequence[int] = (0,)) -> str:
    """A table of ready cells; the columns `words` hold words, the others numbers."""
    kinds = ["name" if place in words else "number" for place in range(len(head))]

    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag} class='{k}'>{c}</{tag}>" for k, c in zip(kinds, cells, strict=True)) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f"<div class='scroll'><table><thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table></div>"


def figure(title: str, drawing: str) -> str:
    """A drawing under its caption."""
    return f"<figure><figcaption>{text(title)}</figcaption>{drawing}</figure>"


def image(label: str) -> str:
    """Attributes of an SVG that a screen reader reads as one picture."""
    return f"role='img' aria-label='{text(label)}'"


def ends(x1: float, y1: float, x2: float, y2: float) -> str:
    """Attributes of a line."""
    return f"x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}'"


def _round_up(value: float) -> float:
    """The next 1, 2, 4, 6 or 8 times a power of ten, at least 2: half of it is whole."""
    power = 10.0 ** math.floor(math.log10(max(value, 2)))
    return max(next((step * power for step in (1, 2, 4, 6, 8) if step * power >= value), 10 * power), 2.0)


def _ticks(low: float, high: float) -> list[float]:
    """At most nine round values from `low` to `high`, both included."""
    size = 10.0 ** math.floor(math.log10((high - low) / 6))
    step = next(s * size for s in (1, 2, 5, 10) if (high - low) / (s * size) <= 6)
    values = [step * n for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
    inner = [value for value in values if low + 0.4 * step < value < high - 0.4 * step]
    return [low, *inner, high]
