"""Work in steps that several processes share: how many processes, and a progress bar for each step on stderr."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from midi_llm.errors import RequestError

if TYPE_CHECKING:
    from tqdm import tqdm


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add --workers."""
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes (default: one a core)")


def workers(args: argparse.Namespace) -> int:
    """How many processes are asked for."""
    if args.workers < 0:
        raise RequestError(f"--workers is {args.workers}; allowed is 1 or more, 0 for one a core")
    return int(args.workers or os.cpu_count() or 1)


@contextmanager
def step_bars(*, unit: str = "part", quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar for every step: call what this gives with the step, what is done and what there is to do."""
    from tqdm import tqdm

    bars: dict[str, tqdm] = {}

    def on_step(step: str, done: int, total: int) -> None:
        if step not in bars:
            bars[step] = tqdm(total=total, desc=f"{step:<14}", unit=unit, file=sys.stderr, disable=quiet)
        bars[step].update(done - bars[step].n)
        if done == total:
            bars[step].close()

    try:
        yield on_step
    finally:
        for bar in bars.values():
            bar.close()  # so that an error begins a line
