"""Training rows: prompt ids, AUTOREGRESS, note triplets and, where the piece ends in the row, SEPARATOR.

In: a `Corpus`, a tokenizer and a `RowSpec`. Out: `RowSet` on disk: `rows.npy` (uint16 or uint32 [rows, length], padded
with 1), `spans.npy` (int32 [rows, 2]: index of the first music id, index after the last id) and `rows.json` (version,
settings, sha256, counts). Row i depends on (seed, i) alone, so any number of workers writes the same bytes. The folder
appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import tempfile
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from midi_llm.data.captions import caption, window_facts
from midi_llm.data.corpus import Corpus, Piece
from midi_llm.data.windows import Window, cut_window
from midi_llm.errors import DatasetError, MidiReadError
from midi_llm.prompt import PromptFormat
from midi_llm.tokens.codec import encode
from midi_llm.tokens.rests import insert_rests
from midi_llm.tokens.vocab import AUTOREGRESS, SEPARATOR

FORMAT_VERSION = 1
NANO_PROMPT = PromptFormat(prefix="", suffix=" ", bos=True)
"""The small model needs no instruction: the text alone, and a blank."""

SOURCE_WEIGHTS: Mapping[str, float] = {
    "mma-arranged": 0.29, "bandgen": 0.20, "mma-pd-tunes": 0.07, "freedoom": 0.07, "freedoom-history": 0.03,
    "simutrans": 0.04, "easyrpg": 0.02, "blasphemer": 0.01, "mutopia": 0.08, "piano-midi-de": 0.04, "groove-midi": 0.03,
    "openscore-quartets": 0.03, "openscore-orchestra": 0.02, "openscore-lieder": 0.02, "chopin-first-editions": 0.02,
    "open-hymnal": 0.01, "polish-scores": 0.02,
}  # fmt: skip
"""Share of rows by source: our choice, so that 12 M notes of old scores do not drown the modern pieces."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RowSpec:
    """How to build a row set. `captioned` is the share of rows with a prompt; the others are music alone."""

    rows: int
    length: int
    seed: int
    split: str = "train"
    captioned: float = 1.0
    weights: Mapping[str, float] = field(default_factory=lambda: dict(SOURCE_WEIGHTS))

    def __post_init__(self) -> None:
        if self.rows < 1 or self.length < 128 or not 0.0 <= self.captioned <= 1.0:
            raise DatasetError(
                f"rows={self.rows}, length={self.length}, captioned={self.captioned}; allowed are rows >= 1,"
                " length >= 128 and a share between 0 and 1"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class RowSet:
    """Rows as memory maps: `rows` [n, length] token ids, `spans` [n, 2] (music start, end), and their description."""

    rows: npt.NDArray[np.unsignedinteger[Any]]
    spans: npt.NDArray[np.int32]
    info: Mapping[str, Any]


class RowBuilder:
    """Makes row i of a specification; holds an open corpus, so one per process."""

    def __init__(self, corpus_dir: Path, tokenizer: Tokenizer, prompt_format: PromptFormat, spec: RowSpec) -> None:
        self._corpus = Corpus(corpus_dir)
        self._tokenizer = tokenizer
        self._prompt_format = prompt_format
        self._spec = spec
        self._text_rows = tokenizer.get_vocab_size()
        self._by_source: dict[str, list[Piece]] = {}
        for piece in self._corpus.split(spec.split):
            if spec.weights.get(piece.source, 0.0) > 0.0:
                self._by_source.setdefault(piece.source, []).append(piece)
        if not self._by_source:
            raise DatasetError(f"no piece of split {spec.split!r} belongs to a source with a weight")
        weights = np.array([spec.weights[source] for source in self._by_source])
        self._sources, self._chances = list(self._by_source), weights / weights.sum()

    def draw(self, rng: np.random.Generator) -> tuple[Piece, Window]:
        """A random piece and a random window of it; broken or too small pieces are drawn again."""
        for _ in range(1000):
            pieces = self._by_source[str(rng.choice(self._sources, p=self._chances))]
            piece = pieces[int(rng.integers(len(pieces)))]
            try:
                score = self._corpus.read(piece)
            except MidiReadError:
                continue
            known = piece.meta.get("key_source") == "metadata"
            window = cut_window(
                score,
                key=piece.meta.get("key") if known else None,
                tempo_is_known=piece.meta.get("tempo_source") != "default",
                max_notes=(self._spec.length - 48) // 3,
                rng=rng,
            )
            if window is not None:
                return piece, window
        raise DatasetError("1,000 pieces in a row gave no usable window; is the corpus whole?")

    def row(self, index: int) -> tuple[list[int], int, str]:
        """Row `index`: its token ids, the index of its first music id, and its source."""
        rng = np.random.default_rng((self._spec.seed, index))
        piece, window = self.draw(rng)
        start_id = AUTOREGRESS + self._text_rows
        if rng.random() < self._spec.captioned:
            text = caption(window_facts(window, piece.meta), rng)
            ids = self._prompt_format.encode(text, self._tokenizer, self._text_rows)
        else:
            ids = [start_id]
        end_ticks = int(window.events[-1, 0])
        music = encode(insert_rests(window.events, end_ticks)) + self._text_rows
        room = (self._spec.length - len(ids) - 1) // 3 * 3
        tail = [SEPARATOR + self._text_rows] if window.is_ending and len(music) <= room else []
        return [*ids, *music[:room].tolist(), *tail], len(ids), piece.source


def sample_captions(
    corpus_dir: Path, *, count: int, seed: int, weights: Mapping[str, float] = SOURCE_WEIGHTS
) -> list[str]:
    """`count` captions of random training windows, 20 of each, for training the text tokenizer."""
    spec = RowSpec(rows=1, length=1024, seed=seed, weights=dict(weights))
    builder = RowBuilder(corpus_dir, Tokenizer.from_str(_EMPTY_TOKENIZER), NANO_PROMPT, spec)
    texts = []
    for index in range(-(-count // 20)):
        rng = np.random.default_rng((seed, index))
        piece, window = builder.draw(rng)
        facts = window_facts(window, piece.meta)
        texts += [caption(facts, rng) for _ in range(20)]
    return texts[:count]


_EMPTY_TOKENIZER = '{"version":"1.0","added_tokens":[],"model":{"type":"BPE","vocab":{},"merges":[]}}'

_worker: RowBuilder | None = None


def _start_worker(corpus_dir: Path, tokenizer_json: str, prompt_format: PromptFormat, spec: RowSpec) -> None:
    """Open one builder for this process."""
    global _worker
    _worker = RowBuilder(corpus_dir, Tokenizer.from_str(tokenizer_json), prompt_format, spec)


def _work(indices: range) -> list[tuple[list[int], int, str]]:
    """Rows `indices` in this process."""
    assert _worker is not None
    return [_worker.row(index) for index in indices]


def build_rows(
    corpus_dir: Path, out: Path, *, tokenizer: Tokenizer, prompt_format: PromptFormat, spec: RowSpec, workers: int = 2
) -> RowSet:
    """Build and write a row set to the new folder `out`. Raises `DatasetError` when `out` exists."""
    if out.exists():
        raise DatasetError(f"{out} exists already; choose another folder or delete it")
    dtype = np.uint16 if tokenizer.get_vocab_size() + AUTOREGRESS < 2**16 else np.uint32
    rows = np.ones((spec.rows, spec.length), dtype)  # 1 pads
    spans = np.zeros((spec.rows, 2), np.int32)
    sources: Counter[str] = Counter()
    chunks = [range(i, min(i + 64, spec.rows)) for i in range(0, spec.rows, 64)]
    state = (corpus_dir, tokenizer.to_str(), prompt_format, spec)
    context = multiprocessing.get_context("spawn")  # forking a process that has threads is not safe
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=state) as pool:
        for chunk, made in zip(chunks, pool.map(_work, chunks), strict=True):
            for index, (ids, start, source) in zip(chunk, made, strict=True):
                rows[index, : len(ids)] = ids
                spans[index] = start, len(ids)
                sources[source] += 1
    info = {
        "format_version": FORMAT_VERSION,
        "spec": asdict(spec),
        "text_rows": tokenizer.get_vocab_size(),
        "ids": int((spans[:, 1]).sum()),
        "sources": dict(sources.most_common()),
        "sha256": hashlib.sha256(rows.tobytes() + spans.tobytes()).hexdigest(),
    }
    _write(out, rows, spans, info)
    return read_rows(out)


def _write(out: Path, rows: npt.NDArray[Any], spans: npt.NDArray[np.int32], info: Mapping[str, Any]) -> None:
    """Write the three files into a temporary folder, then move it into place."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    np.save(temporary / "rows.npy", rows)
    np.save(temporary / "spans.npy", spans)
    (temporary / "rows.json").write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")
    temporary.rename(out)


def read_rows(folder: Path) -> RowSet:
    """Open a row set. Raises `DatasetError` when a file is missing or of another version."""
    try:
        info = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
        rows = np.load(folder / "rows.npy", mmap_mode="r")
        spans = np.load(folder / "spans.npy")
    except (OSError, ValueError) as error:
        raise DatasetError(f"{folder} is not a row set: {error}") from error
    if info.get("format_version") != FORMAT_VERSION:
        raise DatasetError(f"{folder} has format {info.get('format_version')}; this program reads {FORMAT_VERSION}")
    return RowSet(rows=rows, spans=spans, info=info)
