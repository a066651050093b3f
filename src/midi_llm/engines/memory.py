"""Whether a model fits: the bytes that an engine needs for it, against those that the machine has free.

In: headers and sizes of files; nothing is loaded. Out: nothing, or an `EngineError` with both figures and a way out.
Counted are the weights as the engine holds them when it needs most of them, and the keys and values of one take of the
model's full length: 2 x layers x key heads x head size x positions x bytes of a number. Weights that are mapped from a
file count as well, since every id reads them all. Not counted: libraries and scratch (0.1 to 0.3 GB, measured), further
takes side by side, and the embeddings that the ONNX engine maps and reads a few rows of.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midi_llm.engines.free_memory import free_memory
from midi_llm.errors import CheckpointError, EngineError
from midi_llm.weights import Weights

if TYPE_CHECKING:
    import torch

    from midi_llm.engines.onnx_folder import OnnxRecord

NUMBER_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
_JOINED = ("q_proj.weight", "k_proj.weight", "v_proj.weight", "gate_proj.weight", "up_proj.weight")
"""The torch engine joins these into new matrices while the old ones are still there."""
_NARROWED = "model.layers."
"""vLLM's fp8 makes the layers' weights one byte wide, and keeps the rest in bfloat16."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """Bytes of weights and cache, and the number format of the weights."""

    weights: int
    cache: int
    number_format: str

    @property
    def total(self) -> int:
        """All bytes."""
        return self.weights + self.cache


def check_fits(need: Need, free: int | None, *, place: str, remedy: str) -> None:
    """Raise `EngineError`, ending in `remedy`, where `need` is more than `place` has `free` (None: unknown)."""
    if free is not None and need.total > free:
        raise EngineError(
            f"this model needs {_shown(need.total)} on {place} ({_shown(need.weights)} weights in"
            f" {need.number_format}, {_shown(need.cache)} cache) and {_shown(free)} are free: {remedy}"
        )


def cache_bytes(*, layers: int, key_heads: int, head_size: int, positions: int, number_bytes: int) -> int:
    """Bytes of the keys and values of one take over `positions`."""
    return 2 * layers * key_heads * head_size * positions * number_bytes


def llama_cache_bytes(config: Mapping[str, Any], *, number_bytes: int) -> int:
    """The same for a Llama's config.json, over all its positions; `CheckpointError` where a size is missing."""
    try:
        heads = int(config["num_attention_heads"])
        return cache_bytes(
            layers=int(config["num_hidden_layers"]),
            key_heads=int(config.get("num_key_value_heads") or heads),
            head_size=int(config.get("head_dim") or config["hidden_size"] // heads),
            positions=int(config["max_position_embeddings"]),
            number_bytes=number_bytes,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"config.json lacks a size ({error}); get the checkpoint again") from error


def torch_need(folder: Path, config: Mapping[str, Any], dtype: str) -> Need:
    """What the torch engine needs where it computes."""
    size = NUMBER_BYTES[dtype]
    counts = _counts(folder)
    joined = sum(count for name, count in counts.items() if name.endswith(_JOINED))
    return Need(
        weights=size * (sum(counts.values()) + joined),
        cache=llama_cache_bytes(config, number_bytes=size),
        number_format=dtype,
    )


def loading_need(folder: Path, dtype: str) -> Need:
    """What the torch engine needs on the CPU while it loads a model for another device."""
    return Need(weights=NUMBER_BYTES[dtype] * sum(_counts(folder).values()), cache=0, number_format=dtype)


def vllm_need(folder: Path, config: Mapping[str, Any], dtype: str, cache: int | None) -> Need:
    """What vLLM needs; `cache` is the size of its cache where that is set, else it holds at least one take."""
    size = NUMBER_BYTES.get(dtype, 2)
    narrow = 1 if dtype not in NUMBER_BYTES else size
    weights = sum(count * (narrow if name.startswith(_NARROWED) else size) for name, count in _counts(folder).items())
    return Need(weights=weights, cache=cache or llama_cache_bytes(config, number_bytes=size), number_format=dtype)


def onnx_need(record: OnnxRecord) -> Need:
    """What ONNX Runtime needs: its files, which it copies into an order of its own (measured), and its cache."""
    graphs = ["body.onnx", *(block.file for block in record.head_blocks)]
    files = [record.folder / f"{graph}{suffix}" for graph in graphs for suffix in ("", ".data")]
    cache = cache_bytes(
        layers=record.layers,
        key_heads=record.kv_heads,
        head_size=record.head_size,
        positions=record.max_positions,
        number_bytes=NUMBER_BYTES[record.cache],
    )
    weights = sum(file.stat().st_size for file in files if file.is_file())
    return Need(weights=weights, cache=cache, number_format=record.precision)


def check_torch(folder: Path, dtype: str, device: torch.device) -> None:
    """Raise `EngineError` where the torch engine would not fit on `device`, or its weights not in memory on the way.

    A folder that cannot be read passes: what is wrong with it, the loader says.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        need, loaded = torch_need(folder, config, dtype), loading_need(folder, dtype)
    except (OSError, ValueError, CheckpointError):
        return
    if device.type != "cuda":
        remedy = f"use --engine onnx (midi-llm export {folder} makes its files), or a smaller model such as nano"
        check_fits(need, free_memory(), place="a CPU", remedy=remedy)
        return
    remedy = "close other programs, or use a smaller model such as nano"
    check_fits(loaded, free_memory(), place="the way through a CPU", remedy=remedy)
    remedy = "close what else uses the GPU, or use --engine onnx"
    check_fits(need, free_cuda_memory(), place="a CUDA device", remedy=remedy)


def check_vllm(folder: Path, config: Mapping[str, Any], dtype: str, *, on_cpu: bool, cache: int | None) -> None:
    """Raise `EngineError` where vLLM's weights and cache would not fit.

    A folder that cannot be read passes: what is wrong with it, vLLM says.
    """
    try:
        need = vllm_need(folder, config, dtype, cache)
    except (OSError, ValueError, CheckpointError):
        return
    free, place = (free_memory(), "a CPU") if on_cpu else (free_cuda_memory(), "a CUDA device")
    remedy = "give it less cache (cache_bytes), use --engine onnx, or a smaller model such as nano"
    check_fits(need, free, place=place, remedy=remedy)


def check_onnx(record: OnnxRecord) -> None:
    """Raise `EngineError` where ONNX Runtime would not fit."""
    smaller = "a smaller model such as nano"
    if record.precision != "int4":
        smaller = f"smaller weights (midi-llm export {record.folder.parent} --precision int4) or {smaller}"
    check_fits(onnx_need(record), free_memory(), place="a CPU", remedy=f"close other programs, or use {smaller}")


def free_cuda_memory() -> int:
    """Bytes that torch may still take on the CUDA device: those nobody has, and those it keeps for later."""
    import torch

    kept = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return int(torch.cuda.mem_get_info()[0]) + kept


def _counts(folder: Path) -> dict[str, int]:
    """Numbers in each tensor of a checkpoint, from the files' headers."""
    weights = Weights(folder)
    return {name: math.prod(weights.shape(name)) for name in weights.names}


def _shown(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
