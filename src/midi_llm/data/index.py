"""Indexing: one part of a source becomes a manifest, a zip of its usable MIDI files, and a file of its texts.

In: an `IndexTask`. Out: `index/PART.jsonl.gz`, written last, so that a part is done when it is there. Every piece is
parsed, filtered, fingerprinted and described here, once; a piece that cannot be used keeps its row and the reason.
Knows nothing of other parts: duplicates are found when all parts are there.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from midi_llm.data.dataset import member_name
from midi_llm.data.files import write_whole
from midi_llm.data.filters import FilterSettings, rejection
from midi_llm.data.fingerprint import fingerprint
from midi_llm.data.manifest import PieceRow, write_manifest
from midi_llm.data.sources.archive import is_safe_name
from midi_llm.data.sources.base import Metadata, Part, RawPiece, RawText, Skipped, Source
from midi_llm.data.sources.open import open_source
from midi_llm.data.splits import assign_split
from midi_llm.data.windows import main_tempo
from midi_llm.errors import MidiReadError
from midi_llm.music.features import note_table
from midi_llm.music.key import estimate_key
from midi_llm.music.read import parse_midi
from midi_llm.music.score import Score

UNREADABLE = "unreadable"
"""The reason of a file that is not MIDI, or too broken to read."""
UNSAFE = "unsafe path"
"""The reason of an id that would lead out of a zip, or holds control characters."""
_OLDEST_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexTask:
    """One part to index into `folder`; `source` is what `open_source` takes."""

    source: str
    part: Part
    folder: Path
    filters: FilterSettings


def index_path(task: IndexTask) -> Path:
    """Where the part's manifest goes."""
    return task.folder / "index" / f"{task.part.name}.jsonl.gz"


def index_part(task: IndexTask) -> None:
    """Index one part, or find it done. The same part gives the same bytes, on any machine."""
    path = index_path(task)
    if not path.is_file():
        write_manifest(_read_part(task), path)


def _read_part(task: IndexTask) -> list[PieceRow]:
    """The part's rows; its pieces and texts go to their files."""
    pieces_path = task.folder / "pieces" / f"{task.part.name}.zip"
    texts_path = task.folder / "texts" / f"{task.part.name}.jsonl.gz"
    rows: list[PieceRow] = []
    texts: list[RawText] = []

    def write_pieces(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            names: set[str] = set()
            for item in source_of(task.source).read(task.part):
                if isinstance(item, RawText):
                    texts.append(item)
                    continue
                row = describe(item, task)
                rows.append(row)
                name = member_name(row)
                if isinstance(item, RawPiece) and row.dropped is None and name not in names:
                    archive.writestr(zipfile.ZipInfo(name, _OLDEST_DATE), item.data, zipfile.ZIP_DEFLATED)
                    names.add(name)

    write_whole({pieces_path: write_pieces})
    if texts:
        write_whole({texts_path: lambda file: _write_texts(texts, file)})
    return rows


def describe(item: RawPiece | Skipped, task: IndexTask) -> PieceRow:
    """The manifest row of one item; `dropped` says why it cannot be used."""
    metadata = item.metadata if isinstance(item, RawPiece) else Metadata()
    data = item.data if isinstance(item, RawPiece) else b""
    row = PieceRow(
        id=f"{item.source}/{item.id}",
        source=item.source,
        pack=task.part.name,
        sha256=hashlib.sha256(data).hexdigest() if data else "",
        md5=hashlib.md5(data, usedforsecurity=False).hexdigest() if data else "",
        split=assign_split(metadata, source=item.source, raw_id=item.id),
        metadata=metadata,
    )
    if isinstance(item, Skipped):
        return dataclasses.replace(row, dropped=item.reason)
    if not is_safe_name(row.id):
        return dataclasses.replace(row, dropped=UNSAFE)
    try:
        score = parse_midi(item.data, name=item.path)
    except MidiReadError:
        return dataclasses.replace(row, dropped=UNREADABLE)
    return measured(dataclasses.replace(row, dropped=rejection(score, task.filters)), score)


def measured(row: PieceRow, score: Score) -> PieceRow:
    """`row` with the columns that are measured on the notes."""
    instruments: dict[int, int] = {}
    for track in score.tracks:
        if len(track.notes):
            instruments[track.instrument] = instruments.get(track.instrument, 0) + len(track.notes)
    metres = {(metre.numerator, metre.denominator) for metre in score.time_signatures}
    return dataclasses.replace(
        row,
        notes=score.note_count,
        seconds=round(score.seconds, 3),
        instruments=dict(sorted(instruments.items())),
        bpm=round(main_tempo(score, 0.0, score.seconds)[0], 3) if score.tempos else None,
        metre=next(iter(metres)) if len(metres) == 1 else None,
        key=row.metadata.key or _estimated_key(score),
        fingerprint=fingerprint(score),
    )


def _estimated_key(score: Score) -> str | None:
    """The likeliest key of the whole piece; None without pitched notes."""
    notes = note_table(score).pitched()
    return estimate_key(notes)[0] if len(notes.start) else None


def _write_texts(texts: list[RawText], file: BinaryIO) -> None:
    with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
        for text in texts:
            packed.write(json.dumps(dataclasses.asdict(text), sort_keys=True).encode() + b"\n")


@lru_cache(maxsize=8)
def source_of(spec: str) -> Source:
    """Opened once per process: opening reads the source's own manifest."""
    return open_source(spec)
