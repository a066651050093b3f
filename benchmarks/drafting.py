"""What drafting repeated music brings a take alone on the ONNX engine: the same full takes with and without, in turn.

    python benchmarks/drafting.py [--model nano] [--tokens 2046] [--rounds 1] [-o table.md]

Takes are those of `evaluate.contenders`: under the grammar, at an even pace of notes, so that all have the same number
of ids. Speed is per second of processor time, which a busy machine disturbs less; the engine has one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import machine
from midi_llm.engines.drafting import Drafter
from midi_llm.engines.onnx_batch import OnnxBatch
from midi_llm.engines.onnx_engine import OnnxEngine
from midi_llm.evaluate.contenders import FULL_TOKENS, EngineContender
from midi_llm.model.catalog import resolve_model
from midi_llm.model.checkpoint import verify_checkpoint
from midi_llm.prompt import load_tokenizer
from midi_llm.weights import FloatArray

PROMPTS = (
    "A cheerful rock song with bright electric guitars",
    "Fast techno with a driving beat and synth bass",
    "Relaxed jazz trio with walking bass, piano and drums",
    "A string quartet in a minor key",
    "A gentle waltz for accordion and strings",
    "A slow sad piano ballad",
)
DRAFT, EXTEND = Drafter.draft, OnnxBatch.extend


@dataclass(kw_only=True)
class Tally:
    """Of all takes in one way: ids, processor seconds, passes and their positions."""

    ids: int = 0
    seconds: float = 0.0
    passes: int = 0
    positions: int = 0

    @property
    def speed(self) -> float:
        return self.ids / self.seconds

    @property
    def right(self) -> float:
        """Share of the drafted ids that were drawn; the first id of a take needs no pass here."""
        drafted = self.positions - self.passes
        return (self.ids - self.passes) / drafted if drafted else 0.0

    def add(self, other: Tally) -> None:
        self.ids, self.seconds = self.ids + other.ids, self.seconds + other.seconds
        self.passes, self.positions = self.passes + other.passes, self.positions + other.positions


def measure(contender: EngineContender, seed: int, draft: Callable[[Drafter, int], list[int]]) -> Tally:
    """One take with `draft` in the drafter's place."""
    tally = Tally()

    def extend(batch: OnnxBatch, embeds_SH: FloatArray) -> FloatArray:
        tally.passes += 1
        tally.positions += len(embeds_SH)
        return EXTEND(batch, embeds_SH)

    Drafter.draft, OnnxBatch.extend = draft, extend  # type: ignore[method-assign]
    began = time.process_time()
    run = contender.run(batch=1, seed=seed)
    tally.seconds, tally.ids = time.process_time() - began, run.tokens - 1
    Drafter.draft, OnnxBatch.extend = DRAFT, EXTEND  # type: ignore[method-assign]
    return tally


def row(name: str, without: Tally, drafted: Tally) -> str:
    return (
        f"| {name} | {without.speed:.0f} | {drafted.speed:.0f} | {drafted.speed / without.speed:.2f}"
        f" | {drafted.ids / drafted.passes:.2f} | {drafted.right:.0%} |"
    )


def table(args: argparse.Namespace, folder: Path) -> str:
    info = verify_checkpoint(folder)
    engine = OnnxEngine(folder, threads=1)
    tokenizer = load_tokenizer(folder)
    lines = ["| prompt | ids/s without | with | ratio | ids a pass | drafted ids drawn |", "|---|---|---|---|---|---|"]
    whole = (Tally(), Tally())
    for prompt in PROMPTS:
        ids = info.prompt_format.encode(prompt, tokenizer, info.text_rows)
        contender = EngineContender(engine, ids, tokens=args.tokens)
        pair = (Tally(), Tally())
        for seed in range(args.rounds):
            pair[0].add(measure(contender, seed, no_draft))
            pair[1].add(measure(contender, seed, DRAFT))
        lines.append(row(prompt, *pair))
        print(lines[-1], flush=True)
        for tally, part in zip(whole, pair, strict=True):
            tally.add(part)
    lines.append(row("all", *whole))
    note = (
        f"{folder.name} {engine.precision}, one thread, {args.rounds} take(s) of {args.tokens} ids a prompt (or what"
        f" fits), seeds from 0; ids/s of processor time; {machine.describe('onnxruntime', 'numpy')}"
    )
    engine.close()
    return "\n".join([*lines, "", note, ""])


def no_draft(drafter: Drafter, most: int) -> list[int]:
    return []


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="a model's name or folder")
    parser.add_argument(
        "--tokens", type=int, default=FULL_TOKENS, help="a take's length; cut to what the prompt leaves"
    )
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, help="also write the table here")
    args = parser.parse_args(arguments)
    text = table(args, resolve_model(args.model))
    print(text)
    if args.output:
        args.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
