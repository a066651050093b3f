"""A suffix array: all places of a long text of symbols in the order of what follows them, and the longest match there.

In: symbols of 10 bits in lines, each line ended by a separator that equals nothing, not even another separator.
Out: the order; for every place of a query the length of the longest run that the text has too; where a run stands.
Built by doubling the length looked at (Manber and Myers 1993, "Suffix Arrays: A New Method for On-Line String
Searches"), each time only where places are still alike (Larsson and Sadakane 2007, "Faster suffix sorting"); exact, at
any length. Knows no music and no files.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import partial

import numpy as np
import numpy.typing as npt

from midi_llm.data.lines import SEPARATOR, SYMBOL_BITS, IntArray, Symbols
from midi_llm.errors import DatasetError

STORED = np.dtype(">u2")
"""Symbols as they are searched: the order of their bytes is that of the symbols."""
MOST_SYMBOLS = 2**30
"""So many fit the keys of 64 bits. Sorting needs about 50 bytes a symbol."""

_PACKED = 60 // SYMBOL_BITS
"""Symbols in the first key."""

Order = npt.NDArray[np.int32]


def suffix_order(symbols: Symbols) -> Order:
    """The places of `symbols` [n] that hold no separator, sorted by what follows up to the separator.

    What is a beginning of another comes first; places with equal lines after them stand in the order of the text.
    Raises `DatasetError` for more than `MOST_SYMBOLS` symbols, or when the last one is not a separator.
    """
    count = len(symbols)
    if count > MOST_SYMBOLS or (count and symbols[-1] != SEPARATOR):
        raise DatasetError(
            f"{count} symbols are to be sorted; allowed are {MOST_SYMBOLS}, the last one a separator: build an index"
            " of fewer pieces"
        )
    left = symbols_left(symbols)
    key = _first_keys(symbols, left)
    order = np.flatnonzero(left).astype(np.int64)
    order = order[np.argsort(key[order], kind="stable")]
    rank = np.zeros(count, np.int64)
    places, key = np.arange(len(order)), key[order]
    length = _PACKED
    while True:
        is_new = np.r_[True, key[1:] != key[:-1]][: len(key)]
        rank[order[places]] = np.maximum.accumulate(np.where(is_new, places, 0))
        alike = ~(is_new & np.r_[is_new[1:], True][: len(key)])
        places = places[alike]
        if not len(places):
            return order.astype(np.int32)
        tied = order[places]
        ended = left[tied] <= length  # then all of the line was looked at: the text's own order decides
        further = np.where(ended, tied - count, rank[np.minimum(tied + length, count - 1)])
        key = rank[tied] * (2 * count) + further + count
        sorting = np.argsort(key, kind="stable")
        order[places], key = tied[sorting], key[sorting]
        length *= 2


def symbols_left(symbols: Symbols) -> IntArray:
    """How many symbols [n] stand from each place to the separator after it; 0 at a separator."""
    ends = np.flatnonzero(symbols == SEPARATOR)
    places = np.arange(len(symbols))
    return np.asarray(ends[np.searchsorted(ends, places)] - places, np.int64)


def longest_matches(text: npt.NDArray[np.uint16], order: Order, query: Symbols) -> IntArray:
    """For each place of `query` [m]: symbols of the longest run from there that `text` has; 0 where nothing matches.

    `text` is of the type `STORED`, `order` its suffix order; `query` has no separator. The longest match is one of the
    two neighbours of the place that the rest of the query would have in the order.
    """
    wanted = query.astype(STORED)
    lengths = np.zeros(len(query), np.int64)
    for start in range(len(query)):
        rest = wanted[start:]
        size = len(rest)
        found = bisect_left(order, rest.tobytes(), key=partial(_bytes, text, size))
        neighbours = order[max(found - 1, 0) : found + 1].tolist()
        lengths[start] = max(_common(text[place : place + size], rest) for place in neighbours)
    return lengths


def occurrences(text: npt.NDArray[np.uint16], order: Order, run: Symbols) -> Order:
    """All places of `text` at which `run` [m], m > 0 and without a separator, stands, in suffix order."""
    wanted, key = run.astype(STORED).tobytes(), partial(_bytes, text, len(run))
    first = bisect_left(order, wanted, key=key)
    return order[first : bisect_right(order, wanted, lo=first, key=key)]


def _first_keys(symbols: Symbols, left: IntArray) -> IntArray:
    """The first `_PACKED` symbols from each place, zeros from the separator on."""
    count = len(symbols)
    key = np.zeros(count, np.int64)
    for ahead in range(_PACKED):
        key <<= SYMBOL_BITS
        size = max(count - ahead, 0)
        key[:size] |= np.where(left[:size] > ahead, symbols[ahead:], 0)
    return key


def _bytes(text: npt.NDArray[np.uint16], size: int, place: int) -> bytes:
    """`size` symbols from `place` on, or as many as there are, such that they compare as bytes."""
    return text[place : place + size].tobytes()


def _common(a: npt.NDArray[np.uint16], b: npt.NDArray[np.uint16]) -> int:
    """Symbols that two runs have in common from the beginning."""
    size = min(len(a), len(b))
    unlike = a[:size] != b[:size]
    first = int(unlike.argmax())
    return first if unlike[first] else size
