"""`midi-llm train RECIPE`: run or resume one stage, then optionally write it as a checkpoint folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RECIPES = ("nano_stage1", "nano_stage2", "nano_stage2_short", "tiny_cpu")


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `train`."""
    parser.add_argument("recipe", choices=RECIPES, help="the stage's settings")
    parser.add_argument(
        "--rows", type=Path, required=True, metavar="DIR", help="training rows: rows/NAME/train of a data set"
    )
    parser.add_argument("--validation", type=Path, required=True, metavar="DIR", help="its rows/NAME/valid")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="state and logbook; resumed when there")
    parser.add_argument("--start-from", type=Path, metavar="DIR", help="the folder of the stage before this one")
    parser.add_argument("--steps", type=int, help="optimiser steps (default: the recipe's)")
    parser.add_argument("--threads", type=int, help="of the CPU (default: all)")
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="write a Llama folder there at the end")
    parser.add_argument("--tokenizer", type=Path, metavar="FILE", help="tokenizer.json for the checkpoint")
    parser.add_argument("--name", default="nano", help="of the checkpoint (default nano)")


def run(args: argparse.Namespace) -> int:
    """Train; progress goes to stderr, the folders written to stdout."""
    from midi_llm.errors import MissingExtraError, RequestError

    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch", "train") from error
    from tokenizers import Tokenizer

    from midi_llm.data.shards import read_shards
    from midi_llm.train import config as recipes
    from midi_llm.train.export import export_stage
    from midi_llm.train.loop import Trainer

    if args.checkpoint and not (args.tokenizer and args.tokenizer.is_file()):
        raise RequestError(f"--tokenizer is {args.tokenizer}; a checkpoint needs the tokenizer.json of its rows")
    if args.threads:
        torch.set_num_threads(args.threads)
    make = getattr(recipes, args.recipe)
    config = make() if args.steps is None else make(steps=args.steps)
    start_from = args.start_from / "state.pt" if args.start_from else None
    trainer = Trainer(
        config,
        rows=read_shards(args.rows),
        validation=read_shards(args.validation),
        out=args.out,
        start_from=start_from,
    )
    trainer.run(on_step=_show)
    print(args.out)
    if args.checkpoint:
        print(
            export_stage(args.out, args.checkpoint, tokenizer=Tokenizer.from_file(str(args.tokenizer)), name=args.name)
        )
    return 0


def _show(record: Mapping[str, Any]) -> None:
    """One line a step, rewritten in place; validation lines stay."""
    line = f"step {record['step']}  loss {record['loss']:.3f}  {record['bits_per_event']:.2f} bits/event"
    if "validation" in record:
        line += f"  validation {record['validation']['bits_per_event']:.2f} bits/event\n"
    print(f"\r{line}", end="", file=sys.stderr, flush=True)
