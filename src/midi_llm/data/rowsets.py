"""Row sets: the pieces and texts of a data set become the shards of one split of one stage.

In: a `Dataset` folder with a manifest and a tokenizer, and a `RowSetSpec`. Out: `rows/NAME/SPLIT/` (data/shards.py).
A task is one shard: some pieces with the number of rows each gives, or a file of texts. Example k of a piece follows
from (seed, piece id, k) alone, so that workers, order and interruptions change nothing. Stage 1 rows are packed, a
stage 2 row is one example.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from midi_llm.data.dataset import Dataset, read_texts
from midi_llm.data.examples import ExampleSpec, make_example, text_examples
from midi_llm.data.files import check_same
from midi_llm.data.manifest import PieceRow
from midi_llm.data.mixture import rows_per_piece
from midi_llm.data.packing import pack
from midi_llm.data.parallel import run_tasks
from midi_llm.data.rewrite import RewriteSettings, rewrite
from midi_llm.data.shards import (
    INDEX_FILE,
    Segment,
    ShardSet,
    ShardSpec,
    finish,
    is_written,
    read_shards,
    write_shard,
)
from midi_llm.data.splits import digest
from midi_llm.errors import DatasetError, PromptError
from midi_llm.prompt import PromptFormat, load_tokenizer

SETTINGS_FILE = "settings.json"
IDS_PER_SHARD = 2**20
TEXT_VALID_SHARE = 0.01
"""Of the texts, by a digest of their id: kept for validation."""
MAX_UNANSWERED = 0.1
"""Share of a shard's captions that may stay as they are because a language model does not answer."""
ATTEMPTS = 4
"""Windows tried for a row before its piece is passed over."""

OnDone = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class RowSetSpec:
    """Rows to make: `rows` examples for training, `valid_rows` for validation, each of at most `example.length` ids.

    `stage` 1 packs examples (and `text_share` of the texts) into rows; 2 gives each example a row.
    """

    name: str
    stage: int
    rows: int
    valid_rows: int
    example: ExampleSpec
    prompt: PromptFormat
    seed: int
    text_share: float = 0.0

    @property
    def length(self) -> int:
        """Ids a row."""
        return self.example.length

    def __post_init__(self) -> None:
        is_sized = min(self.rows, self.valid_rows) >= 1 and self.seed >= 0
        if self.stage not in (1, 2) or not is_sized or not 0.0 <= self.text_share <= 1.0:
            raise DatasetError(
                f"row set {self.name!r} has stage {self.stage}, {self.rows} and {self.valid_rows} rows, seed"
                f" {self.seed} and text share {self.text_share}; allowed are stage 1 or 2, at least 1 row each, a seed"
                " from 0 on, and a share between 0 and 1"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardTask:
    """One shard: `counts[i]` rows of `pieces[i]`, or the texts of `texts`."""

    dataset: Path
    out: Path
    index: int
    split: str
    spec: RowSetSpec
    shards: ShardSpec
    pieces: tuple[PieceRow, ...] = ()
    counts: tuple[int, ...] = ()
    texts: Path | None = None
    rewriting: RewriteSettings | None = None


def build_row_set(
    dataset: Dataset,
    spec: RowSetSpec,
    split: str,
    *,
    rewriting: RewriteSettings | None = None,
    workers: int,
    ray: str | None = None,
    on_done: OnDone | None = None,
) -> ShardSet:
    """Make or finish the shards of `spec` for one split ("train" or "valid"). Raises `DatasetError` as parts do.

    With `rewriting` a language model rewords the captions (data/rewrite.py).
    """
    out = dataset.folder / "rows" / spec.name / split
    tasks = plan(dataset, spec, split, out, rewriting)
    settings = {
        "split": split,
        "manifest": dataset.manifest_sha256,
        "tokenizer": dataset.tokenizer_sha256,
        "rewriter": rewriting.model if rewriting else None,
        **asdict(spec),
    }
    check_same(out / SETTINGS_FILE, settings)
    if is_finished(out) and all(is_written(out, task.index) for task in tasks):
        return read_shards(out)  # its digests stay those of the rows as they were made
    run_tasks(write_rows, tasks, workers=workers, ray=ray, on_done=on_done)
    return finish(out, tasks[0].shards, shards=len(tasks), settings=settings)


def is_finished(out: Path) -> bool:
    """Whether the shards in `out` are all there."""
    return (out / INDEX_FILE).is_file()


def plan(
    dataset: Dataset, spec: RowSetSpec, split: str, out: Path, rewriting: RewriteSettings | None = None
) -> list[ShardTask]:
    """The shards to write: every piece's rows by the mixture, cut into shards of about `IDS_PER_SHARD` ids."""
    rows = [row for row in dataset.rows if row.split == split and row.dropped is None]
    texts = sorted((dataset.folder / "texts").glob("*.jsonl.gz")) if spec.stage == 1 and spec.text_share else []
    shards = ShardSpec(
        length=spec.length,
        text_rows=open_tokenizer(dataset.folder).get_vocab_size(),
        sources=tuple(sorted({row.source for row in rows} | {path.name.removesuffix(".jsonl.gz") for path in texts})),
    )
    task = partial(
        ShardTask, dataset=dataset.folder, out=out, split=split, spec=spec, shards=shards, rewriting=rewriting
    )
    counts = rows_per_piece(rows, total=spec.rows if split == "train" else spec.valid_rows, seed=spec.seed)
    music = _stretches(rows, counts.tolist(), max(1, IDS_PER_SHARD // spec.length))
    tasks = [task(index=index, pieces=pieces, counts=numbers) for index, (pieces, numbers) in enumerate(music)]
    return tasks + [task(index=len(tasks) + index, texts=path) for index, path in enumerate(texts)]


def _stretches(
    rows: Sequence[PieceRow], counts: Sequence[int], size: int
) -> Iterator[tuple[tuple[PieceRow, ...], tuple[int, ...]]]:
    """Pieces in the manifest's order with their counts, cut where `size` rows are reached; pieces without rows go."""
    pieces: list[PieceRow] = []
    numbers: list[int] = []
    total = 0
    for row, count in zip(rows, counts, strict=True):
        if count:
            pieces.append(row)
            numbers.append(count)
            total += count
        if total >= size:
            yield tuple(pieces), tuple(numbers)
            pieces, numbers, total = [], [], 0
    if pieces:
        yield tuple(pieces), tuple(numbers)


def write_rows(task: ShardTask) -> None:
    """Write one shard unless it is there."""
    if not is_written(task.out, task.index):
        reword = _rewording(task) if task.rewriting and task.pieces else None
        segments = list(_text_segments(task) if task.texts else _piece_segments(task, reword))
        packed = task.spec.stage == 1
        rows = pack(segments, length=task.spec.length) if packed else [[segment] for segment in segments]
        write_shard(task.out, task.index, rows, task.shards)


def _rewording(task: ShardTask) -> Callable[[str], str]:
    """New words for every caption of the shard, asked for together: the examples are made once to hear them."""
    assert task.rewriting is not None
    captions: list[str] = []

    def note(text: str) -> str:
        captions.append(text)
        return text

    for _ in _piece_segments(task, note):
        pass
    cache = task.dataset / "rewritten" / f"{task.spec.name}-{task.split}-{task.index:05d}.jsonl"
    answers, report = rewrite(captions, settings=task.rewriting, cache=cache)
    if report.failed > MAX_UNANSWERED * len(captions):
        raise DatasetError(
            f"{task.rewriting.base_url} did not reword {report.failed} of {len(captions)} captions; see that"
            f" {task.rewriting.model!r} is served there and run the build again, what was answered is kept"
        )
    return dict(zip(captions, answers, strict=True)).__getitem__


def _piece_segments(task: ShardTask, reword: Callable[[str], str] | None) -> Iterator[Segment]:
    dataset = open_dataset(task.dataset)
    tokenizer = open_tokenizer(task.dataset)
    for piece, count in zip(task.pieces, task.counts, strict=True):
        score = dataset.score(piece)
        for number in range(count):
            rng = np.random.default_rng((task.spec.seed, digest(piece.id), number))
            for _ in range(ATTEMPTS):
                try:
                    example = make_example(
                        score, piece.metadata, spec=task.spec.example, tokenizer=tokenizer,
                        prompt_format=task.spec.prompt, rng=rng, reword=reword,
                    )  # fmt: skip
                except (DatasetError, PromptError) as error:
                    raise DatasetError(f"{piece.id} makes no example: {error}") from error
                if example is not None:
                    yield Segment(
                        ids=example.ids, music_start=example.music_start, kind=example.kind, source=piece.source
                    )
                    break


def _text_segments(task: ShardTask) -> Iterator[Segment]:
    assert task.texts is not None
    source = task.texts.name.removesuffix(".jsonl.gz")
    tokenizer = open_tokenizer(task.dataset)
    for text in read_texts(task.texts):
        place = digest(text.id) / 2**64
        is_valid = place < TEXT_VALID_SHARE
        used = TEXT_VALID_SHARE + (1 - TEXT_VALID_SHARE) * task.spec.text_share
        if is_valid == (task.split == "valid") and place < used:
            for example in text_examples(text.text, tokenizer, max_ids=task.spec.length):
                yield Segment(ids=example.ids, music_start=example.music_start, kind=example.kind, source=source)


@lru_cache(maxsize=2)
def open_dataset(folder: Path) -> Dataset:
    """Opened once per process."""
    return Dataset(folder)


@lru_cache(maxsize=2)
def open_tokenizer(folder: Path) -> Tokenizer:
    """Read once per process."""
    return load_tokenizer(folder)
