"""The data card: one HTML file that says what a data set holds, where it comes from and how to make it again.

In: `DatasetStats`, `ShardStats`, examples, the build's settings and digest. Out: the page as text. It loads nothing,
runs no script, follows the reader's light or dark setting and prints. Every name comes from files and is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from midi_llm.data.page import header, json_block, page, section
from midi_llm.data.plots import (
    bars,
    circle_of_fifths_svg,
    compact,
    histogram_svg,
    program_grid,
    share,
    small_roll,
    table,
    text,
    waterfall,
)
from midi_llm.data.stats import DatasetStats, ShardStats
from midi_llm.music.score import Score
from midi_llm.version import VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class CardExample:
    """A caption as it is trained on, its music, and a word on where it comes from."""

    caption: str
    score: Score
    origin: str = ""


def data_card(
    stats: DatasetStats,
    *,
    title: str,
    settings: Mapping[str, Any],
    digest: str,
    shards: Sequence[ShardStats] = (),
    examples: Sequence[CardExample] = (),
) -> str:
    """The page. `settings` (JSON-able) are printed as they are, `digest` is the manifest's SHA-256."""
    sections = [
        _kept(stats),
        _shapes(stats),
        _instruments(stats),
        _harmony(stats),
        _words(stats),
        _licences(stats),
        _rows(shards),
        _examples(examples),
        _again(settings, digest),
    ]
    body = _header(stats, title, shards) + "\n".join(part for part in sections if part)
    return page(f"{title}: data card", body)


def _header(stats: DatasetStats, title: str, shards: Sequence[ShardStats]) -> str:
    kept = stats.kept
    figures = [
        ("pieces", f"{kept.pieces:,}"),
        ("notes", compact(kept.notes)),
        ("hours of music", f"{kept.hours:,.0f}" if kept.hours >= 10 else f"{kept.hours:.1f}"),
        ("works", f"{stats.works:,}"),
        ("sources", str(len(stats.sources))),
        ("licences", str(len(stats.licences))),
    ]
    figures += [(f"ids in {len(shards)} row sets", compact(sum(one.ids for one in shards)))] if shards else []
    made = (
        f" {share(stats.synthetic, kept.pieces)} of them were composed or arranged by programs."
        if stats.synthetic
        else ""
    )
    lead = f"{kept.pieces:,} pieces of symbolic music with {kept.notes:,} notes.{made}"
    return header("Data card", title, lead, figures)


def _kept(stats: DatasetStats) -> str:
    """What was found, what was dropped and why, by source, and the splits."""
    funnel = waterfall(("found", stats.found), stats.dropped, ("kept", stats.kept.pieces))
    sources = [
        [
            text(source.name),
            f"{source.found:,}",
            f"{source.kept.pieces:,}",
            compact(source.kept.notes),
            f"{source.kept.hours:,.1f}",
            share(source.kept.notes, stats.kept.notes),
            text(", ".join(f"{reason} {count:,}" for reason, count in source.dropped.items()) or "none"),
        ]
        for source in stats.sources
    ]
    splits = [
        [text(name), f"{a.pieces:,}", share(a.pieces, stats.kept.pieces), compact(a.notes), f"{a.hours:,.1f}"]
        for name, a in stats.splits.items()
    ]
    return section(
        "What was kept",
        "Pieces as found in the sources, why some are not used, and how the others are split. A piece is dropped for"
        " the first reason that applies. The share of a source is that of its notes.",
        f"<div class='grid'><div><h3>Pieces</h3>{funnel}</div>"
        f"<div><h3>Splits</h3>{table(['', 'pieces', 'share', 'notes', 'hours'], splits)}</div></div>",
        "<h3 style='margin-top:1.6rem'>Sources</h3>",
        table(["", "found", "kept", "notes", "hours", "share", "dropped"], sources, words=(0, 6)),
    )


def _shapes(stats: DatasetStats) -> str:
    plots = (
        histogram_svg(stats.seconds, title="Length", axis="seconds"),
        histogram_svg(stats.notes_per_second, title="Density", axis="notes per second"),
        histogram_svg(stats.bpm, title="Tempo", axis="beats per minute"),
        histogram_svg(
            stats.instruments_per_piece, title="Instruments in a piece", axis="instruments, drums count as one"
        ),
    )
    return section(
        "Length, density, tempo, size",
        "Over whole pieces. The tempo is the one that lasts longest, of pieces whose tempo somebody chose. The last bar"
        " of a plot holds all that lies beyond.",
        f"<div class='grid pair'>{''.join(plots)}</div>",
    )


def _instruments(stats: DatasetStats) -> str:
    return section(
        "Instruments",
        "In how many pieces each General MIDI program is used, eight programs a family from left to right: the"
        " stronger the colour, the more. On the right: pieces that use the family.",
        program_grid(stats.instruments, stats.families, whole=stats.kept.pieces),
    )


def _harmony(stats: DatasetStats) -> str:
    keyed = sum(stats.keys.values())
    return section(
        "Keys and metres",
        f"Keys of {keyed:,} pieces around the circle of fifths, known from the source or estimated from the notes:"
        " major outside, minor inside. Metres are those that the files name.",
        f"<div class='grid'>{circle_of_fifths_svg(stats.keys, title='Keys')}<div><h3>Metres</h3>"
        f"{bars(stats.metres, most=12, whole=stats.kept.pieces)}</div></div>",
    )


def _words(stats: DatasetStats) -> str:
    whole = stats.kept.pieces
    columns = (("Genres", stats.genres), ("Moods", stats.moods), ("What the sources say", stats.known))
    return section(
        "Words",
        "What is said about the pieces, as the sources say it; a piece may have several genres and moods.",
        "<div class='grid'>"
        + "".join(f"<div><h3>{name}</h3>{bars(counts, most=18, whole=whole)}</div>" for name, counts in columns)
        + "</div>",
    )


def _licences(stats: DatasetStats) -> str:
    rows = [
        [
            text(licence.name),
            f"{licence.kept.pieces:,}",
            share(licence.kept.pieces, stats.kept.pieces),
            compact(licence.kept.notes),
            f"{licence.attributions:,}",
        ]
        for licence in stats.licences
    ]
    return section(
        "Licences and attribution",
        "As the sources state them, per piece. The last column counts the different attribution texts; they are in the"
        " manifest and go with everything made from these pieces.",
        table(["", "pieces", "share", "notes", "attributions"], rows),
    )


def _rows(shards: Sequence[ShardStats]) -> str:
    """Training rows; nothing when there are none."""
    if not shards:
        return ""
    overview = [
        [
            text(s.name),
            f"{s.rows:,}",
            f"{s.length:,}",
            f"{s.segments:,}",
            compact(s.ids),
            share(s.fill, 1),
            share(s.captioned, 1),
        ]
        for s in shards
    ]
    largest = max(shards, key=lambda one: one.ids)
    return section(
        "Training rows",
        "Windows of the pieces as token ids. Filled is the share of places that hold an id; captioned the share of"
        f" music with a prompt. The plots are of {text(largest.name)}.",
        table(["", "rows", "ids a row", "examples", "ids", "filled", "captioned"], overview),
        "<div class='grid' style='margin-top:1.6rem'>",
        histogram_svg(largest.caption_words, title="Words in a caption", axis="words", of="captions"),
        f"<div><h3>Kinds of example</h3>{bars(largest.kinds, whole=largest.segments)}</div>",
        f"<div><h3>Examples by source</h3>{bars(largest.sources, whole=largest.segments)}</div></div>",
    )


def _examples(examples: Sequence[CardExample]) -> str:
    """Captions and small piano rolls; nothing when there are none."""
    figures = [
        f"<figure><blockquote>{text(example.caption)}</blockquote>{small_roll(example.score)}"
        + (f"<figcaption>{text(example.origin)}</figcaption>" if example.origin else "")
        + "</figure>"
        for example in examples
    ]
    about = "Captions as they are trained on, each with the music it describes: time to the right, pitch upwards."
    return section("Examples", about, f"<div class='grid pair examples'>{''.join(figures)}</div>") if figures else ""


def _again(settings: Mapping[str, Any], digest: str) -> str:
    return section(
        "To make it again",
        "The same sources, settings and version give the same manifest, byte for byte, with any number of workers.",
        f"<p>SHA-256 of the manifest<br><code>{text(digest)}</code><br>midi-llm {text(VERSION)}</p>",
        json_block(settings),
    )
