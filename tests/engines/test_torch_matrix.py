"""Matrices in 8 bits: what is stored, how near it is, and that products use it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.engines.torch_llama import from_transformers, narrowed
from midi_llm.engines.torch_matrix import FORMATS, Scaled, Weights, linear, scaled

from .small_llama import model_of

BOTH: tuple[Weights, ...] = ("int8", "fp8")
STEPS = {"int8": (0.5 / 127, 0.0), "fp8": (2.0**-10 / 448, 2.0**-4)}
"""Most that rounding moves a number: as a share of its row's largest, and of the number itself (three bits)."""


@settings(max_examples=60, deadline=None)
@given(
    weights=st.sampled_from(BOTH),
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 33)),
    exponent=st.integers(-12, 12),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
)
def test_rounding_is_bounded_by_the_format(
    weights: Weights, seed: int, shape: tuple[int, int], exponent: int, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = (torch.randn(shape, generator=generator) * 2.0**exponent).to(dtype).float()
    matrix = scaled(weight.to(dtype), weights)
    largest = weight.abs().amax(dim=1, keepdim=True)
    of_row, of_number = STEPS[weights]
    bound = torch.maximum(of_row * largest, of_number * weight.abs()) * 1.001
    assert bool(((matrix.widened() - weight).abs() <= bound).all())
    assert matrix.values.dtype is FORMATS[weights][0]
    again = scaled(matrix.widened(), weights)
    assert torch.equal(again.values.float(), matrix.values.float())


@pytest.mark.parametrize("weights", BOTH)
def test_every_number_of_the_format_comes_back(weights: Weights) -> None:
    kind, largest = FORMATS[weights]
    numbers = torch.arange(256, dtype=torch.uint8).view(kind).float()
    numbers = numbers[numbers.isfinite() & (numbers.abs() <= largest)][None]
    matrix = scaled(numbers * 0.25, weights)
    assert torch.equal(matrix.widened(), numbers * 0.25)


@pytest.mark.parametrize("weights", BOTH)
def test_a_row_of_zeros_stays_one(weights: Weights) -> None:
    assert torch.equal(scaled(torch.zeros(2, 3), weights).widened(), torch.zeros(2, 3))


@pytest.mark.parametrize("weights", BOTH)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_product_is_that_with_what_the_matrix_stands_for(weights: Weights, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = scaled(torch.randn(12, 40, generator=generator), weights)
    x = torch.randn(3, 40, generator=generator).to(dtype)
    found, expected = linear(x, matrix), x.float() @ matrix.widened().T
    assert found.dtype is dtype
    assert torch.allclose(found.float(), expected, rtol=1e-5 if dtype is torch.float32 else 2e-2, atol=1e-4)
    for rows in (slice(3, 7), torch.tensor([5, 0])):
        part = matrix[rows]
        assert len(part) == len(matrix.widened()[rows])
        assert torch.equal(part.widened(), matrix.widened()[rows])


def test_all_matrices_are_narrowed_and_nothing_else() -> None:
    llama = from_transformers(model_of())
    narrow = narrowed(llama, "int8")
    assert isinstance(narrow.head, Scaled)
    assert narrow.table is llama.table
    for layer, wide in zip(narrow.layers, llama.layers, strict=True):
        assert all(isinstance(one, Scaled) for one in (layer.joined, layer.output, layer.gate_up, layer.down))
        assert layer.attention_gain is wide.attention_gain
