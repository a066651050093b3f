"""Looking into a data set: a training row as text and music, and a check of every file.

In: a `Dataset`. Out: `ShownRow`s; one line per thing checked, or the first defect as a `DatasetError`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from midi_llm.data.dataset import REMEDY, Dataset
from midi_llm.data.shards import KINDS, ShardSet, read_shards
from midi_llm.errors import DatasetError, TokenError
from midi_llm.music.score import Score
from midi_llm.tokens.codec import dequantize, tidy
from midi_llm.tokens.controls import split_controls
from midi_llm.tokens.dump import dump
from midi_llm.tokens.vocab import SPECIAL_OFFSET


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownRow:
    """A row for people: its segments as text; the prompt, the notes (given ones too) and the source of its first music.

    All three are empty for a row of text alone.
    """

    text: str
    prompt: str = ""
    score: Score = field(default_factory=Score)
    source: str = ""


def show_row(shards: ShardSet, row: int, tokenizer: Tokenizer) -> ShownRow:
    """Row `row` of an open row set."""
    if not 0 <= row < len(shards):
        raise DatasetError(f"there are {len(shards)} rows, 0 to {len(shards) - 1}; there is no row {row}")
    batch = shards.batch(np.array([row]))
    lines, shown = [], ShownRow(text="")
    for _, start, music_start, end, kind, source_number in batch.segments.tolist():
        source = shards.spec.sources[source_number]
        before = batch.ids[0, start : music_start - (music_start < end)]  # without AUTOREGRESS or ANTICIPATE
        prompt = tokenizer.decode(before.tolist()).strip()
        lines += [f"# row {row}: {KINDS[kind]}, {source}, {end - start} ids", f"# prompt: {prompt!r}"]
        if music_start < end:
            music = batch.ids[0, music_start - 1 : end] - shards.spec.text_rows
            lines.append(dump(music))
            if not shown.source:
                shown = ShownRow(text="", prompt=prompt, score=_score(music), source=source)
    return replace(shown, text="\n".join(lines))


def open_row_set(dataset: Dataset, row_set: str | None = None) -> tuple[str, ShardSet]:
    """The name and the rows of "NAME/SPLIT", or of the first for training. `DatasetError` when it is not there."""
    folders = {f"{path.parent.name}/{path.name}": path for path in dataset.row_sets}
    name = row_set or next((name for name in folders if name.endswith("/train")), "")
    if name not in folders:
        raise DatasetError(f"there is no row set {name!r}; there are {', '.join(folders) or 'none'}")
    return name, read_shards(folders[name])


def _score(amt_ids: npt.NDArray[np.integer]) -> Score:
    """The notes of a sequence, events and controls together."""
    events, controls = split_controls(amt_ids)
    both = np.concatenate([events, controls])
    return dequantize(tidy(both[np.argsort(both[:, 0], kind="stable")]))


def check_dataset(dataset: Dataset) -> Iterator[str]:
    """Read everything again; a line per thing that is right. Raises `DatasetError` at the first that is not."""
    yield _check_manifest(dataset)
    yield _check_pieces(dataset)
    for folder in dataset.row_sets:
        yield _check_rows(dataset, folder)


def _check_manifest(dataset: Dataset) -> str:
    """Ids once each; no digest and no group in two splits."""
    kept = [row for row in dataset.rows if row.dropped is None]
    if len({row.id for row in dataset.rows}) < len(dataset.rows):
        raise DatasetError("an id stands twice in the manifest; delete manifest.jsonl.gz and run the build again")
    splits: dict[str, str] = {}
    for row in kept:
        work = f"work {row.metadata.group} of {row.source}" if row.metadata.group else row.id
        for name in (f"digest {row.sha256}", work):
            if splits.setdefault(name, row.split) != row.split:
                raise DatasetError(f"{name} is in {splits[name]} and in {row.split}: the build is not sound")
    return f"manifest: {len(kept)} of {len(dataset.rows)} pieces are used; no digest or work is in two splits"


def _check_pieces(dataset: Dataset) -> str:
    """Every kept piece is there with its digest."""
    kept = [row for row in dataset.rows if row.dropped is None]
    for row in kept:
        if hashlib.sha256(dataset.midi(row)).hexdigest() != row.sha256:
            raise DatasetError(
                f"{row.id} in pieces/{row.pack}.zip is not the file that was indexed; {REMEDY.format(row.pack)}"
            )
    return f"pieces: {len(kept)} MIDI files have their digests"


def _check_rows(dataset: Dataset, folder: Path) -> str:
    """Digests of the shards and of what they were made with, and every piece of music decodes."""
    shards = read_shards(folder, check=True)
    for name, digest in (("manifest", dataset.manifest_sha256), ("tokenizer", dataset.tokenizer_sha256)):
        if shards.info["settings"].get(name) != digest:
            raise DatasetError(f"{folder} was made with another {name}; delete the folder and run the build again")
    music = 0
    for start in range(0, len(shards), 256):
        batch = shards.batch(np.arange(start, min(start + 256, len(shards))))
        for row, first, music_start, end, *_ in batch.segments.tolist():
            if music_start < end:
                amt_ids = batch.ids[row, music_start - 1 : end] - shards.spec.text_rows
                music += 1
                try:
                    split_controls(amt_ids)
                except TokenError as error:
                    raise DatasetError(f"{folder} row {start + row} does not decode: {error}") from error
                if amt_ids[0] < SPECIAL_OFFSET:
                    raise DatasetError(f"{folder} row {start + row} has no AUTOREGRESS or ANTICIPATE at {first}")
    return f"{folder.parent.name}/{folder.name}: {len(shards)} rows with their digests, {music} pieces of music decode"
