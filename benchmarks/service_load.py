"""The service under load: listeners that ask for pieces and follow them live, in Locust (pip install 'midi-llm[load]').

    python benchmarks/service_load.py [--listeners 50] [--minutes 10] [--seconds 30] [--listen] [-o table.md]

Starts `midi-llm serve` on this machine, so both share its cores. Every listener asks for a piece, follows its events,
fetches the MIDI file, and asks for the next at once (`--listen`: when it has heard this one). Requests come from a
small pool, so the same one must give the same file whatever else is composed at that moment; some are composed again at
the end, without the service. A job is lost when it was accepted and its file was not had.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import gevent
from locust import HttpUser, constant, task
from locust.env import Environment

import machine
import prompts

POOL = 40
CHECKED = 6
"""Requests that are composed again at the end, without the service."""
SAMPLE_SECONDS = 5.0


@dataclass
class Ledger:
    """What happened to all jobs; times in seconds."""

    accepted: list[str] = field(default_factory=list)
    refused: int = 0
    files: dict[int, set[str]] = field(default_factory=dict)
    had: int = 0
    wrong: list[str] = field(default_factory=list)
    first_note: list[float] = field(default_factory=list)
    done: list[float] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)


ledger = Ledger()
numbers = itertools.count()


def request_of(number: int, seconds: float) -> dict[str, object]:
    text, _ = prompts.PROMPTS[number % len(prompts.PROMPTS)]
    return {"prompt": text, "seed": number, "seconds": seconds}


class Listener(HttpUser):
    """One who composes again and again."""

    wait_time = constant(0)
    seconds = 30.0
    listens = False

    @task
    def listen(self) -> None:
        number = next(numbers) % POOL
        asked = request_of(number, self.seconds)
        began = time.monotonic()
        with self.client.post("/v1/compositions", json=asked, name="compose", catch_response=True) as answer:
            if answer.status_code == 429:
                answer.success()
                ledger.refused += 1
                gevent.sleep(float(answer.headers["Retry-After"]))
                return
            if answer.status_code != 202:
                answer.failure(answer.text)
                return
            job = answer.json()["id"]
        ledger.accepted.append(job)
        first = self._follow(job, asked, began)
        midi = self.client.get(f"/v1/jobs/{job}/takes/0/midi", name="midi")
        if midi.ok:
            ledger.had += 1
            ledger.files.setdefault(number, set()).add(hashlib.sha256(midi.content).hexdigest())
        if self.listens:
            gevent.sleep(max(0.0, first + self.seconds - time.monotonic()))

    def _follow(self, job: str, asked: dict[str, object], began: float) -> float:
        """When the first note came."""
        first = 0.0
        name = ""
        with self.client.get(f"/v1/jobs/{job}/events", stream=True, name="events", catch_response=True) as stream:
            for line in stream.iter_lines(chunk_size=None):
                kind, _, data = line.decode().partition(": ")
                if kind == "event":
                    name = data
                if kind == "event" and name == "notes" and not first:
                    first = time.monotonic()
                    ledger.first_note.append(first - began)
                if kind == "data" and name == "done":
                    ledger.done.append(time.monotonic() - began)
                    told = json.loads(data)["job"]
                    if told["id"] != job or any(told["request"][key] != value for key, value in asked.items()):
                        ledger.wrong.append(job)
        return first


@contextmanager
def service(args: argparse.Namespace, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [args.python, "-m", "midi_llm", "serve", "--port", "0", "--model", args.model, "--data", str(folder)]
    command += ["--per-client", str(2 * args.listeners), "--queue", str(2 * args.listeners), *args.serve]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        address = next(line for line in process.stderr if "midi-llm is at" in line).split()[3]
        threading.Thread(target=lambda: [None for _ in process.stderr or ()], daemon=True).start()
        yield process, address
    finally:
        process.terminate()
        process.wait(60)


def resident(process: subprocess.Popen[str]) -> int:
    """Bytes of memory that a process occupies."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def drive(args: argparse.Namespace, process: subprocess.Popen[str], address: str) -> tuple[float, Environment]:
    """Let the listeners work; the wall seconds until the last of them has its piece."""
    Listener.seconds, Listener.listens = args.seconds, args.listen
    environment = Environment(user_classes=[Listener], host=address, stop_timeout=600)
    runner = environment.create_local_runner()
    began = time.monotonic()

    def sample() -> None:
        while True:
            ledger.memory.append((time.monotonic() - began, resident(process)))
            gevent.sleep(SAMPLE_SECONDS)

    sampler = gevent.spawn(sample)
    runner.start(args.listeners, spawn_rate=args.listeners)
    gevent.sleep(60 * args.minutes)
    runner.stop()  # each listener ends with its piece
    sampler.kill()
    return time.monotonic() - began, environment


def kept(address: str) -> dict[str, str]:
    """The status of every job that the service knows."""
    found: dict[str, str] = {}
    before = ""
    while True:
        with urllib.request.urlopen(f"{address}/v1/jobs?limit=100{before}") as answer:
            jobs = json.load(answer)
        jobs = jobs["jobs"] if isinstance(jobs, dict) else jobs
        if not jobs:
            return found
        found |= {job["id"]: job["status"] for job in jobs}
        before = f"&before={jobs[-1]['id']}"


def tokens(address: str) -> float:
    with urllib.request.urlopen(f"{address}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return float(next(line for line in lines if line.startswith("midi_llm_tokens_total ")).split()[1])


def composed_alone(args: argparse.Namespace, number: int) -> str:
    """The hash of the file that the same request gives without the service."""
    code = (
        "import hashlib, json, sys; from midi_llm import Composer; from midi_llm.compose.settings import Settings;"
        "from midi_llm.music.write import to_midi_bytes; asked = json.loads(sys.argv[1]);"
        "settings = Settings(seconds=asked['seconds'], seed=asked['seed']);"
        "piece = Composer.open(sys.argv[2]).compose(asked['prompt'], settings);"
        "print(hashlib.sha256(to_midi_bytes(piece.score, title=asked['prompt'])).hexdigest())"
    )
    asked = json.dumps(request_of(number, args.seconds))
    command = [args.python, "-c", code, asked, args.model]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def spread(values: list[float]) -> str:
    """Median, 95th percentile and largest."""
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return f"{statistics.median(ordered):.1f}, {p95:.1f}, {ordered[-1]:.1f} s"


def memory() -> str:
    """Mebibytes at a fifth, at half and at the end of the run, each the median of a tenth of it."""
    count = len(ledger.memory)
    shares = [ledger.memory[int(place * count) :][: max(1, count // 10)] for place in (0.2, 0.5, 0.9)]
    return ", ".join(f"{statistics.median(size for _, size in part) / 2**20:.0f}" for part in shares) + " MiB"


def table(args: argparse.Namespace, wall: float, found: dict[str, str], count: float, environment: Environment) -> str:
    unfinished = [job for job in ledger.accepted if found.get(job) != "done"]
    pool = sorted(ledger.files)[:CHECKED]
    alone = {number: composed_alone(args, number) for number in pool}
    mixed = [number for number, hashes in ledger.files.items() if len(hashes) > 1]
    other = [number for number in pool if ledger.files[number] != {alone[number]}]
    rows = [
        ("listeners", f"{args.listeners}, {'listening to each piece' if args.listen else 'asking again at once'}"),
        ("jobs accepted, done, files had", f"{len(ledger.accepted)}, {len(ledger.done)}, {ledger.had}"),
        ("jobs lost", len(unfinished) + len(ledger.accepted) - ledger.had),
        ("requests that gave different files", f"{len(mixed)} of {len(ledger.files)}"),
        ("files unlike those composed alone", f"{len(other)} of {len(pool)}"),
        ("events of another job", len(ledger.wrong)),
        ("refused for now (429)", ledger.refused),
        ("failed requests", environment.stats.total.num_failures),
        ("time to the first note: median, p95, longest", spread(ledger.first_note)),
        ("time to the finished piece: median, p95, longest", spread(ledger.done)),
        ("pieces a minute", f"{60 * len(ledger.done) / wall:.1f}"),
        ("ids a second, of notes", f"{count / wall:.0f}"),
        ("memory of the service at 20 %, 50 %, 90 % of the run", memory()),
    ]
    return "\n".join(["| what | measured |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listeners", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--listen", action="store_true")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--python", default=sys.executable, help="the Python that runs the service")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("serve", nargs="*", help="further arguments of midi-llm serve, after --")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, service(args, Path(folder)) as (process, address):
        wall, environment = drive(args, process, address)
        found, count = kept(address), tokens(address)
    text = (
        f"{table(args, wall, found, count, environment)}\n\n"
        f"{args.minutes:g} minutes, pieces of {args.seconds:g} s, model {Path(args.model).name}; service and listeners"
        f" on the same machine; {machine.describe('onnxruntime', 'locust')}\n"
    )
    print(text)
    if args.output:
        args.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
