"""MusicPile: texts about music, and others, for stage 1.

In: a folder with parquet files or JSON lines (.jsonl): columns id, text, src. Out: `RawText`s with their place as id
(the ids of the data set come from many collections), each with its collection `src`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from midi_llm.data.sources.base import Part, RawText, Skipped
from midi_llm.data.sources.collection import file_digest, listing_digest
from midi_llm.data.sources.parquet import list_parquet, parquet_digest, parquet_parts, read_parquet
from midi_llm.errors import DatasetError

URL = "https://huggingface.co/datasets/m-a-p/MusicPile"
_LICENCE = "cc (as the data set's card says; its collections have their own)"
_COLUMNS = ("text", "src")
LINES_BYTES = 64 * 2**20
"""One part for every so many bytes of JSON lines."""


class MusicPileSource:
    """MusicPile in a folder; with `collections`, only texts whose `src` is one of them.

    Raises `DatasetError` when the folder has neither parquet files nor JSON lines.
    """

    name = "musicpile"

    def __init__(
        self, folder: Path, *, revision: str | None = None, collections: Collection[str] | None = None
    ) -> None:
        self._lines = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jsonl") if path.is_file())
        self._is_parquet = bool(list_parquet(folder))
        if not self._lines and not self._is_parquet:
            raise DatasetError(f"{folder} has neither .parquet nor .jsonl files; MusicPile is at {URL}")
        self._folder, self._digest, self._collections = folder, revision, collections

    @cached_property
    def revision(self) -> str:
        """The hub's commit, or the digest of the files."""
        lines = listing_digest((f"{name} {file_digest(self._folder / name)}", 0) for name in self._lines)
        return self._digest or (parquet_digest(self._folder) if self._is_parquet else lines)

    def parts(self) -> list[Part]:
        """One part a row group; without parquet files, one for every 64 MiB of JSON lines."""
        if self._is_parquet:
            return parquet_parts(self._folder, source=self.name, columns=_COLUMNS)
        places = [
            {"file": name, "start": start}
            for name in self._lines
            for start in range(0, (self._folder / name).stat().st_size, LINES_BYTES)
        ]
        return [Part(source=self.name, index=i, where=where) for i, where in enumerate(places)]

    def read(self, part: Part) -> Iterator[RawText | Skipped]:
        """The texts in the order of the file."""
        is_parquet = "group" in part.where
        for item in read_parquet(self._folder, part, columns=_COLUMNS) if is_parquet else self._read_lines(part):
            if item is None:
                yield Skipped(id=part.name, source=self.name, reason="damaged row group")
                continue
            place, row = item
            text, collection = row.get("text"), str(row.get("src") or "")
            if self._collections is not None and collection not in self._collections:
                continue
            if not isinstance(text, str) or not text.strip():
                yield Skipped(id=place, source=self.name, reason="no text")
            else:
                yield RawText(id=place, source=self.name, text=text, licence=_LICENCE, collection=collection)

    def _read_lines(self, part: Part) -> Iterator[tuple[str, dict[str, Any]]]:
        """("file:byte", row) of the lines that begin in the part; a line that is no object is an empty row."""
        name, start = part.where["file"], part.where["start"]
        with (self._folder / name).open("rb") as file:
            file.seek(max(0, start - 1))
            if start:
                file.readline()  # the line that began before, or only its end
            while (place := file.tell()) < start + LINES_BYTES and (line := file.readline()):
                try:
                    row = json.loads(line)
                except ValueError:
                    row = None
                yield f"{name}:{place}", row if isinstance(row, dict) else {}
