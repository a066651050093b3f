"""Files that are there whole or not at all, and records of what a folder was begun with. Knows no formats."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from midi_llm.errors import DatasetError


def write_whole(contents: Mapping[Path, Callable[[BinaryIO], object]]) -> None:
    """Write all files under hidden names, flushed to disk, then rename them in order; same contents, same bytes.

    Raises `DatasetError` when that fails, as on a full disk; nothing is left behind then.
    """
    hidden = {path: path.with_name(f".{path.name}.partial") for path in contents}
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
        for partial in hidden.values():
            partial.unlink(missing_ok=True)
        path = next(iter(contents))
        raise DatasetError(
            f"{path} could not be written: {error}; free some space (or choose another folder) and run the build"
            " again, it continues"
        ) from error


def check_same(path: Path, record: Mapping[str, Any]) -> None:
    """Write `record` (JSON-able) to `path`, or compare it with the one that is there.

    Raises `DatasetError` when it differs, or when the folder is in use for something else.
    """
    wanted = json.loads(json.dumps(record))
    if not path.is_file():
        if path.parent.is_dir() and any(path.parent.iterdir()):
            raise DatasetError(f"{path.parent} is not empty and holds no {path.name}; choose a new folder")
        text = json.dumps(wanted, indent=1, sort_keys=True) + "\n"
        write_whole({path: lambda file: file.write(text.encode())})
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError(f"{path} is damaged: {error}; choose a new folder") from error
    changed = sorted(key for key in wanted.keys() | before.keys() if before.get(key) != wanted.get(key))
    if changed:
        raise DatasetError(
            f"{path} was begun with other settings: {', '.join(changed)} differ; use the same, or choose a new folder"
        )
