"""What the rounded weights and the rounded cache of an ONNX export change, against float32.

    python benchmarks/rounding.py [--model nano|DIR] [--takes 4] [-o table.md]

Takes that the model draws itself are run through exports of each kind; the table compares, slot by slot, the
distributions over the legal block (time, duration or note). Nats are those of the ids that were drawn.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

import machine
from midi_llm.engines.base import Request, SamplingParams, generate
from midi_llm.engines.onnx_engine import OnnxEngine
from midi_llm.engines.onnx_folder import open_session, read_record
from midi_llm.evaluate.contenders import PacedGrammar
from midi_llm.model.catalog import resolve_model
from midi_llm.model.checkpoint import verify_checkpoint
from midi_llm.model.export_onnx import Precision, export_onnx
from midi_llm.model.layout import read_layout
from midi_llm.model.onnx_cache import quantize_cache
from midi_llm.prompt import load_tokenizer
from midi_llm.weights import Weights
from prompts import PROMPTS

KINDS: tuple[tuple[str, Precision, bool], ...] = (
    ("float32", "float32", False),
    ("float32 weights, int8 cache", "float32", True),
    ("int8 weights and cache", "int8", False),
    ("int4 weights, int8 cache", "int4", False),
)
LATE = 1500

Slots = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""Positions [n], the ids that came, counted from their block's first [n], log-shares [n, block]."""


def draw_takes(folder: Path, count: int) -> list[tuple[list[int], int]]:
    """Full takes of different prompts: all ids, and how many of them are the prompt's."""
    info, tokenizer, engine = verify_checkpoint(folder), load_tokenizer(folder), OnnxEngine(folder)
    takes = []
    for seed in range(count):
        prompt = list(info.prompt_format.encode(PROMPTS[seed % len(PROMPTS)][0], tokenizer, info.text_rows))
        tokens = engine.max_positions - len(prompt)
        grammar = PacedGrammar(tokens=tokens, text_rows=info.text_rows)
        params = SamplingParams(max_tokens=tokens, seed=seed, top_p=0.98)
        [completion] = generate(engine, [Request(prompt_ids=prompt, params=params, constraint=grammar)])
        takes.append(([*prompt, *completion.token_ids], len(prompt)))
    engine.close()
    return takes


def distributions(folder: Path, takes: list[tuple[list[int], int]]) -> list[Slots]:
    """The slots of each take and head block."""
    weights = Weights(folder)
    record = read_record(folder, weights)
    body = open_session(record, "body.onnx", threads=1)
    heads = [(block, open_session(record, block.file, threads=1)) for block in record.head_blocks]
    past = np.zeros((1, record.kv_heads, 0, record.head_size), dtype=record.cache)
    pasts = {one.name: past for one in body.get_inputs() if one.name.startswith("past.")}
    found = []
    for ids, prompted in takes:
        row = np.array(ids)
        feeds = {
            "inputs_embeds": weights.rows(record.embedding_tensor, row)[None],
            "seqlens_k": np.array([len(row) - 1], dtype=np.int32),
            "total_sequence_length": np.array([len(row)], dtype=np.int32),
        }
        hidden_SH = body.run(["hidden"], feeds | pasts)[0][0]
        following = row[prompted:]
        for block, head in heads:
            at = np.flatnonzero((following >= block.start) & (following < block.stop)) + prompted - 1
            logits = head.run(None, {"hidden": hidden_SH[at]})[0].astype(np.float64)
            logits -= logits.max(axis=1, keepdims=True)
            found.append((at, row[at + 1] - block.start, logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))))
    return found


def export(model: Path, folder: Path, precision: Precision, *, rounded_cache: bool) -> Path:
    """An export of `model` in a folder of links; `rounded_cache` makes float32's cache int8 too."""
    folder.mkdir()
    for path in model.iterdir():
        if path.is_file():
            (folder / path.name).symlink_to(path.resolve())
    out = export_onnx(folder, precision=precision)
    if rounded_cache:
        meta = json.loads((out / "meta.json").read_text())
        quantize_cache(out / "body.onnx", read_layout(folder), head_size=meta["head_size"])
        (out / "meta.json").write_text(json.dumps(meta | {"cache": "int8"}))
    return folder


def table(model: Path, takes: int) -> str:
    drawn = draw_takes(model, takes)
    exact: list[Slots] = []
    lines = [
        "| export | nats a slot from float32 | 99 % below | at most | after position 1,500 | nats of the ids |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as parent:
        for number, (name, precision, rounded_cache) in enumerate(KINDS):
            folder = export(model, Path(parent) / str(number), precision, rounded_cache=rounded_cache)
            found = distributions(folder, drawn)
            exact = exact or found
            pairs = list(zip(exact, found, strict=True))
            apart = np.concatenate([(np.exp(one[2]) * (one[2] - other[2])).sum(axis=1) for one, other in pairs])
            at = np.concatenate([one[0] for one in exact])
            nats = -np.concatenate([shares[np.arange(len(came)), came] for _, came, shares in found]).mean()
            lines.append(
                f"| {name} | {apart.mean():.1e} | {np.percentile(apart, 99):.1e} | {apart.max():.1e}"
                f" | {apart[at > LATE].mean():.1e} | {nats:.4f} |"
            )
    note = f"{takes} takes of {model.name}, {len(at)} slots, seeds from 0; {machine.describe('onnxruntime', 'numpy')}"
    return "\n".join([*lines, "", note, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="a model's name or folder")
    parser.add_argument("--takes", type=int, default=4)
    parser.add_argument("-o", "--output", type=Path, help="also write the table here")
    args = parser.parse_args()
    text = table(resolve_model(args.model), args.takes)
    print(text)
    if args.output:
        args.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
