"""Where results go: names, checks before the work, and never a file lost or overwritten silently.

In: the `-o` of the command line. Out: paths that were writable a moment ago. Raises `OutputError`.
"""

from __future__ import annotations

import re
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path

from midi_llm.errors import OutputError
from midi_llm.whole_file import write_file

MIDI_SUFFIXES = {".mid", ".midi"}
MAX_SLUG = 40


def slug(text: str) -> str:
    """A file name of lower-case letters, digits and hyphens from any text; "piece" when nothing is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
    return words[:MAX_SLUG].rstrip("-") or "piece"


def free_path(path: Path) -> Path:
    """`path`, or the first of name-2, name-3, … that does not exist."""
    number, candidate = 2, path
    while candidate.exists():
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
        number += 1
    return candidate


def check_folder(folder: Path) -> None:
    """Raise `OutputError` unless a file can be created in `folder` (it is tried, and leaves nothing behind)."""
    if not folder.is_dir():
        raise OutputError(f"the folder {folder} does not exist; create it first, or choose another with -o")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"cannot write in {folder}: {error.strerror}; choose another folder with -o") from error


def check_file(path: Path, *, force: bool) -> None:
    """Raise `OutputError` unless `path` can be written, and is new or may be overwritten."""
    if path.is_dir():
        raise OutputError(f"{path} is a folder; give the name of a file in it")
    if path.exists() and not force:
        raise OutputError(f"{path} exists; choose another name, or overwrite it with --force")
    check_folder(path.parent)


def write_text(text: str, path: Path, *, force: bool) -> None:
    """Write a text file completely or not at all."""
    check_file(path, force=force)
    write_file(text.encode("utf-8"), path)


def plan_takes(output: str | None, *, name: str, seeds: list[int], force: bool) -> list[Path]:
    """One path per take, checked before anything is composed.

    `output` None: `<name>-<seed>.mid` in the current folder, a free name if taken. A name ending in .mid or .midi is
    the file of a single take. Anything else is a folder, created when missing, with the same names as above.
    """
    if output is not None and Path(output).suffix.lower() in MIDI_SUFFIXES:
        if len(seeds) > 1:
            raise OutputError(f"-o {output} names one file for {len(seeds)} takes; give a folder")
        check_file(Path(output), force=force)
        return [Path(output)]
    folder = Path(output or ".")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "it is a file, and a MIDI file's name ends in .mid" if folder.is_file() else error.strerror
        raise OutputError(f"cannot use {folder} as a folder: {reason}") from error
    check_folder(folder)
    paths = [folder / f"{name}-{seed}.mid" for seed in seeds]
    return paths if force else [free_path(path) for path in paths]


def save_somewhere(save: Callable[[Path], object], path: Path) -> Path:
    """Call `save(path)`; when that fails now, try a free name beside it, then the system's temporary folder.

    The path that was written is returned, so that minutes of composing are not lost to a full or vanished folder.
    """
    try:
        save(path)
        return path
    except OutputError:
        for folder in (path.parent, Path(tempfile.gettempdir())):
            other = free_path(folder / path.name)
            try:
                save(other)
            except OutputError:
                continue
            return other
        raise
