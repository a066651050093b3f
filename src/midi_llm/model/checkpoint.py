"""Checkpoint folders: verify one, load it into torch, save one whole or not at all.

A checkpoint is a Hugging Face Llama folder (config.json, safetensors, tokenizer.json) whose last 55,030 vocabulary
rows are music, plus `midi_llm.json` (the prompt format; absent = published) and perhaps `onnx/`. What `save_checkpoint`
writes, plain `transformers.AutoModelForCausalLM` loads as LlamaForCausalLM. Only `load_torch` needs torch.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from midi_llm.errors import CheckpointError, MissingExtraError, OutputError
from midi_llm.model.layout import CONFIG_FILE, EMBEDDINGS, HEAD, Layout, expected_shapes, read_layout
from midi_llm.prompt import (
    TOKENIZER_FILE,
    CheckpointRecord,
    PromptFormat,
    load_tokenizer,
    read_record,
    write_record,
)
from midi_llm.tokens.vocab import MUSIC_VOCAB_SIZE
from midi_llm.weights import WEIGHTS_FILE, FloatArray, StoredDtype, quiet_transformers, write_safetensors

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from transformers import LlamaForCausalLM

Dtype = Literal["float32", "float16", "bfloat16"]

STORED: dict[Dtype, StoredDtype] = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
"""Names of number formats: torch's and config.json's, to safetensors'."""

ONNX_META = Path("onnx", "meta.json")
TOKENIZER_FILES = (TOKENIZER_FILE, "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
"""Copied where present when a tokenizer moves with its model."""


class HasToDict(Protocol):
    """A transformers config, or anything that turns into a dictionary."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of config.json."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointInfo:
    """What a checkpoint folder is. Token id = AMT id + `text_rows`; `parameters` counts a tied table once."""

    folder: Path
    name: str
    vocab_size: int
    text_rows: int
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    tied: bool
    dtype: Dtype
    parameters: int
    max_positions: int
    prompt_format: PromptFormat
    has_onnx: bool


def verify_checkpoint(folder: Path) -> CheckpointInfo:
    """Check a checkpoint folder by its headers (milliseconds); `CheckpointError` names everything that is wrong."""
    wrong = [] if (folder / TOKENIZER_FILE).is_file() else [f"{TOKENIZER_FILE} is missing"]
    record = CheckpointRecord()
    try:
        record = read_record(folder)
    except CheckpointError as error:
        wrong.append(str(error))
    layout = read_layout(folder, also_wrong=wrong)
    if layout.vocab_size <= MUSIC_VOCAB_SIZE:
        raise CheckpointError(
            f"{folder} has vocab_size {layout.vocab_size}, no room for text and {MUSIC_VOCAB_SIZE} music rows;"
            " give an expanded checkpoint (expand_vocabulary makes one)"
        )
    return CheckpointInfo(
        folder=folder,
        name=record.name or folder.resolve().name,
        vocab_size=layout.vocab_size,
        text_rows=layout.vocab_size - MUSIC_VOCAB_SIZE,
        hidden_size=layout.hidden_size,
        layers=layout.layers,
        heads=layout.heads,
        kv_heads=layout.kv_heads,
        tied=layout.tied,
        dtype=_dtype(layout),
        parameters=sum(int(np.prod(shape)) for shape in expected_shapes(layout.config).values()),
        max_positions=layout.max_positions,
        prompt_format=record.prompt,
        has_onnx=(folder / ONNX_META).is_file(),
    )


def _dtype(layout: Layout) -> Dtype:
    """Name the number format that the embeddings are stored in."""
    stored = layout.weights.stored(EMBEDDINGS).dtype
    return next(name for name, code in STORED.items() if code == stored)


def load_torch(folder: Path, *, dtype: torch.dtype | None = None) -> LlamaForCausalLM:
    """Load a verified checkpoint on the CPU in evaluation mode; `dtype` None keeps the stored format.

    Raises `CheckpointError` as `verify_checkpoint` does, `MissingExtraError` without torch.
    """
    info = verify_checkpoint(folder)
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch", "torch") from error
    try:
        from transformers import LlamaForCausalLM
    except ImportError as error:
        raise MissingExtraError("transformers", "torch") from error
    with quiet_transformers():
        model: LlamaForCausalLM = LlamaForCausalLM.from_pretrained(
            folder, dtype=dtype or getattr(torch, info.dtype), use_safetensors=True, local_files_only=True
        )
    model.train(False)
    return model


def save_checkpoint(
    state: Mapping[str, Any],
    config: Mapping[str, Any] | HasToDict,
    tokenizer: Tokenizer | Path,
    prompt_format: PromptFormat,
    folder: Path,
    *,
    name: str = "",
    training: dict[str, Any] | None = None,
    sampling: dict[str, float] | None = None,
    dtype: Dtype = "bfloat16",
    replace: bool = False,
) -> Path:
    """Write a checkpoint to `folder` in one step: readers see the old folder, or the new one, never a half.

    `state` holds torch tensors or numpy arrays under transformers' names (a tied lm_head is left out), `config` is a
    LlamaConfig or its fields, `tokenizer` an object or a folder that has tokenizer.json. `training` and
    `sampling` go to midi_llm.json. Raises `OutputError` when `folder` exists and not `replace`, `CheckpointError` when
    the parts do not fit together or a weight is not finite (nothing is written then).
    """
    fields = _config_fields(config, dtype)
    arrays = _FiniteArrays({key: value for key, value in state.items() if not _is_tied_head(key, state, fields)})
    with new_folder(folder, replace=replace) as partial:
        (partial / CONFIG_FILE).write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
        write_safetensors(partial / WEIGHTS_FILE, arrays, dtype=STORED[dtype])
        _write_tokenizer(tokenizer, partial, fields)
        record = CheckpointRecord(prompt=prompt_format, name=name, training=training or {}, sampling=sampling or {})
        write_record(partial, record)
        info = verify_checkpoint(partial)
        prompt_format.encode("a", load_tokenizer(partial), info.text_rows)  # the tokenizer belongs to these weights
    return folder


@contextmanager
def new_folder(folder: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give a folder to fill that takes the name `folder` when the block ends, and vanishes when it fails.

    Raises `OutputError` when `folder` exists and not `replace`, or when it cannot be written.
    """
    if folder.exists() and not replace:
        raise OutputError(f"{folder} exists and is kept; give another folder or ask to replace it")
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({error}); give a folder where you may write") from error
    try:
        yield partial
        retired = partial.with_name(f".{folder.name}.old-{os.getpid()}")
        if folder.exists():
            folder.rename(retired)
        try:
            partial.rename(folder)
        except OSError:
            if retired.exists():
                retired.rename(folder)
            raise
        shutil.rmtree(retired, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({error}); nothing was changed") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _config_fields(config: Mapping[str, Any] | HasToDict, dtype: Dtype) -> dict[str, Any]:
    fields = dict(config) if isinstance(config, Mapping) else config.to_dict()
    for key in ("torch_dtype", "_name_or_path", "auto_map"):
        fields.pop(key, None)
    return fields | {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": dtype}


def _is_tied_head(key: str, state: Mapping[str, Any], fields: dict[str, Any]) -> bool:
    """Tell the copy of the embeddings in a tied model's state from a head; `CheckpointError` when it is no copy."""
    if key != HEAD or not fields.get("tie_word_embeddings", False):
        return False
    if EMBEDDINGS in state and not np.array_equal(_array(state[HEAD]), _array(state[EMBEDDINGS])):
        raise CheckpointError(f"config says tied but {HEAD} differs from {EMBEDDINGS}; untie the config or the weights")
    return True


def _array(value: Any) -> FloatArray:  # a torch tensor on any device in any format, or an array
    if hasattr(value, "detach"):
        value = value.detach().float().cpu().numpy()
    return np.asarray(value, dtype=np.float32)


class _FiniteArrays(Mapping[str, FloatArray]):
    """A state as float32 arrays, made one at a time; `CheckpointError` for a weight that is not finite."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._state = state

    def __getitem__(self, key: str) -> FloatArray:
        array = _array(self._state[key])
        if not np.isfinite(array).all():
            raise CheckpointError(f"tensor {key} holds values that are not finite; the training diverged, not saved")
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._state)

    def __len__(self) -> int:
        return len(self._state)


def _write_tokenizer(tokenizer: Tokenizer | Path, folder: Path, fields: dict[str, Any]) -> None:
    if isinstance(tokenizer, Path):
        copy_tokenizer(tokenizer, folder)
        return
    tokenizer.save(str(folder / TOKENIZER_FILE))
    settings: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    for role in ("bos_token", "eos_token"):
        token_id = fields.get(f"{role}_id")
        token = tokenizer.id_to_token(token_id) if isinstance(token_id, int) else None
        if token is not None:
            settings[role] = token
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy the tokenizer's files from folder `source` to `folder`; `CheckpointError` without tokenizer.json."""
    if not (source / TOKENIZER_FILE).is_file():
        raise CheckpointError(f"{source} has no {TOKENIZER_FILE}; convert its tokenizer to that format first")
    for file in TOKENIZER_FILES:
        if (source / file).is_file():
            shutil.copyfile(source / file, folder / file)
