"""vLLM's ids and back, over layouts anywhere in a vocabulary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi_llm.engines.rules import Layout
from midi_llm.engines.vllm_ids import VllmIds
from midi_llm.errors import EngineError
from midi_llm.tokens.rules import layout_numbers


def small(first_id: int, separator: int) -> Layout:
    return Layout(first_id=first_id, times=3, durations=2, instruments=2, pitches=2, separator=separator)


@given(st.integers(0, 30), st.integers(0, 9), st.integers(0, 9))
def test_every_id_has_one_place_and_those_of_the_layout_come_first(before: int, between: int, after: int) -> None:
    layout = small(before, before + 10 + between)
    vocab_size = layout.separator + 1 + after
    ids = VllmIds(vocab_size, layout)
    everything = list(range(vocab_size))
    assert sorted(ids.to_vllm(everything)) == everything
    assert ids.from_vllm(ids.to_vllm(everything)) == everything
    assert ids.from_vllm(range(layout.width + 1)) == [*range(before, before + layout.width), layout.separator]
    rules = ids.rules({"layout": {"first_id": before, "times": 3, "separator": layout.separator}, "max_tokens": 5})
    assert rules == {"layout": {"first_id": 0, "times": 3, "separator": 10}, "max_tokens": 5}


def test_without_a_layout_ids_and_rules_stay_as_they_are() -> None:
    ids = VllmIds(50, None)
    assert ids.to_vllm([3, 49]) == ids.from_vllm([3, 49]) == [3, 49]
    numbers = {"layout": {"first_id": 7}}
    assert ids.rules(numbers) is numbers


def test_arrays_are_ids_as_well() -> None:
    assert VllmIds(50, small(20, 40)).to_vllm(np.array([20, 40], np.int32)) == [0, 10]  # type: ignore[arg-type]


@pytest.mark.parametrize(("vocab_size", "separator"), [(29, 35), (36, 36), (60, 25), (60, 3)])
def test_a_layout_outside_of_the_vocabulary_is_refused(vocab_size: int, separator: int) -> None:
    with pytest.raises(EngineError, match=f"not inside a vocabulary of {vocab_size} ids"):
        VllmIds(vocab_size, small(20, separator))


def test_the_published_vocabulary_has_27_514_ids_to_draw() -> None:
    layout = Layout(**layout_numbers(128_256))
    assert layout.width + 1 == 27_514
    assert VllmIds(183_286, layout).to_vllm([0, 128_256, 128_256 + 55_025]) == [27_514, 0, 27_513]
