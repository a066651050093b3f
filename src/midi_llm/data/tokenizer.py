"""The small model's own text tokenizer: byte-level BPE trained on captions, in Hugging Face `tokenizer.json` form.

In: a data set. Out: captions of its training windows, and a tokenizer trained on them. Id 0 is the begin-of-text token
(added by the tokenizer, as Llama's does), id 1 pads. Any text can be encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from midi_llm.data.captions import caption
from midi_llm.data.dataset import Dataset
from midi_llm.data.examples import ExampleSpec
from midi_llm.data.facts import window_facts
from midi_llm.data.manifest import PieceRow
from midi_llm.data.mixture import rows_per_piece
from midi_llm.data.parallel import run_tasks
from midi_llm.data.rowsets import open_dataset
from midi_llm.data.splits import digest
from midi_llm.data.windows import cut_window

CAPTIONS_PER_WINDOW = 8
PIECES_PER_TASK = 256
BEGIN_OF_TEXT, PAD = "<|begin_of_text|>", "<|pad|>"
FEWEST_TEXT_ROWS = 258
"""Every byte, and the two special tokens."""


def train_text_tokenizer(texts: Iterable[str], *, size: int = 4096) -> Tokenizer:
    """Train a byte-level BPE of exactly `size` ids (`FEWEST_TEXT_ROWS` or more); unused ids are reserved tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[BEGIN_OF_TEXT, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    missing = size - tokenizer.get_vocab_size()
    tokenizer.add_special_tokens([f"<|reserved_{i}|>" for i in range(missing)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN_OF_TEXT} $A", special_tokens=[(BEGIN_OF_TEXT, 0)]
    )
    return tokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionSample:
    """How many captions to make, of what windows."""

    captions: int
    example: ExampleSpec
    seed: int


def sample_captions(
    dataset: Dataset,
    sample: CaptionSample,
    *,
    workers: int,
    ray: str | None = None,
    on_done: Callable[[int, int], None] | None = None,
) -> list[str]:
    """About `sample.captions` captions of random training windows, `CAPTIONS_PER_WINDOW` of each."""
    rows = [row for row in dataset.rows if row.split == "train" and row.dropped is None]
    counts = rows_per_piece(rows, total=-(-sample.captions // CAPTIONS_PER_WINDOW), seed=sample.seed).tolist()
    drawn = [(row, count) for row, count in zip(rows, counts, strict=True) if count]
    tasks = [drawn[at : at + PIECES_PER_TASK] for at in range(0, len(drawn), PIECES_PER_TASK)]
    made = run_tasks(partial(_captions, dataset.folder, sample), tasks, workers=workers, ray=ray, on_done=on_done)
    return [text for captions in made for text in captions]


def _captions(folder: Path, sample: CaptionSample, pieces: list[tuple[PieceRow, int]]) -> list[str]:
    """Captions of some pieces, each with its number of windows."""
    captions = []
    for piece, count in pieces:
        score = open_dataset(folder).score(piece)
        for number in range(count):
            rng = np.random.default_rng((sample.seed, digest(piece.id), number))
            window = cut_window(
                score,
                metadata=piece.metadata,
                max_notes=sample.example.length // 3,
                settings=sample.example.augment,
                rng=rng,
            )
            if window is not None:
                facts = window_facts(window, piece.metadata)
                captions += [caption(facts, rng) for _ in range(CAPTIONS_PER_WINDOW)]
                captions += piece.metadata.captions[:1]
    return captions
