"""A Hugging Face Llama folder as it should be: its config, the tensors that follow from it, and what is wrong.

In: a folder. Out: a `Layout`, or one `CheckpointError` that lists every fault found. Only headers are read, never
code (`auto_map` is refused), never pickle. Says nothing about music rows: `checkpoint` does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midi_llm.errors import CheckpointError
from midi_llm.weights import INDEX_FILE, WEIGHTS_FILE, Weights

CONFIG_FILE = "config.json"
EMBEDDINGS = "model.embed_tokens.weight"
HEAD = "lm_head.weight"

_SHOWN = 6
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_IGNORED_SUFFIX = "rotary_emb.inv_freq"  # a constant that old conversions stored


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """A Llama folder that is whole: the sizes of its config, its raw `config`, and its `weights`."""

    config: dict[str, Any]
    weights: Weights
    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    max_positions: int
    tied: bool


def read_layout(folder: Path, *, also_wrong: Iterable[str] = ()) -> Layout:
    """Read `folder`; `CheckpointError` lists all faults, with `also_wrong` (what the caller found) among them."""
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder; give the path of a checkpoint folder")
    wrong: list[str] = []
    config = _read_config(folder, wrong)
    sizes = _sizes(config, wrong) if config else None
    weights = _read_weights(folder, wrong)
    if sizes is not None and config is not None and weights is not None:
        wrong += _tensor_faults(weights, expected_shapes(config))
    wrong += also_wrong
    if wrong or config is None or weights is None or sizes is None:
        raise CheckpointError(f"{folder} cannot be used: {_listed(wrong)}")
    return Layout(config=config, weights=weights, tied=bool(config.get("tie_word_embeddings", False)), **sizes)


def expected_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a Llama with this (valid) `config`, as transformers stores them."""
    hidden, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    head_size = config.get("head_dim") or hidden // heads
    query, key = heads * head_size, (config.get("num_key_value_heads") or heads) * head_size
    projections = {
        "self_attn.q_proj": (query, hidden),
        "self_attn.k_proj": (key, hidden),
        "self_attn.v_proj": (key, hidden),
        "self_attn.o_proj": (hidden, query),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }
    shapes: dict[str, tuple[int, ...]] = {EMBEDDINGS: (config["vocab_size"], hidden), "model.norm.weight": (hidden,)}
    if not config.get("tie_word_embeddings", False):
        shapes[HEAD] = (config["vocab_size"], hidden)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"{prefix}{norm}.weight"] = (hidden,)
        for name, shape in projections.items():
            shapes[f"{prefix}{name}.weight"] = shape
            if config.get("attention_bias" if name.startswith("self") else "mlp_bias", False):
                shapes[f"{prefix}{name}.bias"] = shape[:1]
    return shapes


def _read_config(folder: Path, wrong: list[str]) -> dict[str, Any] | None:
    path = folder / CONFIG_FILE
    if not path.is_file():
        wrong.append(f"{CONFIG_FILE} is missing")
        return None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        wrong.append(f"{CONFIG_FILE} is not JSON ({error})")
        return None
    if not isinstance(config, dict):
        wrong.append(f"{CONFIG_FILE} is not a JSON object")
        return None
    if config.get("model_type") != "llama":
        wrong.append(f"{CONFIG_FILE} has model_type {config.get('model_type')!r}, only 'llama' is supported")
        return None
    if "auto_map" in config:
        wrong.append(f"{CONFIG_FILE} asks for remote code (auto_map), which is never run; remove the entry")
    if config.get("quantization_config"):
        wrong.append("the weights are quantised (quantization_config); the float weights are needed")
    return config


def _sizes(config: dict[str, Any], wrong: list[str]) -> dict[str, int] | None:
    """Return the sizes as `Layout` names them; None (and entries in `wrong`) when one is not a positive integer."""
    fields = {
        "vocab_size": "vocab_size",
        "hidden_size": "hidden_size",
        "intermediate_size": "",
        "num_hidden_layers": "layers",
        "num_attention_heads": "heads",
        "max_position_embeddings": "max_positions",
    }
    optional = ("num_key_value_heads", "head_dim")
    bad = [key for key in fields if not _positive(config.get(key))]
    bad += [key for key in optional if config.get(key) is not None and not _positive(config[key])]
    wrong += [f"{CONFIG_FILE} has {key} {config.get(key)!r}, a positive integer is needed" for key in bad]
    if bad:
        return None
    heads, kv_heads = config["num_attention_heads"], config.get("num_key_value_heads") or config["num_attention_heads"]
    if heads % kv_heads:
        wrong.append(f"{CONFIG_FILE} has {heads} attention heads, not a multiple of {kv_heads} key-value heads")
    return {name: config[key] for key, name in fields.items() if name} | {"kv_heads": kv_heads}


def _positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _read_weights(folder: Path, wrong: list[str]) -> Weights | None:
    if not (folder / WEIGHTS_FILE).is_file() and not (folder / INDEX_FILE).is_file():
        pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
        only = f", and {_listed(pickles)} is not read: weights must be in safetensors, convert them" if pickles else ""
        wrong.append(f"{WEIGHTS_FILE} is missing{only}")
        return None
    try:
        return Weights(folder)
    except CheckpointError as error:
        wrong.append(str(error))
        return None


def _tensor_faults(weights: Weights, shapes: dict[str, tuple[int, ...]]) -> list[str]:
    faults = []
    missing = [name for name in shapes if name not in weights]
    if missing:
        faults.append(f"{len(missing)} of {len(shapes)} tensors are missing ({_listed(missing)})")
    for name, shape in shapes.items():
        if name in weights and weights.shape(name) != shape:
            faults.append(f"{name} has shape {list(weights.shape(name))}, config.json asks for {list(shape)}")
    unknown = [name for name in weights.names if name not in shapes and not name.endswith(_IGNORED_SUFFIX)]
    unknown = [name for name in unknown if not (name == HEAD and EMBEDDINGS in shapes and HEAD not in shapes)]
    if unknown:
        faults.append(f"{len(unknown)} tensors do not belong to this config.json ({_listed(unknown)})")
    return faults


def _listed(items: list[str]) -> str:
    """Join the first few `items` into one line."""
    rest = len(items) - _SHOWN
    return "; ".join(items[:_SHOWN]) + (f"; and {rest} more" if rest > 0 else "")
