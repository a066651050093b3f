"""The CPU engine: ONNX Runtime over an exported checkpoint, no torch.

In: a checkpoint folder with its `onnx/` folder (made by `midi-llm export`), and requests. Out: steps. Streams of all
threads are decoded together, by a worker for each core. Requests of a stream with the same prompt share its
computation. A float32 export gives a request the same ids alone and in a batch (up to rounding at an exact tie);
8-bit activations of the quantised exports are rounded per row, so the same holds there within 1e-3 of a logit.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from midi_llm.engines.base import Request, Step, check_requests
from midi_llm.engines.continuous import ContinuousBatching
from midi_llm.engines.decoding import open_requests
from midi_llm.engines.memory import check_onnx
from midi_llm.engines.onnx_folder import open_session, read_record
from midi_llm.engines.onnx_worker import OnnxModel, OnnxWorker
from midi_llm.errors import CheckpointError, EngineError
from midi_llm.weights import FloatArray, Weights

_BEST_ROWS = 8  # more rows of a core bring no speed: at length their caches are read more than the weights
_SMALL_BODY_BYTES = 256 << 20


class OnnxEngine:
    """An open checkpoint, with as many workers as the cores allow.

    `threads` of a worker: None = one for small models (more workers bring more, measured), else up to four.
    `EngineError` when the `onnx/` folder is missing, of another version, or made from other weights, or when memory
    does not hold it.
    """

    name = "onnx"
    joins = True

    def __init__(self, checkpoint_dir: Path, *, threads: int | None = None) -> None:
        try:
            weights = Weights(checkpoint_dir)
        except CheckpointError as error:
            raise EngineError(str(error)) from error
        record = read_record(checkpoint_dir, weights)
        check_onnx(record)
        self.precision = record.precision
        self.vocab_size = record.vocab_size
        self.max_positions = record.max_positions
        self.threads = threads or _default_threads(record.folder / "body.onnx.data")
        self._model: OnnxModel | None = OnnxModel(
            weights=weights,
            record=record,
            body=open_session(record, "body.onnx", threads=self.threads),
            heads=[(block, open_session(record, block.file, threads=self.threads)) for block in record.head_blocks],
        )
        self.workers = max(1, _core_count() // self.threads)
        self.best_batch = _BEST_ROWS * self.workers
        self._batching = ContinuousBatching([OnnxWorker(self._model) for _ in range(self.workers)])

    def stream(self, requests: Sequence[Request], *, cancel: threading.Event | None = None) -> Iterator[Step]:
        """Decode all `requests` side by side; raises `RequestError` at once for a request that cannot be served."""
        self._open_model()
        check_requests(requests, vocab_size=self.vocab_size, max_positions=self.max_positions)
        return self._batching.stream(open_requests(requests, vocab_size=self.vocab_size), cancel)

    def next_logits(self, token_ids: Sequence[int], *, start: int = 0, stop: int | None = None) -> FloatArray:
        """Logits [stop - start] of the ids `start..stop - 1` (None = all) that may follow `token_ids`."""
        model = self._open_model()
        hidden_1H = model.batch(rows=1, positions=len(token_ids)).fill(0, model.embed(token_ids))[None]
        logits_V: FloatArray = model.logits(hidden_1H, start, self.vocab_size if stop is None else stop)[0]
        return logits_V

    def close(self) -> None:
        """Free the weights and the sessions; open streams end with an error."""
        self._batching.close()
        self._batching = ContinuousBatching([])
        self._model = None

    def _open_model(self) -> OnnxModel:
        if self._model is None:
            raise EngineError("this engine is closed; open another one")
        return self._model


def _default_threads(body: Path) -> int:
    small = not body.is_file() or body.stat().st_size < _SMALL_BODY_BYTES
    return 1 if small else min(4, _core_count())


def _core_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
