"""P10: building a data set, notes per second and core, over workers and on Ray; and against AMT's preprocessing.

Usage: python benchmarks/data_build.py --source SPEC [--pieces N] [--rows N] [--rounds N] [--reference PATH]
SPEC is what `midi-llm data build --source` takes. About N of its pieces, spread evenly over its parts, are copied to a
temporary folder, so that every side reads the same files; nothing is written elsewhere. "index" is all from files to
manifest (parse, filter, fingerprint, key, zip, de-duplicate), "rows" all from manifest to shards (window,
augmentation, facts, caption, ids). Seconds are wall clock and include starting the workers or Ray, the median of
interleaved rounds. PATH is a checkout of jthickstun/anticipation (needs mido): its two steps, MIDI to compound text
and text to sequences with ten augmented copies a piece, are compared with ours in one process, in processor time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

import machine
from midi_llm.data.augment import AMT_KINDS
from midi_llm.data.build import BuildSpec, build
from midi_llm.data.dataset import MANIFEST_FILE, TOKENIZER_FILE, Dataset
from midi_llm.data.dedup import deduplicate
from midi_llm.data.examples import ExampleSpec
from midi_llm.data.filters import AMT, LENIENT, FilterSettings
from midi_llm.data.index import IndexTask, index_part, index_path
from midi_llm.data.manifest import read_manifest, write_manifest
from midi_llm.data.parallel import run_tasks
from midi_llm.data.presets import NANO_PROMPT
from midi_llm.data.rowsets import RowSetSpec, build_row_set, plan
from midi_llm.data.sources.base import RawPiece
from midi_llm.data.sources.open import open_source
from midi_llm.tokens.vocab import CONTROL_OFFSET, NOTE_OFFSET, REST

COPIES = 10
"""Augmented copies of each piece, AMT's for training."""
NOTES_A_ROW = 250
"""About what a row holds; only sizes our row set of the comparison."""
ROWS = RowSetSpec(
    name="rows", stage=2, rows=1, valid_rows=1, example=ExampleSpec(length=1024, kinds=AMT_KINDS), prompt=NANO_PROMPT,
    seed=1,
)  # fmt: skip
"""As long as AMT's sequences, with its kinds of infilling; most rows with a caption."""
OURS, THEIRS = "midi_llm", "anticipation"
PACKAGES = ("numpy", "ray", "mido")


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Where tasks run."""

    name: str
    workers: int
    ray: str | None = None


ALONE = Runner(name="1 worker", workers=1)
RUNNERS = (ALONE, Runner(name="2 workers", workers=2), Runner(name="Ray local, 2", workers=2, ray="local"))


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a step did, and how long it took: wall clock, or processor time of this process."""

    seconds: float
    pieces: int = 0
    read: int = 0
    written: int = 0


def copy_pieces(spec: str, count: int, folder: Path) -> list[Path]:
    """About `count` pieces of a source as MIDI files, as many of each of its parts."""
    source = open_source(spec)
    parts = source.parts()
    folder.mkdir(parents=True)
    paths: list[Path] = []
    for part in parts:
        pieces = (item for item in source.read(part) if isinstance(item, RawPiece))
        for piece in islice(pieces, -(-count // len(parts))):
            paths.append(folder / f"{len(paths):06d}.mid")
            paths[-1].write_bytes(piece.data)
    return paths


def count_notes(ids: npt.NDArray[np.integer]) -> int:
    """Notes among AMT ids: note ids of events and of controls, without rests."""
    own = np.where(ids >= CONTROL_OFFSET, ids - CONTROL_OFFSET, ids)
    return int(((own >= NOTE_OFFSET) & (own < REST)).sum())


def index(midi: Path, filters: FilterSettings, out: Path, runner: Runner, clock: Callable[[], float]) -> Figures:
    """Everything up to the manifest of a folder of MIDI files."""
    begin = clock()
    spec = f"folder:{midi}"
    tasks = [IndexTask(source=spec, part=part, folder=out, filters=filters) for part in open_source(spec).parts()]
    run_tasks(index_part, tasks, workers=runner.workers, ray=runner.ray)
    found = [row for task in tasks for row in read_manifest(index_path(task))]
    write_manifest(deduplicate(found), out / MANIFEST_FILE)
    seconds = clock() - begin
    return Figures(seconds=seconds, pieces=len(found), read=sum(row.notes for row in found))


def rows(out: Path, spec: RowSetSpec, runner: Runner, clock: Callable[[], float]) -> tuple[Figures, str]:
    """The training rows of `spec` from the manifest in `out`, and a digest of their shards."""
    begin = clock()
    dataset = Dataset(out)
    shards = build_row_set(dataset, spec, "train", workers=runner.workers, ray=runner.ray)
    seconds = clock() - begin
    folder = out / "rows" / spec.name / "train"
    used = [piece for task in plan(dataset, spec, "train", folder) for piece in task.pieces]
    written = sum(count_notes(np.load(path).astype(np.int64) - shards.spec.text_rows) for path in ids_files(folder))
    figures = Figures(seconds=seconds, pieces=len(used), read=sum(piece.notes for piece in used), written=written)
    return figures, str(shards.info["files"])


def ids_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.ids.npy"))


def medians(rounds: dict[tuple[str, str], list[Figures]]) -> dict[tuple[str, str], Figures]:
    """The figures of each step and side with its median time."""
    return {
        name: replace(figures[0], seconds=statistics.median(one.seconds for one in figures))
        for name, figures in rounds.items()
    }


def scaling(midi: Path, work: Path, tokenizer: Path, *, rows_wanted: int, repeats: int) -> None:
    """Index and rows on every runner."""
    found: dict[tuple[str, str], list[Figures]] = defaultdict(list)
    digests = set()
    for number in range(repeats):
        for at, runner in enumerate(RUNNERS):
            begin = time.perf_counter()
            run_tasks(abs, [1, 2], workers=runner.workers, ray=runner.ray)
            found["start", runner.name].append(Figures(seconds=time.perf_counter() - begin))
            out = work / f"round{number}-{at}"
            found["index", runner.name].append(index(midi, LENIENT, out, runner, time.perf_counter))
            shutil.copy(tokenizer, out)
            figures, digest = rows(out, replace(ROWS, rows=rows_wanted), runner, time.perf_counter)
            found["rows", runner.name].append(figures)
            digests.add((Dataset(out).manifest_sha256, digest))
    print(f"every run gave the same manifest and rows: {'yes' if len(digests) == 1 else 'NO'}\n")
    print(
        "| step | on | seconds | pieces/s | notes read/s | a core | notes written/s | a core | speed-up | after start |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    middle = medians(found)
    for step in ("start", "index", "rows"):
        for runner in RUNNERS:
            own, alone = middle[step, runner.name], middle[step, ALONE.name]
            rates = [own.pieces / own.seconds, *_rates(own.read, own, runner), *_rates(own.written, own, runner)]
            cells = [f"{rate:,.0f}" if rate else "-" for rate in rates]
            begun = own.seconds - middle["start", runner.name].seconds
            ratios = [f"{alone.seconds / seconds:.2f}" if own.pieces else "-" for seconds in (own.seconds, begun)]
            print(f"| {step} | {runner.name} | {own.seconds:.1f} | {' | '.join(cells + ratios)} |")
    print("\nstart: two empty tasks, which is what the workers or Ray need to begin with; the other steps include it,")
    print("but for the last column, the speed-up of a long build")


def _rates(notes: int, figures: Figures, runner: Runner) -> tuple[float, float]:
    return notes / figures.seconds, notes / figures.seconds / runner.workers


def reference_steps(checkout: Path) -> tuple[Callable[[Iterable[Path]], object], Callable[[list[str], str], object]]:
    """AMT's two steps: MIDI files to compound text beside them, and those texts to a file of sequences."""
    sys.path.insert(0, str(checkout))
    os.environ["TQDM_DISABLE"] = "1"
    from anticipation.convert import midi_to_compound
    from anticipation.tokenize import tokenize

    def convert(paths: Iterable[Path]) -> None:
        for path in paths:
            compound(path).write_text(" ".join(map(str, midi_to_compound(str(path)))))

    return convert, lambda compounds, output: tokenize(compounds, output, COPIES)


def compound(path: Path) -> Path:
    """Where the reference puts the compound text of a MIDI file."""
    return path.with_name(f"{path.name}.compound.txt")


def comparison(checkout: Path, paths: list[Path], work: Path, tokenizer: Path, *, repeats: int) -> None:
    """AMT's two steps and ours on the same files, in one process, with AMT's filters."""
    convert, augment = reference_steps(checkout)
    clock, sequences = time.process_time, work / "sequences.txt"
    found: dict[tuple[str, str], list[Figures]] = defaultdict(list)
    for number in range(repeats):
        out = work / f"compared{number}"
        found["index", OURS].append(indexed := index(paths[0].parent, AMT, out, ALONE, clock))
        shutil.copy(tokenizer, out)
        count = COPIES * indexed.read // NOTES_A_ROW
        for name, captioned in (("rows", ROWS.example.captioned), ("rows, no prompts", 0.0)):
            own = replace(ROWS, name=name, rows=count, example=replace(ROWS.example, captioned=captioned))
            found[name, OURS].append(rows(out, own, ALONE, clock)[0])
        begin = clock()
        convert(paths)
        middle = clock()
        augment([str(compound(path)) for path in paths], str(sequences))
        end = clock()
        written = sum(count_notes(np.array(line.split(), np.int64)) for line in sequences.read_text().splitlines())
        read = Figures(seconds=middle - begin, pieces=len(paths), read=indexed.read)
        found["convert", THEIRS].append(read)
        found["tokenize", THEIRS].append(replace(read, seconds=end - middle, written=written))
    print_comparison(medians(found))


def print_comparison(middle: dict[tuple[str, str], Figures]) -> None:
    """The table, and the ratios of times for a note read, a note written, and a note written by both steps."""
    print("\n| step | side | processor seconds | notes read | notes written | notes read/s | notes written/s |")
    print("|---|---|---|---|---|---|---|")
    for (step, side), own in middle.items():
        written = (f"{own.written:,}", f"{own.written / own.seconds:,.0f}") if own.written else ("-", "-")
        print(
            f"| {step} | {side} | {own.seconds:.2f} | {own.read:,} | {written[0]} |"
            f" {own.read / own.seconds:,.0f} | {written[1]} |"
        )
    convert, tokenize = middle["convert", THEIRS], middle["tokenize", THEIRS]
    ours = middle["index", OURS]
    theirs_both = tokenize.written / (convert.seconds + tokenize.seconds)
    print(f"\nratio index to convert, a note read: {convert.seconds / ours.seconds:.1f}")
    for step in ("rows", "rows, no prompts"):
        made = middle[step, OURS]
        alone = made.written / made.seconds / (tokenize.written / tokenize.seconds)
        both = made.written / (made.seconds + ours.seconds) / theirs_both
        print(f"ratio {step} to tokenize, a note written: {alone:.1f}; both steps: {both:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, metavar="SPEC")
    parser.add_argument("--pieces", type=int, default=4096)
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reference", type=Path, metavar="PATH")
    parser.add_argument("--compare", type=int, default=80, metavar="N", help="pieces of the comparison")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        few = copy_pieces(args.source, args.compare, work / "few")
        learned = BuildSpec(sources=(f"folder:{work / 'few'}",), row_sets=(ROWS,), tokenizer_captions=2000)
        tokenizer = build(learned, work / "tokenizer").folder / TOKENIZER_FILE  # not timed: every other build gets it
        if args.pieces:
            many = copy_pieces(args.source, args.pieces, work / "many")
            print(f"{len(many)} pieces, {args.rows} rows of {ROWS.length} ids; medians of {args.rounds} rounds")
            print(machine.describe(*PACKAGES) + "\n")
            scaling(work / "many", work, tokenizer, rows_wanted=args.rows, repeats=args.rounds)
        if args.reference:
            print(f"\n{len(few)} pieces, {COPIES} copies, one process; medians of {args.rounds} rounds")
            print(machine.describe(*PACKAGES))
            comparison(args.reference, few, work, tokenizer, repeats=args.rounds)


if __name__ == "__main__":
    main()
