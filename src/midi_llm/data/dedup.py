"""De-duplication: of near copies one is kept, and nothing like an evaluation piece is ever trained on.

In: manifest rows with digests and fingerprints. Out: the same rows, some of them dropped, with the id of the piece that
is the reason. Equal files are one piece; so are pieces with similar fingerprints, found without comparing all pairs:
two that agree in a whole band of `BAND` hashes are candidates (locality-sensitive hashing, Leskovec et al., "Mining of
Massive Datasets", ch. 3). Similar pieces are joined into clusters, also over several steps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from midi_llm.data.fingerprint import HASHES, unpack
from midi_llm.data.manifest import PieceRow

DUPLICATE = "duplicate"
EXCLUDED = "excluded"
THRESHOLD = 0.35
"""Similarity from which on two pieces are one. Chosen on the open corpus (docs/log.md): it finds 90 % or more of
edited copies, and drops 0.7 % of the generated pieces, which share styles and chord progressions."""

BAND = 3
"""Hashes in a band. A pair of similarity s is found with probability 1 - (1 - s^3)^40: 0.83 at 0.35, 0.995 at 0.5."""
NEIGHBOURS = 64
"""With how many others of its band a fingerprint is compared at most, so that a common pattern costs no n^2."""

_STRICTNESS = {"test": 0, "valid": 1, "train": 2}

IntArray = npt.NDArray[np.int64]


def deduplicate(
    rows: Sequence[PieceRow], *, threshold: float = THRESHOLD, exclude: Collection[str] = ()
) -> list[PieceRow]:
    """`rows` in their order, with `dropped` and `duplicate_of` set where a piece must go; rows dropped before stay so.

    Of a cluster one row stays: the strictest split (test, valid, train), then one with captions, one whose licence is
    known, the first. `exclude` holds ids ("source/raw id" or the raw id) or digests (md5, sha256) of what is never
    trained on: a train row among them goes, and with it every train row of its cluster.
    """
    banned = frozenset(exclude)
    used = [index for index, row in enumerate(rows) if row.dropped is None]
    clusters: dict[int, list[int]] = defaultdict(list)
    for index, root in zip(used, _roots([rows[index] for index in used], threshold), strict=True):
        clusters[root].append(index)
    result = list(rows)
    for members in clusters.values():
        members.sort(key=lambda index: _rank(rows[index], index))
        guards = [index for index in members if banned and not banned.isdisjoint(_names(rows[index]))]
        for index in members:
            if guards and rows[index].split == "train":
                guard = "" if index in guards else rows[guards[0]].id
                result[index] = replace(rows[index], dropped=EXCLUDED, duplicate_of=guard)
            elif index != members[0]:
                result[index] = replace(rows[index], dropped=DUPLICATE, duplicate_of=rows[members[0]].id)
    return result


def _rank(row: PieceRow, index: int) -> tuple[int, bool, bool, int]:
    """Sorts the row that stays first."""
    return _STRICTNESS[row.split], not row.metadata.captions, not row.metadata.licence, index


def _names(row: PieceRow) -> set[str]:
    """All names by which `row` may be excluded."""
    return {row.id, row.id.removeprefix(f"{row.source}/"), row.md5, row.sha256} - {""}


def _roots(rows: Sequence[PieceRow], threshold: float) -> list[int]:
    """For each row the number of its cluster: the position of one of its members."""
    parent = list(range(len(rows)))
    by_digest: dict[str, int] = {}
    by_fingerprint: dict[str, int] = {}
    for index, row in enumerate(rows):
        for value, first in ((row.sha256, by_digest), (row.fingerprint, by_fingerprint)):
            if value:
                _join(parent, index, first.setdefault(value, index))
    place = list(by_fingerprint.values())
    for a, b in _similar_pairs(unpack(list(by_fingerprint)), threshold):
        _join(parent, place[a], place[b])
    return [_root(parent, index) for index in range(len(rows))]


def _similar_pairs(signatures: npt.NDArray[np.uint16], threshold: float) -> Iterator[tuple[int, int]]:
    """Pairs of `signatures` [n, HASHES] that agree in a band and in at least `threshold` of all hashes; some twice."""
    for start in range(0, HASHES, BAND):
        bands = signatures[:, start : start + BAND].astype(np.uint64)
        keys = bands @ (np.uint64(1) << np.arange(0, 16 * BAND, 16, dtype=np.uint64))
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        for distance in range(1, NEIGHBOURS + 1):
            equal = np.flatnonzero(keys[distance:] == keys[:-distance])
            if not len(equal):
                break
            first, second = order[equal], order[equal + distance]
            alike = (signatures[first] == signatures[second]).mean(axis=1) >= threshold
            yield from zip(first[alike].tolist(), second[alike].tolist(), strict=True)


def _root(parent: list[int], index: int) -> int:
    """The representative of `index`, halving the path to it."""
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = parent[index]
    return index


def _join(parent: list[int], a: int, b: int) -> None:
    """Put `a` and `b` into one cluster."""
    parent[_root(parent, a)] = _root(parent, b)
