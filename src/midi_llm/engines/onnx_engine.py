"""The CPU engine: ONNX Runtime over an exported checkpoint, no torch.

In: a checkpoint folder with its `onnx/` folder (made by `midi-llm export`), and requests. Out: steps. Only the legal
slice of the head is computed: a slice inside a head block by that block's graph, any other slice and single extra ids
from the rows of the weights file (exact, and slow for a large slice). Requests with the same prompt share its
computation. A float32 export gives a request the same ids alone and in a batch (up to rounding at an exact tie);
8-bit activations of the quantised exports are rounded per row, so the same holds there within 1e-3 of a logit.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from midi_llm.engines.base import Allowed, Request, Step, check_requests
from midi_llm.engines.decoding import Lane, OpenRequest, lanes_of, open_requests, rows_of
from midi_llm.engines.memory import check_onnx
from midi_llm.engines.onnx_batch import OnnxBatch
from midi_llm.engines.onnx_folder import HeadBlock, open_session, read_record
from midi_llm.errors import CheckpointError, EngineError
from midi_llm.weights import FloatArray, Weights

_SMALL_BODY_BYTES = 256 << 20
_ROWS_AT_ONCE = 4096


class OnnxEngine:
    """An open checkpoint. `threads` None = one for small models (as fast as two, measured), else up to four.

    `EngineError` when the `onnx/` folder is missing, of another version, or made from other weights, or when memory
    does not hold it.
    """

    name = "onnx"

    def __init__(self, checkpoint_dir: Path, *, threads: int | None = None) -> None:
        try:
            self._weights: Weights | None = Weights(checkpoint_dir)
        except CheckpointError as error:
            raise EngineError(str(error)) from error
        record = read_record(checkpoint_dir, self._weights)
        check_onnx(record)
        self._record = record
        self.precision = record.precision
        self.vocab_size = record.vocab_size
        self.max_positions = record.max_positions
        self.threads = threads or _default_threads(record.folder / "body.onnx.data")
        self._body = open_session(record, "body.onnx", threads=self.threads)
        self._heads: list[tuple[HeadBlock, ort.InferenceSession]] = [
            (block, open_session(record, block.file, threads=self.threads)) for block in record.head_blocks
        ]
        self._extra_rows: dict[tuple[int, ...], FloatArray] = {}

    def stream(self, requests: Sequence[Request], *, cancel: threading.Event | None = None) -> Iterator[Step]:
        """Decode all `requests` side by side; raises `RequestError` at once for a request that cannot be served."""
        self._open_weights()
        check_requests(requests, vocab_size=self.vocab_size, max_positions=self.max_positions)
        return self._decode(open_requests(requests, vocab_size=self.vocab_size), cancel)

    def next_logits(self, token_ids: Sequence[int], *, start: int = 0, stop: int | None = None) -> FloatArray:
        """Logits [stop - start] of the ids `start..stop - 1` (None = all) that may follow `token_ids`."""
        self._open_weights()
        batch = OnnxBatch(self._body, self._record, rows=1, positions=len(token_ids))
        hidden_1H = batch.fill(0, self._embed(token_ids))[None]
        logits_V: FloatArray = self._logits(hidden_1H, start, self.vocab_size if stop is None else stop)[0]
        return logits_V

    def close(self) -> None:
        """Free the weights and the sessions."""
        self._weights = None
        self._heads = []
        self._extra_rows = {}
        self._body = None

    def _embed(self, token_ids: Sequence[int]) -> FloatArray:
        """Embedding rows [n, hidden] of `token_ids`."""
        return self._open_weights().rows(self._record.embedding_tensor, np.asarray(token_ids, dtype=np.int64))

    def _logits(self, hidden_BH: FloatArray, start: int, stop: int) -> FloatArray:
        """Logits [B, stop - start] of the ids `start..stop - 1`, by a head block where one holds them all."""
        for block, session in self._heads:
            if block.start <= start and stop <= block.stop:
                logits: FloatArray = session.run(None, {"hidden": hidden_BH})[0]
                return logits[:, start - block.start : stop - block.start]
        weights, table = self._open_weights(), self._record.head_tensor
        parts = [
            hidden_BH @ weights.rows(table, slice(first, min(first + _ROWS_AT_ONCE, stop))).T
            for first in range(start, stop, _ROWS_AT_ONCE)
        ]
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(hidden_BH), 0), dtype=np.float32)

    def _decode(self, takes: list[OpenRequest], cancel: threading.Event | None) -> Iterator[Step]:
        yield from (take.end(take.finish_reason) for take in takes if take.finish_reason is not None)
        lanes = lanes_of([take for take in takes if take.finish_reason is None])
        if not lanes or (yield from _cancelled(lanes, cancel)):
            return
        longest = max(len(lane.prompt_ids) + lane.take.request.params.max_tokens - 1 for lane in lanes)
        batch = OnnxBatch(self._body, self._record, rows=len(lanes), positions=longest)
        hidden_BH = self._prefill(batch, lanes)
        while not (yield from _cancelled(lanes, cancel)):
            yield from self._draw(lanes, hidden_BH)
            for row in reversed(range(len(lanes))):
                if lanes[row].take.finish_reason is not None:
                    last = len(lanes) - 1
                    if row != last:
                        batch.copy(last, row)
                        lanes[row] = lanes[last]
                    del lanes[last]
            if not lanes:
                return
            hidden_BH = batch.step(self._embed([lane.take.last_id for lane in lanes]))

    def _prefill(self, batch: OnnxBatch, lanes: list[Lane]) -> FloatArray:
        """Run each distinct prompt once; returns the last hidden state of every row [B, hidden]."""
        done: dict[tuple[int, ...], int] = {}
        hidden_BH = np.empty((len(lanes), self._record.hidden_size), dtype=np.float32)
        for row, lane in enumerate(lanes):
            prompt = tuple(lane.prompt_ids)
            if prompt in done:
                batch.copy(done[prompt], row)
                hidden_BH[row] = hidden_BH[done[prompt]]
            else:
                hidden_BH[row] = batch.fill(row, self._embed(prompt))
                done[prompt] = row
        return hidden_BH

    def _draw(self, lanes: list[Lane], hidden_BH: FloatArray) -> list[Step]:
        """Draw one id for every request; rows in the same head block share its product."""
        takes = [(take, rows, take.allowed()) for take, rows in rows_of(lanes)]
        groups: dict[tuple[int, int], list[int]] = {}
        for _, rows, allowed in takes:
            groups.setdefault(self._span(allowed), []).extend(rows)
        logits: list[FloatArray] = [hidden_BH] * len(lanes)
        for (start, stop), members in groups.items():
            group_BH = hidden_BH[members] if members != list(range(len(lanes))) else hidden_BH
            for row, logits_V in zip(members, self._logits(group_BH, start, stop), strict=True):
                logits[row] = logits_V
        steps = []
        for take, rows, allowed in takes:
            first = self._span(allowed)[0]
            legal = [logits[row][allowed.start - first : allowed.stop - first] for row in rows]
            extra = [self._extra_logits(allowed.extra, hidden_BH[row]) for row in rows] if allowed.extra else []
            steps.append(take.draw(allowed, legal, extra))
        return steps

    def _span(self, allowed: Allowed) -> tuple[int, int]:
        """Ids to compute for `allowed`: its whole head block, or the slice itself where no block holds it."""
        for block, _ in self._heads:
            if block.start <= allowed.start and allowed.stop <= block.stop:
                return block.start, block.stop
        return allowed.start, allowed.stop

    def _extra_logits(self, extra: tuple[int, ...], hidden_H: FloatArray) -> FloatArray:
        rows = self._extra_rows.get(extra)
        if rows is None:
            rows = self._open_weights().rows(self._record.head_tensor, np.asarray(extra, dtype=np.int64))
            self._extra_rows[extra] = rows
        logits: FloatArray = rows @ hidden_H
        return logits

    def _open_weights(self) -> Weights:
        if self._weights is None:
            raise EngineError("this engine is closed; open another one")
        return self._weights


def _cancelled(lanes: list[Lane], cancel: threading.Event | None) -> Generator[Step, None, bool]:
    """Yield the last step of every open request, and return True, once `cancel` is set."""
    if cancel is None or not cancel.is_set():
        return False
    yield from (take.end("cancelled") for take, _ in rows_of(lanes))
    return True


def _default_threads(body: Path) -> int:
    small = not body.is_file() or body.stat().st_size < _SMALL_BODY_BYTES
    return 1 if small else min(4, os.cpu_count() or 1)
