"""P7 and P8: the torch engine on a GPU against `transformers.generate`, on random weights of the published shape.

    python benchmarks/gpu_engines.py -o DIR [--shape 1b|tiny] [--device cuda|cpu] [--budget-seconds 80]

In one run: the device's memory bandwidth and the time per step it implies, how far each way to compute a step is from
transformers' hidden states, and full takes at several batch sizes, ours under the grammar at an even pace of notes
(`evaluate.contenders`). Rows come in order of weight; those that no longer fit the budget are left out and named.
Writes gpu_engines.md and gpu_engines.json to DIR.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

from gpu_measures import CHECKED_ROWS, MOST_DISTANCE, THEIRS, Bench, Report
from gpu_model import SHAPES
from midi_llm.evaluate.contenders import FULL_TOKENS


def run(args: argparse.Namespace) -> Report:
    bench = Bench(args, partial(save, folder=args.output))
    print(f"[{time.perf_counter() - bench.began:5.1f} s] weights made", file=sys.stderr, flush=True)
    bench.attempt("bandwidth", bench.measure_bandwidth, needs=1)
    for what, work, needs in plan(bench):
        bench.attempt(what, work, needs=needs if args.device == "cuda" else 0)
    return bench.report


def save(report: Report, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gpu_engines.md").write_text(table(report), encoding="utf-8")
    (folder / "gpu_engines.json").write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")


def plan(bench: Bench) -> Iterator[tuple[str, Callable[[], None], float]]:
    """What to measure, and the seconds that each may take at most; the most telling first."""

    def ours(name: str, batch: int, needs: float) -> tuple[str, Callable[[], None], float]:
        return f"{name}, batch {batch}", lambda: bench.measure_ours(name, batch), needs

    def theirs(batch: int, needs: float) -> tuple[str, Callable[[], None], float]:
        return f"{THEIRS}, batch {batch}", lambda: bench.measure_theirs(batch), needs

    best = "plain"
    if bench.device.type == "cuda" and not bench.args.plain_only:
        yield "check kernels", lambda: bench.check("kernels"), 15
        distances = [value for name, value in bench.report.facts.items() if name.startswith("distance kernels ")]
        if len(distances) == len(CHECKED_ROWS) and max(distances) < MOST_DISTANCE:
            best = "kernels"
    yield ours(best, 1, 6)
    if best == "kernels":
        yield "check early kernels", lambda: bench.check("early kernels", (1,)), 10
        yield ours("early kernels", 1, 5)
        yield "tiles", bench.sweep, 12
        yield "kernels of early kernels, batch 1", lambda: bench.profile("early kernels", 1), 4
    yield f"kernels of {best}, batch 1", lambda: bench.profile(best, 1), 4
    yield theirs(1, 8)
    for batch in (64, 16, 4):
        yield ours(best, batch, 8)
    yield theirs(64, 10)
    yield f"kernels of {best}, batch 64", lambda: bench.profile(best, 64), 4
    yield "check compiled", lambda: bench.check("compiled", (1,)), 20
    yield ours("compiled", 1, 8)
    if best != "plain":
        yield "check plain", lambda: bench.check("plain"), 5
        yield ours("plain", 1, 10)
        yield ours("plain", 64, 12)
    for batch in (16, 4):
        yield theirs(batch, 10)


def table(report: Report) -> str:
    lines = [
        "| engine | batch | tokens drawn | seconds for 2,046 | tok/s | ms a step | share of the limit | RTF"
        " | first note, ms | opening, s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(report.rows, key=lambda one: (one.batch, one.seconds)):
        rtf = "-" if row.rtf is None else f"{row.rtf:.1f}"
        first = "-" if row.first_note_ms is None else f"{row.first_note_ms:.1f}"
        lines.append(
            f"| {row.engine} | {row.batch} | {row.tokens} | {row.seconds:.2f} | {row.tokens_per_second:.0f}"
            f" | {row.step_ms:.3f} | {row.share_of_limit:.0%} | {rtf} | {first} | {row.opening_s:.1f} |"
        )
    lines += ["", "Seconds are scaled where fewer than 2,046 tokens were drawn.", ""]
    for name, value in report.facts.items():
        if isinstance(value, list):
            lines += [f"{name}:", "", "```", *value, "```", ""]
    simple = {name: value for name, value in report.facts.items() if not isinstance(value, list)}
    lines.append(
        "; ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in simple.items()
        )
    )
    lines += [f"* {note}" for note in report.notes]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the table and the JSON file")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="1b")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tokens", type=int, default=FULL_TOKENS, help="of our takes")
    parser.add_argument("--peer-tokens", type=int, default=64, help="of transformers' takes; their seconds are scaled")
    parser.add_argument("--budget-seconds", type=float, default=80.0)
    parser.add_argument("--plain-only", action="store_true", help="without the kernels of midi_llm")
    print(table(run(parser.parse_args())))


if __name__ == "__main__":
    main()
