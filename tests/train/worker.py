"""A training process of a test, alone or under torchrun: worker.py ROWS OUT [--die-after STEP] [CHANGE ...]."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from midi_llm.data.shards import read_shards
from midi_llm.train.config import with_changes
from midi_llm.train.distributed import join_world, leave_world
from midi_llm.train.loop import Trainer
from midi_llm.train.recipes import tiny_cpu


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--die-after", type=int)
    parser.add_argument("changes", nargs="*")
    args = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    rows = read_shards(args.rows)
    changes = [f"shape.text_rows={rows.spec.text_rows}", "compute.precision=fp32", *args.changes]
    world = join_world(timeout_seconds=60)
    trainer = Trainer(with_changes(tiny_cpu(), changes), rows=rows, validation=rows, out=args.out, world=world)
    died = args.out / "died"

    def on_step(record: Mapping[str, Any]) -> None:
        if args.die_after == record["step"] and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    trainer.run(on_step=on_step)
    leave_world(world)


if __name__ == "__main__":
    main()
