"""The reference engine: Hugging Face Llama weights run by transformers, ids in, ids out.

In: a checkpoint folder. Out: the ids that `sampling.draw` picks from the logits of the legal slice alone: the head is
sliced, `hidden [B, D] @ head[start:stop].T`. Prompts are padded on the left, with a mask and their own positions, and
requests that end leave the batch. In float32 a request decodes to the same ids alone and in a batch, but for rounding
(differences near 1e-6 in the logits, which matter only at a tie). Needs the extra `torch`.

Shapes: B open requests, T prompt positions, K cached positions, D hidden size.
"""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from midi_llm.engines.base import Request, Step, check_requests
from midi_llm.engines.decoding import Lane, OpenRequest, lanes_of, rows_of
from midi_llm.errors import CheckpointError, EngineError, MissingExtraError
from midi_llm.weights import quiet_transformers

if TYPE_CHECKING:
    import torch

Dtype = Literal["float32", "float16", "bfloat16"]


class TorchEngine:
    """Decode with torch. `device` "auto" is CUDA where there is one; `dtype` None is bfloat16 there, else float32.

    Raises `MissingExtraError` without torch or transformers, `CheckpointError` for a folder that cannot be loaded,
    `EngineError` for a device or number format that does not exist.
    """

    name = "torch"

    def __init__(self, checkpoint_dir: Path, *, device: str = "auto", dtype: Dtype | None = None) -> None:
        try:
            import torch
        except ImportError as error:
            raise MissingExtraError("torch", "torch") from error
        self._device = _device(device)
        chosen = dtype or ("bfloat16" if self._device.type == "cuda" else "float32")
        if chosen not in ("float32", "float16", "bfloat16"):
            raise EngineError(f"dtype {chosen!r} is not known; allowed are float32, float16 and bfloat16")
        self._model: Any = _load(checkpoint_dir, getattr(torch, chosen)).to(self._device)
        self.vocab_size = int(self._model.config.vocab_size)
        self.max_positions = int(self._model.config.max_position_embeddings)

    def stream(self, requests: Sequence[Request], *, cancel: threading.Event | None = None) -> Iterator[Step]:
        """Decode all `requests` side by side and yield their ids as they come."""
        self._open_model()
        check_requests(requests, vocab_size=self.vocab_size, max_positions=self.max_positions)
        takes = [OpenRequest(index, request, vocab_size=self.vocab_size) for index, request in enumerate(requests)]
        return self._decode(takes, cancel)

    def next_logits(
        self, token_ids: Sequence[int], *, start: int = 0, stop: int | None = None
    ) -> npt.NDArray[np.float32]:
        """Float32 logits [stop - start] of the ids `start..stop - 1` (None = all) that may follow `token_ids`."""
        batch = _Batch(self._open_model(), [token_ids])
        logits: npt.NDArray[np.float32] = self._head(
            batch.last_hidden, start, self.vocab_size if stop is None else stop
        )
        return logits.reshape(-1)

    def close(self) -> None:
        """Free the weights; the engine cannot be used afterwards."""
        self._model = None

    def _open_model(self) -> Any:
        if self._model is None:
            raise EngineError("this engine was closed; open the checkpoint again")
        return self._model

    def _decode(self, takes: list[OpenRequest], cancel: threading.Event | None) -> Iterator[Step]:
        yield from (take.end("stop") for take in takes if take.finish_reason is not None)
        lanes = lanes_of([take for take in takes if take.finish_reason is None])
        if not lanes:
            return
        batch = _Batch(self._open_model(), [lane.prompt_ids for lane in lanes])
        while True:
            if cancel is not None and cancel.is_set():
                yield from [take.end("cancelled") for take, _ in rows_of(lanes)]
                return
            yield from self._draw_all(lanes, batch.last_hidden)
            kept = [row for row, lane in enumerate(lanes) if lane.take.finish_reason is None]
            if not kept:
                return
            if len(kept) < len(lanes):
                lanes = [lanes[row] for row in kept]
                batch.keep(kept)
            batch.advance([lane.take.last_id for lane in lanes])

    def _draw_all(self, lanes: list[Lane], hidden_BD: torch.Tensor) -> list[Step]:
        """Draw one id for each request; rows that share a slice of the head share its product."""
        takes = [(take, rows, take.allowed()) for take, rows in rows_of(lanes)]
        logits: list[npt.NDArray[np.float32]] = [np.empty(0, np.float32)] * len(lanes)
        for start, stop in {(allowed.start, allowed.stop) for _, _, allowed in takes}:
            members = [row for _, rows, one in takes for row in rows if (one.start, one.stop) == (start, stop)]
            for row, row_logits in zip(members, self._head(hidden_BD[members], start, stop), strict=True):
                logits[row] = row_logits
        steps = []
        for take, rows, allowed in takes:
            extra = [self._extra(hidden_BD[row], allowed.extra) for row in rows] if allowed.extra else []
            steps.append(take.draw(allowed, [logits[row] for row in rows], extra))
        return steps

    def _head(self, hidden_BD: torch.Tensor, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Logits [B, stop - start] in float32 from the rows `start..stop - 1` of the head alone."""
        import torch

        with torch.inference_mode():
            return _numpy(hidden_BD @ self._model.lm_head.weight[start:stop].T)

    def _extra(self, hidden_D: torch.Tensor, ids: tuple[int, ...]) -> npt.NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            return _numpy(self._model.lm_head.weight[list(ids)] @ hidden_D)


class _Batch:
    """The cache of the open requests, and the hidden state [B, D] at their last positions."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]]) -> None:
        import torch
        from transformers import DynamicCache

        self._body = model.model
        self._device = model.lm_head.weight.device
        self._cache = DynamicCache(config=model.config)
        named = inspect.signature(self._body.forward).parameters
        self._cache_argument = "cache" if "cache" in named else "past_key_values"  # renamed in transformers 5.24
        width = max(len(prompt) for prompt in prompts)
        ids_BT = torch.zeros((len(prompts), width), dtype=torch.long)
        self._mask_BK = torch.zeros((len(prompts), width), dtype=torch.long)
        for place, prompt in enumerate(prompts):
            ids_BT[place, width - len(prompt) :] = torch.tensor(list(prompt), dtype=torch.long)
            self._mask_BK[place, width - len(prompt) :] = 1
        self._padded = any(len(prompt) < width for prompt in prompts)
        self._mask_BK = self._mask_BK.to(self._device)
        positions_BT = (self._mask_BK.cumsum(dim=1) - 1).clamp(min=0)
        self.last_hidden = self._forward(ids_BT.to(self._device), positions_BT)

    def advance(self, ids: Sequence[int]) -> None:
        """Append one id to each request."""
        import torch

        ids_B1 = torch.tensor(ids, dtype=torch.long, device=self._device)[:, None]
        positions_B1 = self._mask_BK.sum(dim=1, keepdim=True)
        self._mask_BK = torch.cat((self._mask_BK, torch.ones_like(ids_B1)), dim=1)
        self.last_hidden = self._forward(ids_B1, positions_B1)

    def keep(self, places: Sequence[int]) -> None:
        """Drop the requests that are not at `places`; padding that nobody needs any more stays, masked."""
        import torch

        with torch.inference_mode():
            chosen = torch.tensor(places, dtype=torch.long, device=self._device)
            self._mask_BK = self._mask_BK[chosen]
            self._cache.batch_select_indices(chosen)

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        import torch

        with torch.inference_mode():
            hidden: torch.Tensor = self._body(
                input_ids=ids,
                position_ids=positions,
                attention_mask=self._mask_BK if self._padded else None,
                use_cache=True,
                **{self._cache_argument: self._cache},
            ).last_hidden_state
            return hidden[:, -1]


def _numpy(logits: torch.Tensor) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = logits.float().cpu().numpy()
    return array


def _device(name: str) -> torch.device:
    """Return the torch device of that name; `EngineError` when it does not exist here."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EngineError(f"device {name!r} is not known; allowed are auto, cpu and cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise EngineError(f"device {name!r} was asked for but torch finds no CUDA; use cpu or auto")
    return device


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
