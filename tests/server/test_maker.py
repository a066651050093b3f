"""A service whose jobs others make: they start when those who make them have room, also where that grows meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from midi_llm.compose.composer import Composer
from midi_llm.server.making import Made, OnProgress, Request
from midi_llm.server.schemas import Composition
from midi_llm.server.service import Service
from midi_llm.server.settings import ServerSettings


class HeldMaker:
    """Makes nothing until it is let, `takes_at_once` side by side."""

    def __init__(self) -> None:
        self.takes_at_once = 1
        self.go = threading.Event()

    def make(
        self, request: Request, source: bytes | None, *, on_progress: OnProgress, cancel: threading.Event
    ) -> list[Made]:
        while not (self.go.wait(0.01) or cancel.is_set()):
            pass
        return []


@pytest.fixture
def maker() -> HeldMaker:
    return HeldMaker()


@pytest.fixture
def service(maker: HeldMaker, composer: Composer, tmp_path: Path) -> Iterator[Service]:
    with closing(Service(composer, ServerSettings(data=tmp_path), maker)) as made:
        made.start()
        yield made
        made.stop()


def test_a_job_that_waits_is_started_when_there_is_more_room(
    service: Service, maker: HeldMaker, until: Callable[..., None]
) -> None:
    first, second = (service.submit(Composition(prompt="a waltz", seconds=5), client="one").id for _ in range(2))
    until(lambda: service.record(first).status == "running")
    assert service.record(second).status == "queued"
    maker.takes_at_once = 2
    until(lambda: service.record(second).status == "running", 5)
    assert service.record(first).status == "running"
    maker.go.set()
    until(lambda: [service.record(job).status for job in (first, second)] == ["done", "done"])
