"""The Lakh MIDI Dataset, and MidiCaps, which describes most of it in English.

In: `lmd_full.tar.gz` or the folder unpacked from it, with files `lmd_full/<hex>/<md5>.mid`; for MidiCaps a folder with
`train.json` and `midicaps.tar.gz` (or the unpacked `lmd_full`). Out: pieces with the md5 as id. Splits are those of the
Anticipatory Music Transformer (arXiv 2306.08620), by the first digit of the md5: 0-d train, e valid, f test.
MidiCaps' keys, tempos, genres and moods are guesses of models and are left out; its captions, written from them by a
language model, are kept as captions.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from midi_llm.data.sources.base import Metadata, Part, RawPiece, Skipped
from midi_llm.data.sources.caption_file import clean_caption, json_lines
from midi_llm.data.sources.collection import (
    collection_digest,
    collection_parts,
    file_digest,
    find_archive,
    read_collection,
)
from midi_llm.data.splits import lakh_split
from midi_llm.errors import DatasetError

LAKH_URL = "https://colinraffel.com/projects/lmd/"
LAKH_ATTRIBUTION = "The Lakh MIDI Dataset v0.1, Colin Raffel, CC BY 4.0"
MIDICAPS_URL = "https://huggingface.co/datasets/amaai-lab/MidiCaps"
_MD5 = re.compile(r"[0-9a-f]{32}")
_STRICTNESS = {None: 0, "train": 1, "valid": 2, "test": 3}


def stricter_split(*splits: str | None) -> str | None:
    """The split that keeps a piece furthest from training: test before valid before train before none."""
    return max(splits, key=_STRICTNESS.__getitem__)


class LakhSource:
    """Lakh MIDI full: an archive, its unpacked folder, or a folder that holds `lmd_full.tar.gz`."""

    name = "lakh"

    def __init__(self, path: Path) -> None:
        self._path = _lakh_files(path, "lmd_full.tar*")

    @cached_property
    def revision(self) -> str:
        """Digest of the archive's edges or of the folder's listing."""
        return collection_digest(self._path)

    def parts(self) -> list[Part]:
        """Stretches of the folder, or stripes of the archive, which each unpack all of it (1.7 GB, about 6 GB)."""
        return collection_parts(self._path, source=self.name)

    def read(self, part: Part) -> Iterator[RawPiece | Skipped]:
        """The pieces, without captions."""
        for md5, item in _lakh_members(self._path, part):
            yield item if isinstance(item, Skipped) else _with(item, _lakh_metadata(md5))


class MidiCapsSource:
    """MidiCaps in a folder. Raises `DatasetError` when the captions or the MIDI files are missing.

    Pieces marked `test_set` are test pieces; the others keep Lakh's split, so that nothing that Lakh holds out is
    trained on.
    """

    name = "midicaps"

    def __init__(self, folder: Path, *, revision: str | None = None) -> None:
        captions = folder / "train.json"
        if not captions.is_file():
            raise DatasetError(f"{captions} is missing; it is part of {MIDICAPS_URL}")
        self._path = _lakh_files(folder, "midicaps.tar*")
        self._captions, self._test = _read_captions(captions)
        self._digest = revision or file_digest(captions)

    @cached_property
    def revision(self) -> str:
        """The hub's commit, or the digests of captions and MIDI files."""
        return f"{self._digest}-{collection_digest(self._path)}"

    def parts(self) -> list[Part]:
        """As Lakh's."""
        return collection_parts(self._path, source=self.name)

    def read(self, part: Part) -> Iterator[RawPiece | Skipped]:
        """The pieces that have captions."""
        for md5, item in _lakh_members(self._path, part):
            if isinstance(item, Skipped):
                yield item
            elif md5 not in self._captions:
                yield Skipped(id=md5, source=self.name, reason="no caption")
            else:
                metadata = Metadata(
                    licence="CC-BY-SA-4.0",
                    attribution="MidiCaps, Jan Melechovsky, Abhinaba Roy, Dorien Herremans, 2024; " + LAKH_ATTRIBUTION,
                    url=MIDICAPS_URL,
                    split=stricter_split(lakh_split(md5), "test" if md5 in self._test else None),
                    group=md5,
                    captions=tuple(self._captions[md5]),
                )
                yield _with(item, metadata)


def _lakh_files(path: Path, pattern: str) -> Path:
    """The archive, or the folder with the MIDI files, that `path` stands for."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise DatasetError(f"{path} does not exist; download it from {LAKH_URL} or {MIDICAPS_URL}")
    unpacked = path / "lmd_full"
    archive = find_archive(path, pattern)
    if archive is None and not unpacked.is_dir() and not any(path.glob("[0-9a-f]/*.mid")):
        raise DatasetError(f"{path} holds neither {pattern.replace('*', '.gz')} nor lmd_full/<hex>/<md5>.mid")
    return unpacked if unpacked.is_dir() else archive or path


def _lakh_members(path: Path, part: Part) -> Iterator[tuple[str, RawPiece | Skipped]]:
    """(md5, its file without metadata), or ("", what was skipped)."""
    for member in read_collection(path, part):
        if isinstance(member, Skipped):
            yield "", member
            continue
        md5 = PurePosixPath(member.name).stem.lower()
        if _MD5.fullmatch(md5):
            yield md5, RawPiece(id=md5, source=part.source, path=member.name, data=member.data)
        else:
            yield "", Skipped(id=member.name, source=part.source, reason="name is no md5")


def _lakh_metadata(md5: str) -> Metadata:
    return Metadata(licence="CC-BY-4.0", attribution=LAKH_ATTRIBUTION, url=LAKH_URL, split=lakh_split(md5), group=md5)


def _with(piece: RawPiece, metadata: Metadata) -> RawPiece:
    return RawPiece(id=piece.id, source=piece.source, path=piece.path, data=piece.data, metadata=metadata)


def _read_captions(path: Path) -> tuple[dict[str, list[str]], set[str]]:
    """Captions by md5, and the md5s of the test set.

    `location` is "lmd_full/0/<md5>.mid" or "0/<md5>.mid"; rows without a caption are passed over.
    """
    captions: dict[str, list[str]] = defaultdict(list)
    test = set()
    for number, row in midicaps_rows(path):
        location, caption = row.get("location"), row.get("caption")
        if not isinstance(location, str):
            raise DatasetError(f"{path.name} row {number} has no location; is this MidiCaps' train.json?")
        md5 = PurePosixPath(location).stem.lower()
        if isinstance(caption, str) and (text := clean_caption(caption)) and text not in captions[md5]:
            captions[md5].append(text)
        if row.get("test_set") in (True, 1, "True", "true"):
            test.add(md5)
    return {md5: texts for md5, texts in captions.items() if texts}, test


def midicaps_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Number and content of the rows of `train.json`: JSON lines, as published, or one JSON list."""
    with path.open(encoding="utf-8", errors="replace") as file:
        is_list = file.read(1) == "["
    if not is_list:
        yield from json_lines(path)
        return
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError(f"{path} is no JSON ({error}); download it again") from error
    if not all(isinstance(row, dict) for row in rows):
        raise DatasetError(f"{path} is no list of objects; is this MidiCaps' train.json?")
    yield from enumerate(rows, 1)
