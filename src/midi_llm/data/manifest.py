"""The manifest: one row per piece of a built data set, kept or dropped and why.

In: rows. Out: `manifest.jsonl.gz`, versioned, written whole or not at all, and rows again. The first line is a header
with the version and the number of rows; every other line is a row as JSON, without the fields that have their default.
Equal rows give equal bytes. Knows nothing of what the rows mean.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from midi_llm.data.files import write_whole
from midi_llm.data.sources.base import Metadata
from midi_llm.errors import DatasetError

FORMAT_VERSION = 1
SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class PieceRow:
    """One piece. `dropped` is the reason why it is not used, None when it is.

    Its MIDI bytes are member `id + ".mid"` of the zip `pieces/<pack>.zip` (kept pieces only).
    """

    id: str
    """ "source/raw id", unique in the data set."""
    source: str
    pack: str
    """Name of the part it came in (`Part.name`)."""
    sha256: str
    """Of the MIDI bytes; hex."""
    split: str
    metadata: Metadata
    md5: str = ""
    """Of the MIDI bytes; hex. Published lists (MidiCaps, GigaMIDI) name Lakh files so; empty when not computed."""
    fingerprint: str = ""
    """Musical fingerprint, hex (data/fingerprint.py); empty when the piece is unreadable or says too little."""
    notes: int = 0
    seconds: float = 0.0
    instruments: Mapping[int, int] = field(default_factory=dict)
    """Notes by instrument 0-128."""
    bpm: float | None = None
    """The tempo that lasts longest, from the file."""
    metre: tuple[int, int] | None = None
    key: str | None = None
    """Known or estimated key of the whole piece ("Bb minor")."""
    dropped: str | None = None
    duplicate_of: str = ""
    """The id of the piece because of which this one is dropped; only from de-duplication."""


def row_to_json(row: PieceRow) -> dict[str, Any]:
    """`row` as JSON values; fields that have their default are left out."""
    values = _changed_fields(row)
    values["metadata"] = _changed_fields(row.metadata)
    return values


def row_from_json(values: object) -> PieceRow:
    """The row that `row_to_json` wrote. Raises `DatasetError` naming a field that is missing, unknown or wrong."""
    row = _checked(values, _ROW_FIELDS, PieceRow)
    row["metadata"] = Metadata(**_checked(row["metadata"], _METADATA_FIELDS, Metadata))
    return PieceRow(**row)


def write_manifest(rows: Sequence[PieceRow], path: Path) -> None:
    """Write `rows` in the order given. Raises `DatasetError` when the file cannot be written; an old one then stays."""

    def write(file: BinaryIO) -> None:
        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as packed:
            packed.write(_line({"format_version": FORMAT_VERSION, "rows": len(rows)}))
            for row in rows:
                packed.write(_line(row_to_json(row)))

    write_whole({path: write})


def read_manifest(path: Path) -> list[PieceRow]:
    """All rows, dropped ones too. Raises `DatasetError` for a missing, newer, cut off or damaged manifest."""
    rows: list[PieceRow] = []
    expected, number = 0, 0
    try:
        with gzip.open(path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                values = json.loads(line)
                if number == 1:
                    expected = _row_count(values)
                else:
                    rows.append(row_from_json(values))
    except DatasetError as error:
        raise DatasetError(f"{path} line {number}: {error}") from error
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is damaged or missing at line {number}: {error}; build it again") from error
    if not number or len(rows) != expected:
        raise DatasetError(f"{path} has {len(rows)} rows of {expected}; build it again")
    return rows


def _line(values: Mapping[str, Any]) -> bytes:
    """One line of canonical JSON. ASCII, so that even half a surrogate pair from a broken file name comes back."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def _row_count(header: object) -> int:
    """How many rows the header promises. Raises `DatasetError` when it is no header, or a newer program's."""
    version, rows = (header.get("format_version"), header.get("rows")) if isinstance(header, dict) else (None, None)
    if not isinstance(version, int) or not isinstance(rows, int):
        raise DatasetError("the first line is not the header of a manifest; build it again")
    if version > FORMAT_VERSION:
        raise DatasetError(f"the manifest has format {version}, this program reads {FORMAT_VERSION}; upgrade midi-llm")
    return rows


def _changed_fields(value: PieceRow | Metadata) -> dict[str, Any]:
    """Fields that differ from their default, mappings with text keys as JSON has them."""
    defaults = _DEFAULTS[type(value)]
    changed = {}
    for item in dataclasses.fields(value):
        content = getattr(value, item.name)
        if item.name not in defaults or content != defaults[item.name]:
            changed[item.name] = {str(k): v for k, v in content.items()} if isinstance(content, Mapping) else content
    return changed


def _find_defaults(kind: type[PieceRow] | type[Metadata]) -> dict[str, Any]:
    """The default of every field that has one."""
    defaults = {}
    for item in dataclasses.fields(kind):
        if item.default is not MISSING:
            defaults[item.name] = item.default
        elif item.default_factory is not MISSING:
            defaults[item.name] = item.default_factory()
    return defaults


_DEFAULTS = {kind: _find_defaults(kind) for kind in (PieceRow, Metadata)}

Reader = Callable[[Any], Any]


def _checked(values: object, readers: Mapping[str, Reader], kind: type[PieceRow] | type[Metadata]) -> dict[str, Any]:
    """The fields in `values`, each through its reader."""
    if not isinstance(values, dict):
        raise DatasetError(f"{values!r:.40} is not an object")
    missing = [name for name in readers if name not in values and name not in _DEFAULTS[kind]]
    unknown = sorted(values.keys() - readers.keys())
    if missing or unknown:
        raise DatasetError(f"fields missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}")
    checked = {}
    for name, content in values.items():
        try:
            checked[name] = readers[name](content)
        except (TypeError, ValueError) as error:
            raise DatasetError(f"{name} is {content!r:.40}: {error}") from error
    return checked


def _is_a(*kinds: type) -> Reader:
    """A reader that lets values of exactly these types pass."""

    def read(value: Any) -> Any:
        if type(value) not in kinds:
            raise TypeError(f"expected {' or '.join('null' if k is type(None) else k.__name__ for k in kinds)}")
        return value

    return read


def _tuple_of(kind: type) -> Reader:
    """A reader of lists of `kind`."""
    one = _is_a(kind)
    return lambda value: tuple(one(item) for item in _is_a(list)(value))


def _metre(value: Any) -> tuple[int, int]:
    numerator, denominator = _tuple_of(int)(value)
    return numerator, denominator


def _counts(value: Any) -> dict[int, int]:
    return {int(instrument): _is_a(int)(count) for instrument, count in _is_a(dict)(value).items()}


def _split(value: Any) -> str:
    if value not in SPLITS:
        raise ValueError(f"expected one of {', '.join(SPLITS)}")
    return str(value)


_TEXT, _TEXTS = _is_a(str), _tuple_of(str)
_SPECIAL: Mapping[str, Reader] = {
    "notes": _is_a(int),
    "seconds": _is_a(int, float),
    "bpm": _is_a(int, float),
    "instruments": _counts,
    "metre": _metre,
    "split": _split,
    "metadata": _is_a(dict),
    "tempo_is_known": _is_a(bool),
    "synthetic": _is_a(bool),
}
"""Readers of fields that are neither a text nor a list of texts."""


def _readers(kind: type[PieceRow] | type[Metadata]) -> dict[str, Reader]:
    """A reader for every field: by name where it is special, else texts where the default is a tuple, else a text."""
    defaults = _DEFAULTS[kind]
    return {
        item.name: _SPECIAL.get(item.name, _TEXTS if isinstance(defaults.get(item.name), tuple) else _TEXT)
        for item in dataclasses.fields(kind)
    }


_ROW_FIELDS, _METADATA_FIELDS = _readers(PieceRow), _readers(Metadata)
