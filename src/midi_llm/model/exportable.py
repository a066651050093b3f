"""What an export is made from: a plain Llama with music rows, and its rotary frequencies.

In: a checkpoint folder. Out: an `Exportable`, or the `CheckpointError` that says what only the torch engine runs.
Knows no format that is exported to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from midi_llm.errors import CheckpointError
from midi_llm.model.layout import EMBEDDINGS, HEAD, Layout, read_layout
from midi_llm.tokens.vocab import MUSIC_VOCAB_SIZE
from midi_llm.weights import FloatArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Exportable:
    """A checkpoint that exports can express: `rope` has rope_type, rope_theta and what that type needs."""

    layout: Layout
    head_size: int
    epsilon: float
    rope: dict[str, Any]

    @property
    def text_rows(self) -> int:
        """Rows before the music; token id = AMT id + this."""
        return self.layout.vocab_size - MUSIC_VOCAB_SIZE

    @property
    def head_table(self) -> str:
        """Name of the tensor that gives the logits."""
        return EMBEDDINGS if self.layout.tied else HEAD


def read_exportable(checkpoint_dir: Path) -> Exportable:
    """Read a checkpoint; `CheckpointError` when it is incomplete, not a plain Llama, or has no music rows."""
    layout = read_layout(checkpoint_dir)
    config = layout.config
    for key, value in {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False}.items():
        if config.get(key, value) != value:
            raise CheckpointError(f"config.json has {key} {config[key]!r}; only {value!r} can be exported: use torch")
    if layout.vocab_size <= MUSIC_VOCAB_SIZE:
        raise CheckpointError(
            f"{checkpoint_dir} has {layout.vocab_size} ids, no more than the {MUSIC_VOCAB_SIZE} of music;"
            " expand its vocabulary first"
        )
    return Exportable(
        layout=layout,
        head_size=config.get("head_dim") or layout.hidden_size // layout.heads,
        epsilon=config.get("rms_norm_eps", 1e-6),
        rope=rope_settings(config),
    )


def rope_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Rotary settings, from either spelling: `rope_parameters` (transformers 5) or `rope_theta` + `rope_scaling`."""
    settings = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    settings.setdefault("rope_theta", config.get("rope_theta", 10000.0))
    settings.setdefault("rope_type", settings.get("type", "default"))
    if settings["rope_type"] not in {"default", "linear", "llama3"}:
        raise CheckpointError(
            f"config.json has rope type {settings['rope_type']!r};"
            " default, linear and llama3 can be exported: use torch"
        )
    return settings


def rope_frequencies(settings: dict[str, Any], head_size: int) -> FloatArray:
    """Radians per position [head_size / 2] as transformers computes them (modeling_rope_utils.py, 5.x), in float32."""
    exponents = np.arange(0, head_size, 2, dtype=np.float32) / np.float32(head_size)
    frequencies: FloatArray = (1.0 / np.float32(settings["rope_theta"]) ** exponents).astype(np.float32)
    if settings["rope_type"] == "default":
        return frequencies
    slowed: FloatArray = (frequencies / np.float32(settings["factor"])).astype(np.float32)
    if settings["rope_type"] == "linear":
        return slowed
    low, high = settings["low_freq_factor"], settings["high_freq_factor"]
    # Periods up to context / high stay, from context / low on they are slowed, between them they are blended.
    turns = settings["original_max_position_embeddings"] * frequencies / np.float32(2 * math.pi)
    blend = np.clip((turns - low) / (high - low), 0, 1).astype(np.float32)
    blended: FloatArray = (1 - blend) * slowed + blend * frequencies
    return blended
