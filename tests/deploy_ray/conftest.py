"""Tests that run Ray itself, on this machine: `make test-deploy`. Without Ray Serve they are not collected."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from midi_llm.compose.composer import Composer
from midi_llm.compose.take import Progress
from midi_llm.server import making

ROOT = Path(__file__).parents[2]

if importlib.util.find_spec("grpc_reflection") is None:  # what only Ray Serve brings
    collect_ignore_glob = ["test_*.py"]
else:
    sys.path.insert(0, str(ROOT))
    os.environ["PYTHONPATH"] = str(ROOT)  # replicas import deploy/ as well
    from deploy.cluster import Replicas, running
    from deploy.maker import RayMaker

    @pytest.fixture(scope="module")
    def maker() -> Iterator[RayMaker]:
        """Two replicas of nano, a core each."""
        with running(Replicas(least=2)) as made:
            yield made

    @pytest.fixture(scope="module")
    def composer() -> Iterator[Composer]:
        """The same model in this process."""
        with Composer.open("nano", engine="onnx") as opened:
            yield opened


def made_here(
    composer: Composer, request: making.Request, source: bytes | None = None
) -> tuple[list[making.Made], list[Progress]]:
    """What a job gives, and tells, in this process."""
    told: list[Progress] = []
    return making.make(composer, request, source, on_progress=told.append, cancel=threading.Event()), told


def until(is_so: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for something that other processes bring about."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def descendants(ancestor: int) -> list[int]:
    """The processes that `ancestor` has started, and theirs: their ids."""
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal())
    return [pid for pid in pids if ancestor in _ancestors(pid)]


def replica_processes(ancestor: int) -> list[int]:
    """Those of them that are replicas."""
    return [pid for pid in descendants(ancestor) if _read(pid, "cmdline").startswith("ray::ServeReplica")]


def processor_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busiest(pids: list[int], seconds: float = 0.4) -> int:
    """The process that uses most of the next `seconds`."""
    before = {pid: processor_seconds(pid) for pid in pids}
    time.sleep(seconds)
    return max(pids, key=lambda pid: processor_seconds(pid) - before[pid])


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 1 and (stat := _read(pid, "stat")):
        pid = int(stat.rpartition(")")[2].split()[1])
        yield pid


def _read(pid: int, name: str) -> str:
    try:
        return Path("/proc", str(pid), name).read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return ""
