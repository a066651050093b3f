"""Aria-MIDI: solo piano, transcribed from recordings by a model.

In: `aria-midi-v1-*.tar.gz` or the folder unpacked from it: `metadata.json` and files `<recording>_<segment>.mid`
(layout: github.com/loubbrad/aria-midi, README at 07937de). Out: pieces, by their names, grouped by recording.
Genre, composer, form of the piece and period were extracted by its authors from the recordings' titles and texts and
"may vary in accuracy" (README). A transcription has times, not beats: its tempo is not known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from midi_llm.data.sources.archive import Limits, Member, tar_members
from midi_llm.data.sources.base import Metadata, Part, RawPiece, Skipped
from midi_llm.data.sources.collection import collection_digest, collection_parts, find_archive, read_collection
from midi_llm.errors import DatasetError

URL = "https://huggingface.co/datasets/loubb/aria-midi"
_METADATA = "metadata.json"
_STEM = re.compile(r"(\d+)_\d+")
_METADATA_LIMITS = Limits(member_bytes=2**30)
"""One entry of about 200 bytes for each of a million recordings."""


class AriaSource:
    """Aria-MIDI. Raises `DatasetError` when the files or their metadata are missing."""

    name = "aria"

    def __init__(self, path: Path, *, revision: str | None = None) -> None:
        if not path.exists():
            raise DatasetError(f"{path} does not exist; download an archive such as aria-midi-v1-pruned-ext from {URL}")
        is_unpacked = path.is_dir() and (path / _METADATA).is_file()
        archive = path if path.is_file() or is_unpacked else find_archive(path, "aria-midi-*.tar*")
        if archive is None:
            raise DatasetError(f"{path} holds neither {_METADATA} nor aria-midi-v1-*.tar.gz; they are at {URL}")
        self._path, self._digest = archive, revision or ""

    @cached_property
    def revision(self) -> str:
        """The hub's commit, and the digest of the archive's edges or of the folder's listing."""
        return f"{self._digest}-{collection_digest(self._path)}".strip("-")

    @cached_property
    def _recordings(self) -> Mapping[str, Any]:
        """The metadata by recording; it is the first member of the archive."""
        try:
            recordings = json.loads(self._metadata_bytes())
        except ValueError as error:
            raise DatasetError(f"{_METADATA} of {self._path} is no JSON ({error}); download it again") from error
        if not isinstance(recordings, dict):
            raise DatasetError(f"{_METADATA} of {self._path} is no object of recordings; download it again")
        return recordings

    def _metadata_bytes(self) -> bytes:
        if self._path.is_dir():
            return (self._path / _METADATA).read_bytes()

        def wanted(number: int, name: str) -> bool:
            return PurePosixPath(name).name == _METADATA

        for item in tar_members(self._path, source=self.name, wanted=wanted, limits=_METADATA_LIMITS):
            if isinstance(item, Member):
                return item.data
        raise DatasetError(f"{self._path} has no {_METADATA}; download it again from {URL}")

    def parts(self) -> list[Part]:
        """Stretches of the folder, or stripes of the archive, which each unpack all of it."""
        return collection_parts(self._path, source=self.name)

    def read(self, part: Part) -> Iterator[RawPiece | Skipped]:
        """The pieces, with what is said of their recordings."""
        for member in read_collection(self._path, part):
            if isinstance(member, Skipped):
                yield member
                continue
            stem = PurePosixPath(member.name).stem
            match = _STEM.fullmatch(stem)
            if match is None:
                yield Skipped(id=member.name, source=self.name, reason="name is no recording_segment")
                continue
            recording = str(int(match[1]))  # the names are padded with zeros, the metadata's keys are not
            yield RawPiece(
                id=stem,
                source=self.name,
                path=member.name,
                data=member.data,
                metadata=_metadata(recording, self._recordings.get(recording)),
            )


def _metadata(recording: str, entry: Any) -> Metadata:
    """What the entry {"metadata": {category: value}} of a recording says."""
    tags = entry.get("metadata") if isinstance(entry, dict) else None
    tags = tags if isinstance(tags, dict) else {}

    def tag(name: str) -> str:
        value = tags.get(name)
        return value.strip() if isinstance(value, str) else ""

    return Metadata(
        composer=tag("composer").title(),
        licence="CC-BY-NC-SA-4.0",
        attribution="Aria-MIDI, Louis Bradshaw and Simon Colton, 2025",
        url=URL,
        group=recording,
        genres=tuple(filter(None, (tag("genre"), tag("form")))),
        tempo_is_known=False,
        ensemble="solo piano",
        period=tag("music_period"),
    )
