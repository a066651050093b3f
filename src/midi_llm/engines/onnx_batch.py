"""The rows of one batch in ONNX Runtime: their key-value cache, and the transformer body run over it.

In: embedding rows. Out: final-norm hidden states. Each row has its own length and is filled alone, so a row's cache
does not depend on its neighbours. Past and present are the same memory, bound once for a number of rows; a row that
leaves is overwritten by the last one. The cache is float32, or int8 where the graph rounds to it. Knows no ids.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from midi_llm.engines.onnx_folder import OnnxRecord
from midi_llm.weights import FloatArray

_PREFILL_CHUNK = 256  # positions at once: bounds the attention scratch memory of a long prompt


class OnnxBatch:
    """A cache of `rows` x `positions` and the bound buffers of the decoding step."""

    def __init__(self, session: ort.InferenceSession, record: OnnxRecord, *, rows: int, positions: int) -> None:
        self.rows = rows
        self.positions = positions
        self._session = session
        self._names = [f"{layer}.{kind}" for layer in range(record.layers) for kind in ("key", "value")]
        # calloc: pages that are never reached are never touched
        self._cache = [
            np.zeros((rows, record.kv_heads, positions, record.head_size), dtype=record.cache) for _ in self._names
        ]
        self._lengths = np.zeros(rows, dtype=np.int32)
        self._last_index = np.zeros(rows, dtype=np.int32)
        self._total = np.zeros(1, dtype=np.int32)
        self._embeds = np.zeros((rows, 1, record.hidden_size), dtype=np.float32)
        self._hidden = np.zeros((rows, 1, record.hidden_size), dtype=np.float32)
        self._binding: ort.IOBinding | None = None
        self._bound_rows = 0

    def fill(self, row: int, embeds_SH: FloatArray) -> FloatArray:
        """Run a prompt [S, hidden] into the empty row `row`; return its last hidden state [hidden]."""
        hidden_H: FloatArray = embeds_SH[-1]
        for start in range(0, len(embeds_SH), _PREFILL_CHUNK):
            chunk = np.ascontiguousarray(embeds_SH[start : start + _PREFILL_CHUNK])[None]
            length = start + chunk.shape[1]
            hidden_1SH = np.empty_like(chunk)
            last_index, total = np.array([length - 1], dtype=np.int32), np.array([length], dtype=np.int32)
            views = [cache[row : row + 1] for cache in self._cache]
            self._session.run_with_iobinding(self._bind(chunk, hidden_1SH, last_index, total, views))
            hidden_H = hidden_1SH[0, -1]
        self._lengths[row] = len(embeds_SH)
        return hidden_H

    def copy(self, source: int, row: int) -> None:
        """Make row `row` equal to row `source`."""
        length = self._lengths[source]
        for cache in self._cache:
            cache[row, :, :length] = cache[source, :, :length]
        self._lengths[row] = length

    def take_over(self, other: OnnxBatch, rows: int) -> None:
        """Make the first `rows` rows equal to those of `other`, which is no larger."""
        self._lengths[:rows] = other._lengths[:rows]
        longest = int(self._lengths[:rows].max(initial=0))
        for cache, old in zip(self._cache, other._cache, strict=True):
            cache[:rows, :, :longest] = old[:rows, :, :longest]

    def step(self, embeds_BH: FloatArray) -> FloatArray:
        """Append one position to the first B rows; return their hidden states [B, hidden].

        The array is overwritten by the next step.
        """
        rows = len(embeds_BH)
        if self._binding is None or rows != self._bound_rows:
            views = [cache[:rows] for cache in self._cache]
            self._binding = self._bind(
                self._embeds[:rows], self._hidden[:rows], self._last_index[:rows], self._total, views
            )
            self._bound_rows = rows
        self._embeds[:rows, 0] = embeds_BH
        self._last_index[:rows] = self._lengths[:rows]
        self._lengths[:rows] += 1
        self._total[0] = self._lengths[:rows].max()
        self._session.run_with_iobinding(self._binding)
        hidden_BH: FloatArray = self._hidden[:rows, 0]
        return hidden_BH

    def _bind(
        self,
        embeds_BSH: FloatArray,
        hidden_BSH: FloatArray,
        last_index: npt.NDArray[np.int32],
        total: npt.NDArray[np.int32],
        caches: list[npt.NDArray[Any]],
    ) -> ort.IOBinding:
        """Bind arrays without copying. The caller keeps them alive for as long as the binding is used."""
        binding = self._session.io_binding()
        value = ort.OrtValue.ortvalue_from_numpy
        binding.bind_ortvalue_input("inputs_embeds", value(embeds_BSH))
        binding.bind_ortvalue_input("seqlens_k", value(last_index))
        binding.bind_ortvalue_input("total_sequence_length", value(total))
        binding.bind_ortvalue_output("hidden", value(hidden_BSH))
        for name, cache in zip(self._names, caches, strict=True):
            shared = value(cache)
            binding.bind_ortvalue_input(f"past.{name}", shared)
            binding.bind_ortvalue_output(f"present.{name}", shared)
        return binding
