"""A file that a user names, written completely or not at all. Knows no formats."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from midi_llm.errors import OutputError


def check_target(path: Path, *, overwrite: bool) -> None:
    """Raise `OutputError` for a folder, a missing folder, and a file that exists (unless `overwrite`)."""
    if path.is_dir():
        raise OutputError(f"{path} is a folder; give the name of a file in it")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists; choose another name, or ask to overwrite it")
    if not path.parent.is_dir():
        raise OutputError(f"the folder {path.parent} does not exist; create it first, or choose another")


def write_file(content: bytes, path: Path) -> None:
    """Write `content` to `path` as `new_file` does. Raises `OutputError`."""
    with new_file(path) as partial:
        partial.write_bytes(content)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a file to write beside `path`; when the block ends it is flushed to disk and renamed, else it vanishes.

    Raises `OutputError` for an `OSError` in the block.
    """
    partial = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        try:
            yield partial
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another place") from error
