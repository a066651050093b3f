"""Vocabulary expansion: a text Llama becomes a checkpoint with 55,030 more rows, for music.

In: any Hugging Face Llama folder with safetensors and tokenizer.json, tied or untied. Out: a checkpoint folder whose
old rows, and all other weights, are the same bits; so the logits of text are unchanged. Works on numpy, tensor by
tensor: memory is a few blocks of rows, whatever the size of the model.

Differences from MIDI-LLM: (1) the paper's new rows are random; ours are drawn around the mean of the existing rows by
default. Effect: the new rows take at most 55,030 / T of the probability that the T text rows have (Jensen), where
random rows can take nearly all of it when the text logits are far below zero (Hewitt 2021).
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

import numpy as np
import numpy.typing as npt

from midi_llm.errors import CheckpointError, RequestError
from midi_llm.model.checkpoint import copy_tokenizer, new_folder, verify_checkpoint
from midi_llm.model.layout import CONFIG_FILE, EMBEDDINGS, HEAD, Layout, expected_shapes, read_layout
from midi_llm.model.music_structure import FEATURES, structure_features
from midi_llm.prompt import PUBLISHED, RECORD_FILE, CheckpointRecord, PromptFormat, load_tokenizer, write_record
from midi_llm.tokens.vocab import MUSIC_VOCAB_SIZE
from midi_llm.weights import WEIGHTS_FILE, FloatArray, Weights, narrow

Initialisation = Literal["mean_covariance", "structured", "random"]

COVARIANCE_SCALES: dict[Initialisation, float] = {"mean_covariance": 1e-5, "structured": 0.1}
"""Share of the rows' covariance that new rows are drawn with.

1e-5 is Hewitt 2021's (nlp.stanford.edu/~johnhew). In bfloat16 so small a spread is a few rounding steps: narrow models
(tests) get some equal rows, wide ones do not. Structure is only of use where it is not lost in the mean. Rows drawn
with a share c raise the bound on what they take, on average over seeds, by exp(c * v / 2), v being the variance of the
text logits: 0.1, our choice, by 1.6 where logits spread by 3. Such rows are a third as far from the mean as text.
"""

_BLOCK = 8192
"""Rows handled at once: 64 MiB of float32 at a width of 2,048."""

_LEGAL_FILES = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rows:
    """The distribution of a new row: `mean` [width] + standard normal [width] @ `factor` [width, width]."""

    mean: npt.NDArray[np.float64]
    factor: npt.NDArray[np.float64]


def expand_vocabulary(
    source_dir: Path,
    out_dir: Path,
    *,
    init: Initialisation = "mean_covariance",
    seed: int = 0,
    covariance_scale: float | None = None,
    prompt_format: PromptFormat = PUBLISHED,
) -> Path:
    """Write `source_dir` with 55,030 music rows appended to its embeddings (and to its head when untied).

    `mean_covariance` draws rows from N(mean, `covariance_scale` * covariance) of the existing rows of the same table;
    so does `structured`, but rows that share parts (model/music_structure.py) are alike: their correlation is the
    cosine of their features. `random` draws from N(0, config.initializer_range). `covariance_scale` None is that of
    `COVARIANCE_SCALES`. The same arguments give the same bytes. Raises `CheckpointError` when `source_dir` is not a
    whole Llama folder or is expanded already, `OutputError` when `out_dir` exists, `RequestError` for a wrong `init` or
    `covariance_scale`.
    """
    scale = _scale(init, covariance_scale)
    layout = read_layout(source_dir)
    text_rows = layout.vocab_size
    _refuse_expanded(source_dir, text_rows)
    config = layout.config | {"vocab_size": text_rows + MUSIC_VOCAB_SIZE, "architectures": ["LlamaForCausalLM"]}
    with new_folder(out_dir) as partial:
        copy_tokenizer(source_dir, partial)
        for path in [path for pattern in _LEGAL_FILES for path in source_dir.glob(pattern)]:
            shutil.copyfile(path, partial / path.name)
        (partial / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        training: dict[str, Any] = {"expanded_from": source_dir.resolve().name, "init": init, "seed": seed}
        if scale is not None:
            training["covariance_scale"] = scale
        write_record(partial, CheckpointRecord(prompt=prompt_format, name=out_dir.name, training=training))
        _write_weights(partial / WEIGHTS_FILE, layout, init=init, seed=seed, scale=scale)
        verify_checkpoint(partial)
        prompt_format.encode("a", load_tokenizer(partial), text_rows)
    return out_dir


def _scale(init: Initialisation, asked: float | None) -> float | None:
    """The share of the covariance that rows of `init` are drawn with; None for random rows, which have none."""
    if init not in get_args(Initialisation):
        raise RequestError(f"init is {init!r}; allowed is one of {', '.join(get_args(Initialisation))}")
    usual = COVARIANCE_SCALES.get(init)
    if asked is None:
        return usual
    if usual is None:
        raise RequestError(f"covariance_scale is {asked}; {init} rows have none: leave it out")
    if not 0.0 <= asked <= 1.0:
        raise RequestError(f"covariance_scale is {asked}; allowed is 0 to 1, {usual} is usual for {init} rows")
    return asked


def _refuse_expanded(folder: Path, rows: int) -> None:
    """`CheckpointError` when the table has music rows already, or fewer rows than the tokenizer has tokens."""
    tokens = load_tokenizer(folder).get_vocab_size(with_added_tokens=True)
    if (folder / RECORD_FILE).is_file() or rows >= tokens + MUSIC_VOCAB_SIZE:
        raise CheckpointError(f"{folder} is expanded already ({rows} rows, {tokens} text tokens); use it as it is")
    if rows < tokens:
        raise CheckpointError(f"{folder} has {rows} rows for {tokens} text tokens; its tokenizer is of another model")


def _write_weights(path: Path, layout: Layout, *, init: Initialisation, seed: int, scale: float | None) -> None:
    """Copy the tensors as they are stored, one file, each vocabulary table followed by its new rows."""
    weights, shapes = layout.weights, expected_shapes(layout.config)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape in shapes.items():
        stored = weights.stored(name)
        rows = shape[0] + (MUSIC_VOCAB_SIZE if name in (EMBEDDINGS, HEAD) else 0)
        stop = offset + rows * (stored.raw.nbytes // shape[0])
        header[name] = {"dtype": stored.dtype, "shape": [rows, *shape[1:]], "data_offsets": [offset, stop]}
        offset = stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    sigma = float(layout.config.get("initializer_range", 0.02))
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in shapes:
            _copy(file, weights.stored(name).raw)
            if name in (EMBEDDINGS, HEAD):
                rng = np.random.Generator(np.random.PCG64([seed, name == HEAD]))
                if scale is None:
                    blocks = _random_rows(rng, sigma, layout.hidden_size)
                else:
                    drawn = _structured_rows if init == "structured" else _independent_rows
                    blocks = drawn(rng, _fit(weights, name, scale))
                for block in blocks:
                    file.write(narrow(block, weights.stored(name).dtype).tobytes())


def _copy(file: BinaryIO, raw: npt.NDArray[Any]) -> None:
    """Append a mapped tensor as it is, a block of rows at a time."""
    for start in range(0, raw.shape[0], _BLOCK):
        file.write(raw[start : start + _BLOCK].tobytes())


def _fit(weights: Weights, name: str, scale: float) -> _Rows:
    """Mean, and the root of `scale` times the covariance, of the rows of table `name`, in float64."""
    count, width = weights.shape(name)
    total = np.zeros(width)
    for block in _blocks(weights, name):
        total += block.sum(axis=0)
    mean = total / count
    covariance = np.zeros((width, width))
    for block in _blocks(weights, name):
        centred = block - mean
        covariance += centred.T @ centred
    values, vectors = np.linalg.eigh(covariance * (scale / count))
    if not np.isfinite(values).all():
        raise CheckpointError(f"tensor {name} holds values that are not finite; get the source model again")
    # Rounding can leave tiny negative eigenvalues where the rows span less than the width.
    return _Rows(mean=mean, factor=np.sqrt(values.clip(min=0.0))[:, None] * vectors.T)


def _blocks(weights: Weights, name: str) -> Iterator[npt.NDArray[np.float64]]:
    for start in range(0, weights.shape(name)[0], _BLOCK):
        yield weights.rows(name, slice(start, start + _BLOCK)).astype(np.float64)


def _id_blocks() -> Iterator[npt.NDArray[np.int64]]:
    """The music ids, in blocks."""
    for start in range(0, MUSIC_VOCAB_SIZE, _BLOCK):
        yield np.arange(start, min(start + _BLOCK, MUSIC_VOCAB_SIZE))


def _random_rows(rng: np.random.Generator, sigma: float, width: int) -> Iterator[FloatArray]:
    """Yield the 55,030 rows in blocks [n, width]: normal around zero with standard deviation `sigma`."""
    for ids in _id_blocks():
        yield (rng.standard_normal((len(ids), width)) * sigma).astype(np.float32)


def _independent_rows(rng: np.random.Generator, like: _Rows) -> Iterator[FloatArray]:
    """Yield the 55,030 rows in blocks [n, width], each drawn for itself."""
    for ids in _id_blocks():
        yield (like.mean + rng.standard_normal((len(ids), len(like.mean))) @ like.factor).astype(np.float32)


def _structured_rows(rng: np.random.Generator, like: _Rows) -> Iterator[FloatArray]:
    """Yield the 55,030 rows in blocks [n, width]: sums of drawn parts.

    Features are taken at length 1, so that each row alone has the distribution of an independent one.
    """
    parts = rng.standard_normal((FEATURES, len(like.mean))) @ like.factor
    for ids in _id_blocks():
        features = structure_features(ids)
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        yield (like.mean + features @ parts).astype(np.float32)
