"""What a source is: named, pinned, cut into parts that can be read in any order, on any machine, again and again.

In: nothing. Out: the types that every source yields and `data.build` reads. A `Part` is the unit of work and of
resuming: small enough to redo, named so that its output file is the same wherever it is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class Metadata:
    """What a source says of a piece, in one vocabulary. None or empty where it says nothing; estimates are left out."""

    title: str = ""
    composer: str = ""
    licence: str = ""
    attribution: str = ""
    url: str = ""
    split: str | None = None
    """"train", "valid" or "test" where the source fixes it."""
    group: str = ""
    """Pieces of one work share it; a split never cuts through a group."""
    genres: tuple[str, ...] = ()
    moods: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    """Descriptions of the whole piece, used as they are."""
    key: str | None = None
    """ "Bb minor"; only where it is known, not estimated."""
    tempo_is_known: bool = True
    """False where the file's tempo is a default that nobody chose."""
    ensemble: str = ""
    period: str = ""
    form: tuple[str, ...] = ()
    synthetic: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RawPiece:
    """One MIDI file as found. `id` is unique within the source; `path` says where it was found."""

    id: str
    source: str
    path: str
    data: bytes
    metadata: Metadata = field(default_factory=Metadata)


@dataclass(frozen=True, kw_only=True, slots=True)
class RawText:
    """One text for stage 1."""

    id: str
    source: str
    text: str
    licence: str = ""
    collection: str = ""
    """Which of the source's collections it comes from, where the source says so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """Something that was there and is not used, and why, in two or three words ("too large", "unsafe path")."""

    id: str
    source: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A stretch of a source: picklable, and JSON-able through `where`."""

    source: str
    index: int
    where: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name for its output files: "lakh-00012"."""
        return f"{self.source}-{self.index:05d}"


class Source(Protocol):
    """A pinned source. Constructing one checks that its files are there and raises `DatasetError` when they are not."""

    @property
    def name(self) -> str:
        """Short name, used in ids, file names and mixture weights: letters, digits, dashes."""

    @property
    def revision(self) -> str:
        """What is pinned: a commit, a configuration, or the digest of a local archive's listing."""

    def parts(self) -> Sequence[Part]:
        """All parts, in a fixed order."""

    def read(self, part: Part) -> Iterator[RawPiece | RawText | Skipped]:
        """Everything in `part`, in a fixed order, one item in memory at a time."""
