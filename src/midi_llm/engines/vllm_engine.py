"""Decode with vLLM: many requests side by side, scheduled together, on a GPU (or on a CPU, for tests).

In: a checkpoint folder. Out: the ids that vLLM draws, each checked by its request's own constraint. The grammar reaches
vLLM as numbers (`TripletRules`), so a constraint must be a `RuledConstraint`, or None. Differs from the other engines:
1. vLLM has its own random stream, so a seed repeats here (with the same `layout`) but gives other ids than there; 2. no
guidance; 3. temperatures below 0.01 are drawn as 0.01 (vLLM's floor), 0 is greedy; 4. opening it seeds this process's
global random streams with 0 (vLLM does); 5. streams of several threads share one step loop in this process and are
batched there (`vllm_loop`), as `AsyncLLM` would in a process of its own: an adapter to it would add nothing.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from midi_llm.engines.base import Request, Step, check_requests
from midi_llm.engines.decoding import OpenRequest, open_requests, permits_any
from midi_llm.engines.rules import Layout, RuledConstraint, TripletRules
from midi_llm.engines.vllm_ids import VllmIds
from midi_llm.engines.vllm_loop import StepLoop
from midi_llm.engines.vllm_machine import Dtype, check_dtype
from midi_llm.engines.vllm_open import Wanted, close_vllm, most_sequences, open_vllm
from midi_llm.engines.vllm_rules import extra_args
from midi_llm.errors import CheckpointError, EngineError, RequestError, TokenError

Rules = Mapping[str, Any]


class VllmEngine:
    """Decode with vLLM. `dtype` None is bfloat16; "fp8" keeps the layers' weights in eight bits (a GPU is needed).

    `layout` says which ids can be drawn: only their rows of the head are multiplied, and only they are sampled from. So
    every request must then have a constraint, of this layout. None: any id, by any request. `memory_share` of the GPU
    is used; `cache_bytes` sets the size of the key-value cache instead. There is one engine at a time in a process.
    Raises `MissingExtraError` without vLLM, `EngineError` for a version that is not supported, a machine that cannot or
    a second engine, `CheckpointError` for a wrong folder.
    """

    name = "vllm"
    joins = True

    def __init__(
        self,
        checkpoint_dir: Path,
        *,
        dtype: Dtype | None = None,
        layout: Layout | None = None,
        memory_share: float = 0.9,
        cache_bytes: int | None = None,
    ) -> None:
        config = _read_config(checkpoint_dir)
        chosen: Dtype = dtype or "bfloat16"
        check_dtype(chosen)
        self.vocab_size = int(config["vocab_size"])
        self.max_positions = int(config["max_position_embeddings"])
        self._ids = VllmIds(self.vocab_size, layout)
        self._layout = layout
        wanted = Wanted(dtype=chosen, memory_share=memory_share, cache_bytes=cache_bytes, layout=layout)
        self._loop = StepLoop(open_vllm(checkpoint_dir, config, wanted))
        self.best_batch = most_sequences()
        self._numbers = itertools.count()

    def stream(self, requests: Sequence[Request], *, cancel: threading.Event | None = None) -> Iterator[Step]:
        """Decode all `requests` side by side and yield their ids as they come.

        Raises `RequestError` for guidance, `EngineError` for a constraint that states no rules or allows nothing.
        """
        self._loop.check_open()
        check_requests(requests, vocab_size=self.vocab_size, max_positions=self.max_positions)
        takes = open_requests(requests, vocab_size=self.vocab_size)
        rules = [self._rules(take) for take in takes]
        return self._decode(list(zip(takes, rules, strict=True)), cancel)

    def close(self) -> None:
        """Free the weights; the engine cannot be used afterwards."""
        engine = self._loop.close()
        if engine is not None:
            close_vllm(engine)

    def _rules(self, take: OpenRequest) -> Rules | None:
        """The rules that vLLM shall carry out for a request."""
        request = take.request
        if request.params.guidance != 1.0:
            raise RequestError(
                f"guidance is {request.params.guidance:g}; the vllm engine allows 1 (off): use the engine torch or onnx"
            )
        if take.finish_reason is not None:
            return None
        if request.constraint is None:
            if self._ids.layout is not None:
                raise EngineError(
                    f"request {take.index} has no constraint, and this engine draws ids of one layout only: give it"
                    " one, or open the engine without a layout"
                )
            return None
        if not isinstance(request.constraint, RuledConstraint):
            raise EngineError(
                f"request {take.index} has a {type(request.constraint).__name__}, which states no rules; the vllm"
                " engine needs a constraint with rules(), or the engine torch or onnx"
            )
        numbers = request.constraint.rules()
        layout = TripletRules.from_numbers(numbers).layout
        self._layout = self._layout or layout
        if layout != self._layout:
            raise EngineError(f"request {take.index} has {layout}; this engine already serves {self._layout}")
        return self._ids.rules(numbers)

    def _decode(self, takes: list[tuple[OpenRequest, Rules | None]], cancel: threading.Event | None) -> Iterator[Step]:
        yield from (take.end("stop") for take, _ in takes if take.finish_reason is not None)
        open_takes: dict[str, OpenRequest] = {}
        try:
            for take, rules in takes:
                if take.finish_reason is None:
                    open_takes[self._add(take, rules)] = take
            while open_takes:
                if cancel is not None and cancel.is_set():
                    yield from [take.end("cancelled") for take in open_takes.values()]
                    return
                for arrival in self._loop.arrivals(list(open_takes)):
                    take = open_takes[arrival.name]
                    yield from _advance(take, self._ids.from_vllm(arrival.token_ids), arrival.is_over)
                    if take.finish_reason is not None:
                        self._loop.drop([arrival.name])
                        del open_takes[arrival.name]
        finally:
            self._loop.drop(list(open_takes))

    def _add(self, take: OpenRequest, rules: Rules | None) -> str:
        """Hand a request to vLLM; returns the name under which its ids arrive."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        name = str(next(self._numbers))
        params = take.request.params
        sampling = SamplingParams(
            temperature=params.temperature,
            top_p=params.top_p,
            seed=params.seed,
            max_tokens=params.max_tokens,
            ignore_eos=True,
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
            extra_args=extra_args(rules),
        )
        self._loop.add(name, self._ids.to_vllm(take.request.prompt_ids), sampling)
        return name


def _advance(take: OpenRequest, token_ids: list[int], is_over: bool) -> Iterator[Step]:
    """Yield the steps of `token_ids`, up to the request's end; what vLLM has drawn beyond it is dropped."""
    for token_id in token_ids:
        try:
            yield take.advance(token_id)
        except TokenError as error:
            _require_choice(take)
            raise EngineError(f"vLLM drew an id against the rules it was given: {error}") from error
        if take.finish_reason is not None:
            return
    if is_over:
        raise EngineError(f"vLLM ended request {take.index} before its budget was spent and before its grammar ended")


def _require_choice(take: OpenRequest) -> None:
    """Raise `EngineError` where the constraint of an open request allows no id at all."""
    if not permits_any(take.allowed()):
        raise EngineError("no id is allowed here; the constraint must end the request or allow at least one id")


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} has no readable config.json; a whole Llama checkpoint is needed") from error
    if config.get("model_type") != "llama":
        raise CheckpointError(f"{folder} has model_type {config.get('model_type')!r}; this engine runs 'llama'")
    return config
