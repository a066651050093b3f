"""A folder of MIDI files as a system: whatever composed them can be scored.

In: prompts and files named after them, or one JSONL with a "file" on every line. Out: the files as they are.
Names: `ID.mid`, `ID-0.mid`, `ID_1.mid`, `ID_take2.mid` (also .midi). The files of one prompt in the order of their
numbers are its takes 0, 1, ..., whether they count from 0 or from 1. A system that made nothing for a prompt says so
with an empty file: that is a failed take, and counts. Nothing is known of seeds, tokens and time.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from midi_llm.errors import MidiReadError, RequestError
from midi_llm.evaluate.prompts import Prompt, prompt_from_json
from midi_llm.evaluate.systems.base import JSON, Delivery, Job
from midi_llm.music.read import parse_midi

SUFFIXES = (".mid", ".midi")
_NUMBERED = re.compile(r"(.+?)[-_](?:take[-_]?)?(\d{1,6})")
_NAMED = 10
"""How many ids or files a message names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderSystem:
    """`files` [takes of each prompt id]; open it with `match_files` or `read_listed`."""

    files: Mapping[str, tuple[Path, ...]]
    name: str = "files"

    @property
    def takes(self) -> int:
        """Takes that every prompt has."""
        return min(map(len, self.files.values()))

    def describe(self) -> dict[str, JSON]:
        """How many files, and a digest over ids and contents: another file is another system."""
        digest = hashlib.sha256()
        for prompt_id, paths in sorted(self.files.items()):
            for path in paths:
                digest.update(f"{prompt_id}\0".encode() + hashlib.sha256(_content(path) or b"").digest())
        return {
            "kind": "folder",
            "folders": sorted({str(path.parent) for paths in self.files.values() for path in paths}),
            "files": sum(map(len, self.files.values())),
            "sha256": digest.hexdigest(),
        }

    def compose(self, jobs: Sequence[Job]) -> Iterator[Delivery]:
        """The file of each job. One that is missing, unreadable or no MIDI is delivered with the reason."""
        for job in jobs:
            paths = self.files.get(job.prompt.id, ())
            if job.number < len(paths):
                yield _delivery(paths[job.number])
            else:
                yield Delivery(
                    error=f"{job.prompt.id} has {len(paths)} files, take {job.number} (from 0) was asked for"
                )

    def close(self) -> None:
        """Nothing is held."""


def match_files(folder: Path, prompts: Sequence[Prompt]) -> FolderSystem:
    """The MIDI files of `folder` (not of folders in it), matched with `prompts` by their names.

    Raises `RequestError` for a folder without MIDI files, and naming the ids and files where a prompt has no file, a
    file no prompt, or prompts have different numbers of files.
    """
    if not folder.is_dir():
        raise RequestError(f"{folder} is no folder; name one that holds the MIDI files")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise RequestError(f"{folder} holds no MIDI file; expected names such as {prompts[0].id}.mid")
    ids = {prompt.id for prompt in prompts}
    found: dict[str, list[tuple[int, Path]]] = {prompt.id: [] for prompt in prompts}
    strangers = []
    for path in paths:
        match = _take_of(path.stem, ids)
        if match is None:
            strangers.append(path.name)
        else:
            found[match[0]].append((match[1], path))
    _check_counts({name: len(numbered) for name, numbered in found.items()}, strangers, str(folder))
    return FolderSystem(files={name: tuple(path for _, path in sorted(numbered)) for name, numbered in found.items()})


def read_listed(path: Path) -> tuple[list[Prompt], FolderSystem]:
    """Prompts and files from one JSONL: {"prompt": "a slow waltz", "file": "x.mid"}, with "id" and "facts" if wanted.

    Files are relative to the folder of `path`. Lines of one id (or, without ids, of one text) are takes of one prompt.
    Raises `RequestError` with the line for what cannot be read, for a file that does not exist, and as `match_files`
    for prompts with different numbers of files.
    """
    prompts: dict[str, Prompt] = {}
    names: dict[str, str] = {}
    files: dict[str, list[Path]] = {}
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            prompt, file = _listed(json.loads(line), default_id=f"p{number:04d}", names=names)
        except (ValueError, TypeError, RecursionError) as error:
            raise RequestError(f"{path} line {number}: {error}") from error
        if prompts.setdefault(prompt.id, prompt) != prompt:
            raise RequestError(f"{path} line {number}: the id {prompt.id!r} is used for two prompts; give each its own")
        if not (path.parent / file).is_file():
            raise RequestError(f"{path} line {number}: the file {path.parent / file} does not exist")
        files.setdefault(prompt.id, []).append(path.parent / file)
    if not prompts:
        raise RequestError(
            f'{path} holds no prompt; expected lines such as {{"prompt": "a slow waltz", "file": "x.mid"}}'
        )
    _check_counts({name: len(paths) for name, paths in files.items()}, [], str(path))
    return list(prompts.values()), FolderSystem(files={name: tuple(paths) for name, paths in files.items()})


def _take_of(stem: str, ids: set[str]) -> tuple[str, int] | None:
    """The prompt's id and the take's number (-1 where none is written) that a file name means."""
    if stem in ids:
        return stem, -1
    match = _NUMBERED.fullmatch(stem)
    return (match[1], int(match[2])) if match and match[1] in ids else None


def _check_counts(counts: Mapping[str, int], strangers: Sequence[str], where: str) -> None:
    """Raise `RequestError` unless every prompt has the same number of files, one or more, and every file a prompt."""
    missing = [name for name, count in counts.items() if not count]
    problems = [f"{len(missing)} prompts without a file: {_some(missing)}"] if missing else []
    problems += [f"{len(strangers)} files without a prompt: {_some(strangers)}"] if strangers else []
    most = max(counts.values())
    fewer = [f"{name} ({count})" for name, count in counts.items() if 0 < count < most]
    problems += [f"{len(fewer)} prompts with fewer than {most} files: {_some(fewer)}"] if fewer else []
    if problems:
        raise RequestError(
            f"{where}: {len(counts)} prompts, {sum(counts.values()) + len(strangers)} files; {'; '.join(problems)}."
            " Name files ID.mid or ID-0.mid after the prompts' ids; an empty file stands for a take that failed"
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path} cannot be read: {error}; it must be JSONL in UTF-8") from error


def _listed(value: object, *, default_id: str, names: dict[str, str]) -> tuple[Prompt, str]:
    """Prompt and file of a line. `names`: the id given to each text that came without one."""
    if not isinstance(value, dict) or not isinstance(file := value.get("file"), str) or not file:
        raise TypeError(f'expected an object with "prompt" and "file", found {value!r:.60}')
    text = value.get("prompt")
    fallback = names.setdefault(text, default_id) if isinstance(text, str) else default_id
    return prompt_from_json(
        {name: content for name, content in value.items() if name != "file"}, default_id=fallback
    ), file


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _delivery(path: Path) -> Delivery:
    """The file; with the reason why it is no music, where there is one."""
    content = _content(path)
    if content is None:
        return Delivery(error=f"{path} cannot be read")
    if not content:
        return Delivery(error=f"{path} is empty")
    try:
        parse_midi(content, name=str(path))
    except MidiReadError as error:
        return Delivery(midi=content, error=str(error))
    return Delivery(midi=content)
