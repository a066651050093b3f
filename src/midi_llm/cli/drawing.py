"""What every command that composes has in common: how to draw, with which model, and Ctrl-C.

In: a parser, later a running command. Out: its options; an event that the first Ctrl-C sets.
"""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from midi_llm.compose.settings import (
    DEFAULT_ENGINE,
    DEFAULT_GUIDANCE,
    DEFAULT_MODEL,
    DEFAULT_TEMPERATURE,
    DEFAULT_TOP_P,
    MAX_TAKES,
)


def add_drawing(parser: argparse.ArgumentParser) -> None:
    """Add takes, seed, temperature, top-p, guidance, model and engine."""
    add = parser.add_argument
    add(
        "--takes",
        type=int,
        default=1,
        metavar="N",
        help=f"pieces to compose side by side, 1 to {MAX_TAKES} (default 1)",
    )
    add("--seed", type=int, metavar="N", help="makes the result repeatable; take 2 uses N+1, ... (default: drawn)")
    add(
        "--temperature",
        type=float,
        metavar="T",
        help=f"0 = always the likeliest, higher = bolder (default: the model's own, else {DEFAULT_TEMPERATURE:g})",
    )
    add(
        "--top-p",
        type=float,
        metavar="P",
        help=f"draw from the likeliest ids that make up this share (default: the model's own, else {DEFAULT_TOP_P:g})",
    )
    add(
        "--guidance",
        type=float,
        metavar="G",
        help=f"above 1 the text counts more, and composing takes twice as long (default: the model's own, else"
        f" {DEFAULT_GUIDANCE:g})",
    )
    add("--model", default=DEFAULT_MODEL, metavar="NAME|DIR|ID", help=f"see midi-llm models (default {DEFAULT_MODEL})")
    add("--engine", default=DEFAULT_ENGINE, metavar="ENGINE", help="auto, onnx, torch or vllm (default auto)")


@contextmanager
def stoppable() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; the second one interrupts as usual."""
    cancel = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield cancel  # signals belong to the main thread
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: object) -> None:
        cancel.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop)
    try:
        yield cancel
    finally:
        signal.signal(signal.SIGINT, before)
