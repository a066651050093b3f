"""Do the engines say the same? Greedy ids in float32, and the divergence of every rounding from float32.

    python benchmarks/parity.py [--model nano|DIR] [--takes 4] [--tokens 300] [--every 7] [-o table.md]

The reference is the torch engine in float32 on the CPU. The ONNX folders and GGUF files are made for this run.
Positions are those of takes that the float32 ONNX engine draws at an even pace. GGUF rows need gguf, llama-cpp-python.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np

import machine
from midi_llm.engines.base import Engine, Request, SamplingParams, generate
from midi_llm.engines.onnx_engine import OnnxEngine
from midi_llm.engines.torch_engine import TorchEngine
from midi_llm.evaluate.contenders import PacedGrammar
from midi_llm.evaluate.divergence import TellsLogits, slot_divergences
from midi_llm.model.catalog import resolve_model
from midi_llm.model.checkpoint import CheckpointInfo, verify_checkpoint
from midi_llm.model.export_onnx import export_onnx
from midi_llm.prompt import load_tokenizer
from midi_llm.weights import FloatArray

PROMPTS = (
    "A cheerful rock song with bright electric guitars",
    "a calm piano piece, 60 bpm",
    "a string quartet in D minor",
    "fast jazz with saxophone, upright bass and drums",
)
GGUF = ("f32", "f16", "bf16", "q8_0")


class LlamaCpp:
    """A GGUF file in llama.cpp on one thread; a prefix that it has just read is not read again."""

    def __init__(self, path: Path, *, positions: int, float32_cache: bool) -> None:
        import llama_cpp

        cache = {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32} if float32_cache else {}
        self._model: Any = llama_cpp.Llama(
            str(path), n_ctx=positions, n_threads=1, n_threads_batch=1, verbose=False, **cache
        )
        self._read: list[int] = []

    def next_logits(self, token_ids: Sequence[int], *, start: int = 0, stop: int | None = None) -> FloatArray:
        import llama_cpp

        ids = list(token_ids)
        if len(ids) <= len(self._read) or ids[: len(self._read)] != self._read:
            self._model.reset()
            self._read = []
        self._model.eval(ids[len(self._read) :])
        self._read = ids
        last = np.ctypeslib.as_array(llama_cpp.llama_get_logits(self._model.ctx), shape=(self._model.n_vocab(),))
        return np.array(last[start:stop])

    def close(self) -> None:
        self._model.close()


class Remembered:
    """A reference that answers each question once."""

    def __init__(self, engine: TellsLogits) -> None:
        self._engine = engine
        self._answers: dict[tuple[tuple[int, ...], int, int | None], FloatArray] = {}

    def next_logits(self, token_ids: Sequence[int], *, start: int = 0, stop: int | None = None) -> FloatArray:
        asked = (tuple(token_ids), start, stop)
        if asked not in self._answers:
            self._answers[asked] = self._engine.next_logits(token_ids, start=start, stop=stop)
        return self._answers[asked]


def takes(engine: Engine, info: CheckpointInfo, args: argparse.Namespace, *, temperature: float) -> list[list[int]]:
    """Token ids of whole takes, prompts included; the same seeds for every engine."""
    tokenizer = load_tokenizer(info.folder)
    requests = [
        Request(
            prompt_ids=info.prompt_format.encode(PROMPTS[number % len(PROMPTS)], tokenizer, info.text_rows),
            params=SamplingParams(temperature=temperature, seed=number, max_tokens=args.tokens),
            constraint=PacedGrammar(tokens=args.tokens, text_rows=info.text_rows),
        )
        for number in range(args.takes)
    ]
    found = generate(engine, requests)
    return [[*one.prompt_ids, *completion.token_ids] for one, completion in zip(requests, found, strict=True)]


def onnx(folder: Path, work: Path, precision: Any) -> OnnxEngine:
    """The engine over an export of this run, beside links to the checkpoint's files."""
    copy = work / precision
    copy.mkdir()
    for path in folder.resolve().iterdir():
        if path.is_file():
            (copy / path.name).symlink_to(path)
    export_onnx(copy, precision=precision)
    return OnnxEngine(copy)


def llama_cpp(folder: Path, work: Path, precision: Any, *, float32_cache: bool = False) -> LlamaCpp:
    from midi_llm.model.export_gguf import export_gguf

    path = export_gguf(folder, precision=precision, out=work / f"{precision}.gguf")
    return LlamaCpp(path, positions=verify_checkpoint(folder).max_positions, float32_cache=float32_cache)


def contenders(folder: Path, work: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    for precision in ("int8", "int4"):
        yield f"ONNX Runtime, {precision}", lambda precision=precision: onnx(folder, work, precision)
    yield "torch, bfloat16", lambda: TorchEngine(folder, device="cpu", dtype="bfloat16")
    if importlib.util.find_spec("llama_cpp"):
        yield "llama.cpp, f32, float32 cache", lambda: llama_cpp(folder, work, "f32", float32_cache=True)
        for precision in GGUF:
            yield f"llama.cpp, {precision}", lambda precision=precision: llama_cpp(folder, work, precision)


def row(name: str, engine: TellsLogits, reference: TellsLogits, told: list[list[int]], info: Any, every: int) -> str:
    slots = slot_divergences(engine, reference, told, text_rows=info.text_rows, every=every)
    count = sum(slot.positions for slot in slots)
    same = sum(slot.same_best * slot.positions for slot in slots)
    means = " | ".join(f"{slot.mean:.2g}" for slot in slots)
    return f"| {name} | {means} | {max(slot.largest for slot in slots):.2g} | {same:.0f} of {count} |"


def table(args: argparse.Namespace, folder: Path, work: Path) -> str:
    info = verify_checkpoint(folder)
    lines = [
        "| engine | time | duration | note | largest | same likeliest id |",
        "|---|---|---|---|---|---|",
    ]
    with ExitStack() as stack:
        torch_engine = stack.enter_context(closing(TorchEngine(folder, device="cpu", dtype="float32")))
        exact = stack.enter_context(closing(onnx(folder, work, "float32")))
        greedy = [takes(engine, info, args, temperature=0.0) for engine in (torch_engine, exact)]
        equal = sum(first == second for first, second in zip(*greedy, strict=True))
        told = takes(exact, info, args, temperature=1.0)
        reference = Remembered(torch_engine)
        lines.append(row("ONNX Runtime, float32", exact, reference, told, info, args.every))
        for name, open_engine in contenders(folder, work):
            with closing(open_engine()) as engine:
                lines.append(row(name, engine, reference, told, info, args.every))
    note = (
        f"Mean nats a slot, and the largest of any position; {info.name}, {args.takes} takes of {args.tokens} ids drawn"
        f" at temperature 1. Greedy takes of ONNX Runtime in float32 that are torch's: {equal} of {args.takes}."
        f" {machine.describe('torch', 'onnxruntime', 'llama-cpp-python', 'gguf')}"
    )
    return "\n".join([*lines, "", note, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="a model's name or folder")
    parser.add_argument("--takes", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=300, help="ids a take")
    parser.add_argument("--every", type=int, default=7, help="compare each n-th position")
    parser.add_argument("-o", "--output", type=Path, help="also write the table here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        text = table(args, resolve_model(args.model), Path(work))
    print(text)
    if args.output:
        args.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
