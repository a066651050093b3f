"""`midi-llm train RECIPE`: run or resume one stage, then optionally write it as a checkpoint folder.

Under torchrun the same command trains in several processes.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from midi_llm.cli.processor import settle


def register(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `train`."""
    parser.add_argument("recipe", metavar="RECIPE", help="the stage's settings: docs/training.md lists the recipes")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="a built data set")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="states and logbook; continued when there"
    )
    parser.add_argument("--resume", action="store_true", help="fail unless there is a state in --out to go on from")
    parser.add_argument(
        "--set", dest="changes", action="append", default=[], metavar="NAME=VALUE",
        help="change a setting, such as optim.lr=1e-4; may be repeated",
    )  # fmt: skip
    parser.add_argument("--base", metavar="MODEL", help="the checkpoint to train: a name, folder or hub id")
    parser.add_argument("--start-from", type=Path, metavar="DIR", help="the --out of the stage before this one")
    parser.add_argument("--threads", type=int, help="of the CPU (default: all)")
    parser.add_argument("--tensorboard", action="store_true", help="write OUT/tensorboard as well")
    parser.add_argument("--sample", metavar="PROMPT", help="with --set sample_every=N: compose it into OUT/samples")
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="write a Llama folder there at the end")
    parser.add_argument("--name", default="custom", help="of the checkpoint (default custom)")


def run(args: argparse.Namespace) -> int:
    """Train; progress goes to stderr, the folders written to stdout."""
    from midi_llm.errors import MissingExtraError, OutputError, RequestError

    settle()
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch", "train") from error

    from midi_llm.cli.training import compose_sample, stage_config, training_progress
    from midi_llm.data.dataset import Dataset
    from midi_llm.data.shards import read_shards
    from midi_llm.model.catalog import resolve_model
    from midi_llm.train.distributed import join_world, leave_world
    from midi_llm.train.export import export_stage
    from midi_llm.train.loop import Trainer
    from midi_llm.train.state import last_state

    config = stage_config(args.recipe, args.changes)
    if args.resume and last_state(args.out) is None:
        raise RequestError(f"{args.out} holds no state to resume; leave --resume out to begin, or name another folder")
    if args.checkpoint and args.checkpoint.exists():
        raise OutputError(f"{args.checkpoint} exists and is kept; give another folder for --checkpoint")
    if args.sample and config.sample_every is None:
        raise RequestError("--sample needs to know how often; add --set sample_every=100")
    if args.threads:
        torch.set_num_threads(args.threads)
    Dataset(args.data).close()
    rows = args.data / "rows" / config.rows
    base = resolve_model(args.base) if args.base else None
    world = join_world()
    try:
        trainer = Trainer(
            config,
            rows=read_shards(rows / "train"),
            validation=read_shards(rows / "valid"),
            out=args.out,
            base=base,
            start_from=args.start_from,
            world=world,
        )
        with training_progress(config, step=trainer.step, shown=world.is_first) as show:

            def on_step(record: Mapping[str, Any]) -> None:
                show(record)
                if args.sample and config.sample_every and trainer.step % config.sample_every == 0:
                    compose_sample(args.out, args.sample, step=trainer.step, tokenizer=args.data, base=base)

            trainer.run(on_step=on_step, tensorboard=args.tensorboard)
        if world.is_first:
            print(args.out)
            if args.checkpoint:
                print(export_stage(args.out, args.checkpoint, tokenizer=args.data, base=base, name=args.name))
    finally:
        leave_world(world)
    return 0
