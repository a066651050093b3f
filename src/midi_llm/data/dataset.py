"""A data set on disk: where its files lie, and how to read a piece or a text of it. Knows no sources and no model.

build.json             what the pieces follow from: version, sources with their revisions, filters
index/PART.jsonl.gz    a manifest per part, as it was read
pieces/PART.zip, texts/PART.jsonl.gz    a part's usable MIDI files, and its texts
manifest.jsonl.gz      all pieces, de-duplicated and split
tokenizer.json         the text tokenizer of the rows
rows/NAME/SPLIT/       shards (data/shards.py)
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zipfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from midi_llm.data.manifest import PieceRow, read_manifest
from midi_llm.data.sources.base import RawText
from midi_llm.errors import DatasetError
from midi_llm.music.read import parse_midi
from midi_llm.music.score import Score

BUILD_FILE, MANIFEST_FILE, TOKENIZER_FILE = "build.json", "manifest.jsonl.gz", "tokenizer.json"
CARD_FILE, ATTRIBUTION_FILE = "card.html", "ATTRIBUTION.md"


class Dataset:
    """An open data set folder. Raises `DatasetError` when its manifest is not there yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._zips: dict[str, zipfile.ZipFile] = {}
        if not (folder / MANIFEST_FILE).is_file():
            raise DatasetError(f"{folder} has no {MANIFEST_FILE}; make it with: midi-llm data build --out {folder}")

    @cached_property
    def rows(self) -> list[PieceRow]:
        """All pieces, dropped ones too, in the manifest's order."""
        return read_manifest(self.folder / MANIFEST_FILE)

    @cached_property
    def manifest_sha256(self) -> str:
        """Digest of the manifest: what all rows follow from, besides their own settings."""
        return hashlib.sha256((self.folder / MANIFEST_FILE).read_bytes()).hexdigest()

    @property
    def row_sets(self) -> list[Path]:
        """Folders of finished and unfinished shards, sorted: rows/NAME/SPLIT."""
        return sorted(path for path in (self.folder / "rows").glob("*/*") if path.is_dir())

    def midi(self, row: PieceRow) -> bytes:
        """The MIDI file of a kept piece. Raises `DatasetError` when it is not in its zip."""
        path = self.folder / "pieces" / f"{row.pack}.zip"
        try:
            if row.pack not in self._zips:
                self._zips[row.pack] = zipfile.ZipFile(path)
            return self._zips[row.pack].read(member_name(row))
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise DatasetError(f"{path} does not give {row.id}: {error}; run the build again") from error

    def score(self, row: PieceRow) -> Score:
        """The notes of a kept piece."""
        return parse_midi(self.midi(row), name=row.id)

    def close(self) -> None:
        """Close the zips."""
        while self._zips:
            self._zips.popitem()[1].close()


def member_name(row: PieceRow) -> str:
    """Of a piece in its zip."""
    return f"{row.id}.mid"


def read_texts(path: Path) -> Iterator[RawText]:
    """The texts of one part, one in memory at a time. Raises `DatasetError` for a damaged file."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield RawText(**json.loads(line))
    except (OSError, EOFError, ValueError, TypeError) as error:
        raise DatasetError(f"{path} is damaged: {error}; delete it and run the build again") from error
