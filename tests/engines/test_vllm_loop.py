"""The step loop over a stand-in for vLLM that counts its steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from midi_llm.engines.vllm_loop import StepLoop
from midi_llm.errors import EngineError


class Counting:
    """Draws 0, 1, 2, … for each request, all of them in each step, which lasts until `may_go` is set."""

    def __init__(self, *, tokens: int = 1000) -> None:
        self.tokens = tokens
        self.requests: dict[str, int] = {}
        self.batches: list[set[str]] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self.steps_at: dict[str, int] = {}
        self.error: Exception | None = None
        self.is_busy = False
        self.is_held = False

    def add_request(self, name: str, prompt: dict[str, Any], sampling: object) -> None:
        assert not self.is_busy
        if not prompt["prompt_token_ids"]:
            raise ValueError("empty")
        self.requests[name] = 0
        self.steps_at[name] = len(self.batches)

    def abort_request(self, names: list[str]) -> None:
        assert not self.is_busy
        for name in names:
            self.requests.pop(name, None)

    def has_unfinished_requests(self) -> bool:
        return bool(self.requests)

    def step(self) -> list[Any]:
        assert not self.is_busy
        self.is_busy = True
        self.batches.append(set(self.requests))
        self._wait()
        if self.error is not None:
            self.is_busy = False
            raise self.error
        outputs = []
        for name, count in list(self.requests.items()):
            self.requests[name] = count + 1
            is_over = count + 1 == self.tokens
            part = SimpleNamespace(token_ids=[count])
            outputs.append(SimpleNamespace(request_id=name, outputs=[part], finished=is_over))
            if is_over:
                del self.requests[name]
        self.is_busy = False
        return outputs

    def _wait(self) -> None:
        for _ in range(1000):
            if self.may_go.wait(0.01):
                self.is_held = False
                return
            self.is_held = True
        raise AssertionError("the step was never let go")


def decode(loop: StepLoop, name: str, count: int) -> list[int]:
    ids: list[int] = []
    while len(ids) < count:
        for arrival in loop.arrivals([name]):
            ids += arrival.token_ids
    return ids


def wait_until(is_so: Callable[[], bool]) -> None:
    for _ in range(5000):
        if is_so():
            return
        time.sleep(0.001)
    raise AssertionError("it never came to that")


def test_whoever_waits_steps_for_all_and_nothing_is_lost() -> None:
    engine = Counting()
    loop = StepLoop(engine)
    loop.add("a", [1], None)
    loop.add("b", [1], None)
    assert decode(loop, "a", 5) == [0, 1, 2, 3, 4]
    assert len(engine.batches) == 5
    (arrival,) = loop.arrivals(["b"])
    assert (arrival.token_ids, arrival.is_over) == ([0, 1, 2, 3, 4], False)
    assert len(engine.batches) == 5
    loop.drop(["a", "b"])
    assert not engine.requests


def test_many_threads_are_batched_and_a_late_one_waits_for_one_step_at_most() -> None:
    engine = Counting(tokens=10**9)
    loop = StepLoop(engine)
    found: dict[str, list[int]] = {}
    late_are_done = threading.Event()

    def run(name: str, count: int) -> None:
        loop.add(name, [1], None)
        ids = decode(loop, name, count)
        while name.startswith("early") and not late_are_done.is_set():
            ids += decode(loop, name, 1)
        found[name] = ids
        loop.drop([name])

    early = [threading.Thread(target=run, args=(f"early {number}", 10)) for number in range(6)]
    for thread in early:
        thread.start()
    wait_until(lambda: len(engine.requests) == 6)
    engine.may_go.clear()
    wait_until(lambda: engine.is_held)
    late = [threading.Thread(target=run, args=(f"late {number}", 20)) for number in range(6)]
    for thread in late:
        thread.start()
    wait_until(lambda: loop._entering == 6)
    steps = len(engine.batches)
    engine.may_go.set()
    for thread in late:
        thread.join(10)
    late_are_done.set()
    for thread in early:
        thread.join(10)
    assert len(found) == 12
    assert all(ids == list(range(len(ids))) for ids in found.values())
    assert {engine.steps_at[f"late {number}"] for number in range(6)} <= {steps, steps + 1}
    assert max(len(batch) for batch in engine.batches) == 12


def test_a_dropped_request_leaves_at_once_or_after_the_step_under_way() -> None:
    engine = Counting()
    loop = StepLoop(engine)
    loop.add("a", [1], None)
    loop.add("b", [1], None)
    loop.drop(["b"])
    assert set(engine.requests) == {"a"}
    engine.may_go.clear()
    stepping = threading.Thread(target=lambda: decode(loop, "a", 1))
    stepping.start()
    wait_until(lambda: engine.is_busy)
    dropping = threading.Thread(target=lambda: loop.drop(["a"]))
    dropping.start()
    wait_until(lambda: loop._entering == 1)
    assert set(engine.requests) == {"a"}
    engine.may_go.set()
    dropping.join(5)
    assert not engine.requests


def test_a_request_that_vllm_lost_ends_in_an_error_and_not_in_an_endless_loop() -> None:
    engine = Counting()
    loop = StepLoop(engine)
    loop.add("a", [1], None)
    engine.requests.clear()
    with pytest.raises(EngineError, match="dropped a request that was not finished"):
        loop.arrivals(["a"])


def test_what_vllm_says_of_a_failed_step_is_one_line_and_the_others_hear_it_too() -> None:
    engine = Counting()
    loop = StepLoop(engine)
    loop.add("a", [1], None)
    loop.add("b", [1], None)
    engine.error = RuntimeError("CUDA out of memory.\nTried to allocate")
    for name in ("a", "b"):
        with pytest.raises(EngineError, match=r"vLLM failed while decoding \(CUDA out of memory.\); open"):
            loop.arrivals([name])
    with pytest.raises(ValueError, match="empty"):
        loop.add("c", [], None)
    loop.drop(["a", "b"])
