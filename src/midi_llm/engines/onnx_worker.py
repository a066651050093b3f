"""Rows that one core decodes in ONNX Runtime: prompts in, then one id for every request at a time.

In: open requests. Out: their steps. `OnnxModel` is the open checkpoint: embedding rows, the body, the head in slices.
Only the legal slice of the head is computed: a slice inside a head block by that block's graph, any other slice and
single extra ids from the rows of the weights file (exact, and slow for a large slice).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnxruntime as ort

from midi_llm.engines.base import Allowed, Step
from midi_llm.engines.continuous import Outcome
from midi_llm.engines.decoding import Lane, OpenRequest, lanes_of, leave, rows_of
from midi_llm.engines.onnx_batch import OnnxBatch
from midi_llm.engines.onnx_folder import HeadBlock, OnnxRecord
from midi_llm.weights import FloatArray, Weights

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class OnnxModel:
    """An open checkpoint; several workers use it at the same time."""

    weights: Weights
    record: OnnxRecord
    body: ort.InferenceSession
    heads: list[tuple[HeadBlock, ort.InferenceSession]]
    extra_rows: dict[tuple[int, ...], FloatArray] = field(default_factory=dict)
    """Head rows of single ids, read once."""

    def embed(self, token_ids: Sequence[int]) -> FloatArray:
        """Embedding rows [n, hidden] of `token_ids`."""
        return self.weights.rows(self.record.embedding_tensor, np.asarray(token_ids, dtype=np.int64))

    def batch(self, *, rows: int, positions: int) -> OnnxBatch:
        """An empty cache."""
        return OnnxBatch(self.body, self.record, rows=rows, positions=positions)

    def logits(self, hidden_BH: FloatArray, start: int, stop: int) -> FloatArray:
        """Logits [B, stop - start] of the ids `start..stop - 1`, by a head block where one holds them all."""
        for block, session in self.heads:
            if block.start <= start and stop <= block.stop:
                logits: FloatArray = session.run(None, {"hidden": hidden_BH})[0]
                return logits[:, start - block.start : stop - block.start]
        table = self.record.head_tensor
        parts = [
            hidden_BH @ self.weights.rows(table, slice(first, min(first + _ROWS_AT_ONCE, stop))).T
            for first in range(start, stop, _ROWS_AT_ONCE)
        ]
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(hidden_BH), 0), dtype=np.float32)

    def span(self, allowed: Allowed) -> tuple[int, int]:
        """Ids to compute for `allowed`: its whole head block, or the slice itself where no block holds it."""
        for block, _ in self.heads:
            if block.start <= allowed.start and allowed.stop <= block.stop:
                return block.start, block.stop
        return allowed.start, allowed.stop

    def extra_logits(self, extra: tuple[int, ...], hidden_H: FloatArray) -> FloatArray:
        """Logits of single ids."""
        rows = self.extra_rows.get(extra)
        if rows is None:
            rows = self.weights.rows(self.record.head_tensor, np.asarray(extra, dtype=np.int64))
            self.extra_rows[extra] = rows
        logits: FloatArray = rows @ hidden_H
        return logits


class OnnxWorker:
    """Requests decoded as one batch, which grows as they join; rows that joined last have no id yet."""

    def __init__(self, model: OnnxModel) -> None:
        self._model = model
        self._lanes: list[Lane] = []
        self._batch: OnnxBatch | None = None
        self._fresh: list[FloatArray] = []

    def join(self, takes: Sequence[OpenRequest]) -> None:
        """Compute the prompts of `takes`, each distinct one once."""
        if not takes:
            return
        lanes = lanes_of(takes)
        longest = max(len(lane.prompt_ids) + lane.take.request.params.max_tokens - 1 for lane in lanes)
        batch = self._batch = self._with_room(len(self._lanes) + len(lanes), longest)
        done: dict[tuple[int, ...], tuple[int, FloatArray]] = {}
        for row, lane in enumerate(lanes, start=len(self._lanes)):
            prompt = tuple(lane.prompt_ids)
            if prompt in done:
                batch.copy(done[prompt][0], row)
            else:
                done[prompt] = row, batch.fill(row, self._model.embed(prompt))
            self._fresh.append(done[prompt][1])
        self._lanes += lanes

    def step(self) -> list[tuple[OpenRequest, Outcome]]:
        """Draw one id for every request."""
        if self._batch is None:
            return []
        known = [lane.take.last_id for lane in self._lanes[: len(self._lanes) - len(self._fresh)]]
        hidden = [self._batch.step(self._model.embed(known))] if known else []
        hidden_BH = np.concatenate([*hidden, np.stack(self._fresh)]) if self._fresh else hidden[0]
        self._fresh = []
        outcomes = self._draw(hidden_BH)
        failed = [take for take, outcome in outcomes if isinstance(outcome, Exception)]
        for take in failed:
            take.end("cancelled")
        leave(self._lanes, self._batch.copy)
        return outcomes

    def drop(self, takes: Sequence[OpenRequest]) -> None:
        """Let `takes` go, which have an end."""
        if takes and self._batch is not None:
            leave(self._lanes, self._batch.copy)

    def clear(self) -> None:
        """Let all go and free the cache."""
        self._lanes, self._fresh, self._batch = [], [], None

    def _with_room(self, rows: int, positions: int) -> OnnxBatch:
        """The cache, moved to a larger one where it must be; twice as large, so that it seldom must."""
        batch = self._batch
        if batch is None:
            return self._model.batch(rows=rows, positions=positions)
        if rows <= batch.rows and positions <= batch.positions:
            return batch
        room = self._model.batch(
            rows=batch.rows if rows <= batch.rows else max(rows, 2 * batch.rows),
            positions=max(positions, batch.positions),
        )
        room.take_over(batch, len(self._lanes))
        return room

    def _draw(self, hidden_BH: FloatArray) -> list[tuple[OpenRequest, Outcome]]:
        """Draw one id for every request; rows in the same head block share its product."""
        takes = [(take, rows, take.allowed()) for take, rows in rows_of(self._lanes)]
        groups: dict[tuple[int, int], list[int]] = {}
        for _, rows, allowed in takes:
            groups.setdefault(self._model.span(allowed), []).extend(rows)
        logits: list[FloatArray] = [hidden_BH] * len(self._lanes)
        for (start, stop), members in groups.items():
            group_BH = hidden_BH[members] if members != list(range(len(self._lanes))) else hidden_BH
            for row, logits_V in zip(members, self._model.logits(group_BH, start, stop), strict=True):
                logits[row] = logits_V
        outcomes: list[tuple[OpenRequest, Outcome]] = []
        for take, rows, allowed in takes:
            first = self._model.span(allowed)[0]
            legal = [logits[row][allowed.start - first : allowed.stop - first] for row in rows]
            hidden = [hidden_BH[row] for row in rows]
            outcomes.append((take, self._drawn(take, allowed, legal, hidden)))
        return outcomes

    def _drawn(
        self, take: OpenRequest, allowed: Allowed, legal: list[FloatArray], hidden: list[FloatArray]
    ) -> Step | Exception:
        """The next id of one request; what its constraint raises concerns nobody else."""
        extra = [self._model.extra_logits(allowed.extra, hidden_H) for hidden_H in hidden] if allowed.extra else []
        try:
            return take.draw(allowed, legal, extra)
        except Exception as error:  # noqa: BLE001 - handed to the stream that waits for this id
            return error
