"""Packing: short examples share a row, so that little of a batch is padding.

In: `Segment`s of any length. Out: rows, each a list of segments of at most `length` ids in all. Best-fit decreasing:
the longest first, each into the fullest row that still has room (Ding et al. 2024, "Fewer Truncations Improve Language
Modeling", arXiv 2404.10830). Music is never cut here, since its times count from its window's start; text longer than
a row is. The result follows from the input alone.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import replace

from midi_llm.data.shards import Segment
from midi_llm.errors import DatasetError


def pack(segments: Iterable[Segment], *, length: int) -> list[list[Segment]]:
    """Rows of at most `length` ids that hold all of `segments` (but see `split_text`), in order of their first one.

    Raises `DatasetError` for music longer than a row.
    """
    pieces = [piece for segment in segments for piece in split_text(segment, length=length)]
    rows: list[list[Segment]] = []
    open_rows: list[tuple[int, int]] = []  # (room, row), ascending
    for piece in sorted(pieces, key=lambda piece: -len(piece.ids)):
        needed = len(piece.ids)
        at = bisect_left(open_rows, (needed, 0))
        if at < len(open_rows):
            room, row = open_rows.pop(at)
            rows[row].append(piece)
        else:
            room, row = length, len(rows)
            rows.append([piece])
        if room > needed:
            insort(open_rows, (room - needed, row))
    return rows


def split_text(segment: Segment, *, length: int) -> list[Segment]:
    """`segment` itself where it fits, else its text in stretches of `length` ids.

    A last stretch of one id is left out: a segment's first id is never learned. Raises `DatasetError` for music.
    """
    if len(segment.ids) <= length:
        return [segment]
    if segment.kind != "text":
        raise DatasetError(
            f"a {segment.kind} example of {segment.source} has {len(segment.ids)} ids, a row {length}; music cannot be"
            " split: cut its window to fit"
        )
    stretches = (segment.ids[start : start + length] for start in range(0, len(segment.ids) - 1, length))
    return [replace(segment, ids=ids, music_start=len(ids)) for ids in stretches]


def fill_rate(rows: Sequence[Sequence[Segment]], *, length: int) -> float:
    """Share of places that hold an id: 1 means no padding."""
    return sum(len(segment.ids) for row in rows for segment in row) / max(1, length * len(rows))
