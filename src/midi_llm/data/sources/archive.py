"""Members of zip and tar archives, read one at a time, from files that nobody vouches for.

In: the path of an archive, which members are wanted, limits. Out: `Member`s, and `Skipped` with a reason for whatever
is unsafe, too large, encrypted, there twice or broken. Nothing is unpacked to disk and one member is held at a time.
A damaged archive gives what could be read before the damage. It does not know what the members mean.
"""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from midi_llm.data.sources.base import Skipped
from midi_llm.errors import DatasetError

MIDI_SUFFIXES = (".mid", ".midi", ".kar")
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What an archive may hold. A member beyond its limit is skipped; an archive beyond its own is left there."""

    member_bytes: int = 16 * 2**20
    """The largest of the 20,335 pieces of a corpus measured here has 0.34 MiB."""
    ratio: int = 200
    """Unpacked bytes per packed byte; the pieces of that corpus reach 50."""
    members: int = 2_000_000
    """The largest collection known here, Aria-MIDI, has 1.2 million files."""
    total_bytes: int = 64 * 2**30


LIMITS = Limits()


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One file of an archive or a folder: its path inside, with "/", and its bytes."""

    name: str
    data: bytes


def is_midi_name(name: str) -> bool:
    """Whether the name ends as a MIDI file's does, in any case."""
    return name.lower().endswith(MIDI_SUFFIXES)


def is_safe_name(name: str) -> bool:
    """Whether a member's name stays inside its archive: relative, no "..", no backslash, drive or control character."""
    path = PurePosixPath(name)
    unsafe = path.is_absolute() or ".." in path.parts or "\\" in name or name[1:2] == ":"
    return bool(path.parts) and not unsafe and name.isprintable()


def printable(name: str) -> str:
    """The name, or its escaped form when it holds what a file or a terminal could stumble over."""
    return name if name.isprintable() else repr(name)[1:-1]


def open_zip(path: Path, *, limits: Limits = LIMITS) -> zipfile.ZipFile:
    """Open a zip, or raise `DatasetError` when it is none, is cut off or has too many members."""
    try:
        archive = zipfile.ZipFile(path)
    except (*_BROKEN, NotImplementedError) as error:
        raise DatasetError(f"{path} cannot be read as a zip file ({error}); download or write it again") from error
    if len(archive.filelist) > limits.members:
        archive.close()
        raise DatasetError(f"{path} has {len(archive.filelist)} members; at most {limits.members} are read")
    return archive


def zip_members(
    path: Path, *, source: str, names: Iterable[str], limits: Limits = LIMITS
) -> Iterator[Member | Skipped]:
    """The named members, in the order given; skipped are also names that are not there or are there twice.

    Raises `DatasetError` when the archive has no readable directory.
    """
    with open_zip(path, limits=limits) as archive:
        found: dict[str, zipfile.ZipInfo] = {}
        twice = {info.filename for info in archive.filelist if found.setdefault(info.filename, info) is not info}
        budget_bytes = limits.total_bytes
        for name in names:
            reason = "duplicate name" if name in twice else _zip_fault(found.get(name), limits)
            budget_bytes -= found[name].file_size if reason is None else 0
            if budget_bytes < 0:
                yield Skipped(id=path.name, source=source, reason="archive is too large")
                return
            data = _read_zip_member(archive, found[name], limits) if reason is None else None
            if data is None:
                yield Skipped(id=printable(name), source=source, reason=reason or "damaged member")
            else:
                yield Member(name=name, data=data)


def _zip_fault(info: zipfile.ZipInfo | None, limits: Limits) -> str | None:
    """Why a member is not read, judged by the archive's directory."""
    if info is None:
        return "not in the archive"
    kind = stat.S_IFMT(info.external_attr >> 16)
    faults = {
        "unsafe path": not is_safe_name(info.filename),
        "not a regular file": info.is_dir() or kind not in (0, stat.S_IFREG),
        "encrypted": bool(info.flag_bits & 1),
        "too large": info.file_size > limits.member_bytes,
        "packed too tightly": info.file_size > limits.ratio * max(info.compress_size, 1),
    }
    return next((reason for reason, found in faults.items() if found), None)


def _read_zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limits: Limits) -> bytes | None:
    """The bytes, or None when they are damaged or are not those the directory states."""
    try:
        with archive.open(info) as file:
            data = file.read(limits.member_bytes + 1)  # reads at most the stated size, then compares the checksum
    except (*_BROKEN, NotImplementedError, RuntimeError):
        return None
    return data if len(data) == info.file_size else None


def tar_members(
    path: Path, *, source: str, wanted: Callable[[int, str], bool], limits: Limits = LIMITS
) -> Iterator[Member | Skipped]:
    """The members of a .tar or .tar.gz for which `wanted(number, name)`, in the archive's order.

    `number` counts all members from 0. A .tar.gz is unpacked from its start, wanted or not; a .tar is skipped through.
    Raises `DatasetError` when not even the first member can be found.
    """
    with path.open("rb") as file:
        stream = _Forward(_unpacked(file), largest=limits.member_bytes)
        try:
            archive = tarfile.TarFile(path.name, fileobj=cast(BinaryIO, stream), encoding="utf-8")
        except (*_BROKEN, OverflowError) as error:
            raise DatasetError(f"{path} cannot be read as .tar or .tar.gz ({error}); download it again") from error
        with archive:
            budget_bytes = min(limits.total_bytes, limits.ratio * max(path.stat().st_size, 1))
            yield from _walk_tar(archive, stream, path.name, source, wanted, limits, budget_bytes)


def _walk_tar(
    archive: tarfile.TarFile,
    stream: _Forward,
    archive_name: str,
    source: str,
    wanted: Callable[[int, str], bool],
    limits: Limits,
    budget_bytes: int,
) -> Iterator[Member | Skipped]:
    """Members until the end, the damage, or a limit."""
    seen: set[int] = set()
    broken = Skipped(id=archive_name, source=source, reason="archive is damaged")
    for number, info in enumerate(_headers(archive, stream)):
        if info is None or info.size < 0:
            yield broken
            return
        budget_bytes -= info.size
        if number >= limits.members or budget_bytes < 0:
            yield Skipped(id=archive_name, source=source, reason="archive is too large")
            return
        is_new = hash(info.name) not in seen  # 8 bytes a name, where a million full names would be some 100 MB
        seen.add(hash(info.name))
        if info.isdir() or not wanted(number, info.name):
            continue
        if not is_new:
            yield Skipped(id=f"{printable(info.name)}#{number}", source=source, reason="duplicate name")
        elif (reason := _tar_fault(info, limits)) is not None:
            yield Skipped(id=printable(info.name), source=source, reason=reason)
        elif (data := _read_tar_member(archive, info)) is None:
            yield broken
            return
        else:
            yield Member(name=info.name, data=data)


def _headers(archive: tarfile.TarFile, stream: _Forward) -> Iterator[tarfile.TarInfo | None]:
    """The headers in order; None where the archive breaks off (tarfile itself takes that for its end)."""
    kept: Any = archive  # `members` is where tarfile keeps every header, about 1 KB each
    try:
        while (info := archive.next()) is not None:
            kept.members.clear()
            yield info
    except (*_BROKEN, OverflowError):
        yield None
        return
    if stream.last != bytes(tarfile.BLOCKSIZE):  # a whole tar ends with blocks of zeros
        yield None


def _tar_fault(info: tarfile.TarInfo, limits: Limits) -> str | None:
    """Why a member is not read, judged by its header."""
    faults = {
        "unsafe path": not is_safe_name(info.name),
        "not a regular file": not info.isreg() or info.issparse(),
        "too large": info.size > limits.member_bytes,
    }
    return next((reason for reason, found in faults.items() if found), None)


def _read_tar_member(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes | None:
    """The bytes, or None when the archive ends or breaks inside them."""
    try:
        file = archive.extractfile(info)
        data = b"" if file is None else file.read(info.size)
    except (*_BROKEN, OverflowError):
        return None
    return data if len(data) == info.size else None


def _unpacked(file: BinaryIO) -> BinaryIO:
    """The file itself, or its unpacked stream when it begins as gzip does."""
    magic = file.read(2)
    file.seek(0)
    return cast(BinaryIO, gzip.GzipFile(fileobj=file)) if magic == b"\x1f\x8b" else file


class _Forward(io.RawIOBase):
    """A stream that only moves forward and never reads more than `largest` bytes at once.

    A tar header may state any size, also a negative one; both would make tarfile read or seek without end.
    """

    def __init__(self, file: BinaryIO, *, largest: int) -> None:
        super().__init__()
        self._file, self._largest = file, largest
        self.last = b""
        """What the latest read gave."""

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= self._largest:
            raise tarfile.ReadError(f"a header asks for {size} bytes")
        self.last = self._file.read(size)
        return self.last

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence != io.SEEK_SET or offset < self._file.tell():
            raise tarfile.ReadError("a header points backwards")
        return self._file.seek(offset)

    def tell(self) -> int:
        return self._file.tell()
