"""A corpus on disk: `corpus.zip` (one MIDI file a piece) beside `manifest.jsonl.gz` (one row a piece).

In: the folder. Out: `Piece` rows, filtered by split and licence tier, and their `Score`s read straight from the zip.
A piece that cannot be read is the caller's to count; nothing is unpacked to disk.
"""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midi_llm.errors import DatasetError
from midi_llm.music.read import parse_midi
from midi_llm.music.score import Score

SPLITS = ("train", "valid", "test")
OPEN_TIERS = ("A", "B")
"""Tier C is GPL; weights trained on it could not be licensed CC BY-SA (corpus LICENSES.md)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """One row of the manifest; `meta` is the row itself."""

    id: str
    path: str
    source: str
    split: str
    tier: str
    meta: Mapping[str, Any]


class Corpus:
    """An open corpus folder. Raises `DatasetError` when a file or a column is missing."""

    def __init__(self, folder: Path, *, tiers: Collection[str] = OPEN_TIERS) -> None:
        archive, manifest = folder / "corpus.zip", folder / "manifest.jsonl.gz"
        for path in (archive, manifest):
            if not path.is_file():
                raise DatasetError(f"{path} is missing; a corpus folder holds corpus.zip and manifest.jsonl.gz")
        try:
            self._zip = zipfile.ZipFile(archive)
        except zipfile.BadZipFile as error:
            raise DatasetError(f"{archive} is not a zip file: {error}") from error
        self.pieces = [piece for piece in _read_manifest(manifest) if piece.tier in tiers]

    def split(self, name: str) -> list[Piece]:
        """The pieces of one split, in manifest order."""
        if name not in SPLITS:
            raise DatasetError(f"split is {name!r}; allowed are {', '.join(SPLITS)}")
        return [piece for piece in self.pieces if piece.split == name]

    def read(self, piece: Piece) -> Score:
        """The piece's notes. Raises `MidiReadError` for a broken file, `DatasetError` when the zip lacks it."""
        try:
            data = self._zip.read(piece.path)
        except KeyError as error:
            raise DatasetError(f"corpus.zip has no {piece.path}, which the manifest names") from error
        return parse_midi(data, name=piece.path)


def _read_manifest(path: Path) -> list[Piece]:
    """Parse the gzipped JSON lines of a manifest."""
    pieces = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                pieces.append(Piece(meta=row, **{k: row[k] for k in ("id", "path", "source", "split", "tier")}))
            except (json.JSONDecodeError, KeyError) as error:
                raise DatasetError(f"{path.name} line {number} is not a manifest row: {error!r}") from error
    return pieces
