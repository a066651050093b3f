"""The reference engine: Hugging Face Llama weights run by torch, ids in, ids out.

In: a checkpoint folder. Out: ids. transformers reads the checkpoint; the step itself is `torch_ops` over a cache of
fixed size, on CUDA one graph launch. The ids that are drawn stay on the device: while it computes the next hidden
states, the host receives them, asks the constraints what may come next, and has the next drawing ready in time. In
float32 a request decodes to the same ids alone and in a batch, but for rounding (differences near 1e-6 in the logits,
which matter only at a tie). Needs the extra `torch`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from midi_llm.engines.base import Allowed, Request, Step, check_requests
from midi_llm.engines.decoding import Lane, OpenRequest, lanes_of, leave, open_requests, rows_of
from midi_llm.engines.memory import check_torch
from midi_llm.errors import CheckpointError, EngineError, MissingExtraError
from midi_llm.weights import quiet_transformers

if TYPE_CHECKING:
    import torch

    from midi_llm.engines.torch_batch import TorchBatch
    from midi_llm.engines.torch_llama import Llama
    from midi_llm.engines.torch_matrix import Weights
    from midi_llm.engines.torch_ops import Ops

Dtype = Literal["float32", "float16", "bfloat16"]


class TorchEngine:
    """Decode with torch. `device` "auto" is CUDA where there is one, else an Apple GPU (mps), else the CPU.

    `dtype` is the number format of activations and cache, and of weights that `weights` "int8" or "fp8" do not narrow
    to 8 bits; None is bfloat16 on CUDA, else float32. Narrow weights halve what a step on CUDA reads; elsewhere they
    are slower. On mps a step is plain torch and ids are drawn on the host; nobody has run it there.
    Raises `MissingExtraError` without torch or transformers, `CheckpointError` for a folder that cannot be loaded,
    `EngineError` for a device or number format that does not exist, or a device that cannot hold the model in it.
    """

    name = "torch"
    joins = False

    def __init__(
        self,
        checkpoint_dir: Path,
        *,
        device: str = "auto",
        dtype: Dtype | None = None,
        weights: Weights | None = None,
    ) -> None:
        try:
            import torch
        except ImportError as error:
            raise MissingExtraError("torch", "torch") from error
        from midi_llm.engines.torch_device import check_weights, find_device

        place = find_device(device)
        chosen = dtype or ("bfloat16" if place.type == "cuda" else "float32")
        if chosen not in ("float32", "float16", "bfloat16"):
            raise EngineError(f"dtype {chosen!r} is not known; allowed are float32, float16 and bfloat16")
        check_weights(weights, place)
        check_torch(checkpoint_dir, chosen, place)
        self._open(_load(checkpoint_dir, getattr(torch, chosen)).to(place), None, weights)

    @classmethod
    def of_model(cls, model: Any, ops: Ops | None = None, *, weights: Weights | None = None) -> TorchEngine:
        """An engine over an open `LlamaForCausalLM`, where it is and in its number format."""
        from midi_llm.engines.torch_device import check_weights

        check_weights(weights, model.device)
        engine = cls.__new__(cls)
        engine._open(model, ops, weights)
        return engine

    def _open(self, model: Any, ops: Ops | None, weights: Weights | None) -> None:
        from midi_llm.engines.torch_batch import best_batch
        from midi_llm.engines.torch_device import choose_ops
        from midi_llm.engines.torch_llama import from_transformers, narrowed

        llama = from_transformers(model)
        self._llama: Llama | None = llama if weights is None else narrowed(llama, weights)
        self._ops = ops or choose_ops(self._llama)
        self._idle: list[TorchBatch] = []
        self.best_batch = best_batch(self._llama)
        self.precision: str = weights or str(self._llama.dtype).removeprefix("torch.")
        self.vocab_size = int(model.config.vocab_size)
        self.max_positions = int(model.config.max_position_embeddings)

    def stream(self, requests: Sequence[Request], *, cancel: threading.Event | None = None) -> Iterator[Step]:
        """Decode all `requests` side by side and yield their ids as they come."""
        self._weights()
        check_requests(requests, vocab_size=self.vocab_size, max_positions=self.max_positions)
        return self._decode(open_requests(requests, vocab_size=self.vocab_size), cancel)

    def next_logits(
        self, token_ids: Sequence[int], *, start: int = 0, stop: int | None = None
    ) -> npt.NDArray[np.float32]:
        """Float32 logits [stop - start] of the ids `start..stop - 1` (None = all) that may follow `token_ids`."""
        import torch

        llama = self._weights()
        batch = self._batch(1, len(token_ids))
        batch.fill(0, token_ids)
        with torch.no_grad():
            rows = llama.head[start : self.vocab_size if stop is None else stop]
            logits_V = self._ops.linear(batch.hidden[:1], rows)[0].float()
        self._idle.append(batch)
        found: npt.NDArray[np.float32] = logits_V.cpu().numpy()
        return found

    def close(self) -> None:
        """Free the weights; the engine cannot be used afterwards."""
        self._llama = None
        self._idle.clear()

    def _weights(self) -> Llama:
        if self._llama is None:
            raise EngineError("this engine was closed; open the checkpoint again")
        return self._llama

    def _batch(self, rows: int, positions: int) -> TorchBatch:
        """A batch that is large enough: one that a stream before has left, or a new one in its place."""
        from midi_llm.engines.torch_batch import TorchBatch

        while self._idle:
            batch = self._idle.pop()
            if batch.rows >= rows and batch.positions >= positions:
                return batch
        return TorchBatch(self._weights(), self._ops, rows=rows, positions=positions)

    def _decode(self, takes: list[OpenRequest], cancel: threading.Event | None) -> Iterator[Step]:
        yield from (take.end("stop") for take in takes if take.finish_reason is not None)
        lanes = lanes_of([take for take in takes if take.finish_reason is None])
        if not lanes:
            return
        batch = self._batch(
            len(lanes), max(len(lane.prompt_ids) + lane.take.request.params.max_tokens for lane in lanes)
        )
        try:
            yield from self._decode_in(batch, lanes, cancel)
        finally:
            if self._llama is not None:
                self._idle.append(batch)

    def _decode_in(self, batch: TorchBatch, lanes: list[Lane], cancel: threading.Event | None) -> Iterator[Step]:
        from midi_llm.engines.torch_takes import TorchTakes

        llama = self._weights()
        _fill(batch, lanes)
        drawing = TorchTakes(llama.head, self._ops, lanes)
        while True:
            takes = [take for take, _ in rows_of(lanes)]
            if cancel is not None and cancel.is_set():
                yield from [take.end("cancelled") for take in takes]
                return
            drawing.draw(batch, [_checked(take.allowed()) for take in takes])
            if batch.captures and any(take.left > 1 for take in takes):
                batch.step(len(lanes))
            ids = drawing.arrived(len(takes))
            yield from [take.advance(token_id) for take, token_id in zip(takes, ids, strict=True)]
            if any(take.finish_reason is not None for take in takes):
                leave(lanes, batch.copy)
                if not lanes:
                    return
                drawing.arrange(lanes)
            if not batch.captures:
                batch.step(len(lanes))


def _fill(batch: TorchBatch, lanes: Sequence[Lane]) -> None:
    """Run each distinct prompt once."""
    done: dict[tuple[int, ...], int] = {}
    for row, lane in enumerate(lanes):
        prompt = tuple(lane.prompt_ids)
        if prompt in done:
            batch.copy(done[prompt], row)
        else:
            batch.fill(row, prompt)
            done[prompt] = row


def _checked(allowed: Allowed) -> Allowed:
    if allowed.start >= allowed.stop and not allowed.extra:
        raise EngineError("no id is allowed here; the constraint must end the request or allow at least one id")
    return allowed


def _load(folder: Path, dtype: torch.dtype) -> Any:
    """Load LlamaForCausalLM from safetensors, quietly; `CheckpointError` when the folder is not one or incomplete."""
    try:
        from safetensors import SafetensorError
        from transformers import LlamaForCausalLM
    except ImportError as error:
        raise MissingExtraError("transformers", "torch") from error
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
        if kind != "llama":
            raise CheckpointError(f"{folder} has model_type {kind!r}; this engine runs 'llama'")
        load: Any = LlamaForCausalLM.from_pretrained  # its annotation knows no output_loading_info
        with quiet_transformers():
            model, info = load(
                folder, dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, AttributeError, SafetensorError) as error:
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{folder} cannot be loaded ({cause}); a whole Llama checkpoint is needed") from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise CheckpointError(f"{folder} lacks {len(missing)} tensors, {missing[0]} among them; get it again")
    return model.train(False).requires_grad_(False)
