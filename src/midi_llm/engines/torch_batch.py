"""The rows of one batch on a torch device: their cache, their last ids and hidden states, and the step that goes on.

In: prompts and ids on the device. Out: hidden states on the device. Each row has its own length. On CUDA a step is one
CUDA graph for each number of rows (powers of two; rows nobody uses are computed along) and nothing waits for the host;
elsewhere it runs as it is. Knows no request and no grammar.

Shapes: those of `torch_ops`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from midi_llm.engines.torch_llama import Llama, prefill
from midi_llm.engines.torch_ops import Cache, Ops, step

_LIMIT_STEP = 256  # positions: the least that attention spans in a graph; it is captured anew for each doubling


class TorchBatch:
    """A cache of `rows` x `positions`; the first `used` rows are filled. `ids` and `hidden` are written in place."""

    def __init__(self, llama: Llama, ops: Ops, *, rows: int, positions: int) -> None:
        self._llama, self._ops = llama, ops
        self.captures = llama.device.type == "cuda"
        """Whether a step is a graph launch, which the host need not wait for."""
        self.rows = _power_of_two(rows) if self.captures else rows
        self.positions = -(-positions // _LIMIT_STEP) * _LIMIT_STEP
        self._cache = Cache.empty(llama, self.rows, self.positions)
        self.ids = torch.zeros(self.rows, dtype=torch.long, device=llama.device)
        self.hidden = llama.table.new_zeros((self.rows, llama.table.shape[1]))
        self._lengths = [0] * self.rows
        self._graphs: dict[tuple[int, int], torch.cuda.CUDAGraph] = {}

    @torch.no_grad()
    def fill(self, row: int, ids: Sequence[int]) -> None:
        """Run a prompt into row `row`, whatever was there."""
        ids_T = torch.tensor(ids, dtype=torch.long, device=self._llama.device)
        self.hidden[row] = prefill(self._llama, ids_T, self._cache.keys[:, row], self._cache.values[:, row])
        self._set_length(row, len(ids))

    @torch.no_grad()
    def copy(self, source: int, row: int) -> None:
        """Make row `row` equal to row `source`."""
        length = self._lengths[source]
        for cached in (self._cache.keys, self._cache.values):
            cached[:, row, :, :length] = cached[:, source, :, :length]
        self.hidden[row], self.ids[row] = self.hidden[source], self.ids[source]
        self._set_length(row, length)

    @torch.no_grad()
    def step(self, used: int) -> None:
        """Append `ids` to the first `used` rows and replace their hidden states."""
        longest = max(self._lengths[:used]) + 1
        self._lengths[:used] = [min(length + 1, self.positions - 1) for length in self._lengths[:used]]
        if not self.captures:
            self._run(used, longest)
            return
        rows = _power_of_two(used)
        limit = self.positions if self._ops.bounded else min(max(_power_of_two(longest), _LIMIT_STEP), self.positions)
        if (rows, limit) not in self._graphs:
            self._graphs[rows, limit] = self._capture(rows, limit)
        self._graphs[rows, limit].replay()

    def _set_length(self, row: int, length: int) -> None:
        self._lengths[row] = length
        self._cache.lengths[row] = length

    def _run(self, rows: int, limit: int) -> None:
        step(self._llama, self._ops, self.ids[:rows], self._cache.rows(rows), limit, self.hidden[:rows])

    def _capture(self, rows: int, limit: int) -> torch.cuda.CUDAGraph:
        """Record a step. What the warm-up writes, the step itself writes again; only lengths are put back."""
        lengths_B = self._cache.lengths.clone()
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(2):
                self._run(rows, limit)
                self._cache.lengths.copy_(lengths_B)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._run(rows, limit)
        return graph


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()
