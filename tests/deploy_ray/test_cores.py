"""Replicas of one machine take different cores, and leave them."""

from __future__ import annotations

import os
import threading

import pytest

from deploy.cores import Cores
from midi_llm.errors import EngineError

USABLE = sorted(os.sched_getaffinity(0))
needs_two = pytest.mark.skipif(len(USABLE) < 2, reason="there is one core")


@needs_two
def test_two_take_different_cores_and_a_core_that_is_left_is_taken_again() -> None:
    with Cores(1) as first, Cores(1) as second:
        assert {*first.numbers} | {*second.numbers} <= {*USABLE}
        assert not {*first.numbers} & {*second.numbers}
        first.close()
        with Cores(1) as third:
            assert third.numbers == first.numbers


def test_where_all_cores_are_taken_they_are_shared_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with Cores(len(USABLE)), Cores(1) as another:
        assert another.numbers == USABLE[:1]
    assert "are shared with other replicas" in caplog.text


def test_more_cores_than_there_are_are_refused() -> None:
    with pytest.raises(EngineError, match=f"to have {len(USABLE) + 1} cores, and this machine has {len(USABLE)}"):
        Cores(len(USABLE) + 1)


def test_the_thread_that_is_pinned_and_those_it_starts_keep_to_the_cores() -> None:
    found: list[set[int]] = []

    def work() -> None:
        cores.pin()
        inner = threading.Thread(target=lambda: found.append(os.sched_getaffinity(0)))
        inner.start()
        inner.join()

    with Cores(1) as cores:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert found == [{*cores.numbers}]
    assert os.sched_getaffinity(0) == {*USABLE}
