"""The mixture: how many training rows each piece gives, so that no large source drowns a small one.

In: the pieces of one split and a total. Out: an integer per piece, exactly that total. Three steps: shares by source;
inside a source by genre, each genre's size to a power below 1 (temperature sampling, power = 1 / temperature:
Arivazhagan et al. 2019, arXiv 1907.05019); inside a genre by the piece's capped length to a power. Fractions are
rounded by systematic sampling (Madow & Madow 1944): every piece and every source gets its expectation rounded up or
down, and a piece worth a third of a row gets one with a third of the seeds. Rounding by largest remainder would
always drop the same pieces where there are more pieces than rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from midi_llm.data.manifest import PieceRow
from midi_llm.errors import DatasetError

SOURCE_WEIGHTS: Mapping[str, float] = {
    "mma-arranged": 0.24, "bandgen": 0.14, "mma-pd-tunes": 0.07, "freedoom": 0.06, "freedoom-history": 0.03,
    "simutrans": 0.03, "easyrpg": 0.004, "blasphemer": 0.004, "mutopia": 0.09, "groove-midi": 0.03,
    "openscore-quartets": 0.05, "openscore-orchestra": 0.05, "openscore-lieder": 0.05, "chopin-first-editions": 0.03,
    "open-hymnal": 0.008, "polish-scores": 0.12,
}  # fmt: skip
"""Share of rows by source of the small model: our choice, so that 11 M notes of old scores do not drown the modern
pieces, and that the smallest sources (two of 0.05 M ids) are seen some 20 times in 250 M ids and not 100 times."""
GENRE_EXPONENT = 0.5
LENGTH_EXPONENT = 0.5
MAX_LENGTH_NOTES = 10_000
"""A piece counts as no longer than this: about 15 windows. With the two exponents, our choice."""

_Floats = npt.NDArray[np.float64]


def rows_per_piece(
    rows: Sequence[PieceRow],
    *,
    total: int,
    seed: int,
    weights: Mapping[str, float] = SOURCE_WEIGHTS,
    genre_exponent: float = GENRE_EXPONENT,
    length_exponent: float = LENGTH_EXPONENT,
) -> npt.NDArray[np.int64]:
    """Rows to make of each of `rows`, int64 [n], parallel to them; dropped pieces give none. The sum is `total`.

    `weights` are normalised over the sources present; 0 leaves a source out. A source that they do not name weighs
    scale * sqrt(its notes), where scale makes the named ones weigh what they do: it is treated as an average one of
    its size (without any named source all go by sqrt of notes). A piece of several genres belongs to each in part.
    Raises `DatasetError` when there is nothing to draw from.
    """
    if not rows or total < 1 or any(not 0.0 <= weight < np.inf for weight in weights.values()):
        raise DatasetError(
            f"{len(rows)} pieces, total {total}, weights {dict(weights)}; at least one piece, a total of 1 or more and"
            " weights from 0 on are needed"
        )
    notes = np.array([0 if row.dropped else row.notes for row in rows], np.float64)
    names, sources = np.unique([row.source for row in rows], return_inverse=True)
    source_weights = _source_weights(names.tolist(), _sums(sources, notes), weights)
    sizes = np.minimum(notes, MAX_LENGTH_NOTES) ** length_exponent * (notes > 0)
    piece_weights = _tempered(rows, sources, sizes, genre_exponent)
    source_sums = _sums(sources, piece_weights)
    scale = np.divide(source_weights, source_sums, where=source_sums > 0, out=np.zeros_like(source_sums))
    shares = piece_weights * scale[sources]
    if not shares.sum() > 0:
        raise DatasetError(
            f"none of {len(rows)} pieces may be drawn: all are dropped, or their sources"
            f" ({', '.join(names.tolist())}) have weight 0"
        )
    genres = np.unique([row.metadata.genres[0] if row.metadata.genres else "" for row in rows], return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.permutation(len(rows)), genres, sources))
    counts = np.empty(len(rows), np.int64)
    counts[order] = _systematic(shares[order] / shares.sum() * total, total, rng)
    return counts


def _source_weights(names: Sequence[str], notes: _Floats, weights: Mapping[str, float]) -> _Floats:
    """Weight of each source; one that is not named gets what a named one of its size would on average."""
    named = np.array([weights.get(name, np.nan) for name in names], np.float64)
    roots = np.sqrt(notes)
    known = (named > 0) & (notes > 0)  # a comparison with NaN is false
    scale = named[known].sum() / roots[known].sum() if known.any() else 1.0
    filled: _Floats = np.where(np.isnan(named), scale * roots, named)
    return filled


def _tempered(rows: Sequence[PieceRow], sources: npt.NDArray[np.intp], sizes: _Floats, exponent: float) -> _Floats:
    """Weight of each piece inside its source: its part of every genre's size, that size raised to `exponent`."""
    genres = [row.metadata.genres or ("",) for row in rows]
    counts = np.array([len(own) for own in genres], np.intp)
    piece = np.repeat(np.arange(len(rows)), counts)  # one entry per piece and genre
    labels = np.unique([genre for own in genres for genre in own], return_inverse=True)[1]
    cell = np.unique(sources[piece] * (labels.max() + 1) + labels, return_inverse=True)[1]  # (source, genre)
    entries = sizes[piece] / counts[piece]
    cell_sizes = _sums(cell, entries)
    factors = np.power(cell_sizes, exponent - 1, out=np.zeros_like(cell_sizes), where=cell_sizes > 0)
    return _sums(piece, entries * factors[cell])


def _sums(groups: npt.NDArray[np.intp], values: _Floats) -> _Floats:
    """Sum of `values` by group number."""
    return np.bincount(groups, values).astype(np.float64)


def _systematic(expected: _Floats, total: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Integers that sum to `total`, each (and each run of neighbours) its expectation rounded up or down."""
    edges = np.concatenate([[0.0], np.cumsum(expected)])
    edges[edges == edges[-1]] = total  # exactly; pieces without weight at the end stay without
    steps = np.minimum(np.floor(edges + rng.random()), total).astype(np.int64)
    return np.diff(steps)
