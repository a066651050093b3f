"""Shards: training rows on disk, each file there whole or not at all, the folder valid once `shards.json` is written.

In: rows of `Segment`s (examples end to end) and a `ShardSpec`. Out, per shard: `NNNNN.ids.npy` [rows, length] uint16 or
uint32, padded with 1, and `NNNNN.segments.npy` int32 [s, 6], columns `COLUMNS`, in order of row and start. The segments
of a row follow one another from 0 without gaps; a segment is ids[start:end], its music begins at music_start (== end
for text), and `kind` and `source` are indices into `KINDS` and the spec's sources. The same rows give the same bytes.
Knows no examples, no order and no loss.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from midi_llm.data.files import file_sha256, write_whole
from midi_llm.errors import DatasetError
from midi_llm.tokens.vocab import MUSIC_VOCAB_SIZE

FORMAT_VERSION = 2
"""1 were row sets: one example a row, rows.npy and spans.npy."""
INDEX_FILE = "shards.json"
KINDS = ("plain", "span", "random", "instrument", "text")
COLUMNS = ("row", "start", "music_start", "end", "kind", "source")
ROW, START, MUSIC_START, END, KIND, SOURCE = range(len(COLUMNS))
PAD = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """One example and where it came from; `music_start` is the index of its first music id, len(ids) for text."""

    ids: npt.NDArray[np.int64]
    music_start: int
    kind: str
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardSpec:
    """What every shard of a folder shares: ids a row, text ids of the tokenizer, and the sources that may occur."""

    length: int
    text_rows: int
    sources: tuple[str, ...]

    @property
    def dtype(self) -> type[np.uint16] | type[np.uint32]:
        """uint16 where every id fits."""
        return np.uint16 if self.text_rows + MUSIC_VOCAB_SIZE <= 2**16 else np.uint32


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Some rows: `ids` [B, L], and their `segments` [s, 6], `row` counted in the batch."""

    ids: npt.NDArray[np.int64]
    segments: npt.NDArray[np.int32]


class ShardSet:
    """An open folder of shards: memory maps of all rows. `info` is `shards.json`."""

    def __init__(
        self,
        spec: ShardSpec,
        info: Mapping[str, Any],
        shards: Sequence[tuple[npt.NDArray[Any], npt.NDArray[np.int32]]],
    ) -> None:
        self.spec, self.info, self._shards = spec, info, shards
        self._firsts = np.cumsum([0, *(len(ids) for ids, _ in shards)])

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def batch(self, indices: npt.NDArray[np.integer], *, whole: bool = False) -> Batch:
        """The rows `indices`, in that order, cut to the longest one's ids unless `whole`.

        Raises `IndexError` for a row that is not there.
        """
        if len(indices) == 0 or indices.min() < 0 or indices.max() >= len(self):
            raise IndexError(f"rows {indices.tolist()} of {len(self)}")
        shards = np.searchsorted(self._firsts, indices, side="right") - 1
        rows, segments = [], []
        for place, (shard, row) in enumerate(zip(shards, indices - self._firsts[shards], strict=True)):
            ids, table = self._shards[shard]
            own = table[slice(*np.searchsorted(table[:, ROW], (row, row + 1)))].copy()
            own[:, ROW] = place
            rows.append(ids[row])
            segments.append(own)
        length = self.spec.length if whole else max(int(own[-1, END]) for own in segments)
        return Batch(ids=np.stack([row[:length] for row in rows]).astype(np.int64), segments=np.concatenate(segments))


def is_written(folder: Path, index: int) -> bool:
    """Whether shard `index` is there, so that a resumed build can leave it out."""
    return all(path.is_file() for path in _paths(folder, index))


def write_shard(folder: Path, index: int, rows: Sequence[Sequence[Segment]], spec: ShardSpec) -> None:
    """Write shard `index`, which may have no rows: under hidden names, flushed to disk, then renamed.

    Raises `DatasetError` for a segment that does not fit `spec` and when the disk is full; then nothing is left behind.
    """
    ids, segments = _arrays(rows, spec)
    ids_path, segments_path = _paths(folder, index)
    write_whole({ids_path: lambda file: np.save(file, ids), segments_path: lambda file: np.save(file, segments)})


def finish(folder: Path, spec: ShardSpec, *, shards: int, settings: Mapping[str, Any]) -> ShardSet:
    """Write `shards.json` over shards 0..shards-1 and open the set; `settings` (JSON-able) say how it was built.

    Raises `DatasetError` when a shard is missing, one is there that is not part of this build, or all are empty.
    """
    wanted = [path for index in range(shards) for path in _paths(folder, index)]
    missing = [path.name for path in wanted if not path.is_file()]
    if missing or not shards:
        raise DatasetError(f"{folder} lacks {', '.join(missing[:5]) or 'shards'}; run the build again, it continues")
    strange = sorted({path.name for path in folder.glob("*.npy")} - {path.name for path in wanted})
    if strange:
        raise DatasetError(f"{folder} holds {strange[0]} of another build; delete the folder and build again")
    tables = [np.load(path) for path in wanted[1::2]]
    lengths = np.concatenate([table[:, END] - table[:, START] for table in tables])
    if not len(lengths):
        raise DatasetError(f"the {shards} shards of {folder} hold no row; were all examples refused?")
    info = {
        "format_version": FORMAT_VERSION,
        "length": spec.length,
        "text_rows": spec.text_rows,
        "sources": list(spec.sources),
        "kinds": list(KINDS),
        "rows": sum(int(table[:, ROW].max(initial=-1)) + 1 for table in tables),
        "ids": int(lengths.sum()),
        "segments": len(lengths),
        "by_kind": _counts(np.concatenate([table[:, KIND] for table in tables]), lengths, KINDS),
        "by_source": _counts(np.concatenate([table[:, SOURCE] for table in tables]), lengths, spec.sources),
        "settings": settings,
        "files": {path.name: {"bytes": path.stat().st_size, "sha256": file_sha256(path)} for path in wanted},
    }
    text = json.dumps(info, indent=1, sort_keys=True) + "\n"
    write_whole({folder / INDEX_FILE: lambda file: file.write(text.encode())})
    return read_shards(folder)


def read_shards(folder: Path, *, check: bool = False) -> ShardSet:
    """Open a finished folder; `check` also reads every file and compares its sha256.

    Raises `DatasetError` when the folder is not finished, of another format, or a file is missing or damaged.
    """
    path = folder / INDEX_FILE
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        version = info["format_version"]
        if version != FORMAT_VERSION:
            action = "update midi-llm" if isinstance(version, int) and version > FORMAT_VERSION else "build it again"
            raise DatasetError(f"{path} has format {version!r}; this program reads {FORMAT_VERSION}: {action}")
        spec = ShardSpec(length=info["length"], text_rows=info["text_rows"], sources=tuple(info["sources"]))
        for name, known in info["files"].items():
            _check_file(folder / name, known, check=check)
        shards = [_open(folder, index, spec) for index in range(len(info["files"]) // 2)]
    except FileNotFoundError as error:
        raise DatasetError(
            f"{error.filename} is missing; run the build again, it continues where it stopped"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{folder} cannot be read as shards: {error!r}; delete it and build again") from error
    return ShardSet(spec, info, shards)


def _paths(folder: Path, index: int) -> tuple[Path, Path]:
    """The two files of a shard."""
    return folder / f"{index:05d}.ids.npy", folder / f"{index:05d}.segments.npy"


def _arrays(rows: Sequence[Sequence[Segment]], spec: ShardSpec) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32]]:
    """`rows` as ids [rows, length] and segments [s, 6]; raises `DatasetError` for what does not fit."""
    if not all(rows):
        raise DatasetError("a row holds no segment; leave it out")
    ids = np.full((len(rows), spec.length), PAD, spec.dtype)
    segments = []
    for number, row in enumerate(rows):
        end = 0
        for segment in row:
            start, end = end, end + len(segment.ids)
            _check_segment(segment, end, spec)
            ids[number, start:end] = segment.ids
            labels = KINDS.index(segment.kind), spec.sources.index(segment.source)
            segments.append((number, start, start + segment.music_start, end, *labels))
    return ids, np.array(segments, np.int32).reshape(-1, len(COLUMNS))


def _check_segment(segment: Segment, end: int, spec: ShardSpec) -> None:
    """Raise `DatasetError` when `segment`, ending at `end`, cannot be part of a row of `spec`."""
    vocabulary = spec.text_rows + MUSIC_VOCAB_SIZE
    count = len(segment.ids)
    for wrong, found, allowed in (
        (not 0 < end <= spec.length or not count, f"{count} ids up to place {end}", f"1..{spec.length}"),
        (segment.kind not in KINDS, f"kind {segment.kind!r}", ", ".join(KINDS)),
        (segment.source not in spec.sources, f"source {segment.source!r}", ", ".join(spec.sources)),
        (not 0 <= segment.music_start <= count, f"music_start {segment.music_start}", f"0..{count}"),
    ):
        if wrong:
            raise DatasetError(f"a segment has {found}; allowed is {allowed}")
    if segment.ids.min() < 0 or segment.ids.max() >= vocabulary:
        raise DatasetError(
            f"a segment has ids {segment.ids.min()}..{segment.ids.max()}; allowed is 0..{vocabulary - 1}:"
            f" was it made with a tokenizer of {spec.text_rows} text ids?"
        )


def _check_file(path: Path, known: Mapping[str, Any], *, check: bool) -> None:
    """Raise `DatasetError` when a file is not the one that `shards.json` names."""
    found: dict[str, Any] = {"bytes": path.stat().st_size} | ({"sha256": file_sha256(path)} if check else {})
    for what, value in found.items():
        if value != known[what]:
            raise DatasetError(
                f"{path} has {what} {value}, not {known[what]}; it is damaged: delete it and build again"
            )


def _open(folder: Path, index: int, spec: ShardSpec) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32]]:
    """Map one shard."""
    ids, segments = (np.load(path, mmap_mode="r") for path in _paths(folder, index))
    if ids.dtype != spec.dtype or ids.shape[1:] != (spec.length,) or segments.shape[1:] != (len(COLUMNS),):
        raise DatasetError(f"shard {index} of {folder} has ids {ids.dtype} {ids.shape}, segments {segments.shape}")
    return ids, segments


def _counts(labels: npt.NDArray[np.int32], lengths: npt.NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
    """Segments and ids by label, of the labels that occur."""
    segments = np.bincount(labels, minlength=len(names)).tolist()
    ids = np.bincount(labels, weights=lengths, minlength=len(names)).tolist()
    return {name: {"segments": s, "ids": int(i)} for name, s, i in zip(names, segments, ids, strict=True) if s}
