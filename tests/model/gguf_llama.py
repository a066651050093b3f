"""A Llama in numpy as llama.cpp computes it, from a GGUF file alone: its names, its settings, neighbours rotated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


class GgufLlama:
    """The settings, the vocabulary and the float32 tensors of a file."""

    def __init__(self, path: Path) -> None:
        reader = gguf.GGUFReader(path)
        self.settings: dict[str, Any] = {name: field.contents() for name, field in reader.fields.items()}
        self.kinds = {tensor.name: tensor.tensor_type for tensor in reader.tensors}
        self.tensors: dict[str, Array] = {
            tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(tensor.shape[::-1])
            for tensor in reader.tensors
        }

    def logits(self, token_ids: Sequence[int]) -> Array:
        """Logits [vocabulary] of what may follow `token_ids`."""
        embeddings = self.tensors["token_embd.weight"]
        stream = embeddings[list(token_ids)]  # [n, hidden]
        for layer in range(self.settings["llama.block_count"]):
            stream = self._layer(stream, f"blk.{layer}.")
        return self.tensors.get("output.weight", embeddings) @ self._norm(stream, "output_norm")[-1]

    def _layer(self, stream: Array, prefix: str) -> Array:
        def product(inputs: Array, name: str) -> Array:
            return inputs @ self.tensors[f"{prefix}{name}.weight"].T

        normed = self._norm(stream, f"{prefix}attn_norm")
        query, key, value = (product(normed, f"attn_{name}") for name in "qkv")
        stream = stream + product(self._attend(query, key, value), "attn_output")
        normed = self._norm(stream, f"{prefix}ffn_norm")
        gate = product(normed, "ffn_gate")
        return stream + product(gate / (1 + np.exp(-gate)) * product(normed, "ffn_up"), "ffn_down")

    def _norm(self, stream: Array, name: str) -> Array:
        epsilon = self.settings["llama.attention.layer_norm_rms_epsilon"]
        scale = np.sqrt(np.square(stream).mean(axis=-1, keepdims=True) + epsilon)
        return stream / scale * self.tensors[f"{name}.weight"]

    def _attend(self, query: Array, key: Array, value: Array) -> Array:
        heads, kv_heads = (self.settings[f"llama.attention.head_count{kind}"] for kind in ("", "_kv"))
        count, size = len(query), self.settings["llama.attention.key_length"]
        query = self._turn(query.reshape(count, heads, size))
        key = np.repeat(self._turn(key.reshape(count, kv_heads, size)), heads // kv_heads, axis=1)
        value = np.repeat(value.reshape(count, kv_heads, size), heads // kv_heads, axis=1)
        scores = np.einsum("ihd,jhd->hij", query, key) / np.sqrt(size)
        scores += np.triu(np.full((count, count), -np.inf), 1)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        return np.einsum("hij,jhd->ihd", shares, value).reshape(count, heads * size).astype(np.float32)

    def _turn(self, vectors: Array) -> Array:
        """Rotate elements 2i and 2i + 1 of each head [n, heads, size] by the position times frequency i."""
        size = self.settings["llama.rope.dimension_count"]
        frequencies = float(self.settings["llama.rope.freq_base"]) ** (-np.arange(0, size, 2) / size)
        frequencies /= self.tensors.get("rope_freqs.weight", np.float32(1))
        if self.settings.get("llama.rope.scaling.type") == "linear":
            frequencies /= self.settings["llama.rope.scaling.factor"]
        angles = np.arange(len(vectors))[:, None, None] * frequencies
        even, odd = vectors[..., 0::2], vectors[..., 1::2]
        turned = np.empty_like(vectors)
        turned[..., 0::2] = even * np.cos(angles) - odd * np.sin(angles)
        turned[..., 1::2] = even * np.sin(angles) + odd * np.cos(angles)
        return turned
