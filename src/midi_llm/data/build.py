"""Build a data set: sources -> index -> manifest -> tokenizer -> row sets -> card.

In: a `BuildSpec`. Out: the folder that data/dataset.py describes. Every step writes whole files and finds what is done,
so that a build that was stopped at any moment continues when it is run again and ends with the same bytes. Steps run in
a process pool or on Ray (data/parallel.py); nothing here prints.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from midi_llm.data.attribution import attribution_markdown
from midi_llm.data.card import CardExample, data_card
from midi_llm.data.dataset import ATTRIBUTION_FILE, BUILD_FILE, CARD_FILE, MANIFEST_FILE, TOKENIZER_FILE, Dataset
from midi_llm.data.dedup import deduplicate
from midi_llm.data.files import check_same, write_whole
from midi_llm.data.filters import LENIENT, FilterSettings
from midi_llm.data.index import IndexTask, index_part, index_path, source_of
from midi_llm.data.inspect import show_row
from midi_llm.data.manifest import PieceRow, read_manifest, write_manifest
from midi_llm.data.parallel import run_tasks
from midi_llm.data.rewrite import RewriteSettings
from midi_llm.data.rowsets import RowSetSpec, build_row_set, is_finished, open_dataset, open_tokenizer
from midi_llm.data.shards import read_shards
from midi_llm.data.sources.open import open_source
from midi_llm.data.splits import VALID_SHARE, digest
from midi_llm.data.stats import ShardStats, dataset_stats, shard_stats
from midi_llm.data.tokenizer import FEWEST_TEXT_ROWS, CaptionSample, sample_captions, train_text_tokenizer
from midi_llm.errors import DatasetError
from midi_llm.prompt import load_tokenizer

FORMAT_VERSION = 1
CARD_EXAMPLES = 10
DUPLICATE_ID = "duplicate id"
OnStep = Callable[[str, int, int], None]
"""Called with the step's name, tasks done and tasks in all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildSpec:
    """What to build. `tokenizer` is a folder with a tokenizer.json; None trains one of `text_rows` ids on captions.

    `exclude` are ids or digests that must never be trained on; `rewriting` lets a language model reword the captions.
    """

    sources: tuple[str, ...]
    row_sets: tuple[RowSetSpec, ...]
    filters: FilterSettings = LENIENT
    tokenizer: Path | None = None
    text_rows: int = 4096
    tokenizer_captions: int = 40_000
    exclude: frozenset[str] = frozenset()
    rewriting: RewriteSettings | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        names = [row_set.name for row_set in self.row_sets]
        if len(set(names)) < len(names):
            raise DatasetError(f"row sets are called {names}; each needs a name of its own")
        if self.text_rows < FEWEST_TEXT_ROWS or self.tokenizer_captions < 1 or self.seed < 0:
            raise DatasetError(
                f"the tokenizer has {self.text_rows} ids, {self.tokenizer_captions} captions and seed {self.seed};"
                f" allowed are {FEWEST_TEXT_ROWS} ids or more, 1 caption or more, a seed from 0 on"
            )


def build(
    spec: BuildSpec, out: Path, *, workers: int = 1, ray: str | None = None, on_step: OnStep | None = None
) -> Dataset:
    """Build, continue or complete the data set in `out`.

    Row sets may be added to a finished data set; other settings must stay, else `DatasetError` names what changed.
    Without any, the data set is the pieces alone: enough to evaluate with.
    """
    for opened in (source_of, open_dataset, open_tokenizer):
        opened.cache_clear()  # by an earlier build in this process; its files may have changed
    tokenizer = load_tokenizer(spec.tokenizer).to_str() if spec.tokenizer else None

    def on_done(step: str) -> Callable[[int, int], None] | None:
        return (lambda done, total: on_step(step, done, total)) if on_step else None

    tasks = _index_tasks(spec, out)
    run_tasks(index_part, tasks, workers=workers, ray=ray, on_done=on_done("indexing"))
    dataset = _merge(spec, tasks, out)
    if (out / TOKENIZER_FILE).is_file():
        _check_tokenizer(spec, tokenizer, out)
    elif spec.row_sets:
        if tokenizer is None:
            sample = CaptionSample(captions=spec.tokenizer_captions, example=spec.row_sets[0].example, seed=spec.seed)
            captions = sample_captions(dataset, sample, workers=workers, ray=ray, on_done=on_done("tokenizer"))
            tokenizer = train_text_tokenizer(captions, size=spec.text_rows).to_str()
        text = tokenizer.encode()
        write_whole({out / TOKENIZER_FILE: lambda file: file.write(text)})
    for row_set in spec.row_sets:
        for split in ("train", "valid"):
            build_row_set(
                dataset,
                row_set,
                split,
                rewriting=spec.rewriting,
                workers=workers,
                ray=ray,
                on_done=on_done(f"{row_set.name}/{split}"),
            )
    write_card(dataset, spec)
    return dataset


def _index_tasks(spec: BuildSpec, out: Path) -> list[IndexTask]:
    """The parts of all sources, after checking that `out` is new or was begun with the same sources and filters."""
    if not spec.sources:
        raise DatasetError("no source is given; name at least one, such as folder:DIR")
    tasks, described = [], []
    for text in spec.sources:
        source = open_source(text)
        parts = source.parts()
        described.append({"name": source.name, "revision": source.revision, "parts": len(parts)})
        tasks += [IndexTask(source=text, part=part, folder=out, filters=spec.filters) for part in parts]
    if len({task.part.name for task in tasks}) < len(tasks):
        called = Counter(source["name"] for source in described).most_common(1)[0][0]
        raise DatasetError(
            f"two sources are called {called!r}; a folder: source is called after its folder: rename one, and build"
            " sources of another kind one by one"
        )
    check_same(
        out / BUILD_FILE,
        {
            "format_version": FORMAT_VERSION,
            "sources": described,
            "filters": dataclasses.asdict(spec.filters),
            "exclude": sorted(spec.exclude),
        },
    )
    return tasks


def _merge(spec: BuildSpec, tasks: Sequence[IndexTask], out: Path) -> Dataset:
    """De-duplicate over all parts and write the manifest."""
    if not (out / MANIFEST_FILE).is_file():
        rows = [row for task in tasks for row in read_manifest(index_path(task))]
        rows = _with_validation(deduplicate(_unique(rows), exclude=spec.exclude))
        used = Counter(row.split for row in rows if row.dropped is None)
        if not (used["train"] and used["valid"]):
            reasons = Counter(row.dropped for row in rows if row.dropped).most_common(5)
            raise DatasetError(
                f"of {len(rows)} pieces {used['train']} can be trained on and {used['valid']} can validate, at least"
                f" one each is needed (dropped: {', '.join(f'{why} {count}' for why, count in reasons) or 'none'});"
                " add pieces, or loosen --filters"
            )
        write_manifest(rows, out / MANIFEST_FILE)
    return Dataset(out)


def _unique(rows: Sequence[PieceRow]) -> list[PieceRow]:
    """Rows with an id seen before get another and are dropped: a manifest names a piece once."""
    seen: Counter[str] = Counter()
    unique = []
    for row in rows:
        seen[row.id] += 1
        number = seen[row.id]
        unique.append(row if number == 1 else replace(row, id=f"{row.id}#{number}", dropped=DUPLICATE_ID))
    return unique


def _with_validation(rows: Sequence[PieceRow]) -> list[PieceRow]:
    """`rows`, where none can validate with some works moved from train to valid: a small folder may have none there.

    It is `VALID_SHARE` of the works, by a digest of their names, and at least one; the last one stays in train.
    """
    used = [row for row in rows if row.dropped is None]
    works = sorted({_work(row) for row in used if row.split == "train"}, key=digest)
    if any(row.split == "valid" for row in used) or len(works) < 2:
        return list(rows)
    moved = frozenset(works[: max(1, round(VALID_SHARE * len(works)))])
    return [
        replace(row, split="valid") if row.split == "train" and row.dropped is None and _work(row) in moved else row
        for row in rows
    ]


def _work(row: PieceRow) -> str:
    """Name of what must not be split."""
    return f"{row.source}\0{row.metadata.group}" if row.metadata.group else row.id


def _check_tokenizer(spec: BuildSpec, given: str | None, out: Path) -> None:
    """Raise `DatasetError` unless the tokenizer in `out` is the one that is asked for."""
    there = load_tokenizer(out)
    if given is not None and there.to_str() != given:
        raise DatasetError(f"{out} has another tokenizer than {spec.tokenizer}; use the same, or choose a new folder")
    if given is None and there.get_vocab_size() != spec.text_rows:
        raise DatasetError(
            f"{out / TOKENIZER_FILE} has {there.get_vocab_size()} ids, {spec.text_rows} are asked for; use the same, or"
            " choose a new folder"
        )


def write_card(dataset: Dataset, spec: BuildSpec) -> None:
    """Write the data card and the attributions: what is in the data set, for people."""
    shards = {f"{path.parent.name}/{path.name}": read_shards(path) for path in dataset.row_sets if is_finished(path)}
    name = next((name for name in reversed(shards) if name.endswith("/train")), None)
    examples: list[CardExample] = []
    described: list[ShardStats] = []
    if name:
        tokenizer = load_tokenizer(dataset.folder)
        described = [shard_stats(name, one, tokenizer.decode) for name, one in shards.items()]
        order = np.random.default_rng(spec.seed).permutation(len(shards[name]))
        shown = (show_row(shards[name], row, tokenizer) for row in order.tolist())
        prompted = islice((row for row in shown if row.prompt), CARD_EXAMPLES)
        examples = [CardExample(caption=row.prompt, score=row.score, origin=row.source) for row in prompted]
    page = data_card(
        dataset_stats(dataset.rows),
        title=dataset.folder.resolve().name,
        settings=json.loads((dataset.folder / BUILD_FILE).read_text(encoding="utf-8")),
        digest=dataset.manifest_sha256,
        shards=described,
        examples=examples,
    )
    attribution = attribution_markdown(dataset.rows)
    write_whole({dataset.folder / CARD_FILE: lambda file: file.write(page.encode())})
    write_whole({dataset.folder / ATTRIBUTION_FILE: lambda file: file.write(attribution.encode())})
