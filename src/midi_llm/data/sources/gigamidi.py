"""GigaMIDI v2: MIDI files in parquet shards (gated: its terms must be accepted on the hub).

In: a folder with parquet files: bytes in column `music`; `md5`, `title` and `music_styles_curated` where they exist.
Out: pieces with their place as id and the md5 as group. A piece's split is the stricter of its shard's (train,
validation, test) and of Lakh's rule, which is applied to every md5: the set contains Lakh's files and does not mark
them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from midi_llm.data.sources.archive import LIMITS, Limits
from midi_llm.data.sources.base import Metadata, Part, RawPiece, Skipped
from midi_llm.data.sources.caption_file import clean_caption
from midi_llm.data.sources.lakh import stricter_split
from midi_llm.data.sources.parquet import list_parquet, parquet_digest, parquet_parts, read_parquet
from midi_llm.data.splits import lakh_split
from midi_llm.errors import DatasetError

URL = "https://huggingface.co/datasets/Metacreation/GigaMIDI"
_COLUMNS = ("music", "md5", "title", "music_styles_curated")
_SPLITS = (("train", "train"), ("validation", "valid"), ("test", "test"))


class GigaMidiSource:
    """GigaMIDI in a folder. Raises `DatasetError` when there is no parquet file."""

    name = "gigamidi"

    def __init__(self, folder: Path, *, revision: str | None = None, limits: Limits = LIMITS) -> None:
        if not list_parquet(folder):
            raise DatasetError(f"{folder} has no .parquet file; GigaMIDI's are in v2.0.0 of {URL}")
        self._folder, self._limits, self._digest = folder, limits, revision

    @cached_property
    def revision(self) -> str:
        """The hub's commit, or the digest of the shards."""
        return self._digest or parquet_digest(self._folder)

    def parts(self) -> list[Part]:
        """One part a row group."""
        return parquet_parts(self._folder, source=self.name, columns=("music",))

    def read(self, part: Part) -> Iterator[RawPiece | Skipped]:
        """The pieces in the shard's order."""
        for item in read_parquet(self._folder, part, columns=_COLUMNS):
            if item is None:
                yield Skipped(id=part.name, source=self.name, reason="damaged row group")
                continue
            place, row = item
            data = row["music"]
            if not isinstance(data, bytes) or len(data) > self._limits.member_bytes:
                yield Skipped(id=place, source=self.name, reason="too large" if data else "no MIDI bytes")
                continue
            md5 = str(row.get("md5") or hashlib.md5(data, usedforsecurity=False).hexdigest()).lower()
            metadata = _metadata(md5, part.where["file"], row)
            yield RawPiece(id=place, source=self.name, path=place, data=data, metadata=metadata)


def _metadata(md5: str, file: str, row: dict[str, Any]) -> Metadata:
    """Split, title and curated styles; the other columns are estimates."""
    shard = next((split for word, split in _SPLITS if re.search(rf"(^|/){word}\b", file)), None)
    return Metadata(
        title=clean_caption(str(row.get("title") or "")),
        licence="CC-BY-NC-4.0",
        attribution="GigaMIDI, Keon Ju Maverick Lee et al., 2025",
        url=URL,
        split=stricter_split(shard, lakh_split(md5)),
        group=md5,
        genres=_styles(row.get("music_styles_curated")),
    )


def _styles(value: Any) -> tuple[str, ...]:
    """A list of styles, or one written as text: "['rock', 'pop']"."""
    words = value if isinstance(value, list) else re.split(r"[,;]", str(value or "").strip("[]"))
    return tuple(filter(None, (str(word).strip(" '\"").lower() for word in words)))
