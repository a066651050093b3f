"""Two replicas of nano on a local Ray: same pieces, live notes, cancelled jobs, a replica that is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploy.maker import RayMaker
from midi_llm.compose.composer import Composer
from midi_llm.compose.take import Progress
from midi_llm.errors import RequestError
from midi_llm.server.making import Made
from midi_llm.server.schemas import Composition, Edit, Source

from .conftest import busiest, made_here, processor_seconds, replica_processes, until

SHORT = Composition(prompt="a calm piano piece", seconds=10, seed=5, takes=2)
LONG = Composition(prompt="a fast techno track", seconds=600, seed=9)


def without_clock(made: list[Made]) -> list[tuple[dict[str, object], bytes]]:
    return [(take.model_dump(exclude={"seconds_taken"}), midi) for take, midi in made]


def test_a_job_gives_the_same_takes_and_notes_as_in_this_process(maker: RayMaker, composer: Composer) -> None:
    told: list[Progress] = []
    made = maker.make(SHORT, None, on_progress=told.append, cancel=threading.Event())
    here, told_here = made_here(composer, SHORT)
    assert without_clock(made) == without_clock(here)
    for take in range(2):
        assert [one for one in told if one.take == take] == [one for one in told_here if one.take == take]


def test_jobs_side_by_side_are_shared_out_and_each_is_what_it_is_alone(maker: RayMaker, composer: Composer) -> None:
    assert maker.takes_at_once == 2 * 8
    requests = [SHORT.model_copy(update={"seed": seed, "takes": 1}) for seed in range(6)]
    pids = replica_processes(os.getpid())
    assert len(pids) == 2
    before = {pid: processor_seconds(pid) for pid in pids}
    with ThreadPoolExecutor(6) as threads:
        made = list(
            threads.map(
                lambda one: maker.make(one, None, on_progress=lambda _: None, cancel=threading.Event()), requests
            )
        )
    used = [processor_seconds(pid) - before[pid] for pid in pids]
    assert min(used) > 0.1 * max(used), used
    assert [midi for ((_, midi),) in made] == [made_here(composer, one)[0][0][1] for one in requests]


def test_work_on_a_piece_gets_the_piece(maker: RayMaker, composer: Composer) -> None:
    song = made_here(composer, SHORT)[0][0][1]
    edit = Edit(kind="accompany", source=Source(job="its"), instruments="bass", seed=3)
    made = maker.make(edit, song, on_progress=lambda _: None, cancel=threading.Event())
    assert without_clock(made) == without_clock(made_here(composer, edit, song)[0])


def test_what_a_replica_refuses_is_told_in_the_same_words(maker: RayMaker) -> None:
    edit = Edit(kind="continue", source=Source(job="gone"), seed=3)
    with pytest.raises(RequestError) as caught:
        maker.make(edit, None, on_progress=lambda _: None, cancel=threading.Event())
    assert str(caught.value) == "the piece that is worked on is gone; upload it again"


def test_a_cancelled_job_frees_its_replica_at_once(maker: RayMaker) -> None:
    cancel = threading.Event()
    began = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        job = thread.submit(maker.make, LONG, None, on_progress=lambda _: began.set(), cancel=cancel)
        assert began.wait(30)
        pid = busiest(replica_processes(os.getpid()))
        cancel.set()
        assert job.result(timeout=5) == []
    time.sleep(0.3)
    before = processor_seconds(pid)
    time.sleep(1)
    assert processor_seconds(pid) - before < 0.3


def test_a_job_whose_replica_is_killed_is_made_again_and_is_the_same_piece(maker: RayMaker, composer: Composer) -> None:
    request = LONG.model_copy(update={"seconds": 40})
    told: list[Progress] = []
    with ThreadPoolExecutor(1) as thread:
        job = thread.submit(maker.make, request, None, on_progress=told.append, cancel=threading.Event())
        until(lambda: told)
        os.kill(busiest(replica_processes(os.getpid())), signal.SIGKILL)
        made = job.result(timeout=120)
    here, told_here = made_here(composer, request)
    assert without_clock(made) == without_clock(here)
    again = [one.notes for one in told].index(0)
    assert again > 0
    assert told[again + 1 :] == told_here
    until(lambda: len(replica_processes(os.getpid())) == 2)  # another one takes its place
    until(lambda: maker.takes_at_once == 2 * 8)
