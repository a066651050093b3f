"""Which pieces are trained on, which validate, and which test.

In: what is known of a piece. Out: "train", "valid" or "test", the same on every machine, in every run, for any set of
other pieces. Pieces of one group stay together. Knows nothing of duplicates (data/dedup.py).
"""

from __future__ import annotations

import hashlib
import re

from midi_llm.data.sources.base import Metadata

VALID_SHARE = 0.02
TEST_SHARE = 0.02
"""Of the pieces that no other rule places; ours, as is the order of the rules."""

_MD5 = re.compile(r"(?:^|/)([0-9a-f])[0-9a-f]{31}(?:\.midi?)?$", re.IGNORECASE)


def assign_split(
    metadata: Metadata,
    *,
    source: str,
    raw_id: str,
    valid_share: float = VALID_SHARE,
    test_share: float = TEST_SHARE,
) -> str:
    """The piece's split, by the first rule that applies.

    1. The source fixes it (`metadata.split`).
    2. It belongs to a group: the group's hash decides, for all of it.
    3. Its id is an md5, as in Lakh: first digit e is valid, f is test, others train.
    4. The hash of its id decides. Hashes are SHA-256 over source and name.
    """
    if metadata.split is not None:
        return metadata.split
    lakh = _MD5.search(raw_id)
    if lakh and not metadata.group:
        return lakh_split(lakh[1])
    place = digest(f"{source}\0{metadata.group or raw_id}") / 2**64
    if place < test_share:
        return "test"
    return "valid" if place < test_share + valid_share else "train"


def lakh_split(md5: str) -> str:
    """The split of a Lakh file, by the first digit of its md5 (anticipation/config.py at af37397: LAKH_VALID)."""
    return {"e": "valid", "f": "test"}.get(md5[0].lower(), "train")


def digest(name: str) -> int:
    """64 bits of the SHA-256 of a name: the same on every machine, in every run."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8], "big")
