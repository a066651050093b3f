"""Any folder of MIDI files as a source, with captions if there are any.

In: the folder (.mid, .midi and .kar, at any depth, in any case), and a file of JSON lines (`caption_file`).
Out: its pieces, with the relative path as id, under the folder's name. A caption belongs to the file whose relative
path it names, with or without the ending; a shorter or longer path will do where it ends as only one file's does.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from midi_llm.data.sources.archive import LIMITS, Limits, is_midi_name, printable
from midi_llm.data.sources.base import Metadata, Part, RawPiece, Skipped
from midi_llm.data.sources.caption_file import CaptionLine, read_caption_file
from midi_llm.data.sources.collection import FILES_PER_PART, collection_digest, file_digest, list_midi, read_files
from midi_llm.errors import DatasetError


class FolderSource:
    """A folder. Raises `DatasetError` when it is missing or its caption file is unreadable.

    That captions and files belong together is checked by `parts`, which lists the folder.
    """

    def __init__(self, folder: Path, *, captions: Path | None = None, limits: Limits = LIMITS) -> None:
        if not folder.is_dir():
            raise DatasetError(f"{folder} is no folder; give a folder of MIDI files")
        if captions is not None and not captions.is_file():
            raise DatasetError(f"{captions} is missing; it should hold JSON lines with a file and its caption")
        self.name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "folder"
        self._folder, self._captions, self._limits = folder, captions, limits
        self._lines = {} if captions is None else {line.number: line for line in read_caption_file(captions)}

    @cached_property
    def revision(self) -> str:
        """Digest of the folder's listing and of the captions."""
        captions = "" if self._captions is None else f"-{file_digest(self._captions)}"
        return collection_digest(self._folder) + captions

    def parts(self) -> list[Part]:
        """Stretches of (file, number of its caption's line); a caption without a file is there with file None.

        Raises `DatasetError` for an empty folder, captions of which none fits, and a caption that fits several files.
        """
        files = list_midi(self._folder)
        if not files:
            raise DatasetError(f"{self._folder} has no MIDI file; looked for .mid, .midi and .kar at any depth")
        line_of = self._match(files)
        items: list[tuple[str | None, int | None]] = [(file, line_of.get(file)) for file in files]
        items += [(None, number) for number in sorted(set(self._lines) - set(line_of.values()))]
        return [
            Part(source=self.name, index=i, where={"items": items[start : start + FILES_PER_PART]})
            for i, start in enumerate(range(0, len(items), FILES_PER_PART))
        ]

    def read(self, part: Part) -> Iterator[RawPiece | Skipped]:
        """The pieces in the order of their paths, then the captions without a file."""
        items = part.where["items"]
        files = [(file, number) for file, number in items if file is not None]
        members = read_files(self._folder, [file for file, _ in files], source=self.name, limits=self._limits)
        for (file, number), member in zip(files, members, strict=True):
            if isinstance(member, Skipped):
                yield member
                continue
            metadata = Metadata() if number is None else self._lines[number].metadata
            yield RawPiece(id=file, source=self.name, path=file, data=member.data, metadata=metadata)
        for file, number in items:
            if file is None:
                name = printable(self._lines[number].file)
                yield Skipped(id=f"{name}#line {number}", source=self.name, reason="caption without a file")

    def _match(self, files: Sequence[str]) -> dict[str, int]:
        """The number of the caption line of every file that has one."""
        by_stem: dict[str, list[str]] = defaultdict(list)
        for file in files:
            by_stem[_steps(file)[-1]].append(file)
        line_of: dict[str, int] = {}
        for line in self._lines.values():
            found = _file_of(line, by_stem)
            other = line.number if found is None else line_of.setdefault(found, line.number)
            if other != line.number:
                raise DatasetError(f"caption lines {other} and {line.number} both describe {found}; keep one")
        if self._lines and not line_of:
            first = next(iter(self._lines.values())).file
            raise DatasetError(
                f"0 of {len(self._lines)} captions name a file of {self._folder} (the first names {first!r}, the first"
                f" file is {files[0]!r}); name files by their path below the folder"
            )
        return line_of


def _steps(file: str) -> tuple[str, ...]:
    """The path's parts, the last without its ending."""
    return PurePosixPath(file[: file.rindex(".")] if is_midi_name(file) else file).parts or ("",)


def _file_of(line: CaptionLine, by_stem: Mapping[str, Sequence[str]]) -> str | None:
    """The file that a caption names, None when there is none."""
    steps = _steps(line.file)
    fitting = []
    for file in by_stem.get(steps[-1], ()):
        if file == line.file:
            return file
        shared = min(len(steps), len(_steps(file)))
        if steps[-shared:] == _steps(file)[-shared:]:
            fitting.append(file)
    found = [file for file in fitting if _steps(file) == steps] or fitting
    if len(found) > 1:
        raise DatasetError(
            f"caption line {line.number} names {line.file!r}, which fits {len(found)} files ({found[0]}, {found[1]});"
            " give the whole path"
        )
    return found[0] if found else None
