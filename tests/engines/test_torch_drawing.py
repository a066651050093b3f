"""Drawing on the device is the drawing of `sampling`: same logits, same uniform number, same id."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.engines.base import Allowed
from midi_llm.engines.sampling import position_at
from midi_llm.engines.torch_drawing import FAILED, Draws, Scores, draw_ids, draw_positions
from midi_llm.engines.torch_slices import extras, slices

CPU = torch.device("cpu")


def draws(rows: list[tuple[float, float, float]]) -> Draws:
    """Temperature, top-p and uniform number of each request."""
    temperature, top_p, uniform = (
        torch.tensor(column, dtype=torch.float64)[:, None] for column in zip(*rows, strict=True)
    )
    return Draws(temperature=temperature.float(), top_p=top_p, uniform=uniform)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    width=st.sampled_from([1, 2, 50, 1000, 3000]),
    spread=st.sampled_from([0.0, 1.0, 8.0]),
    rows=st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.3, 1.0, 2.0]),
            st.sampled_from([1e-9, 0.5, 0.98, 1.0]),
            st.floats(0.0, 1.0, exclude_max=True, allow_subnormal=False),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_positions_are_those_that_numpy_draws(
    seed: int, width: int, spread: float, rows: list[tuple[float, float, float]]
) -> None:
    rng = np.random.default_rng(seed)
    # eighths: many logits are equal, and no rounding of an exponential can move a bound
    logits = (np.round(rng.standard_normal((len(rows), width)) * spread * 8) / 8).astype(np.float32)
    logits[:, 1:][rng.random((len(rows), width - 1)) < 0.3] = -np.inf
    expected = [
        position_at(row.copy(), uniform, temperature=temperature, top_p=top_p)
        for row, (temperature, top_p, uniform) in zip(logits, rows, strict=True)
    ]
    assert draw_positions(torch.from_numpy(logits), draws(rows)).tolist() == expected


def test_ids_come_as_often_as_their_share_of_the_nucleus() -> None:
    count, temperature, top_p = 4000, 0.7, 0.8
    logits = np.random.default_rng(5).standard_normal(40)
    shares = np.exp(logits / temperature)
    shares /= shares.sum()
    order = np.argsort(-shares)
    kept = order[: int(np.searchsorted(shares[order].cumsum(), top_p)) + 1]
    expected = np.zeros(40)
    expected[kept] = shares[kept] / shares[kept].sum()
    even = [(temperature, top_p, (number + 0.5) / count) for number in range(count)]
    found = draw_positions(torch.from_numpy(logits).float().expand(count, -1), draws(even))
    frequencies = np.bincount(found.numpy(), minlength=40)
    assert np.abs(frequencies - count * expected).max() <= 1.0


def test_a_row_without_a_finite_logit_fails_alone() -> None:
    logits = torch.zeros(4, 3)
    logits[0], logits[1, 2], logits[2, 0] = -torch.inf, torch.nan, torch.inf
    for draw in (lambda one: draw_ids(Scores(logits=logits, start=0), one), lambda one: draw_positions(logits, one)):
        for temperature in (0.0, 1.0):
            assert draw(draws([(temperature, 0.9, 0.0)] * 4)).tolist() == [FAILED, FAILED, FAILED, 0]


def test_ids_are_counted_from_the_start_and_extra_ids_stand_behind() -> None:
    scores = Scores(
        logits=torch.tensor([[3.0, 1.0], [0.0, 1.0], [0.0, 9.0]]),
        start=100,
        legal=torch.tensor([[True, True], [True, True], [True, False]]),
        extra_logits=torch.tensor([[-torch.inf, 2.0], [4.0, 2.0], [-torch.inf, -1.0]]),
        extra_ids=torch.tensor([7, 8]),
    )
    assert draw_ids(scores, draws([(0.0, 1.0, 0.0)] * 3)).tolist() == [100, 7, 100]


def test_ranges_that_overlap_share_a_slice_and_others_do_not() -> None:
    allowed = [Allowed(start=10, stop=20), Allowed(start=30, stop=40), Allowed(start=15, stop=25)]
    allowed += [Allowed(start=25, stop=30), Allowed(start=5, stop=5, extra=(9,)), Allowed(start=5, stop=5, extra=(9,))]
    assert [(part.members, part.start, part.stop) for part in slices(allowed)] == [
        ([4, 5], 5, 5),
        ([0, 2], 10, 25),
        ([3], 25, 30),
        ([1], 30, 40),
    ]


@pytest.mark.parametrize("masked", [False, True])
def test_what_is_legal_follows_bounds_and_masks(masked: bool) -> None:
    mask = np.array([True, False, True]) if masked else None
    allowed = [Allowed(start=12, stop=15, mask=mask), Allowed(start=10, stop=13)]
    (part,) = slices(allowed)
    legal = part.legal(allowed, CPU)
    assert legal is not None
    middle = not masked
    assert legal.tolist() == [[False, False, True, middle, True], [True, True, True, False, False]]
    (alike,) = slices([allowed[1], allowed[1]])
    assert alike.legal([allowed[1], allowed[1]], CPU) is None


def test_extra_ids_are_gathered_and_told_apart() -> None:
    both, none = Allowed(start=0, stop=1, extra=(7, 8)), Allowed(start=0, stop=1)
    assert extras([none, none]) == ((), None)
    assert extras([both, both]) == ((7, 8), None)
    ids, mine = extras([Allowed(start=0, stop=1, extra=(8,)), none, both])
    assert mine is not None
    assert [{token_id for token_id, has in zip(ids, row, strict=True) if has} for row in mine] == [{8}, set(), {7, 8}]
