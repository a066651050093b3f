"""The real program with two replicas, asked over HTTP; what cannot be started is refused in one line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from midi_llm.client import Client, Composition
from midi_llm.compose.composer import Composer
from midi_llm.server.store import Store

from .conftest import ROOT, descendants, made_here, until

SHORT = Composition(prompt="a calm piano piece", seconds=10, seed=5, takes=2)
LONG = Composition(prompt="a fast techno track", seconds=600, seed=9)
WITHOUT_PATH = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
"""Whoever starts the program from the root of the repository needs none."""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "deploy", "--port", "0", *arguments]


@contextmanager
def program(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The program while it runs, and its address; it is stopped in order."""
    process = subprocess.Popen(command(*arguments), cwd=ROOT, env=WITHOUT_PATH, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        yield process, next(line for line in process.stderr if "midi-llm is at" in line).split()[3]
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with program("--replicas", "2", "--data", str(tmp_path_factory.mktemp("data"))) as (_, found):
        yield found


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address) as made:
        yield made


def test_notes_come_while_they_are_composed_and_the_file_is_the_same_as_in_one_process(
    client: Client, composer: Composer
) -> None:
    job = client.compose(SHORT)
    names = [event.name for event in client.events(job.id)]
    assert names.count("notes") > 4
    assert names[-3:] == ["take", "take", "done"]
    here, _ = made_here(composer, SHORT)
    assert [client.midi(job.id, take) for take in range(2)] == [midi for _, midi in here]


def test_a_job_is_cancelled_while_it_is_composed_and_the_next_one_is_not_kept_waiting(client: Client) -> None:
    long = client.compose(LONG)
    for event in client.events(long.id):
        last = event.name
        if last == "notes":
            client.cancel(long.id)
    assert last == "cancelled"
    assert client.job(long.id).status == "cancelled"
    assert client.wait(client.compose(SHORT).id).status == "done"


def test_told_to_stop_it_puts_its_job_back_and_leaves_no_process(tmp_path: Path) -> None:
    with program("--replicas", "1", "--data", str(tmp_path)) as (process, address), Client(address) as client:
        job = client.compose(LONG).id
        next(event for event in client.events(job) if event.name == "notes")
        started = descendants(process.pid)
    assert process.returncode == 0
    assert len(started) > 3
    until(lambda: not any(Path("/proc", str(pid)).exists() for pid in started), seconds=150)
    with closing(Store(tmp_path)) as store:
        assert store.waiting() == [job]


def refused(*arguments: str) -> str:
    """The only line that the program says."""
    done = subprocess.run(
        command(*arguments), cwd=ROOT, env=WITHOUT_PATH, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


def test_more_replicas_than_there_are_cores_are_refused() -> None:
    wanted = len(os.sched_getaffinity(0)) + 1
    assert f"{wanted} replicas need {wanted} CPUs, and there are" in refused("--replicas", str(wanted))


def test_where_no_ray_listens_it_says_so_at_once() -> None:
    began = time.monotonic()
    assert "Ray cannot be had at '127.0.0.1:1'" in refused("--ray", "127.0.0.1:1")
    assert time.monotonic() - began < 20


def test_impossible_numbers_are_refused_before_anything_starts() -> None:
    assert refused("--replicas", "0").endswith("error: replicas is 0; allowed is 1 and more")
    assert "max-replicas is 1; allowed is --replicas, 2, and more" in refused("--replicas", "2", "--max-replicas", "1")


def test_a_model_that_is_not_there_is_refused_in_the_words_of_the_service() -> None:
    assert "nowhere" in refused("--model", "nowhere")
