"""Tiny files in each source's published layout, and archives with faults, written by the tests."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from midi_llm.data.sources.base import Part, RawPiece, RawText, Skipped, Source


def midi(seed: int) -> bytes:
    """Bytes that differ by seed; sources do not look inside."""
    return b"MThd" + seed.to_bytes(4, "big") * 20


def md5_of(seed: int, digit: str) -> str:
    """An md5-like name that starts with `digit`."""
    return digit + hashlib.md5(midi(seed)).hexdigest()[1:]


def write_tar(path: Path, members: Iterable[tuple[str | tarfile.TarInfo, bytes]]) -> Path:
    """A .tar, or .tar.gz by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for member, data in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def write_zip(path: Path, members: Iterable[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members:
            archive.writestr(member, data)
    return path


def write_lines(path: Path, rows: Iterable[Mapping[str, Any] | str]) -> Path:
    """JSON lines; a text is written as it is."""
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def lakh_members(digits: str) -> list[tuple[str, bytes]]:
    """One file for each first digit, as in lmd_full.tar.gz."""
    return [(f"lmd_full/{digit}/{md5_of(i, digit)}.mid", midi(i)) for i, digit in enumerate(digits)]


def write_midicaps(folder: Path) -> Path:
    """Pieces 0, e, 1 and f; 1 is marked as test, f's location is the short form, 2 has no caption."""
    write_tar(folder / "midicaps.tar.gz", lakh_members("0e1f2"))
    rows = [
        {"location": f"lmd_full/0/{md5_of(0, '0')}.mid", "caption": "A calm waltz.", "genre": ["pop"], "key": "A major",
         "mood": ["happy"], "tempo": 90, "test_set": False},
        {"location": f"lmd_full/e/{md5_of(1, 'e')}.mid", "caption": "Rock\u0007 in 4/4.", "test_set": False},
        {"location": f"lmd_full/1/{md5_of(2, '1')}.mid", "caption": "A march.", "test_set": True},
        {"location": f"f/{md5_of(3, 'f')}.mid", "caption": "A jig.", "test_set": False},
    ]  # fmt: skip
    write_lines(folder / "train.json", rows)
    return folder


def write_aria(path: Path) -> Path:
    """Recording 2 in two segments with metadata, recording 7 without."""
    metadata = {"2": {"metadata": {"composer": "strauss", "form": "waltz", "genre": "classical",
                                   "music_period": "romantic"}, "audio_scores": {"0": 0.99, "1": 0.9}}}  # fmt: skip
    root = "aria-midi-v1-pruned-ext"
    return write_tar(
        path,
        [
            (f"{root}/metadata.json", json.dumps(metadata).encode()),
            (f"{root}/data/aa/000002_0.mid", midi(0)),
            (f"{root}/data/aa/000002_1.mid", midi(1)),
            (f"{root}/data/ab/000007_0.mid", midi(2)),
            (f"{root}/data/ab/readme.mid", midi(3)),
        ],
    )


def write_parquet(path: Path, columns: Mapping[str, list[Any]], *, rows_per_group: int = 2) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(dict(columns)), path, row_group_size=rows_per_group)
    return path


def write_manifest(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def everything(source: Source) -> list[RawPiece | RawText | Skipped]:
    """All items, after checks that hold for every source: JSON-able parts, unique ids, the same on a second reading."""
    parts = source.parts()
    assert [part.index for part in parts] == list(range(len(parts)))
    items = []
    for part in parts:
        where = json.loads(json.dumps(dict(part.where)))
        again = Part(source=part.source, index=part.index, where=where)
        found = list(source.read(part))
        assert list(source.read(again)) == found
        items += found
    names = [(item.source, item.id) for item in items]
    assert len(set(names)) == len(names)
    return items


def pieces(items: Iterable[Any]) -> dict[str, RawPiece]:
    return {item.id: item for item in items if isinstance(item, RawPiece)}


def reasons(items: Iterable[Any]) -> dict[str, str]:
    return {item.id: item.reason for item in items if isinstance(item, Skipped)}
