"""Runs of notes that a piece shares with the training pieces of a data set, whatever their keys and tempos.

In: a `Dataset`, whose training pieces are indexed in DIR/runs/; a `Score`. Out: `SharedRuns`, exact at any length.
A run is consecutive top notes of one instrument with equal `data.lines` symbols; drums have none. One note changed ends
it, so free variations and new settings are not found, and copies are told from chance by their length alone.

meta.json    version, digest of the manifest, counts, settings, sizes and digests of the other files
text.npy     symbols of all lines >u2 [n], each ended by a separator;   order.npy    their suffix order int32
lines.npy    int32 [lines, 2]: where each ends in the text, its piece;   pieces.json    ids
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from midi_llm.data.dataset import Dataset
from midi_llm.data.files import file_sha256, write_whole
from midi_llm.data.lines import CHORD_SECONDS, RHYTHM_FACTOR, SEPARATOR, MelodicLine, Symbols, melodic_lines
from midi_llm.data.manifest import PieceRow
from midi_llm.data.parallel import run_tasks
from midi_llm.data.suffixes import STORED, Order, longest_matches, occurrences, suffix_order
from midi_llm.errors import DatasetError
from midi_llm.music.score import Score

FORMAT_VERSION = 1
FOLDER, META_FILE = "runs", "meta.json"
TEXT_FILE, ORDER_FILE, LINES_FILE, PIECES_FILE = "text.npy", "order.npy", "lines.npy", "pieces.json"
SETTINGS = {"chord_seconds": CHORD_SECONDS, "rhythm_factor": RHYTHM_FACTOR}

GRAM = 4
"""Steps in a gram; the variety of a run is counted in different grams."""
LONG_RUN = 16
"""Varied notes from which on a run counts as copied. Of openings of 30 s from the open corpus, 96 % of the training
pieces' and 23 % of the held-out pieces' have such a run, and none whose notes were shuffled, where 9 is the most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Notes that a piece shares with a training piece, one after the other in one instrument's line."""

    notes: int
    """How many, from 2 on. A passage of n notes counts as n - 1 where other music comes before it: the rhythm of its
    first step is another then."""
    varied: int
    """As `notes`, but what repeats within the run counts once: its different grams + `GRAM`, at most `notes`. An
    alternation of two notes has 6 at any length, a scale over many octaves 11; one more at the beginning of a line."""
    seconds: float
    """Where it begins in the piece."""
    instrument: int
    piece: str
    """Id of a training piece that has it."""
    pieces: int
    """How many training pieces have it: what stands in many is a pattern of the style and belongs to none of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedRuns:
    """What a piece shares with the training pieces; a run is None where there is nothing."""

    notes: int
    """Notes of the piece's melodic lines."""
    copied: int
    """How many of them stand in runs of `LONG_RUN` varied notes or more."""
    longest: Run | None = None
    most_varied: Run | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class RunIndex:
    """An open index: memory maps of its files. `info` is meta.json. Opened with `RunIndex.open`."""

    info: Mapping[str, Any]
    sha256: str
    """Of meta.json, which holds the digests of the other files."""
    text: npt.NDArray[np.uint16]
    order: Order
    lines: npt.NDArray[np.int32]
    pieces: Sequence[str]
    """Ids of the training pieces, in the manifest's order."""

    @classmethod
    def open(cls, data: Path) -> RunIndex:
        """The index of the data set in `data`. Every file is compared with its digest.

        Raises `DatasetError` when there is none, it is damaged, or it is that of other pieces or another version.
        """
        folder = data / FOLDER
        fault = _fault(folder, Dataset(data))
        if fault:
            raise DatasetError(f"{folder} {fault}; make it with: midi-llm data runs {data}")
        path = folder / META_FILE
        text, order, lines = (
            np.asarray(np.load(folder / name, mmap_mode="r")) for name in (TEXT_FILE, ORDER_FILE, LINES_FILE)
        )
        info, pieces = (json.loads(one.read_text(encoding="utf-8")) for one in (path, folder / PIECES_FILE))
        return cls(info=info, sha256=file_sha256(path), text=text, order=order, lines=lines, pieces=pieces)


@dataclass(frozen=True, kw_only=True, slots=True)
class PartTask:
    """Training pieces of one part."""

    name: str
    folder: Path
    rows: tuple[PieceRow, ...]


def has_runs(data: Path) -> bool:
    """Whether `build_runs` was run on the data set in `data`; what it made may be stale or damaged."""
    return (data / FOLDER / META_FILE).is_file()


def build_runs(
    dataset: Dataset, *, workers: int = 1, on_step: Callable[[str, int, int], None] | None = None
) -> RunIndex:
    """Index the training pieces of `dataset`; nothing is done where the index is there already.

    `on_step(step, done, total)` is called with "reading" and "sorting". The same bytes for any number of workers.
    Raises `DatasetError` for damaged pieces, a full disk, training pieces without a melodic line, or an index that a
    newer program made.
    """
    folder = dataset.folder / FOLDER
    if not _fault(folder, dataset):
        return RunIndex.open(dataset.folder)
    rows = [row for row in dataset.rows if row.dropped is None and row.split == "train"]
    tasks = [
        PartTask(name=pack, folder=dataset.folder, rows=tuple(own))
        for pack, own in groupby(rows, key=lambda row: row.pack)
    ]
    report = on_step or (lambda step, done, total: None)
    parts = run_tasks(read_lines, tasks, workers=workers, on_done=lambda done, total: report("reading", done, total))
    counts = [count for _, counted in parts for count in counted]  # lines of each piece
    symbols = np.concatenate([np.zeros(0, np.uint16), *(text for text, _ in parts)])
    if not len(symbols):
        raise DatasetError(f"the {len(rows)} training pieces of {dataset.folder} have no melodic line: drums alone?")
    report("sorting", 0, 1)
    order = suffix_order(symbols)
    lines = np.stack([np.flatnonzero(symbols == SEPARATOR), np.repeat(np.arange(len(rows)), counts)], axis=1)
    _write(folder, dataset, symbols, order, lines.astype(np.int32), [row.id for row in rows])
    report("sorting", 1, 1)
    return RunIndex.open(dataset.folder)


def read_lines(task: PartTask) -> tuple[Symbols, list[int]]:
    """The lines of all pieces of a part, end to end, each with its separator; how many lines each piece has."""
    dataset = Dataset(task.folder)
    texts, counts = [np.zeros(0, np.uint16)], []
    for row in task.rows:
        lines = melodic_lines(dataset.score(row))
        texts += [np.append(line.symbols, np.uint16(SEPARATOR)) for line in lines]
        counts.append(len(lines))
    dataset.close()
    return np.concatenate(texts), counts


def shared_runs(score: Score, index: RunIndex) -> SharedRuns:
    """The longest runs that `score` shares with the training pieces, and how many of its melodic notes are copied."""
    lines = melodic_lines(score)
    found: list[_Found] = []
    copied = 0
    for line in lines:
        own = list(_maximal_runs(line, index))
        is_copied = np.zeros(len(line.time), np.bool_)
        for run in own:
            is_copied[run.start : run.start + run.notes] |= run.varied >= LONG_RUN
        copied += int(is_copied.sum())
        found += own
    return SharedRuns(
        notes=sum(len(line.time) for line in lines),
        copied=copied,
        longest=_described(max(found, key=lambda run: (run.notes, run.varied)), index) if found else None,
        most_varied=_described(max(found, key=lambda run: (run.varied, run.notes)), index) if found else None,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """Notes `start` to `start + notes` of `line`."""

    line: MelodicLine
    start: int
    notes: int
    varied: int


def _maximal_runs(line: MelodicLine, index: RunIndex) -> Iterator[_Found]:
    """The shared runs of a line that are no part of a longer one, in order."""
    lengths = longest_matches(index.text, index.order, line.symbols)
    begins = np.flatnonzero((lengths > 0) & np.r_[True, lengths[1:] >= lengths[:-1]])
    for start in begins.tolist():
        size = int(lengths[start])
        varied = _varied(line.symbols[start : start + size])
        yield _Found(line=line, start=start, notes=size + 1, varied=varied)


def _varied(symbols: Symbols) -> int:
    """`Run.varied` of the notes between which `symbols` are the steps."""
    if len(symbols) < GRAM:
        return len(symbols) + 1
    grams = np.lib.stride_tricks.sliding_window_view(symbols, GRAM)
    return len({gram.tobytes() for gram in grams}) + GRAM


def _described(run: _Found, index: RunIndex) -> Run:
    symbols = run.line.symbols[run.start : run.start + run.notes - 1]
    places = occurrences(index.text, index.order, symbols)
    everywhere = index.lines[np.searchsorted(index.lines[:, 0], places), 1]
    return Run(
        notes=run.notes,
        varied=run.varied,
        seconds=float(run.line.time[run.start]),
        instrument=run.line.instrument,
        piece=index.pieces[int(everywhere.min())],
        pieces=len(np.unique(everywhere)),
    )


def _write(
    folder: Path, dataset: Dataset, symbols: Symbols, order: Order, lines: npt.NDArray[np.int32], pieces: Sequence[str]
) -> None:
    """The arrays first, meta.json last: until then a reader sees that they do not belong together."""
    text, ids = symbols.astype(STORED), json.dumps(pieces, indent=0) + "\n"
    contents: dict[Path, Callable[[BinaryIO], object]] = {
        folder / TEXT_FILE: lambda file: np.save(file, text),
        folder / ORDER_FILE: lambda file: np.save(file, order),
        folder / LINES_FILE: lambda file: np.save(file, lines),
        folder / PIECES_FILE: lambda file: file.write(ids.encode()),
    }
    write_whole(contents)
    info = {
        "format_version": FORMAT_VERSION,
        "manifest_sha256": dataset.manifest_sha256,
        "settings": SETTINGS,
        "pieces": len(pieces),
        "lines": len(lines),
        "notes": len(symbols),  # a line has one symbol fewer, and a separator
        "files": {path.name: {"bytes": path.stat().st_size, "sha256": file_sha256(path)} for path in contents},
    }
    meta = json.dumps(info, indent=1, sort_keys=True) + "\n"
    write_whole({folder / META_FILE: lambda file: file.write(meta.encode())})


def _fault(folder: Path, dataset: Dataset) -> str:
    """What is wrong with the index in `folder`, "" where nothing is. `DatasetError` for one of a newer program."""
    path = folder / META_FILE
    if not path.is_file():
        return "holds no index of the training pieces"
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        version = info["format_version"]
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise DatasetError(f"{path} has format {version}, this program reads {FORMAT_VERSION}; upgrade midi-llm")
        if (version, info["settings"]) != (FORMAT_VERSION, SETTINGS):
            return f"was made by an older program (format {version!r})"
        if info["manifest_sha256"] != dataset.manifest_sha256:
            return "is the index of another manifest"
        if set(info["files"]) != {TEXT_FILE, ORDER_FILE, LINES_FILE, PIECES_FILE}:
            return f"is damaged: {META_FILE} names other files"
        for name, known in info["files"].items():
            file = folder / name
            if {"bytes": file.stat().st_size, "sha256": file_sha256(file)} != known:
                return f"is damaged: {name} is not the file that was written"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"is damaged: {type(error).__name__}: {error}"
    return ""
