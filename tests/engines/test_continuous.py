"""Continuous batching over a worker that counts: who joins, who leaves, who hears of a failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import pytest

from midi_llm.engines.base import Request, SamplingParams, Step
from midi_llm.engines.continuous import ContinuousBatching, Outcome
from midi_llm.engines.decoding import OpenRequest
from midi_llm.errors import EngineError


class Counting:
    """Gives every request the ids 0, 1, 2, ...; `gate` holds it, `fault` is raised in a step, `bad` fails alone."""

    def __init__(self) -> None:
        self.takes: list[OpenRequest] = []
        self.counts: dict[OpenRequest, int] = {}
        self.largest = 0
        self.cleared = 0
        self.gate = threading.Event()
        self.gate.set()
        self.fault: Exception | None = None
        self.bad: int | None = None

    def join(self, takes: Sequence[OpenRequest]) -> None:
        self.takes += takes
        self.counts |= dict.fromkeys(takes, 0)

    def step(self) -> list[tuple[OpenRequest, Outcome]]:
        self.gate.wait(10)
        if self.fault is not None:
            raise self.fault
        self.largest = max(self.largest, len(self.takes))
        outcomes: list[tuple[OpenRequest, Outcome]] = []
        for take in list(self.takes):
            if take.request.params.seed == self.bad:
                outcomes.append((take, EngineError("it is bad")))
                self.takes.remove(take)
                continue
            step = take.advance(self.counts[take])
            self.counts[take] += 1
            outcomes.append((take, step))
            if step.finish_reason is not None:
                self.takes.remove(take)
        return outcomes

    def drop(self, takes: Sequence[OpenRequest]) -> None:
        self.takes = [take for take in self.takes if take not in takes]

    def clear(self) -> None:
        self.takes = []
        self.cleared += 1


def opened(count: int = 1, *, ids: int = 5, seed: int = 0) -> list[OpenRequest]:
    request = Request(prompt_ids=[1], params=SamplingParams(max_tokens=ids, seed=seed))
    return [OpenRequest(index, request, vocab_size=10_000) for index in range(count)]


def until(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.002)


def ids_of(steps: Sequence[Step]) -> list[int | None]:
    return [step.token_id for step in steps]


@pytest.fixture
def worker() -> Counting:
    return Counting()


def test_a_request_that_comes_later_is_decoded_beside_the_first(worker: Counting) -> None:
    batching = ContinuousBatching([worker])
    first = batching.stream(opened(ids=2000), None)
    assert next(first).token_id == 0
    worker.gate.clear()
    second = batching.stream(opened(ids=3), None)
    got: list[Step] = []
    thread = threading.Thread(target=lambda: got.extend(second))
    thread.start()
    worker.gate.set()
    thread.join(10)
    assert ids_of(got) == [0, 1, 2]
    assert worker.largest == 2
    assert ids_of(list(first)) == list(range(1, 2000))


def test_requests_are_spread_over_the_workers_and_threads_end_with_the_work() -> None:
    workers = [Counting(), Counting()]
    steps = list(ContinuousBatching(workers).stream(opened(4), None))
    assert len(steps) == 20
    assert [worker.largest for worker in workers] == [2, 2]
    until(lambda: all(worker.cleared for worker in workers))
    until(lambda: not any(thread.name == "decoding" for thread in threading.enumerate()))


def test_what_one_request_raises_concerns_its_stream_only(worker: Counting) -> None:
    worker.bad = 7
    batching = ContinuousBatching([worker])
    worker.gate.clear()
    good, bad = batching.stream(opened(ids=50), None), batching.stream([*opened(seed=7), *opened()], None)
    heard: list[Exception] = []

    def follow() -> None:
        try:
            list(bad)
        except EngineError as error:
            heard.append(error)

    thread = threading.Thread(target=follow)
    thread.start()
    worker.gate.set()
    assert ids_of(list(good)) == list(range(50))
    thread.join(10)
    assert [str(error) for error in heard] == ["it is bad"]
    until(lambda: not worker.takes)


def test_a_worker_that_fails_fails_all_its_streams_and_serves_again(worker: Counting) -> None:
    batching = ContinuousBatching([worker])
    worker.fault = RuntimeError("no memory")
    with pytest.raises(RuntimeError, match="no memory"):
        list(batching.stream(opened(2), None))
    worker.fault = None
    assert len(list(batching.stream(opened(2), None))) == 10


def test_an_abandoned_stream_and_a_cancelled_one_leave_the_batch(worker: Counting) -> None:
    batching = ContinuousBatching([worker])
    abandoned = batching.stream(opened(ids=1_000_000), None)
    next(abandoned)
    abandoned.close()  # type: ignore[attr-defined]
    cancel = threading.Event()
    steps = []
    for step in batching.stream(opened(ids=1_000_000), cancel):
        steps.append(step)
        cancel.set()
    assert steps[-1].finish_reason == "cancelled"
    assert ids_of(steps[:-1]) == list(range(len(steps) - 1))
    until(lambda: not worker.takes)


def test_closing_ends_open_streams_with_an_error(worker: Counting) -> None:
    batching = ContinuousBatching([worker])
    stream = batching.stream(opened(ids=1_000_000), None)
    next(stream)
    batching.close()
    with pytest.raises(EngineError, match="closed while it decoded"):
        list(stream)
