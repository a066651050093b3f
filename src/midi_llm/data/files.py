"""Files that are there whole or not at all, and records of what a folder was begun with. Knows no formats."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from midi_llm.errors import DatasetError

_PARTIAL = ".partial"
_NAMED = 5
"""How many differences a message names."""


def write_whole(contents: Mapping[Path, Callable[[BinaryIO], object]]) -> None:
    """Write all files under hidden names, flushed to disk, then rename them in order; same contents, same bytes.

    Raises `DatasetError` when that fails, as on a full disk; nothing is left behind then. What a killed process left
    under a hidden name is written over when the file is written again, and never read.
    """
    hidden = {path: path.with_name(f".{path.name}{_PARTIAL}") for path in contents}
    try:
        for path, write in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with hidden[path].open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
        for path, partial in hidden.items():
            partial.replace(path)
    except OSError as error:
        path = next(iter(contents))
        raise DatasetError(
            f"{path} could not be written: {error}; free some space (or choose another folder) and run the build"
            " again, it continues"
        ) from error
    finally:
        for partial in hidden.values():
            with suppress(OSError):
                partial.unlink()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_same(path: Path, record: Mapping[str, Any]) -> None:
    """Write `record` (JSON-able) to `path`, or compare it with the one that is there.

    Raises `DatasetError` that names what differs, or when the folder is in use for something else.
    """
    wanted = json.loads(json.dumps(record))
    if not path.is_file():
        if path.parent.is_dir() and not all(other.name.endswith(_PARTIAL) for other in path.parent.iterdir()):
            raise DatasetError(f"{path.parent} is not empty and holds no {path.name}; choose a new folder")
        text = json.dumps(wanted, indent=1, sort_keys=True) + "\n"
        write_whole({path: lambda file: file.write(text.encode())})
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} is damaged: {error}; choose a new folder") from error
    changed = list(_differences(before, wanted, ""))
    if changed:
        more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
        raise DatasetError(
            f"{path} was begun with other settings: {'; '.join(changed[:_NAMED])}{more}; use the same, or choose a new"
            " folder"
        )


def _differences(before: Any, wanted: Any, name: str) -> Iterator[str]:
    """What differs between two JSON values, the innermost values that do: "sources.0.revision was 'a', is now 'b'"."""
    if isinstance(before, list) and isinstance(wanted, list):
        before, wanted = dict(enumerate(before)), dict(enumerate(wanted))
    if isinstance(before, dict) and isinstance(wanted, dict):
        for key in [*before, *(key for key in wanted if key not in before)]:
            yield from _differences(before.get(key), wanted.get(key), f"{name}.{key}" if name else str(key))
    elif before != wanted:
        yield f"{name or 'all'} was {before!r:.80}, is now {wanted!r:.80}"
