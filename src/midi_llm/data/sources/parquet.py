"""Rows of parquet files, one row group a part.

In: a folder. Out: parts, and rows as dictionaries, a few at a time, of the columns asked for that exist. Needs pyarrow
(extra `data`). It does not know what the columns mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from midi_llm.data.sources.base import Part
from midi_llm.data.sources.collection import file_digest, listing_digest
from midi_llm.errors import DatasetError, MissingExtraError

_ROWS_AT_ONCE = 16
"""A row may hold a MIDI file or a long text."""


def list_parquet(folder: Path) -> list[str]:
    """Every parquet file below `folder`, as sorted relative paths with "/"."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet") if path.is_file())


def parquet_digest(folder: Path) -> str:
    """Digest of the files' names and edges; a parquet file ends with its directory."""
    return listing_digest((f"{name} {file_digest(folder / name)}", 0) for name in list_parquet(folder))


def parquet_parts(folder: Path, *, source: str, columns: Sequence[str]) -> list[Part]:
    """One part for each row group of each file; `columns` must be there. Raises `DatasetError` for a broken file."""
    places = []
    for name in list_parquet(folder):
        with _open(folder / name) as file:
            missing = set(columns) - set(file.schema_arrow.names)
            if missing:
                raise DatasetError(
                    f"{folder / name} has no column {', '.join(sorted(missing))} (it has"
                    f" {', '.join(file.schema_arrow.names)}); is this the right data set?"
                )
            row = 0
            for group in range(file.num_row_groups):
                places.append({"file": name, "group": group, "row": row})
                row += file.metadata.row_group(group).num_rows
    return [Part(source=source, index=i, where=where) for i, where in enumerate(places)]


def read_parquet(folder: Path, part: Part, *, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]] | None]:
    """("file:row", values) of each row in the part; None where the row group turns out to be damaged, and is left."""
    import pyarrow

    name, row = part.where["file"], part.where["row"]
    with _open(folder / name) as file:
        there = [column for column in columns if column in file.schema_arrow.names]
        try:
            groups = [part.where["group"]]
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, row_groups=groups, columns=there):
                for values in batch.to_pylist():
                    yield f"{name}:{row}", values
                    row += 1
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError):
            yield None


def _open(path: Path) -> Any:
    """A `pyarrow.parquet.ParquetFile`."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "data") from error
    try:
        return parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DatasetError(f"{path} cannot be read as parquet ({error}); download it again") from error
