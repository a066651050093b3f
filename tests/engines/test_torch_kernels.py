# ruff: noqa: E402  (the kernels cannot be imported without triton)
"""Every kernel does what plain torch does: in Triton's interpreter, or on the GPU of this machine."""

from __future__ import annotations

import pytest
import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# before 3.7 the interpreter cannot count with numpy 2.4
pytest.importorskip("triton", minversion=None if DEVICE.type == "cuda" else "3.7")

from midi_llm.engines import torch_ops, torch_product_kernel
from midi_llm.engines.torch_attend_kernel import attend, parts_of
from midi_llm.engines.torch_draw_kernel import draw
from midi_llm.engines.torch_drawing import Draws, Scores, draw_positions
from midi_llm.engines.torch_kernels import KernelOps, fits
from midi_llm.engines.torch_llama import Llama, from_transformers, gated, narrowed, normed
from midi_llm.engines.torch_matrix import Matrix, Scaled, Weights, linear, scaled
from midi_llm.engines.torch_ops import Cache, PlainOps, agrees
from midi_llm.engines.torch_product_kernel import product, shared_product

from .small_llama import distance, hidden_states, model_of

HALF = (
    torch.bfloat16 if DEVICE.type == "cuda" else torch.float16
)  # the interpreter's tl.dot takes bfloat16 for integers
WEIGHTS: tuple[Weights | None, ...] = (None, "int8", "fp8")


@pytest.fixture
def fewer_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter runs programs one after the other."""
    if DEVICE.type == "cpu":
        monkeypatch.setattr(torch_product_kernel, "_OUTPUTS", 64)
        monkeypatch.setattr(torch_product_kernel, "_SHARED_OUTPUTS", 64)
        monkeypatch.setattr(torch_ops, "_TRIED_LENGTHS", (300, 3))


def small_llama(dtype: torch.dtype = torch.float32, weights: Weights | None = None) -> Llama:
    llama = from_transformers(model_of("llama3", head_size=32).to(DEVICE, dtype))
    return llama if weights is None else narrowed(llama, weights)


def random(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(DEVICE, dtype)


def matrix(outputs: int, inputs: int, weights: Weights | None, dtype: torch.dtype) -> Matrix:
    made = random(outputs, inputs, dtype=dtype)
    return made if weights is None else scaled(made, weights)


def close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    tolerance = 1e-5 if found.dtype == torch.float32 else 0.02
    assert found.dtype == expected.dtype
    return float((found.float() - expected.float()).norm() / expected.float().norm()) < tolerance


@pytest.mark.parametrize("dtype", [torch.float32, HALF], ids=str)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_one_row_is_multiplied_as_in_torch(weights: Weights | None, dtype: torch.dtype) -> None:
    x, gain, outputs = random(1, 48, dtype=dtype), random(48, dtype=dtype), matrix(30, 48, weights, dtype)
    residual = random(1, 30, dtype=dtype)
    normal = normed(x, gain, 1e-5)
    assert close(product(x, outputs), linear(x, outputs))
    assert close(product(x, outputs, gain_D=gain, epsilon=1e-5), linear(normal, outputs))
    assert close(product(x, outputs, residual=residual), residual + linear(x, outputs))
    assert close(product(x, outputs, gain_D=gain, epsilon=1e-5, is_gated=True), gated(linear(normal, outputs)))


@pytest.mark.parametrize("dtype", [torch.float32, HALF], ids=str)
@pytest.mark.parametrize("weights", ["int8", "fp8"])
@pytest.mark.parametrize("rows", [2, 17, 70])
def test_rows_share_a_narrow_matrix(weights: Weights, dtype: torch.dtype, rows: int) -> None:
    x, outputs, residual = random(rows, 48, dtype=dtype), matrix(30, 48, weights, dtype), random(rows, 30, dtype=dtype)
    assert isinstance(outputs, Scaled)
    assert close(shared_product(x, outputs), linear(x, outputs))
    assert close(shared_product(x, outputs, residual=residual), residual + linear(x, outputs))


@pytest.mark.parametrize("lengths", [(0,), (700,), (130, 0, 1023, 512)], ids=len)
@pytest.mark.parametrize("positions", [128, 1024])
def test_attention_reads_and_writes_the_cache_as_in_torch(lengths: tuple[int, ...], positions: int) -> None:
    llama = small_llama()
    mixed, caches = [], []
    for way in (torch_ops.attend, attend):
        cache = Cache.empty(llama, len(lengths), positions)
        cache.keys.copy_(random(*cache.keys.shape))
        cache.values.copy_(random(*cache.values.shape))
        cache.lengths.copy_(torch.tensor(lengths).clamp(max=positions - 1))
        joined = random(len(lengths), 10 * 32)
        if way is attend:
            mixed.append(attend(joined, cache, 1, 6))
        else:
            seen = (cache.keys[1], cache.values[1], cache.lengths, cache.rotations)
            mixed.append(torch_ops.attend(joined, *seen, 6, positions))
        caches.append(cache)
    assert close(mixed[1], mixed[0])
    for name in ("keys", "values"):
        assert torch.allclose(getattr(caches[1], name), getattr(caches[0], name), atol=1e-5)
    assert not caches[1].arrived.any()  # ready for the next layer


def test_a_past_is_shared_out_in_powers_of_two() -> None:
    for pairs in (1, 3, 8, 12, 24, 100, 129, 512):
        for positions in (1, 128, 300, 2048, 8192):
            parts = parts_of(pairs, positions)
            assert parts.bit_count() == 1  # no block has another size
            assert parts == 1 or (parts * pairs <= 128 and parts * 128 < 2 * positions)


@pytest.mark.usefixtures("fewer_programs")
@pytest.mark.parametrize("starts", [(5,), (1, 140, 37, 5)], ids=len)
def test_a_step_of_kernels_is_the_step_of_transformers(starts: tuple[int, ...]) -> None:
    model = model_of("llama3", head_size=32).to(DEVICE)
    assert distance(model, KernelOps(), starts=starts, steps=2) < 2e-4


@pytest.mark.usefixtures("fewer_programs")
@pytest.mark.parametrize("weights", ["int8", "fp8"])
@pytest.mark.parametrize("starts", [(5,), (1, 140)], ids=len)
def test_a_step_of_kernels_is_the_plain_step_on_narrow_weights(weights: Weights, starts: tuple[int, ...]) -> None:
    llama = small_llama(weights=weights)
    plain, found = (hidden_states(llama, ops, starts=starts, steps=1) for ops in (PlainOps(), KernelOps()))
    assert float((found - plain).abs().max()) < 2e-4


@pytest.mark.usefixtures("fewer_programs")
def test_kernels_are_trusted_where_they_are_right() -> None:
    with torch.no_grad():
        assert agrees(KernelOps(), small_llama(HALF, "fp8"))


def test_sizes_that_kernels_cannot_hold_are_told() -> None:
    assert fits(small_llama())
    for head_size in (16, 48):
        assert not fits(from_transformers(model_of(head_size=head_size)))


@pytest.mark.parametrize("width", [1, 900, 10_001, 16_513])
def test_the_drawing_kernel_draws_what_plain_torch_draws(width: int) -> None:
    logits = (random(4, width) * 8).round() / 8
    ones, uniform = torch.ones((4, 1), device=DEVICE), torch.rand((4, 1), dtype=torch.float64).to(DEVICE)
    for temperature, top_p in ((0.0, 1.0), (1.0, 0.9), (0.5, 1.0)):
        how = Draws(temperature=ones * temperature, top_p=ones.double() * top_p, uniform=uniform)
        assert draw(Scores(logits=logits, start=0), how).tolist() == draw_positions(logits, how).tolist()
