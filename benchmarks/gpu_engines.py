"""P7 and P8: our engines, vLLM and `transformers.generate` on random weights of the published shape, in one table.

    python benchmarks/gpu_engines.py -o DIR [--minutes 12] [--vllm-python .venv-vllm/bin/python]
    python benchmarks/gpu_engines.py -o DIR --shape tiny --device cpu --tokens 30 --batches 1,2      # in miniature

{torch engine with kernels and plain, vLLM with a sliced head, with the grammar, and stock, transformers} x {bf16, fp8}
x batches, each engine in a process of its own (`gpu_rows`): full takes, ours under the grammar at an even pace of notes
(`evaluate.contenders`). The limit is the least time of a step at the bandwidth of a read, measured in the same run: the
layers, the slice of the head that the grammar needs on average, and half-full caches, in the row's number format.
Rows come in order of weight; those that cannot run or no longer fit the minutes say so. gpu_engines.md and
gpu_engines.json in DIR are written after every row, so that a run that is cut keeps what it has.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gpu_model import POSITIONS, SHAPES, SLICES
from gpu_rows import PROMPT_TOKENS, Job
from midi_llm.evaluate.contenders import FULL_TOKENS

FORMATS = {"bf16": 2, "fp8": 1}
"""Bytes of a weight."""
CACHE_BYTES = 2
PLAN = (
    ("torch engine, kernels", "bf16"),
    ("vLLM, sliced head", "bf16"),
    ("vLLM, stock", "bf16"),
    ("torch engine, kernels", "fp8"),
    ("vLLM, sliced head", "fp8"),
    ("vLLM, stock", "fp8"),
    ("vLLM, grammar", "bf16"),
    ("transformers.generate", "bf16"),
    ("torch engine, plain", "bf16"),
    ("vLLM, grammar", "fp8"),
    ("torch engine, plain", "fp8"),
    ("transformers.generate", "fp8"),
)
"""The most telling first."""
LEAST_SECONDS = 20
"""Where fewer are left, no further engine is opened."""


@dataclass(kw_only=True)
class Report:
    facts: dict[str, Any]
    rows: list[dict[str, Any]]


def run(args: argparse.Namespace) -> Report:
    deadline = time.monotonic() + 60 * args.minutes
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "model"
        made = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("gpu_model.py")), str(folder), args.shape, args.device],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        report = Report(facts=json.loads(made.stdout.splitlines()[-1]), rows=[])
        save(report, args)
        for number, (engine, kind) in enumerate(PLAN):
            left = deadline - time.monotonic()
            job = Job(
                engine=engine,
                format=kind,
                batches=args.batches,
                folder=str(folder),
                device=args.device,
                text_rows=SHAPES[args.shape]["text"],
                tokens=args.peer_tokens if engine.startswith("transformers") else args.tokens,
            )
            # one engine that hangs may take half of what is left, and the last one all of it
            seconds = left if number == len(PLAN) - 1 else max(LEAST_SECONDS, left / 2)
            for row in rows(job, args, seconds if left >= LEAST_SECONDS else 0.0):
                report.rows.append({"engine": engine, "format": kind, **row, **shares(report, args, kind, row)})
                save(report, args)
                print(line(report.rows[-1]), file=sys.stderr, flush=True)
        report.facts["run_seconds"] = 60 * args.minutes - (deadline - time.monotonic())
        save(report, args)
    return report


def rows(job: Job, args: argparse.Namespace, seconds: float) -> Iterator[dict[str, Any]]:
    """Rows of a process as they come; batches that gave none within `seconds` get the reason."""
    missing = list(job.batches)
    reason = "left out for time"
    if seconds:
        python = args.vllm_python if job.engine.startswith("vLLM") else sys.executable
        worker = [python, str(Path(__file__).with_name("gpu_rows.py")), json.dumps(asdict(job))]
        log = (args.output / "gpu_engines.log").open("a", encoding="utf-8")
        with (
            log,
            subprocess.Popen(worker, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True) as process,
        ):
            lines: queue.Queue[str] = queue.Queue()
            reading = threading.Thread(target=forward, args=(process.stdout, lines))
            reading.start()
            end = time.monotonic() + seconds
            reason = f"stopped after {seconds:.0f} s"
            while missing and time.monotonic() < end:
                try:
                    text = lines.get(timeout=max(0.0, end - time.monotonic()))
                except queue.Empty:
                    break
                if text.startswith('{"batch"'):
                    row = json.loads(text)
                    missing.remove(row["batch"])
                    yield row
                elif not text:
                    reason = f"the process ended with code {process.wait()}; see gpu_engines.log"
                    break
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with what it has started: compilers of kernels
            reading.join()
    for batch in missing:
        yield {"batch": batch, "reason": reason}


def forward(source: Iterable[str], lines: queue.Queue[str]) -> None:
    """Lines as they come, and an empty one at the end."""
    for text in source:
        lines.put(text)
    lines.put("")


def shares(report: Report, args: argparse.Namespace, kind: str, row: dict[str, Any]) -> dict[str, float]:
    """What follows from a row's seconds and the machine's bandwidth."""
    if "seconds" not in row:
        return {}
    shape, size = SHAPES[args.shape], FORMATS[kind]
    head = sum(SLICES) / len(SLICES) * shape["hidden"]
    positions = PROMPT_TOKENS + row["tokens"] / 2
    cached = 2 * shape["layers"] * shape["kv_heads"] * shape["hidden"] // shape["heads"] * positions
    read = (report.facts["body_parameters"] + head) * size + row["batch"] * cached * CACHE_BYTES
    limit = read / report.facts["read_bytes_s"]
    step = row["seconds"] / row["tokens"]
    return {"full_seconds": step * FULL_TOKENS, "step_ms": step * 1e3, "limit_ms": limit * 1e3, "share": limit / step}


def save(report: Report, args: argparse.Namespace) -> None:
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "gpu_engines.md").write_text(table(report), encoding="utf-8")
    (args.output / "gpu_engines.json").write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")


def table(report: Report) -> str:
    order = [engine for engine, _ in PLAN]
    found = sorted(report.rows, key=lambda row: (row["batch"], row["format"], order.index(row["engine"])))
    facts = [
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in report.facts.items()
    ]
    head = (
        "| engine | format | batch | ids a take | seconds for 2,046 | ids/s | ms a step | limit, ms | share of it | RTF"
        " | first note, ms | opening, first take, s |"
    )
    versions = sorted({f"{row['engine']}: {row['versions']}" for row in found if "versions" in row})
    note = "Seconds are scaled where fewer than 2,046 ids were drawn."
    return "\n".join([head, "|---" * 12 + "|", *map(line, found), "", note, "", "; ".join([*facts, *versions]), ""])


def line(row: dict[str, Any]) -> str:
    start = f"| {row['engine']} | {row['format']} | {row['batch']} |"
    if "reason" in row:
        return f"{start} not run: {row['reason']} |" + " |" * 8
    return (
        f"{start} {row['tokens']} | {row['full_seconds']:.2f} | {row['tokens_per_second']:.0f} | {row['step_ms']:.3f}"
        f" | {row['limit_ms']:.3f} | {row['share']:.0%} | {figure(row['rtf'])} | {figure(row['first_note_ms'])}"
        f" | {row['opening_s']:.1f}, {row['first_take_s']:.1f} |"
    )


def figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the table and the JSON file")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="1b")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--minutes", type=float, default=12.0, help="for everything")
    parser.add_argument("--batches", type=lambda text: [int(part) for part in text.split(",")], default=[1, 64, 16, 4])
    parser.add_argument("--tokens", type=int, default=min(FULL_TOKENS, POSITIONS - PROMPT_TOKENS), help="of a take")
    parser.add_argument("--peer-tokens", type=int, default=64, help="of transformers' takes; their seconds are scaled")
    parser.add_argument("--vllm-python", default=sys.executable, help="the interpreter that has vLLM")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    print(table(run(args)))


if __name__ == "__main__":
    main()
