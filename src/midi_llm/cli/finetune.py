"""`midi-llm finetune FOLDER`: a model learns from your own MIDI files: data set, training and checkpoint in one."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from midi_llm.cli.processor import settle

if TYPE_CHECKING:
    from midi_llm.data.rowsets import RowSetSpec
    from midi_llm.model.checkpoint import CheckpointInfo
    from midi_llm.train.config import TrainConfig

LARGE_PARAMETERS = 300_000_000
"""Models from this size on get adapters, smaller ones train in full."""
VALID_ROWS = 32


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `finetune`."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="MIDI files, at any depth")
    parser.add_argument("--captions", type=Path, metavar="FILE", help="JSONL: a line with file and caption for each")
    parser.add_argument("--model", default="nano", metavar="NAME|DIR|ID", help="the model to start from (default nano)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="data, training and the checkpoint")
    parser.add_argument("--steps", type=int, metavar="N", help="training steps (default: the recipe's)")
    parser.add_argument(
        "--set", dest="changes", action="append", default=[], metavar="NAME=VALUE",
        help="change a setting of the recipe, such as optim.lr=1e-4; may be repeated",
    )  # fmt: skip
    parser.add_argument("--name", help="of the new model (default: the folder's)")


def run(args: argparse.Namespace) -> int:
    """Build, train and write OUT/model; started again it goes on. Progress goes to stderr, the folder to stdout."""
    settle()
    from midi_llm.cli.training import training_progress
    from midi_llm.data.build import BuildSpec, build
    from midi_llm.data.shards import read_shards
    from midi_llm.errors import MissingExtraError, RequestError
    from midi_llm.model.catalog import resolve_model
    from midi_llm.model.checkpoint import verify_checkpoint

    try:
        from midi_llm.train.export import export_stage
        from midi_llm.train.loop import Trainer
    except ImportError as error:
        raise MissingExtraError("torch", "train") from error

    if not args.folder.is_dir():
        raise RequestError(f"{args.folder} is no folder; give one with MIDI files")
    base = resolve_model(args.model)
    info = verify_checkpoint(base)
    config = _config(info, args)
    source = f"folder:{args.folder}" + (f":{args.captions}" if args.captions else "")
    spec = BuildSpec(sources=(source,), row_sets=(_rows(info, config),), tokenizer=base)
    build(spec, args.out / "data", workers=os.cpu_count() or 1, on_step=_say)
    rows = args.out / "data" / "rows" / config.rows
    trainer = Trainer(
        config, rows=read_shards(rows / "train"), validation=read_shards(rows / "valid"),
        out=args.out / "training", base=base,
    )  # fmt: skip
    before = trainer.validate()["bits_per_event"] if trainer.step == 0 else None
    with training_progress(config, step=trainer.step) as show:
        trainer.run(on_step=show)
    after = trainer.validate()["bits_per_event"]
    compared = "" if before is None else f" ({before:.3f} before)"
    print(f"held-out rows: {after:.3f} bits per event{compared}", file=sys.stderr)
    name = args.name or args.folder.resolve().name
    folder = export_stage(args.out / "training", args.out / "model", tokenizer=base, base=base, name=name, replace=True)
    print(folder)
    return 0


def _config(info: CheckpointInfo, args: argparse.Namespace) -> TrainConfig:
    """The recipe for a model of this size, after the changes asked for."""
    from midi_llm.cli.training import stage_config

    recipe = "lora_1b_8gb" if info.parameters >= LARGE_PARAMETERS else "nano_finetune"
    steps = [] if args.steps is None else [f"steps={args.steps}"]
    return stage_config(recipe, [*steps, *args.changes])


def _rows(info: CheckpointInfo, config: TrainConfig) -> RowSetSpec:
    """As many rows as the training takes, in the model's own prompt format and no longer than its context."""
    from dataclasses import replace

    from midi_llm.data.presets import row_sets
    from midi_llm.prompt import load_tokenizer

    short = next(one for one in row_sets("nano") if one.name == "short")
    frame = len(info.prompt_format.encode("a", load_tokenizer(info.folder), info.text_rows))
    example = replace(
        short.example,
        length=min(short.example.length, info.max_positions),
        prompt_ids=short.example.prompt_ids + frame,
    )
    return replace(
        short,
        name=config.rows,
        rows=config.steps * config.batch_rows,
        valid_rows=VALID_ROWS,
        example=example,
        prompt=info.prompt_format,
    )


def _say(step: str, done: int, total: int) -> None:
    if done == total:
        print(f"{step}: done", file=sys.stderr)
