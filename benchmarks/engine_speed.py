"""P2 and P3: the ONNX engine against `transformers.generate` on the same weights and cores, batch 1 and 4.

    python benchmarks/engine_speed.py [--model nano|DIR] [--tokens 2046] [--rounds 3] [-o table.md]
    python benchmarks/engine_speed.py --random 320x8      # random weights of a shape, exported to a temporary folder

Ours: every step under `EventGrammar`, sampled (temperature 1, top-p 0.98) and decoded strictly at the end. So that
every take has the full number of notes, whatever the weights, onsets may not run ahead of an even pace (682 notes in
100 s) and the piece may not close early; the model computes the same products as without. Theirs: `generate` with the
same sampling and no grammar. The rounds are interleaved and the medians are shown.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import machine
from midi_llm.engines.base import Allowed, Request, SamplingParams, generate
from midi_llm.engines.onnx_engine import OnnxEngine
from midi_llm.model.catalog import resolve_model
from midi_llm.model.checkpoint import verify_checkpoint
from midi_llm.prompt import load_tokenizer
from midi_llm.tokens.codec import decode
from midi_llm.tokens.grammar import EventGrammar
from midi_llm.tokens.vocab import MAX_TIME_TICKS, MUSIC_VOCAB_SIZE, SEPARATOR, TICKS_PER_SECOND

PROMPT = "A cheerful rock song with bright electric guitars"
BATCHES = (1, 4)
TEXT_ROWS = 4096
FULL_TAKE_NOTES = 682


class PacedGrammar:
    """`EventGrammar` in token ids; the onset of note n (from 0) lies before (n + 1) / 682 of the 100 s."""

    def __init__(self, *, tokens: int, text_rows: int) -> None:
        self._grammar = EventGrammar(max_tokens=tokens, min_end_ticks=MAX_TIME_TICKS, max_polyphony=None)
        self._rows = text_rows
        self.amt_ids: list[int] = []

    @property
    def finished(self) -> bool:
        return self._grammar.finished

    def allowed(self) -> Allowed:
        ids = self._grammar.allowed()
        stop = ids.stop
        if len(self.amt_ids) % 3 == 0 and ids.start < stop:
            pace = MAX_TIME_TICKS * (len(self.amt_ids) // 3 + 1) // FULL_TAKE_NOTES
            stop = min(stop, max(ids.start + 1, pace))
        mask = None if ids.mask is None else ids.mask[: stop - ids.start]
        extra = tuple(amt_id + self._rows for amt_id in ids.extra)
        return Allowed(start=ids.start + self._rows, stop=stop + self._rows, mask=mask, extra=extra)

    def accept(self, token_id: int) -> None:
        self._grammar.accept(token_id - self._rows)
        self.amt_ids.append(token_id - self._rows)


class Ours:
    """Takes from the ONNX engine; `music` is the length of the last batch in seconds, all takes together."""

    def __init__(self, folder: Path, prompt: list[int], tokens: int, threads: int | None) -> None:
        self.engine = OnnxEngine(folder, threads=threads)
        self.name = f"ONNX Runtime {self.engine.precision}, {self.engine.threads} thread"
        self._rows = self.engine.vocab_size - MUSIC_VOCAB_SIZE
        self._prompt, self._tokens = prompt, tokens
        self.music = 0.0

    def take(self, batch: int, seed: int) -> int:
        grammars = [PacedGrammar(tokens=self._tokens, text_rows=self._rows) for _ in range(batch)]
        requests = [
            Request(
                prompt_ids=self._prompt,
                params=SamplingParams(max_tokens=self._tokens, seed=seed + index),
                constraint=grammar,
            )
            for index, grammar in enumerate(grammars)
        ]
        completions = generate(self.engine, requests)
        self.music = 0.0
        for grammar in grammars:
            events = decode([amt_id for amt_id in grammar.amt_ids if amt_id != SEPARATOR])
            self.music += float((events[:, 0] + events[:, 1]).max()) / TICKS_PER_SECOND
        return sum(len(completion.token_ids) for completion in completions)


class Theirs:
    """`transformers.generate` with the same sampling."""

    def __init__(self, folder: Path, prompt: list[int], tokens: int, dtype: str, threads: int) -> None:
        import torch
        import transformers

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        torch.set_num_threads(threads)
        self._torch = torch
        self._model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), local_files_only=True, use_safetensors=True
        ).eval()
        self._model.generation_config.eos_token_id = None
        self._prompt, self._tokens = prompt, tokens
        self.name = f"transformers.generate {dtype}, {threads} threads"

    def take(self, batch: int, seed: int) -> int:
        self._torch.manual_seed(seed)
        ids = self._torch.tensor([self._prompt] * batch)
        with self._torch.inference_mode():
            output = self._model.generate(
                ids,
                attention_mask=self._torch.ones_like(ids),
                do_sample=True,
                temperature=1.0,
                top_p=0.98,
                top_k=0,
                max_new_tokens=self._tokens,
                min_new_tokens=self._tokens,
                pad_token_id=0,
            )
        return int((output.shape[1] - ids.shape[1]) * batch)


@contextmanager
def checkpoint(args: argparse.Namespace) -> Iterator[Path]:
    """The folder to measure: a model by name or path, or random weights made for this run."""
    if args.random is None:
        yield resolve_model(args.model)
        return
    from midi_llm.model.export_onnx import export_onnx
    from midi_llm.model.tiny import write_tiny_checkpoint

    hidden, layers = (int(part) for part in args.random.split("x"))
    heads = max(1, hidden // 64)
    with tempfile.TemporaryDirectory() as parent:
        folder = write_tiny_checkpoint(
            Path(parent) / f"random-{args.random}",
            hidden_size=hidden,
            layers=layers,
            heads=heads,
            kv_heads=heads,
            text_rows=TEXT_ROWS,
            dtype="BF16",
        )
        export_onnx(folder, precision=args.precision)
        yield folder


def measure(run: Callable[[int, int], int], batch: int, seed: int) -> tuple[float, int]:
    began = time.perf_counter()
    tokens = run(batch, seed)
    return time.perf_counter() - began, tokens


def table(args: argparse.Namespace, folder: Path) -> str:
    info = verify_checkpoint(folder)
    prompt = info.prompt_format.encode(PROMPT, load_tokenizer(folder), info.text_rows)
    tokens = min(args.tokens, info.max_positions + 1 - len(prompt))
    ours = Ours(folder, prompt, tokens, args.threads)
    contenders: list[Ours | Theirs] = [ours]
    if not args.no_peer:
        contenders.append(Theirs(folder, prompt, tokens, args.peer_dtype, args.peer_threads))
    seconds: dict[tuple[str, int], list[float]] = {}
    counts: dict[tuple[str, int], int] = {}
    factors: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    for contender in contenders:
        contender.take(1, 0)  # not measured: first touch of the weights
    for round_number in range(args.rounds):
        for batch in BATCHES:
            for contender in contenders:
                key = (contender.name, batch)
                elapsed, counts[key] = measure(contender.take, batch, 1000 * round_number)
                seconds.setdefault(key, []).append(elapsed)
                if isinstance(contender, Ours):
                    factors[batch].append(contender.music / elapsed)
    lines = [
        "| engine | batch | seconds (median) | least, most | tok/s | RTF | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for batch in BATCHES:
        speeds = {
            contender.name: counts[contender.name, batch] / statistics.median(seconds[contender.name, batch])
            for contender in contenders
        }
        slowest = speeds[contenders[-1].name]
        for name, speed in speeds.items():
            taken = seconds[name, batch]
            rtf = f"{statistics.median(factors[batch]):.1f}" if name == ours.name and not args.random else "-"
            lines.append(
                f"| {name} | {batch} | {statistics.median(taken):.2f} | {min(taken):.2f}, {max(taken):.2f}"
                f" | {speed:.0f} | {rtf} | {speed / slowest:.1f} |"
            )
    parameters = f"{info.parameters / 1e6:.1f} M parameters"
    note = (
        f"{folder.name}, {parameters}, {counts[ours.name, 1]} tokens a take after a prompt of {len(prompt)},"
        f" {args.rounds} rounds, seeds from 0; RTF = seconds of music (all takes) / second;"
        f" {machine.describe('onnxruntime', 'numpy', 'torch', 'transformers')}"
    )
    return "\n".join([*lines, "", note, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="a model's name or folder")
    parser.add_argument("--random", metavar="WIDTHxLAYERS", help="measure random weights of this shape instead")
    parser.add_argument("--precision", choices=("float32", "int8", "int4"), default="int4", help="of random weights")
    parser.add_argument("--tokens", type=int, default=2046, help="a take's length; cut to what the prompt leaves")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of the ONNX engine (default: its own choice)")
    parser.add_argument("--peer-threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--peer-dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--no-peer", action="store_true", help="ours alone")
    parser.add_argument("-o", "--output", type=Path, help="also write the table here")
    args = parser.parse_args()
    with checkpoint(args) as folder:
        text = table(args, folder)
    print(text)
    if args.output:
        args.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
