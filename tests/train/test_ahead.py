"""Batches made in a thread while others are trained on."""

import threading

import pytest

from midi_llm.train.ahead import Ahead


def test_each_step_is_made_once_in_order_and_begun_before_it_is_needed():
    made, begun = [], threading.Event()

    def make(step):
        made.append((step, threading.current_thread() is threading.main_thread()))
        if step == 4:
            begun.set()
        return step * 10

    with Ahead(make, first=3, stop=6) as steps:
        assert steps.take(3) == 30
        assert begun.wait(timeout=30), "the next one is made while the first is in use"
        assert [steps.take(4), steps.take(5)] == [40, 50]
    assert made == [(3, False), (4, False), (5, False)]


def test_nothing_is_made_beyond_the_end():
    with Ahead(pytest.fail, first=2, stop=2):
        pass


def test_what_goes_wrong_is_raised_where_it_is_needed():
    def make(step):
        raise OSError(f"no disk at step {step}")

    with pytest.raises(OSError, match="no disk at step 0"), Ahead(make, first=0, stop=1) as steps:
        steps.take(0)
