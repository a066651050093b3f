"""A training process of a test, alone or under torchrun: worker.py ROWS --into OUT [CHANGE ...] [--into ...]."""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from midi_llm.data.shards import read_shards
from midi_llm.train.config import with_changes
from midi_llm.train.distributed import World, join_world, leave_world
from midi_llm.train.loop import OnStep, Trainer
from midi_llm.train.recipes import tiny_cpu


def tiny_trainer(rows: Path, out: Path, changes: Sequence[str], world: World | None = None) -> Trainer:
    """The run that all processes of these tests take part in, whole or in part; equal sums need one thread each."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    shards = read_shards(rows)
    changes = [f"shape.text_rows={shards.spec.text_rows}", "compute.precision=fp32", *changes]
    return Trainer(with_changes(tiny_cpu(), changes), rows=shards, validation=shards, out=out, world=world)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", type=Path)
    parser.add_argument("--into", action="append", nargs="+", metavar="OUT [CHANGE ...]", required=True)
    parser.add_argument("--die-after", type=int, metavar="STEP", help="of the last run, once")
    args = parser.parse_args()
    world = join_world(timeout_seconds=60)
    for number, (out, *changes) in enumerate(args.into, start=1):
        trainer = tiny_trainer(args.rows, Path(out), changes, world)
        trainer.run(on_step=die_once(trainer.out, args.die_after if number == len(args.into) else None))
    if world.size > 1:
        keep_threads_waiting()
    leave_world(world)


def die_once(out: Path, after: int | None) -> OnStep:
    """Kills its process after step `after`, but not in the next attempt."""
    died = out / "died"

    def on_step(record: Mapping[str, Any]) -> None:
        if record["step"] == after and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return on_step


def keep_threads_waiting() -> None:
    """As a busy machine does now and then: threads of the group still wait for Python's lock when all is over.

    They have to free the tensors, and the lock is held here until after the sums are done.
    """
    sys.setswitchinterval(60)
    for _ in range(20):
        dist.all_reduce(torch.ones(1), async_op=True)
    ctypes.PyDLL(None).usleep(200_000)


if __name__ == "__main__":
    main()
