"""P2 and P3: the ONNX engine against `transformers.generate` on the same weights and cores, batch 1 and 4.

    python benchmarks/engine_speed.py [--model nano|DIR] [--tokens 2046] [--rounds 3] [-o table.md]
    python benchmarks/engine_speed.py --random 320x8      # random weights of a shape, exported to a temporary folder

The race of `midi_llm.evaluate.speed`: ours under the grammar at an even pace of notes, theirs without a grammar
(`evaluate.contenders`), rounds interleaved, medians shown. Memory is what opening and a first take add.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import machine
from midi_llm.engines.onnx_engine import OnnxEngine
from midi_llm.evaluate import speed, speed_table
from midi_llm.evaluate.contenders import Contender, EngineContender, TransformersContender
from midi_llm.evaluate.race import Entry
from midi_llm.model.catalog import resolve_model
from midi_llm.model.checkpoint import verify_checkpoint
from midi_llm.prompt import load_tokenizer

PROMPT = "A cheerful rock song with bright electric guitars"
BATCHES = (1, 4)
TEXT_ROWS = 4096


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


def table(args: argparse.Namespace, folder: Path) -> str:
    info = verify_checkpoint(folder)
    prompt = info.prompt_format.encode(PROMPT, load_tokenizer(folder), info.text_rows)
    threads, peer_threads = args.threads, args.peer_threads

    opened: list[OnnxEngine] = []

    def ours() -> Contender:
        opened.append(OnnxEngine(folder, threads=threads))
        return EngineContender(opened[0], prompt, tokens=args.tokens)

    def theirs() -> Contender:
        import torch

        torch.set_num_threads(peer_threads)
        return TransformersContender(folder, prompt, tokens=args.tokens, dtype=args.peer_dtype)

    entries = [Entry(name="ONNX Runtime", open=ours)]
    if not args.no_peer:
        name = f"transformers.generate {args.peer_dtype}, {peer_threads} threads"
        entries.append(Entry(name=name, open=theirs))
    results = speed.evaluate_engines(entries, batches=BATCHES, rounds=args.rounds)
    rows = speed_table.rows(results)
    note = (
        f"ONNX Runtime {opened[0].precision} on {opened[0].threads} thread(s); "
        f"{folder.name}, {info.parameters / 1e6:.1f} M parameters after a prompt of"
        f" {len(prompt)}, {args.rounds} rounds, seeds from 0; RTF = seconds of music (all takes) / second;"
        f" {machine.describe('onnxruntime', 'numpy', 'torch', 'transformers')}"
    )
    return "\n".join([speed_table.markdown(rows, with_ratio=True), "", note, ""])


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
