"""What a data set consists of, counted: its manifest rows, and the shards made of them.

In: manifest rows; an open `ShardSet`. Out: `DatasetStats` and `ShardStats`, numbers and names that turn into JSON.
Nothing is read from the pieces themselves. Everything but the counts of what was found is over kept pieces only.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from midi_llm.data.manifest import SPLITS, PieceRow
from midi_llm.data.shards import END, MUSIC_START, ROW, START, ShardSet
from midi_llm.data.windows import transpose_key
from midi_llm.music.instruments import DRUMS_NAME, FAMILIES, family_name

SECONDS_EDGES = tuple(range(0, 601, 20))
DENSITY_EDGES = tuple(range(0, 61, 2))
BPM_EDGES = tuple(range(30, 261, 10))
INSTRUMENT_EDGES = tuple(range(1, 18))
WORD_EDGES = tuple(range(0, 81, 4))
SAMPLED_ROWS = 2000
"""Rows whose prompts are decoded for the statistics of captions, evenly spaced."""
UNNAMED = "not stated"

Name = TypeVar("Name", str, int)


@dataclass(frozen=True, kw_only=True, slots=True)
class Histogram:
    """`counts[i]` values in [edges[i], edges[i + 1]); the outer bins also hold what lies beyond them."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    percentiles: tuple[float, float, float]
    """5th, 50th and 95th of the values; zeros when there are none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Amount:
    """How much music: pieces, notes and hours."""

    pieces: int
    notes: int
    hours: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceStats:
    """One source: pieces found, what was kept of them, and why others were not (pieces by reason)."""

    name: str
    found: int
    kept: Amount
    dropped: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class LicenceStats:
    """One licence: its pieces, and how many different attribution texts they ask for."""

    name: str
    kept: Amount
    attributions: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetStats:
    """A manifest in numbers. Mappings are pieces by name, most first; a piece may count under several genres or moods.

    `instruments` are pieces by instrument 0-128, `families` (pieces, notes) by General MIDI family and drums,
    `known` is how many pieces come with a title, composer, genre, mood, caption ... from their source.
    """

    found: int
    kept: Amount
    dropped: Mapping[str, int]
    sources: tuple[SourceStats, ...]
    splits: Mapping[str, Amount]
    licences: tuple[LicenceStats, ...]
    synthetic: int
    works: int
    """Groups of pieces that are one work; pieces without a group count one each."""
    seconds: Histogram
    notes_per_second: Histogram
    instruments_per_piece: Histogram
    bpm: Histogram
    instruments: Mapping[int, int]
    families: Mapping[str, tuple[int, int]]
    metres: Mapping[str, int]
    keys: Mapping[str, int]
    genres: Mapping[str, int]
    moods: Mapping[str, int]
    known: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardStats:
    """A set of shards. `kinds` and `sources` are segments by name; captions are counted in `sampled_rows` rows."""

    name: str
    rows: int
    length: int
    segments: int
    ids: int
    fill: float
    """Share of the rows' places that hold ids."""
    kinds: Mapping[str, int]
    sources: Mapping[str, int]
    sampled_rows: int
    captioned: float
    """Share of the sampled music segments with a prompt."""
    caption_words: Histogram


def dataset_stats(rows: Sequence[PieceRow]) -> DatasetStats:
    """Count `rows`, kept and dropped."""
    kept = [row for row in rows if row.dropped is None]
    timed = [row for row in kept if row.seconds > 0]
    return DatasetStats(
        found=len(rows),
        kept=_amount(kept),
        dropped=_counted(row.dropped for row in rows if row.dropped is not None),
        sources=_sources(rows),
        splits={split: _amount([row for row in kept if row.split == split]) for split in SPLITS},
        licences=_licences(kept),
        synthetic=sum(row.metadata.synthetic for row in kept),
        works=len({row.metadata.group or row.id for row in kept}),
        seconds=histogram([row.seconds for row in kept], SECONDS_EDGES),
        notes_per_second=histogram([row.notes / row.seconds for row in timed], DENSITY_EDGES),
        instruments_per_piece=histogram([len(row.instruments) for row in kept], INSTRUMENT_EDGES),
        bpm=histogram([row.bpm for row in kept if row.bpm and row.metadata.tempo_is_known], BPM_EDGES),
        instruments=_counted(instrument for row in kept for instrument in row.instruments),
        families=_families(kept),
        metres=_counted(f"{row.metre[0]}/{row.metre[1]}" for row in kept if row.metre),
        keys=_counted(key for row in kept if (key := transpose_key(row.key, 0))),
        genres=_counted(genre for row in kept for genre in set(row.metadata.genres)),
        moods=_counted(mood for row in kept for mood in set(row.metadata.moods)),
        known=_known(kept),
    )


def histogram(values: Sequence[float] | npt.NDArray[Any], edges: Sequence[float]) -> Histogram:
    """Count `values` between `edges` (ascending, at least two); those beyond fall into the outer bins."""
    array = np.asarray(values, np.float64)
    places = np.clip(np.searchsorted(edges, array, side="right") - 1, 0, len(edges) - 2)
    low, middle, high = np.percentile(array, (5, 50, 95)).tolist() if len(array) else (0.0, 0.0, 0.0)
    return Histogram(
        edges=tuple(float(edge) for edge in edges),
        counts=tuple(np.bincount(places, minlength=len(edges) - 1).tolist()),
        percentiles=(low, middle, high),
    )


def shard_stats(name: str, shards: ShardSet, decode: Callable[[list[int]], str]) -> ShardStats:
    """Count a set of shards; `decode` turns text ids into text (the tokenizer's).

    A prompt is a segment's ids before the id that starts the music; the prefix and suffix that the shards' settings
    name under "prompt" are no part of the caption.
    """
    info = shards.info
    picked = np.unique(np.linspace(0, len(shards) - 1, min(len(shards), SAMPLED_ROWS)).astype(np.int64))
    prompts = [prompt for part in np.array_split(picked, -(-len(picked) // 256)) for prompt in _prompts(shards, part)]
    form = info.get("settings", {}).get("prompt") or {}
    prefix, suffix = form.get("prefix", ""), form.get("suffix", "")
    texts = [decode(prompt).strip().removeprefix(prefix.strip()).removesuffix(suffix.strip()) for prompt in prompts]
    words = [len(text.split()) for text in texts]
    captions = [count for count in words if count]
    return ShardStats(
        name=name,
        rows=int(info["rows"]),
        length=shards.spec.length,
        segments=int(info["segments"]),
        ids=int(info["ids"]),
        fill=info["ids"] / (info["rows"] * shards.spec.length),
        kinds={kind: int(count["segments"]) for kind, count in info["by_kind"].items()},
        sources={source: int(count["segments"]) for source, count in info["by_source"].items()},
        sampled_rows=len(picked),
        captioned=len(captions) / len(words) if words else 0.0,
        caption_words=histogram(captions, WORD_EDGES),
    )


def stats_json(stats: DatasetStats | ShardStats) -> dict[str, Any]:
    """`stats` as values that `json.dumps` takes; instruments become strings there, as JSON's keys are."""
    return dataclasses.asdict(stats)


def summary(stats: DatasetStats) -> str:
    """A few lines for a terminal: what was kept, why the rest was not, and the splits."""
    lines = [
        f"{stats.kept.pieces:,} of {stats.found:,} pieces, {stats.kept.notes:,} notes, {stats.kept.hours:,.1f} h",
        *(f"  dropped  {count:>9,}  {reason}" for reason, count in stats.dropped.items()),
        *(
            f"  {split:<7}  {a.pieces:>9,}  {a.notes:>12,} notes  {a.hours:>9,.1f} h"
            for split, a in stats.splits.items()
        ),
    ]
    width = max((len(source.name) for source in stats.sources), default=0)
    lines += [f"  {s.name:<{width}}  {s.kept.pieces:>9,} of {s.found:>9,}" for s in stats.sources]
    return "\n".join(lines)


def _prompts(shards: ShardSet, rows: npt.NDArray[np.int64]) -> list[list[int]]:
    """Text ids before the music of every music segment of `rows`; an empty list where there are none."""
    batch = shards.batch(rows)
    table = batch.segments[batch.segments[:, MUSIC_START] < batch.segments[:, END]]
    return [batch.ids[row, start : music - 1].tolist() for row, start, music in table[:, [ROW, START, MUSIC_START]]]


def _counted(names: Iterable[Name]) -> dict[Name, int]:
    """Count, most first, ties by name, so that equal data give equal output."""
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


def _amount(rows: Sequence[PieceRow]) -> Amount:
    return Amount(pieces=len(rows), notes=sum(row.notes for row in rows), hours=sum(row.seconds for row in rows) / 3600)


def _by(rows: Sequence[PieceRow], name: Callable[[PieceRow], str]) -> dict[str, list[PieceRow]]:
    groups: dict[str, list[PieceRow]] = {}
    for row in rows:
        groups.setdefault(name(row), []).append(row)
    return groups


def _sources(rows: Sequence[PieceRow]) -> tuple[SourceStats, ...]:
    """Sources, most kept pieces first."""
    stats = [
        SourceStats(
            name=name,
            found=len(group),
            kept=_amount([row for row in group if row.dropped is None]),
            dropped=_counted(row.dropped for row in group if row.dropped is not None),
        )
        for name, group in _by(rows, lambda row: row.source).items()
    ]
    return tuple(sorted(stats, key=lambda source: (-source.kept.pieces, source.name)))


def _licences(kept: Sequence[PieceRow]) -> tuple[LicenceStats, ...]:
    """Licences, most pieces first."""
    stats = [
        LicenceStats(
            name=name,
            kept=_amount(group),
            attributions=len({row.metadata.attribution for row in group} - {""}),
        )
        for name, group in _by(kept, lambda row: row.metadata.licence or UNNAMED).items()
    ]
    return tuple(sorted(stats, key=lambda licence: (-licence.kept.pieces, licence.name)))


def _families(kept: Sequence[PieceRow]) -> dict[str, tuple[int, int]]:
    """(pieces, notes) of all families in General MIDI's order, and drums."""
    pieces: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    for row in kept:
        pieces.update({family_name(instrument) for instrument in row.instruments})
        for instrument, count in row.instruments.items():
            notes[family_name(instrument)] += count
    return {family: (pieces[family], notes[family]) for family in (*FAMILIES, DRUMS_NAME)}


def _known(kept: Sequence[PieceRow]) -> dict[str, int]:
    """Pieces about which the source says something, by what it says."""
    fields = ("title", "composer", "period", "genres", "moods", "captions", "key", "ensemble", "form", "attribution")
    known = {field: sum(bool(getattr(row.metadata, field)) for row in kept) for field in fields}
    known["tempo"] = sum(row.metadata.tempo_is_known and row.bpm is not None for row in kept)
    return dict(sorted(known.items(), key=lambda item: (-item[1], item[0])))
