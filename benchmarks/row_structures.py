"""What structure in the music rows is worth: how they begin and how they train, at equal steps on the same rows.

    python benchmarks/row_structures.py --data DATA --shape tiny --over slot --batch-rows 8 --steps 150
    python benchmarks/row_structures.py --data DATA --seconds 70 -o table.md   # one GPU, the bundled model's size

DATA is a built data set. First its prompts make a small text model; then that is expanded in each way
(`expand_vocabulary`) and trained on the music rows; beside it models of the same size that never read text. All
variants of a seed see the same rows in the same order and are validated on the same rows: bits per event by ids seen.
--seconds chooses the steps from a trial, so that all runs together train and validate for about as long; the text model
and the expansions are extra. With -o a Markdown and a JSON file are written after every run.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

import machine
from midi_llm.data.presets import NANO_PROMPT
from midi_llm.data.shards import ShardSet, read_shards
from midi_llm.model.expand import COVARIANCE_SCALES, Initialisation, expand_vocabulary
from midi_llm.train.batch import train_batch
from midi_llm.train.config import ComputeConfig, LossConfig, ModelShape, MusicRows, OptimConfig, TrainConfig
from midi_llm.train.distributed import World
from midi_llm.train.loss import TEXT
from midi_llm.train.model import TrainableLlama, build_model
from midi_llm.train.recipes import nano_stage1
from midi_llm.train.validation import validate
from text_base import LENGTH, prompts, train_text_base, trained

SHAPES = {
    "tiny": ModelShape(hidden_size=64, intermediate_size=176, layers=3, heads=2, kv_heads=1, head_size=32),
    "nano": ModelShape(),
}
PARTS = 6
"""Validations after the first one, evenly over the steps."""
TEXT_MODEL = "text_model"


@dataclass(frozen=True)
class Variant:
    """A way for music rows to begin (`init` None: a model of its own, without a text base) and to train."""

    name: str
    init: Initialisation | None
    rows: MusicRows
    scale: float | None = None


SHARE = COVARIANCE_SCALES["structured"]
VARIANTS = (
    Variant("random; plain", "random", "plain"),
    Variant("mean and covariance; plain", "mean_covariance", "plain"),
    Variant(f"mean and covariance, as wide as structured ({SHARE}); plain", "mean_covariance", "plain", SHARE),
    Variant("structured; plain", "structured", "plain"),
    Variant("mean and covariance; table + structure", "mean_covariance", "structured"),
    Variant("structured; table + structure", "structured", "structured"),
    Variant("no text base; plain", None, "plain"),
    Variant("no text base; structure + residual", None, "structured"),
)


@dataclass
class Run:
    """What one variant did with one seed."""

    variant: str
    lr: float
    seed: int
    ids: list[int] = field(default_factory=list)
    bits: list[float] = field(default_factory=list)
    music_share: float | None = None
    """Of the probability after a text id, before training."""
    seconds: float = 0.0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def settings(args: argparse.Namespace, steps: int, *, rows: str, seed: int, lr: float | None = None) -> TrainConfig:
    """The small model's first stage, with a rate that falls to zero over the last third."""
    optim: OptimConfig = replace(nano_stage1().optim, warmup_steps=max(1, min(20, steps // 8)), decay_from=0.67)
    if lr is not None:
        optim = replace(optim, lr=lr)
    return TrainConfig(
        name="row_structures",
        rows=rows,
        steps=steps,
        batch_rows=args.batch_rows,
        optim=optim,
        loss=LossConfig(on_prompt=True, over=args.over),
        compute=ComputeConfig(precision="bf16" if args.device == "cuda" else "fp32"),
        validation_rows=args.validation_rows,
        seed=seed,
    )


@torch.no_grad()
def music_share(model: TrainableLlama, rows: ShardSet, device: torch.device) -> tuple[float, float]:
    """After a text id: the share of the probability that music rows have, and how far text logits spread, on average.

    In float32: the share may be small.
    """
    shares, spreads = [], []
    for row in range(min(4, len(rows))):
        batch = train_batch(rows, np.array([row]), with_text=True).to(device)
        hidden_BLD, table_VD = model.hidden(batch.ids, batch.positions)
        logits_NV = hidden_BLD[0, :-1][batch.slots[0] == TEXT].float() @ table_VD.float().T
        shares.append(logits_NV.softmax(-1)[:, model.text_rows :].sum(-1))
        spreads.append(logits_NV[:, : model.text_rows].std(dim=-1))
    return float(torch.cat(shares).mean()), float(torch.cat(spreads).mean())


def ran(
    args: argparse.Namespace, variant: Variant, config: TrainConfig, folder: Path, shape: ModelShape,
    rows: dict[str, ShardSet], text: ShardSet,
) -> tuple[Run, float | None]:  # fmt: skip
    """One variant with one seed, and the spread of the text logits before training where there is a base.

    `folder` holds the text model, and the expansions of it that were made before.
    """
    device = torch.device(args.device)
    run, spread = Run(variant.name, config.optim.lr, config.seed), None
    if variant.init is None:
        model = build_model(replace(config, shape=replace(shape, music_rows=variant.rows))).to(device)
    else:
        expanded = folder / f"{variant.init}-{variant.scale}-{config.seed}"
        if not expanded.is_dir():
            expand_vocabulary(
                folder / TEXT_MODEL, expanded, init=variant.init, seed=config.seed, covariance_scale=variant.scale,
                prompt_format=NANO_PROMPT,
            )  # fmt: skip
        model = build_model(replace(config, base_rows=variant.rows), base=expanded).to(device)
        run.music_share, spread = music_share(model, text, device)
    world = World(device=device)
    due = {math.ceil(config.steps * part / PARTS) for part in range(1, PARTS + 1)}

    def look(ids: int) -> None:
        run.ids.append(ids)
        run.bits.append(validate(model, rows["valid"], config, world)["bits_per_event"])

    began = time.perf_counter()
    look(0)
    seen = 0
    for step, ids in enumerate(trained(model, config, rows["train"], device), start=1):
        seen += ids
        if step in due:
            look(seen)
    run.seconds = round(time.perf_counter() - began, 2)
    return run, spread


def chosen_steps(args: argparse.Namespace, shape: ModelShape, rows: dict[str, ShardSet]) -> int:
    """As many steps as fit into --seconds, by a trial; a validation of as many rows costs a third of a step."""
    if args.seconds is None:
        return int(args.steps)
    device = torch.device(args.device)
    config = replace(settings(args, 8, rows=args.rows, seed=0), shape=shape)
    seconds = []
    began = time.perf_counter()
    for _ in trained(build_model(config).to(device), config, rows["train"], device):
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
        began = time.perf_counter()
    step = statistics.median(seconds[2:])
    runs = len(VARIANTS) * len(args.lr) * args.seeds
    looks = (PARTS + 1) * args.validation_rows / args.batch_rows / 3
    steps = int(args.seconds / runs / step - looks)
    say(f"{step:.3f} s a step: {steps} steps in each of {runs} runs")
    if steps < PARTS:
        raise SystemExit(f"--seconds {args.seconds} leaves {steps} steps a run; give more, or fewer --seeds")
    return steps


def table(runs: Sequence[Run]) -> list[str]:
    """Bits per event by ids seen: the mean over seeds, and each."""
    ids = runs[0].ids
    heads = ["start", *(f"{count / 1e3:,.0f} k ids" for count in ids[1:])]
    lines = [
        f"| music rows: start; training | rate | music's share of text | {' | '.join(heads)} |",
        "|---|---|---" + "|---" * len(ids) + "|",
    ]
    for name, lr in product((variant.name for variant in VARIANTS), sorted({run.lr for run in runs})):
        own = [run for run in runs if (run.variant, run.lr) == (name, lr)]
        if not own:
            continue
        cells = []
        for values in zip(*(run.bits for run in own), strict=True):
            each = f" ({', '.join(f'{value:.2f}' for value in values)})" if len(values) > 1 else ""
            cells.append(f"{statistics.fmean(values):.2f}{each}")
        shares = [run.music_share for run in own if run.music_share is not None]
        share = f"{statistics.fmean(shares):.4f}" if shares else ""
        lines.append(f"| {name} | {lr:g} | {share} | {' | '.join(cells)} |")
    return lines


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--rows", default="short", help="the row set to train on")
    parser.add_argument("--shape", choices=SHAPES, default="nano")
    parser.add_argument("--over", choices=("vocabulary", "slot"), default="vocabulary", help="what an id competes with")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, default=96, help="of each run")
    length.add_argument("--seconds", type=float, help="of training and validating in all runs")
    parser.add_argument("--batch-rows", type=int, default=32)
    parser.add_argument("--text-steps", type=int, default=120, help=f"of the text model, on rows of {LENGTH} ids")
    parser.add_argument("--text-rows", type=int, default=16, help="of a step of the text model")
    parser.add_argument("--validation-rows", type=int, default=96)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument(
        "--lr", type=float, nargs="+", default=[nano_stage1().optim.lr], metavar="RATE",
        help="peaks of AdamW: a run of each variant with each (default: the small model's)",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    rows = {split: read_shards(args.data / "rows" / args.rows / split) for split in ("train", "valid")}
    shape = replace(SHAPES[args.shape], text_rows=rows["train"].spec.text_rows)
    with tempfile.TemporaryDirectory() as folder:
        sets = sorted(path.name for path in (args.data / "rows").iterdir())
        texts = {
            split: prompts([read_shards(args.data / "rows" / name / split) for name in sets], Path(folder, split))
            for split in ("train", "valid")
        }
        config = replace(settings(args, args.text_steps, rows="text", seed=0), batch_rows=args.text_rows, shape=shape)
        text = train_text_base(config, texts, args.data, Path(folder, TEXT_MODEL), device=torch.device(args.device))
        say(f"text model: {text}")
        steps = chosen_steps(args, shape, rows)
        runs, spreads = [], []
        for seed, lr, variant in product(range(1, args.seeds + 1), args.lr, VARIANTS):
            config = settings(args, steps, rows=args.rows, seed=seed, lr=lr)
            run, spread = ran(args, variant, config, Path(folder), shape, rows, texts["valid"])
            say(f"seed {seed}, rate {lr}, {variant.name}: {run.bits} in {run.seconds} s")
            runs.append(run)
            spreads += [spread] if spread is not None else []
            report(args, config, text, statistics.fmean(spreads), runs)
    print(report(args, config, text, statistics.fmean(spreads), runs))


def report(args: argparse.Namespace, config: TrainConfig, text: dict[str, Any], spread: float, runs: list[Run]) -> str:
    """The table and what it was measured with; written to -o where given."""
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"{torch.get_num_threads()} threads"
    note = (
        f"Shape {args.shape}, {config.steps} steps of {args.batch_rows} rows of `{args.rows}`, loss over the"
        f" {args.over}, AdamW at the rate, Muon at {config.optim.matrix_lr}, {config.compute.precision}; bits per event"
        f" of {args.validation_rows} validation rows."
        f" Text model: {text['ids'] / 1e6:.2f} M ids of prompts ({text['different_ids'] / 1e6:.3f} M different),"
        f" {text['nats']['valid']:.2f} nats an id on others; its logits spread by {spread:.2f}. {where};"
        f" {machine.describe('torch', 'transformers')}"
    )
    made = "\n".join([*table(runs), "", note, ""])
    if args.output:
        args.output.write_text(made, encoding="utf-8")
        record = {
            "settings": asdict(config), "shape": args.shape, "text": text, "text_logit_spread": spread, "note": note,
            "runs": [asdict(run) for run in runs],
        }  # fmt: skip
        args.output.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return made


if __name__ == "__main__":
    main()
