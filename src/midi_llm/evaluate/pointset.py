"""Repeated patterns in a set of points (time, pitch), found by how far they compress it.

In: integer points [n, 2]. Out: the compression ratio of a greedy cover by translated patterns. Knows no music.
COSIATEC (Meredith 2013, "COSIATEC and SIATECCompress: Pattern Discovery by Geometric Compression", MIREX): of all
translational equivalence classes (TECs: a pattern and every place where it recurs, moved in time and pitch) of maximal
translatable patterns (MTPs: all points that a vector moves onto points) take the one that compresses best, remove the
points that it covers, and begin again with the rest.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from midi_llm.evaluate.metric import Integers

REFRESH = 0.5
"""Patterns are searched anew when this share of the points is left (difference 2 of `compression_ratio`)."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Tec:
    """A class of `places` places where a pattern of `size` points occurs, and the keys that it `covers`."""

    size: int
    places: int
    covers: Integers

    @property
    def cost(self) -> int:
        """Points to write: the pattern, and a vector for each other occurrence."""
        return self.size + self.places - 1


def compression_ratio(points: Integers, *, refresh: float = REFRESH) -> float:
    """Number of points over the points and vectors needed to write them down as patterns: 1 or more; nan for none.

    `points` [n, 2] are integers; equal points are one. 1,500 points of real music take 1.3 to 2 s, random ones up to
    4.5 s, an even pulse on one pitch 12 s; some 100 MB. Such a pulse does not compress, there neither: its maximal
    patterns are all but the last k points, and each needs a vector for every place.
    Differences from Meredith 2013:

    1. Of TECs that compress equally the one that covers more is taken, then the one with the smaller vector; there the
       one that is more compact. Conjugates are not needed: they compress equally and cover the same points.
    2. There all patterns are searched anew after every TEC, as here with `refresh` 1. With less the candidates of the
       last search are used, less the points covered since, until only that share of the points is left. On openings of
       50 pieces of up to 200 points, real and shuffled, the ratio is then 0.5 % lower on average (deviation 2 %).
    3. Points that no TEC compresses cost one each, as one pattern without vectors does there.
    """
    keys = _keys(points)
    if not len(keys):
        return float("nan")
    count, cost = len(keys), 0
    alive = np.zeros(2 * (int(keys[-1]) + 1), np.bool_)
    alive[keys] = True
    patterns: _Patterns | None = None
    while len(keys) > 1:
        patterns = patterns or _Patterns(keys)
        best = patterns.best(keys, alive)
        if best is None and patterns.points == len(keys):
            break
        if best is not None:
            alive[best.covers] = False
            keys = keys[alive[keys]]
            cost += best.cost
        if best is None or len(keys) <= refresh * patterns.points:
            patterns = None
    return count / (cost + len(keys))


def _keys(points: Integers) -> Integers:
    """Points as sorted integers whose differences are those of the points: time x width + pitch, width > 2 x range."""
    if not len(points):
        return np.zeros(0, np.int64)
    moved = points.astype(np.int64) - points.min(axis=0)
    return np.unique(moved[:, 0] * (2 * int(moved[:, 1].max()) + 1) + moved[:, 1])


class _Patterns:
    """The MTPs of a set of keys that have two points or more, with the best that each can still reach.

    A heap holds (-ratio, -covered points, number) of each pattern. At first these are bounds that no class of it
    exceeds; a pattern on top is looked at closely and sinks to where it belongs. What stays on top is the best.
    """

    def __init__(self, keys: Integers) -> None:
        self.points = len(keys)
        self._round = 0
        first, second = np.triu_indices(len(keys), 1)
        vector = keys[second] - keys[first]
        order = np.argsort(vector, kind="stable")
        vector, point = vector[order], keys[first[order]]
        starts = _run_starts(vector)
        sizes = np.diff(np.r_[starts, len(vector)])
        ratio, covered = _bounds(vector, point, starts, sizes, len(keys))
        chosen = _different_shapes(point, starts, sizes)
        self._patterns = [
            point[start : start + size] for start, size in zip(starts[chosen], sizes[chosen], strict=True)
        ]
        self._vectors: list[int] = vector[starts[chosen]].tolist()
        self._rounds = [1] * len(chosen)
        self._heap = list(zip((-ratio[chosen]).tolist(), (-covered[chosen]).tolist(), range(len(chosen)), strict=True))
        heapq.heapify(self._heap)

    def best(self, keys: Integers, alive: npt.NDArray[np.bool_]) -> _Tec | None:
        """The class of the living `keys` that compresses them best; None when none does."""
        self._round += 1
        heap = self._heap
        while heap and heap[0][0] < -1.0:
            number = heap[0][2]
            pattern = self._living(number, alive)
            rival = min(heap[1:3], default=(0.0, 0.0, 0))
            ratio, covered, tec = _occurrences(pattern, keys, alive, -rival[0])
            if ratio <= 1.0:
                heapq.heappop(heap)
                continue
            found = (-ratio, -float(covered), number)
            heapq.heapreplace(heap, found)
            if tec is not None and found <= rival:
                return tec
        return None

    def _living(self, number: int, alive: npt.NDArray[np.bool_]) -> Integers:
        """The points of a pattern that are alive and are moved onto a living point."""
        if self._rounds[number] != self._round:
            pattern = self._patterns[number]
            self._patterns[number] = pattern[alive[pattern] & alive[pattern + self._vectors[number]]]
            self._rounds[number] = self._round
        return self._patterns[number]


def _occurrences(
    pattern: Integers, keys: Integers, alive: npt.NDArray[np.bool_], needed: float
) -> tuple[float, int, _Tec | None]:
    """Ratio, covered points and class of `pattern`; an upper bound and no class once the ratio is below `needed`."""
    size = len(pattern)
    if size < 2:
        return 0.0, 0, None
    offsets = pattern - pattern[0]
    places = keys[alive[keys + offsets[-1]]]
    ratio = size * len(places) / (size + len(places) - 1)
    if ratio < needed:
        return ratio, size * len(places), None
    places = places[alive[places + offsets[size // 2]]]
    places = places[alive[places[:, None] + offsets].all(axis=1)]
    ratio = size * len(places) / (size + len(places) - 1)
    if ratio < needed:
        return ratio, size * len(places), None
    tec = _Tec(size=size, places=len(places), covers=np.unique(places[:, None] + offsets))
    return len(tec.covers) / tec.cost, len(tec.covers), tec


def _bounds(
    vector: Integers, point: Integers, starts: Integers, sizes: Integers, points: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The most that the class of each MTP [patterns] can compress, and the most points that it covers then.

    A pattern recurs no more often than the rarest of the vectors between its successive points. Once size x places
    reaches the number of points, more places only cost.
    """
    frequency = np.zeros(int(vector[-1]) + 1, np.int64)
    frequency[vector[starts]] = sizes
    step = np.full(len(point), points, np.int64)
    inside = vector[1:] == vector[:-1]
    step[:-1][inside] = frequency[np.diff(point)[inside]]
    places = np.minimum(np.minimum.reduceat(step, starts).astype(np.float64), points / sizes)
    return np.asarray(sizes * places / (sizes + places - 1)), np.asarray(sizes * places, np.float64)


def _different_shapes(point: Integers, starts: Integers, sizes: Integers) -> Integers:
    """The first of the patterns with each shape, of two points or more; shapes are told apart by a hash of 64 bits."""
    offsets = (point - np.repeat(point[starts], sizes)).astype(np.uint64) + np.uint64(1)
    mixed = offsets * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    shape = np.add.reduceat(mixed ^ (mixed >> np.uint64(32)), starts)
    shape[sizes < 2] = 0
    _, first = np.unique(shape, return_index=True)
    return np.sort(first[sizes[first] >= 2])


def _run_starts(values: Integers) -> Integers:
    """Where each run of equal values begins."""
    return np.flatnonzero(np.r_[True, np.diff(values) != 0])
