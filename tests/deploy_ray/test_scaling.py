"""Where there is work for more replicas, one is added and takes its share of it; one job may be enough."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploy import cluster
from deploy.cluster import Replicas, running
from deploy.maker import RayMaker
from midi_llm.server.schemas import Composition

from .conftest import processor_seconds, replica_processes, until

EIGHT_TAKES = Composition(prompt="a fast techno track", seconds=600, seed=9, takes=8)


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> Iterator[RayMaker]:
    """One replica, or two where there is work for them, which is looked at more often than usual."""
    monkeypatch.setattr(cluster, "UPSCALE_SECONDS", 0.5)
    monkeypatch.setenv("RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S", "0.5")
    with running(Replicas(most=2)) as made:
        yield made


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core")
def test_a_replica_is_added_where_one_has_much_to_do_and_gets_the_next_job(maker: RayMaker) -> None:
    cancel = threading.Event()
    (first,) = replica_processes(os.getpid())
    assert maker.takes_at_once == 8
    with ThreadPoolExecutor(2) as threads:
        try:
            threads.submit(maker.make, EIGHT_TAKES, None, on_progress=lambda _: None, cancel=cancel)
            until(lambda: maker.takes_at_once == 16)
            (second,) = {*replica_processes(os.getpid())} - {first}
            before = processor_seconds(second)
            threads.submit(maker.make, EIGHT_TAKES, None, on_progress=lambda _: None, cancel=cancel)
            until(lambda: processor_seconds(second) - before > 1)
        finally:
            cancel.set()
