"""Captions that come with MIDI files: JSON lines, each naming a file and describing it.

In: the path of a file of lines such as {"file": "a/b.mid", "caption": "A calm waltz."}. Out: `CaptionLine`s.
The file is named by "file", "path", "location" or "id"; the description is "caption", "text" or a list "captions".
Optional: title, composer, genre or genres, mood or moods, licence, attribution, split, key.
It does not know which files exist.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midi_llm.data.sources.base import Metadata
from midi_llm.errors import DatasetError

REFERENCES = ("file", "path", "location", "id")
DESCRIPTIONS = ("caption", "captions", "text")
SPLITS = {"train": "train", "valid": "valid", "validation": "valid", "dev": "valid", "test": "test"}
MAX_CAPTION_CHARACTERS = 1000
"""At about four characters a token, an eighth of a context of 2,048."""
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionLine:
    """One line: its number from 1, the file it names, and what it says of it."""

    number: int
    file: str
    metadata: Metadata


def read_caption_file(path: Path) -> list[CaptionLine]:
    """All lines of a caption file, empty ones left out.

    Raises `DatasetError`, naming the line, for one that is no JSON object, names no file, describes nothing, has a
    value of the wrong kind or names the same file as another line.
    """
    lines: dict[str, CaptionLine] = {}
    for number, row in json_lines(path):
        line = CaptionLine(number=number, file=_reference(row, path, number), metadata=_metadata(row, path, number))
        other = lines.setdefault(line.file, line)
        if other is not line:
            raise DatasetError(
                f"{path.name} lines {other.number} and {number} both describe {line.file!r};"
                ' keep one, with all descriptions in a list "captions"'
            )
    return list(lines.values())


def json_lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(line number, object) of a file of JSON lines. Raises `DatasetError` for a line that is no object."""
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise DatasetError(f"{path.name} line {number} is no JSON ({error})") from error
                if not isinstance(row, dict):
                    raise DatasetError(
                        f"{path.name} line {number} is a JSON {type(row).__name__}; every line must be an object such"
                        ' as {"file": "a.mid", "caption": "A calm waltz."}'
                    )
                yield number, row
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read as UTF-8 text ({error})") from error


def clean_caption(text: str) -> str:
    """One line without control characters, cut at the end of a sentence (else of a word) where it is over-long."""
    kept = "".join(" " if unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} else char for char in text)
    line = " ".join(kept.split())
    if len(line) <= MAX_CAPTION_CHARACTERS:
        return line
    head = line[:MAX_CAPTION_CHARACTERS]
    ends = [match.end() for match in _SENTENCE_END.finditer(head)]
    return head[: ends[-1]] if ends else head.rpartition(" ")[0] or head


def _reference(row: Mapping[str, Any], path: Path, number: int) -> str:
    """The file that a line names, with "/" and without a leading "./"."""
    value = next((row[name] for name in REFERENCES if name in row), None)
    if not isinstance(value, str | int) or isinstance(value, bool) or not str(value).strip():
        raise DatasetError(f"{path.name} line {number} names no file; it needs one of {', '.join(REFERENCES)}")
    return str(value).strip().replace("\\", "/").removeprefix("./")


def _metadata(row: Mapping[str, Any], path: Path, number: int) -> Metadata:
    """What a line says, in our vocabulary."""

    def texts(*names: str) -> tuple[str, ...]:
        value = next((row[name] for name in names if row.get(name) is not None), ())
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list | tuple) or not all(isinstance(text, str) for text in values):
            raise DatasetError(
                f"{path.name} line {number}: {names[0]} is {value!r}; allowed are a text and a list of texts"
            )
        return tuple(filter(None, map(clean_caption, values)))

    captions = texts(*DESCRIPTIONS)
    if not captions:
        raise DatasetError(f"{path.name} line {number} describes nothing; it needs one of {', '.join(DESCRIPTIONS)}")
    one = {name: " ".join(texts(name)) for name in ("title", "composer", "licence", "attribution", "split", "key")}
    if one["split"] and one["split"] not in SPLITS:
        raise DatasetError(f"{path.name} line {number}: split is {one['split']!r}; allowed are {', '.join(SPLITS)}")
    return Metadata(
        title=one["title"],
        composer=one["composer"],
        licence=one["licence"],
        attribution=one["attribution"],
        split=SPLITS.get(one["split"]),
        key=one["key"] or None,
        genres=texts("genres", "genre"),
        moods=texts("moods", "mood"),
        captions=captions,
    )
