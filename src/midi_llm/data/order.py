"""The order of rows: a seeded permutation of every epoch, computed place by place.

In: seed, step, number of rows, batch size. Out: the row numbers of that batch, or of one rank's part of it. Batches
follow one another over the end of an epoch, so that every row is seen once per epoch; the state to resume from is the
step. The permutation is a Feistel network (Luby & Rackoff 1988) over the next power of four, walked on while it
leaves the range (Black & Rogaway 2002), with the mixer of SplitMix64 (Steele, Lea & Flood 2014): no table of all rows,
and no dependence on the stream of a library's generator, which may change between versions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from midi_llm.errors import DatasetError

_ROUNDS = 8
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_UINT64 = npt.NDArray[np.uint64]


def batch_indices(
    *, rows: int, batch_rows: int, seed: int, step: int, world_size: int = 1, rank: int = 0
) -> npt.NDArray[np.int64]:
    """Row numbers of batch `step` for `rank`: every `world_size`-th of the whole batch, whose order no rank changes.

    Raises `DatasetError` for sizes that make no batch.
    """
    if min(rows, batch_rows, world_size) < 1 or step < 0 or not 0 <= rank < world_size:
        raise DatasetError(
            f"rows={rows}, batch_rows={batch_rows}, step={step}, world_size={world_size}, rank={rank}; allowed are"
            " positive sizes, a step from 0 on and a rank below world_size"
        )
    places = step * batch_rows + np.arange(rank, batch_rows, world_size)
    epochs, within = np.divmod(places, rows)
    return permuted(within, rows=rows, seed=seed, epochs=epochs)


def permuted(
    places: npt.NDArray[np.int64], *, rows: int, seed: int, epochs: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The row at each of `places` (0..rows-1) in the permutation of (seed, epoch), element by element."""
    keys = _mixed(_mixed(np.full(places.shape, seed % 2**64, np.uint64)) + epochs.astype(np.uint64))
    half = np.uint64(max(1, ((rows - 1).bit_length() + 1) // 2))
    values = _feistel(places.astype(np.uint64), keys, half)
    while (outside := values >= rows).any():
        values[outside] = _feistel(values[outside], keys[outside], half)
    return values.astype(np.int64)


def _feistel(values: _UINT64, keys: _UINT64, half: np.uint64) -> _UINT64:
    """One keyed bijection of 0..4^half - 1."""
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = values >> half, values & mask
    for number in range(_ROUNDS):
        left, right = right, left ^ (_mixed(keys + (right << np.uint64(8)) + np.uint64(number)) & mask)
    return (left << half) | right


def _mixed(values: _UINT64) -> _UINT64:
    """SplitMix64's output function: every bit depends on every bit."""
    values = values + _GOLDEN
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
