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
import json
import zipfile
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from midi_llm.data.files import file_sha256
from midi_llm.data.manifest import PieceRow, read_manifest
from midi_llm.data.sources.base import RawText
from midi_llm.errors import DatasetError
from midi_llm.music.read import parse_midi
from midi_llm.music.score import Score

BUILD_FILE, MANIFEST_FILE, TOKENIZER_FILE = "build.json", "manifest.jsonl.gz", "tokenizer.json"
CARD_FILE, ATTRIBUTION_FILE = "card.html", "ATTRIBUTION.md"
REMEDY = "delete index/{}.jsonl.gz and run the build again"
"""What brings a part's files back."""


class Dataset:
    """An open data set folder. Raises `DatasetError` when its manifest is not there yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._zip: zipfile.ZipFile | None = None
        if not (folder / MANIFEST_FILE).is_file():
            raise DatasetError(f"{folder} has no {MANIFEST_FILE}; make it with: midi-llm data build --out {folder}")

    @cached_property
    def rows(self) -> list[PieceRow]:
        """All pieces, dropped ones too, in the manifest's order."""
        return read_manifest(self.folder / MANIFEST_FILE)

    @cached_property
    def manifest_sha256(self) -> str:
        """Digest of the manifest: what all rows follow from, besides their own settings."""
        return file_sha256(self.folder / MANIFEST_FILE)

    @property
    def tokenizer_sha256(self) -> str:
        """Digest of the tokenizer: what the ids of all rows follow from. Raises `DatasetError` when it is missing."""
        path = self.folder / TOKENIZER_FILE
        if not path.is_file():
            raise DatasetError(f"{path} is missing; run the build again")
        return file_sha256(path)

    @property
    def row_sets(self) -> list[Path]:
        """Folders of finished and unfinished shards, sorted: rows/NAME/SPLIT."""
        return sorted(path for path in (self.folder / "rows").glob("*/*") if path.is_dir())

    def midi(self, row: PieceRow) -> bytes:
        """The MIDI file of a kept piece. Raises `DatasetError` when it is not in its zip, or damaged there."""
        path = self.folder / "pieces" / f"{row.pack}.zip"
        try:
            if self._zip is None or self._zip.filename != str(path):
                self.close()  # pieces are read part by part, and there may be more parts than files may be open
                self._zip = zipfile.ZipFile(path)
            return self._zip.read(member_name(row))
        except (OSError, EOFError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise DatasetError(f"{path} does not give {row.id}: {error}; {REMEDY.format(row.pack)}") from error

    def score(self, row: PieceRow) -> Score:
        """The notes of a kept piece."""
        return parse_midi(self.midi(row), name=row.id)

    def close(self) -> None:
        """Close the zip that was read last."""
        if self._zip is not None:
            self._zip.close()
            self._zip = None


def member_name(row: PieceRow) -> str:
    """Of a piece in its zip."""
    return f"{row.id}.mid"


def read_texts(path: Path) -> Iterator[RawText]:
    """The texts of one part, one in memory at a time. Raises `DatasetError` for a damaged file."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield RawText(**json.loads(line))
    except (OSError, EOFError, ValueError, TypeError, zlib.error) as error:
        part = path.name.removesuffix(".jsonl.gz")
        raise DatasetError(f"{path} is damaged: {error}; {REMEDY.format(part)}") from error
