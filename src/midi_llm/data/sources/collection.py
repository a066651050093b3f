"""MIDI files of a collection as it is published: one .tar or .tar.gz, or the folder unpacked from it.

In: its path. Out: parts, their `Member`s, and digests that pin what is read. A folder is cut into stretches of its
sorted listing. A .tar.gz cannot be entered in the middle: each of its parts unpacks the whole archive and takes every
n-th member, so that parts need no listing; `gunzip` it once and the parts skip through it instead.
It does not know what the files mean. Symbolic links inside a folder are not followed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from midi_llm.data.sources.archive import LIMITS, Limits, Member, is_midi_name, printable, tar_members
from midi_llm.data.sources.base import Part, Skipped
from midi_llm.errors import DatasetError

FILES_PER_PART = 512
STRIPE_BYTES = 256 * 2**20
"""One part of an archive for every so many packed bytes, but at most `MAX_STRIPES`: each unpacks all of it."""
MAX_STRIPES = 8
_EDGE_BYTES = 64 * 2**10


def find_archive(folder: Path, *patterns: str) -> Path | None:
    """The one file in `folder` that fits a pattern, tried in order; `DatasetError` when several fit the same one."""
    for pattern in patterns:
        found = sorted(path for path in folder.glob(pattern) if path.is_file())
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise DatasetError(f"{folder} holds {names}; name the one to read instead of the folder")
        if found:
            return found[0]
    return None


def list_midi(folder: Path) -> list[str]:
    """Every MIDI file below `folder`, as sorted relative paths with "/".

    Raises `DatasetError` for a folder that cannot be listed.
    """
    found = []

    def refuse(error: OSError) -> None:
        raise DatasetError(f"{error.filename} cannot be listed ({error.strerror}); make it readable or move it away")

    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders.sort()
        base = Path(parent).relative_to(folder)
        found += [(base / name).as_posix() for name in files if is_midi_name(name)]
    return sorted(found)


def collection_parts(path: Path, *, source: str) -> list[Part]:
    """The parts of a folder (stretches of its files) or an archive (stripes of its members)."""
    if path.is_dir():
        names = list_midi(path)
        stretches = [names[start : start + FILES_PER_PART] for start in range(0, len(names), FILES_PER_PART)]
        return [Part(source=source, index=i, where={"files": stretch}) for i, stretch in enumerate(stretches)]
    stripes = min(MAX_STRIPES, 1 + path.stat().st_size // STRIPE_BYTES)
    return [Part(source=source, index=i, where={"stripe": i, "stripes": stripes}) for i in range(stripes)]


def read_collection(path: Path, part: Part, *, limits: Limits = LIMITS) -> Iterator[Member | Skipped]:
    """The MIDI files of one of `collection_parts`. Raises `DatasetError` for an archive that cannot be read at all."""
    if "files" in part.where:
        yield from read_files(path, part.where["files"], source=part.source, limits=limits)
        return
    stripe, stripes = part.where["stripe"], part.where["stripes"]

    def wanted(number: int, name: str) -> bool:
        return number % stripes == stripe and is_midi_name(name)

    for item in tar_members(path, source=part.source, wanted=wanted, limits=limits):
        if isinstance(item, Skipped) and item.id == path.name:  # every stripe meets the damage; ids are unique
            item = Skipped(id=f"{path.name}#stripe {stripe}", source=item.source, reason=item.reason)
        yield item


def read_files(
    folder: Path, names: Iterable[str], *, source: str, limits: Limits = LIMITS
) -> Iterator[Member | Skipped]:
    """The named files below `folder`, in the order given."""
    for name in names:
        item = _read_file(folder / name, limits)
        if isinstance(item, bytes):
            yield Member(name=name, data=item)
        else:
            yield Skipped(id=printable(name), source=source, reason=item)


def _read_file(path: Path, limits: Limits) -> bytes | str:
    """The file's bytes, or the reason why it is not read; nothing is opened but a regular file of a fair size."""
    try:
        str(path).encode()
        info = path.lstat()
        if stat.S_ISLNK(info.st_mode):
            return "symbolic link"
        if not stat.S_ISREG(info.st_mode):
            return "not a regular file"
        if info.st_size > limits.member_bytes:
            return "too large"
        return path.read_bytes()
    except UnicodeEncodeError:
        return "name is not UTF-8"
    except OSError:
        return "unreadable"


def listing_digest(entries: Iterable[tuple[str, int]]) -> str:
    """16 hex digits over names and sizes in bytes."""
    digest = hashlib.sha256()
    for name, size in entries:
        digest.update(f"{name}\0{size}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def file_digest(path: Path) -> str:
    """16 hex digits over a file's size and its first and last 64 KiB.

    The end of a .gz holds a checksum of its contents, that of a zip or parquet file its directory: this pins large
    files without reading them.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        digest = hashlib.sha256(f"{size}\n".encode() + file.read(_EDGE_BYTES))
        file.seek(max(0, size - _EDGE_BYTES))
        digest.update(file.read(_EDGE_BYTES))
    return digest.hexdigest()[:16]


def collection_digest(path: Path) -> str:
    """The digest of an archive's edges, or of a folder's listing."""
    if path.is_dir():
        return listing_digest((name, (path / name).lstat().st_size) for name in list_midi(path))
    return file_digest(path)
