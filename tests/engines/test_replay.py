"""ReplayEngine: what it does beyond the contract of every engine."""

from __future__ import annotations

import pytest

from midi_llm.engines.base import Request, SamplingParams, generate
from midi_llm.engines.replay import ReplayEngine
from midi_llm.errors import EngineError

from .conftest import TEXT_ROWS, VOCAB_SIZE, SlotCycle

TRIPLET = [5 + TEXT_ROWS, 10_050 + TEXT_ROWS, 11_060 + TEXT_ROWS]


def test_recordings_belong_to_request_numbers_and_end_with_length() -> None:
    engine = ReplayEngine([TRIPLET, [1, 2]], vocab_size=VOCAB_SIZE)
    first, second = generate(engine, [Request(prompt_ids=[0], constraint=SlotCycle()), Request(prompt_ids=[0])])
    assert (first.token_ids, first.finish_reason) == (TRIPLET, "length")
    assert (second.token_ids, second.finish_reason) == ([1, 2], "length")


def test_a_recording_is_cut_at_the_budget() -> None:
    request = Request(prompt_ids=[0], params=SamplingParams(max_tokens=2))
    assert generate(ReplayEngine([TRIPLET], vocab_size=VOCAB_SIZE), [request])[0].token_ids == TRIPLET[:2]


def test_a_function_may_make_the_recording_from_the_request() -> None:
    engine = ReplayEngine(lambda index, request: [index, request.params.seed], vocab_size=VOCAB_SIZE)
    requests = [Request(prompt_ids=[0], params=SamplingParams(seed=seed, max_tokens=5)) for seed in (7, 8)]
    assert [completion.token_ids for completion in generate(engine, requests)] == [[0, 7], [1, 8]]


def test_an_id_that_the_constraint_does_not_allow_is_an_engine_error() -> None:
    engine = ReplayEngine([[TRIPLET[0], TRIPLET[0]]], vocab_size=VOCAB_SIZE)
    with pytest.raises(EngineError, match="request 0 has id 325 where it is not allowed"):
        generate(engine, [Request(prompt_ids=[0], constraint=SlotCycle())])


def test_an_id_outside_the_vocabulary_is_an_engine_error() -> None:
    with pytest.raises(EngineError, match="id 10 where"):
        generate(ReplayEngine([[10]], vocab_size=10), [Request(prompt_ids=[0])])


def test_a_request_without_a_recording_is_an_engine_error() -> None:
    with pytest.raises(EngineError, match="request 1 has no recording; there are 1"):
        generate(ReplayEngine([[1]], vocab_size=10), [Request(prompt_ids=[0])] * 2)
