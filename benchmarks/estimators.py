"""How often are the estimators of key, tempo and metre right on real music whose truth is known?

    python benchmarks/estimators.py CORPUS [--split test] [--write] [-o table.md]

CORPUS holds corpus.zip and manifest.jsonl.gz (data/sources/corpus.py). Keys are annotated ones, tempos those that
are no default, metres the file's own; keys, tempos and metres are asked of the pieces, and the control metrics say how
many are found: in the first 30 s, and in as many notes as the longest take has, with times rounded to 10 ms.
A second table says what the limits of evaluate/validity.py and control/instruments.py make of the same excerpts.
--write puts the table where reports take it from (src/midi_llm/evaluate/estimator_errors.json).
"""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import machine
from midi_llm.data.sources.base import RawPiece
from midi_llm.data.sources.corpus import CorpusSource
from midi_llm.data.windows import transpose_key
from midi_llm.evaluate import validity
from midi_llm.evaluate.control.instruments import sounds
from midi_llm.evaluate.estimators import (
    EXCERPTS,
    TABLE,
    EstimatorRow,
    EstimatorTable,
    RealPiece,
    ask_for_itself,
    measure_estimators,
    write_errors,
)
from midi_llm.evaluate.take import Take
from midi_llm.music.features import note_table
from midi_llm.music.key import KEYS
from midi_llm.music.read import parse_midi
from midi_llm.music.write import to_midi_bytes


def real_pieces(source: CorpusSource, split: str) -> Iterator[RealPiece]:
    for part in source.parts():
        for piece in source.read(part):
            if isinstance(piece, RawPiece) and piece.metadata.split == split:
                key = transpose_key(piece.metadata.key, 0)  # "F# minor" as "Gb minor"
                yield RealPiece(
                    source=piece.source,
                    score=parse_midi(piece.data, piece.id),
                    key=key if key in KEYS else None,
                    tempo_is_known=piece.metadata.tempo_is_known,
                )


def table_lines(rows: Mapping[str, EstimatorRow]) -> list[str]:
    sources = sorted({name for row in rows.values() for name in row.sources})
    lines = [
        f"| metric | mean of sources | n | {' | '.join(sources)} |",
        "|---" * (3 + len(sources)) + "|",
    ]
    for name, row in rows.items():
        cells = (
            f"{row.sources[source].value:.2f} ({row.sources[source].count})" if source in row.sources else ""
            for source in sources
        )
        lines.append(f"| {name.removeprefix('control.')} | {row.value:.3f} | {row.count} | {' | '.join(cells)} |")
    return lines


LIMITS = (validity.SILENT, validity.REPEATING, validity.CROWDED, validity.SHORT, validity.OVERLAPPING)


def limit_lines(pieces: Sequence[RealPiece]) -> list[str]:
    """Shares, and in brackets the number of pieces or instruments concerned."""
    lines = [f"| | {' | '.join(EXCERPTS)} |", "|---" * (1 + len(EXCERPTS)) + "|"]
    takes = {excerpt: [written(ask_for_itself(piece, excerpt)) for piece in pieces] for excerpt in EXCERPTS}
    found = {excerpt: {one.metric: one.values for one in validity.evaluate(takes[excerpt])} for excerpt in EXCERPTS}
    for metric in LIMITS:
        columns = [found[excerpt][metric] for excerpt in EXCERPTS]
        cells = (f"{np.nanmean(column):.4f} ({np.count_nonzero(column > 0)})" for column in columns)
        lines.append(f"| {metric.name} | {' | '.join(cells)} |")
    cells = []
    for excerpt in EXCERPTS:
        instruments = [note_table(take.score).instrument for take in takes[excerpt]]
        silent = [not sounds((number,), one) for one in instruments for number in np.unique(one).tolist()]
        cells.append(f"{np.mean(silent):.4f} ({sum(silent)} of {len(silent)})")
    lines.append(f"| instruments that do not sound | {' | '.join(cells)} |")
    return lines


def written(take: Take) -> Take:
    """As a user opens it."""
    return replace(take, score=parse_midi(to_midi_bytes(take.score)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.name}")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    source = CorpusSource(args.corpus)
    pieces = list(real_pieces(source, args.split))
    began = time.process_time()
    excerpts = measure_estimators(pieces)
    seconds = time.process_time() - began
    note = f"{len(pieces)} pieces of the {args.split} split, {seconds:.0f} s; {machine.describe('numpy')}"
    lines = [line for name, rows in excerpts.items() for line in (f"{name}:", "", *table_lines(rows), "")]
    text = "\n".join([*lines, *limit_lines(pieces), "", note, ""])
    print(text)
    if args.output:
        args.output.write_text(text, encoding="utf-8")
    if args.write:
        table = EstimatorTable(
            excerpts=excerpts,
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
            commit=machine.commit(),
            corpus=f"{args.split} split of the corpus {source.revision}",
            pieces=len(pieces),
        )
        write_errors(table)


if __name__ == "__main__":
    main()
