"""Sampling: the fast nucleus against a sorted reference, greedy, guards, and what a seed fixes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.engines.base import Allowed, SamplingParams
from midi_llm.engines.sampling import draw, draw_position, generator, integer_weights, nucleus
from midi_llm.errors import EngineError, RequestError

INF = float("inf")


def sorted_nucleus(weights: np.ndarray, top_p: float) -> np.ndarray:
    """The definition: most probable first (ties: lower position first) until the share is reached."""
    values = [int(weight) for weight in weights]
    target = min(max(1, math.ceil(top_p * sum(values))), sum(values))
    kept, share = np.zeros(len(values), dtype=bool), 0
    for position in sorted(range(len(values)), key=lambda position: (-values[position], position)):
        kept[position] = True
        share += values[position]
        if share >= target:
            break
    return kept


@settings(max_examples=60, deadline=None)
@given(
    size=st.sampled_from([1, 2, 7, 300, 1024, 1025, 4000]),
    spread=st.sampled_from([0.0, 0.01, 1.0, 4.0, 30.0]),
    grid=st.booleans(),
    masked=st.sampled_from([0.0, 0.5, 0.99]),
    top_p=st.sampled_from([1e-6, 0.1, 0.5, 0.9, 0.98, 0.999999]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_nucleus_equals_the_sorted_definition(
    size: int, spread: float, grid: bool, masked: float, top_p: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    logits = (rng.standard_normal(size) * spread).astype(np.float32)
    if grid:
        logits = np.round(logits)  # many ties
    logits[1:][rng.random(size - 1) < masked] = -np.inf
    weights = integer_weights(logits, 1.0)
    assert np.array_equal(nucleus(weights, top_p), sorted_nucleus(weights, top_p))


def test_draws_follow_the_softmax_distribution() -> None:
    logits = np.log(np.array([0.5, 0.25, 0.2, 0.05], dtype=np.float32))
    rng = generator(7)
    params = SamplingParams(temperature=1.0, top_p=1.0)
    counts = np.bincount([draw_position(logits, params, rng) for _ in range(2000)], minlength=4)
    assert np.abs(counts / 2000 - [0.5, 0.25, 0.2, 0.05]).max() < 0.05  # 4.5 standard deviations


def test_top_p_renormalises_what_it_keeps_and_drops_the_rest() -> None:
    logits = np.log(np.array([0.5, 0.25, 0.2, 0.05], dtype=np.float32))
    rng = generator(3)
    params = SamplingParams(temperature=1.0, top_p=0.7)
    counts = np.bincount([draw_position(logits, params, rng) for _ in range(2000)], minlength=4)
    assert counts[2:].sum() == 0
    assert abs(counts[0] / 2000 - 2 / 3) < 0.05


def test_a_low_temperature_sharpens_and_zero_is_greedy() -> None:
    logits = np.array([0.0, 1.0, 0.9], dtype=np.float32)
    cold = SamplingParams(temperature=1e-30, top_p=1.0)
    greedy = SamplingParams(temperature=0.0)
    assert {draw_position(logits, cold, generator(seed)) for seed in range(20)} == {1}
    assert draw_position(logits, greedy, generator(0)) == 1


def test_greedy_takes_the_first_of_equals() -> None:
    assert draw_position(np.zeros(9, np.float32), SamplingParams(temperature=0.0), generator(0)) == 0


def test_one_sampled_id_costs_one_number_of_the_stream_whatever_the_logits() -> None:
    short, long = generator(5), generator(5)
    draw_position(np.zeros(3, np.float32), SamplingParams(), short)
    draw_position(np.zeros(16_513, np.float32), SamplingParams(top_p=0.5), long)
    assert short.random() == long.random()


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), temperature=st.sampled_from([0.0, 0.2, 1.0, 10.0]))
def test_only_allowed_ids_are_drawn_and_the_same_seed_repeats(seed: int, temperature: float) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random(50) < 0.1
    allowed = Allowed(start=1000, stop=1050, mask=mask, extra=(7, 9))
    logits, extra = rng.standard_normal(50).astype(np.float32), rng.standard_normal(2).astype(np.float32)
    params = SamplingParams(temperature=temperature)
    token_id = draw(allowed, logits, extra, params, generator(seed))
    assert token_id in {7, 9} | set((np.flatnonzero(mask) + 1000).tolist())
    assert token_id == draw(allowed, logits, extra, params, generator(seed))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.01, 0.1, 0.24, 0.26, 0.9]), top_p=st.floats(0.1, 1.0))
def test_a_mask_draws_as_logits_of_minus_infinity_do(seed: int, share: float, top_p: float) -> None:
    rng = np.random.default_rng(seed)
    mask, logits = rng.random(3000) < share, rng.standard_normal(3000).astype(np.float32).round(1)  # with ties
    params, extra = SamplingParams(top_p=top_p), np.array([2.5], np.float32)
    masked = np.where(mask, logits, np.float32(-INF))
    for few, extra_logits in (((), None), ((9000,), extra)):
        allowed = Allowed(start=50, stop=3050, mask=mask, extra=few)
        plain = Allowed(start=50, stop=3050, extra=few)
        expected = draw(plain, masked, extra_logits, params, generator(seed))
        assert draw(allowed, logits, extra_logits, params, generator(seed)) == expected


def test_extra_ids_alone_can_be_all_that_is_allowed() -> None:
    allowed = Allowed(start=5, stop=5, extra=(42,))
    assert draw(allowed, np.zeros(0, np.float32), np.zeros(1, np.float32), SamplingParams(), generator(0)) == 42


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize(
    ("logits", "found"),
    [
        ([-INF, -INF], "excluded by the mask"),
        ([0.0, math.nan], "not a number"),
        ([0.0, INF], "infinite"),
        ([], "no id is allowed"),
    ],
)
def test_logits_without_a_choice_are_an_engine_error(logits: list[float], found: str, temperature: float) -> None:
    with pytest.raises(EngineError, match=found):
        draw_position(np.array(logits, np.float32), SamplingParams(temperature=temperature), generator(0))


def test_a_logit_count_that_does_not_fit_the_slice_is_an_engine_error() -> None:
    with pytest.raises(EngineError, match="3 logits"):
        draw(Allowed(start=0, stop=4), np.zeros(3, np.float32), None, SamplingParams(), generator(0))


def test_a_negative_seed_is_a_request_error() -> None:
    with pytest.raises(RequestError, match="seed is -1"):
        generator(-1)
