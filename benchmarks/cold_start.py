"""P5: how long `midi-llm "…" --seconds 30` takes as a whole process, and how much of it is imports.

    python benchmarks/cold_start.py [--rounds 7] [--seconds 30] [--model nano] [-o table.md]

Each row is a fresh process; the rows are interleaved over the rounds and medians are shown, after a round that is not
measured. "Imports" loads every module that composing with the ONNX engine loads; an empty Python process is a row of
its own. The last column is processor time (user and system), which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine

IMPORTS = (
    "import midi_llm.cli.main, midi_llm.cli.compose, midi_llm.cli.progress, midi_llm.compose.composer,"
    " midi_llm.engines.onnx_engine, onnxruntime, tokenizers"
)
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Compiled files are kept, as on a user's machine; the first, unmeasured round makes them."""


def commands(args: argparse.Namespace, folder: str) -> dict[str, list[str]]:
    compose = [sys.executable, "-m", "midi_llm", "A cheerful rock song with bright electric guitars", "--seed", "1"]
    compose += ["--seconds", str(args.seconds), "--model", args.model, "-q", "--force", "-o", f"{folder}/x.mid"]
    return {
        "an empty Python process": [sys.executable, "-c", "pass"],
        "import midi_llm": [sys.executable, "-c", "import midi_llm"],
        "all imports of composing": [sys.executable, "-c", IMPORTS],
        "midi-llm --version": [sys.executable, "-m", "midi_llm", "--version"],
        f"midi-llm, {args.seconds:g} s of music, to the file": compose,
    }


def run(command: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of one process."""
    began, cpu_before = time.perf_counter(), children()
    subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)
    return time.perf_counter() - began, children() - cpu_before


def children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--model", default="nano")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = commands(args, folder)
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
        for command in rows.values():
            run(command)
        for _ in range(args.rounds):
            for name, command in rows.items():
                taken[name].append(run(command))
    wall = {name: [pair[0] for pair in pairs] for name, pairs in taken.items()}
    cpu = {name: statistics.median(pair[1] for pair in pairs) for name, pairs in taken.items()}
    empty = statistics.median(wall["an empty Python process"])
    lines = [
        "| process | wall s (median) | least, most | above an empty process | processor s |",
        "|---|---|---|---|---|",
    ]
    for name, values in wall.items():
        middle = statistics.median(values)
        spread = f"{min(values):.2f}, {max(values):.2f}"
        lines.append(f"| {name} | {middle:.2f} | {spread} | {middle - empty:.2f} | {cpu[name]:.2f} |")
    note = (
        f"{args.rounds} rounds, model {Path(args.model).name}; {machine.describe('onnxruntime', 'tokenizers', 'numpy')}"
    )
    text = "\n".join([*lines, "", note, ""])
    print(text)
    if args.output:
        args.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
