"""How throughput grows with replicas: the service of deploy/, asked over HTTP by many at once.

    python benchmarks/replicas.py [--clients 16] [--minutes 2] [--seconds 30] [--rounds 2] [-o table.md]

Needs pip install 'midi-llm[deploy]'. For each number of replicas and of cores, `python -m deploy` is started and asked
by clients that follow their piece live and ask for the next one at once; after a warm-up, what ends and what is drawn
is counted. Rounds are interleaved. The clients, the front and Ray share the machine's cores with the replicas.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import machine
import prompts
from midi_llm.client import AsyncClient, Composition

ROOT = Path(__file__).resolve().parents[1]
SHAPES = ((1, 2), (1, 1), (2, 1))
"""Replicas, and cores of each."""
WARM_UP_SECONDS = 10.0


@dataclass(frozen=True)
class Piece:
    """One that was had; times of `time.monotonic`."""

    asked: float
    first_note: float
    done: float


@dataclass(frozen=True)
class Run:
    """One shape, measured once."""

    pieces_a_minute: float
    ids_a_second: float
    first_notes: list[float]
    all_mib: float
    replica_mib: float


@contextmanager
def service(args: argparse.Namespace, replicas: int, cores: int) -> Iterator[tuple[int, str]]:
    """The process id and the address of a service that runs."""
    command = [sys.executable, "-m", "deploy", "--port", "0", "--model", args.model, "--per-client", str(args.clients)]
    command += ["--queue", str(args.clients), "--replicas", str(replicas), "--cores", str(cores)]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen([*command, "--data", folder], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        try:
            address = next(line for line in process.stderr if "midi-llm is at" in line).split()[3]
            threading.Thread(target=lambda: [None for _ in process.stderr or ()], daemon=True).start()
            yield process.pid, address
        finally:
            process.terminate()
            process.wait(60)


async def ask(client: AsyncClient, numbers: Iterator[int], seconds: float, had: list[Piece]) -> None:
    """One who composes again and again."""
    while True:
        number = next(numbers)
        text, _ = prompts.PROMPTS[number % len(prompts.PROMPTS)]
        asked = time.monotonic()
        job = await client.compose(Composition(prompt=text, seconds=seconds, seed=number))
        first_note = 0.0
        async for event in client.events(job.id):
            if event.name == "notes" and not first_note:
                first_note = time.monotonic()
        assert event.name == "done", event
        had.append(Piece(asked, first_note, time.monotonic()))


async def measure(args: argparse.Namespace, pid: int, address: str) -> Run:
    """Let the clients ask until the time is over."""
    had: list[Piece] = []
    numbers = itertools.count()
    async with AsyncClient(address, timeout=120) as client, asyncio.TaskGroup() as group:
        asking = [group.create_task(ask(client, numbers, args.seconds, had)) for _ in range(args.clients)]
        await asyncio.sleep(WARM_UP_SECONDS)
        began, drawn_before = time.monotonic(), await asyncio.to_thread(drawn, address)
        await asyncio.sleep(60 * args.minutes)
        wall, drawn_after = time.monotonic() - began, await asyncio.to_thread(drawn, address)
        everything, replicas = await asyncio.to_thread(memory, pid)
        for task in asking:
            task.cancel()
    pieces = [piece for piece in had if piece.done >= began]
    first_notes = [piece.first_note - piece.asked for piece in pieces if piece.asked >= began]
    ids = (drawn_after - drawn_before) / wall
    return Run(60 * len(pieces) / wall, ids, first_notes, everything, statistics.mean(replicas))


def drawn(address: str) -> float:
    """Ids of notes that the service has told so far."""
    with urllib.request.urlopen(f"{address}/metrics") as answer:
        found = re.search(r"^midi_llm_tokens_total (\S+)", answer.read().decode(), re.MULTILINE)
    assert found is not None
    return float(found[1])


def memory(front: int) -> tuple[float, list[float]]:
    """MiB of the front, Ray and the replicas together, and of each replica; what is shared counts once."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
    family = {front}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    replicas = [pid for pid in family if Path(f"/proc/{pid}/cmdline").read_text().startswith("ray::ServeReplica")]
    return sum(map(mebibytes, family)), [mebibytes(pid) for pid in replicas]


def mebibytes(pid: int) -> float:
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def row(replicas: int, cores: int, runs: Sequence[Run], base: float) -> str:
    """Medians of the runs, least and most, and the ratio to `base` ids a second."""
    pieces = sorted(run.pieces_a_minute for run in runs)
    ids = statistics.median(run.ids_a_second for run in runs)
    first = sorted(second for run in runs for second in run.first_notes)
    cells = [
        f"{replicas} of {cores} core{'s' if cores > 1 else ''}",
        f"{statistics.median(pieces):.1f} ({pieces[0]:.1f}, {pieces[-1]:.1f})",
        f"{ids:.0f}",
        f"{ids / base:.2f}",
        f"{statistics.median(first):.2f} ({first[min(len(first) - 1, int(0.95 * len(first)))]:.2f})" if first else "-",
        f"{statistics.median(run.all_mib for run in runs):.0f}",
        f"{statistics.median(run.replica_mib for run in runs):.0f}",
    ]
    return f"| {' | '.join(cells)} |"


HEAD = (
    "| replicas | pieces a minute (least, most) | ids/s | ratio | first note, s (p95) | MiB in all | a replica |\n"
    "|---|---|---|---|---|---|---|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--model", default="nano")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    runs: dict[tuple[int, int], list[Run]] = {shape: [] for shape in SHAPES}
    for number, shape in itertools.product(range(args.rounds), SHAPES):
        print(f"round {number + 1}: {shape[0]} of {shape[1]}", file=sys.stderr)
        with service(args, *shape) as (pid, address):
            runs[shape].append(asyncio.run(measure(args, pid, address)))
    base = statistics.median(run.ids_a_second for run in runs[1, 1])
    text = (
        "\n".join([HEAD, *(row(*shape, runs[shape], base) for shape in SHAPES)])
        + f"\n\n{args.clients} clients at once, pieces of {args.seconds:g} s, {args.rounds} rounds of"
        f" {args.minutes:g} min each, model {Path(args.model).name}; clients, front and replicas on one machine;"
        f" {machine.describe('onnxruntime', 'ray')}\n"
    )
    print(text)
    if args.output:
        args.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
