"""The decoding step of `torch_ops` in Triton kernels: one row waits for weights, and for the gaps between kernels.

Six kernels a layer: norm, queries, keys and values in one; rotation, cache and attention over parts of the past in one,
and one that joins the parts (flash-decoding, Dao et al. 2023); each product with its residual; norm, gate, up and their
product in one. Accumulation is in float32. More rows than one take torch's matrix products, which use tensor cores.
Attention reads only what is cached, so a graph of a step holds for all lengths.

Shapes: those of `torch_ops`; G query heads share a key head, S parts of the past.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional

from midi_llm.engines.torch_draw_kernel import MOST_POSITIONS, draw
from midi_llm.engines.torch_drawing import Draws, Scores, draw_ids
from midi_llm.engines.torch_llama import Llama, gated, normed
from midi_llm.engines.torch_ops import Cache

_OUTPUTS = 4  # of a matrix, for each program
_INPUTS = 2048  # for each turn: enough reads are under way at once
_WARPS = 8
_POSITIONS = 128  # of the past, for each turn of an attention program
_PROGRAMS = 128  # attention programs that fill a device
_GROUP = 16  # the least number of rows of a tensor core product


@triton.jit
def _product(
    x_ptr: tl.tensor, gain_ptr: tl.tensor, weight_ptr: tl.tensor, residual_ptr: tl.tensor, y_ptr: tl.tensor,
    outputs: tl.tensor, epsilon: tl.tensor,
    SIZE: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    NORM: tl.constexpr, GATED: tl.constexpr, RESIDUAL: tl.constexpr, EARLY: tl.constexpr,
) -> None:  # fmt: skip
    """Y [outputs] = weight [outputs, SIZE] times x [SIZE]; gated: gate rows, then as many up rows."""
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
    n_N = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    fits_N1 = (n_N < outputs)[:, None]
    acc_NK = tl.zeros((BLOCK_N, BLOCK_K), tl.float32)
    up_NK = tl.zeros((BLOCK_N, BLOCK_K), tl.float32)
    squares_K = tl.zeros((BLOCK_K,), tl.float32)
    for start in tl.static_range(0, SIZE, BLOCK_K):
        k_K = start + tl.arange(0, BLOCK_K)
        at_NK = n_N[:, None].to(tl.int64) * SIZE + k_K[None, :]
        gate_NK = tl.load(weight_ptr + at_NK, mask=fits_N1, other=0.0, eviction_policy="evict_first")
        if GATED:
            second_ptr = weight_ptr + outputs.to(tl.int64) * SIZE
            second_NK = tl.load(second_ptr + at_NK, mask=fits_N1, other=0.0, eviction_policy="evict_first")
        if EARLY and start == 0:
            tl.extra.cuda.gdc_wait()
        x_K = tl.load(x_ptr + k_K, eviction_policy="evict_last").to(tl.float32)
        if NORM:
            squares_K += x_K * x_K
            x_K *= tl.load(gain_ptr + k_K, eviction_policy="evict_last").to(tl.float32)
        acc_NK += gate_NK.to(tl.float32) * x_K[None, :]
        if GATED:
            up_NK += second_NK.to(tl.float32) * x_K[None, :]
    y_N = tl.sum(acc_NK, axis=1)
    scale = 1.0
    if NORM:
        scale = tl.rsqrt(tl.sum(squares_K) / SIZE + epsilon)
        y_N *= scale
    if GATED:
        y_N = y_N * tl.sigmoid(y_N) * (tl.sum(up_NK, axis=1) * scale)
    if RESIDUAL:
        y_N += tl.load(residual_ptr + n_N, mask=n_N < outputs, other=0.0).to(tl.float32)
    tl.store(y_ptr + n_N, y_N.to(y_ptr.dtype.element_ty), mask=n_N < outputs)


@triton.jit
def _attend(
    joined_ptr: tl.tensor, keys_ptr: tl.tensor, values_ptr: tl.tensor, lengths_ptr: tl.tensor,
    rotations_ptr: tl.tensor, parts_ptr: tl.tensor, sums_ptr: tl.tensor, positions: tl.tensor, scale: tl.tensor,
    HEADS: tl.constexpr, KEY_HEADS: tl.constexpr, HALF: tl.constexpr, PARTS: tl.constexpr,
    BLOCK_P: tl.constexpr, GROUP: tl.constexpr, EARLY: tl.constexpr,
) -> None:  # fmt: skip
    """One row, key head and part: attention of its query heads; part 0 also writes and sees the new key and value."""
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    row, head, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    group: tl.constexpr = HEADS // KEY_HEADS
    size: tl.constexpr = 2 * HALF
    length = tl.load(lengths_ptr + row).to(tl.int32)
    half_E = tl.arange(0, HALF)
    cosines_E = tl.load(rotations_ptr + length * HALF + half_E)
    sines_E = tl.load(rotations_ptr + (positions + length) * HALF + half_E)
    joined_ptr += row * (HEADS + 2 * KEY_HEADS) * size
    query_G = tl.arange(0, GROUP)
    at_GE = (head * group + query_G)[:, None] * size + half_E[None, :]
    first_GE = tl.load(joined_ptr + at_GE, mask=query_G[:, None] < group, other=0.0).to(tl.float32)
    second_GE = tl.load(joined_ptr + at_GE + HALF, mask=query_G[:, None] < group, other=0.0).to(tl.float32)
    low_GE = (first_GE * cosines_E - second_GE * sines_E) * scale
    high_GE = (second_GE * cosines_E + first_GE * sines_E) * scale
    base = (row * KEY_HEADS + head).to(tl.int64) * positions * size
    e_E = tl.arange(0, size)

    most_G = tl.full((GROUP,), float("-inf"), tl.float32)
    total_G = tl.zeros((GROUP,), tl.float32)
    mixed_GE = tl.zeros((GROUP, size), tl.float32)
    if part == 0:
        new_key_ptr = joined_ptr + (HEADS + head) * size
        first_E = tl.load(new_key_ptr + half_E).to(tl.float32)
        second_E = tl.load(new_key_ptr + HALF + half_E).to(tl.float32)
        new_low_E = first_E * cosines_E - second_E * sines_E
        new_high_E = second_E * cosines_E + first_E * sines_E
        at_new = base + length * size
        tl.store(keys_ptr + at_new + half_E, new_low_E.to(keys_ptr.dtype.element_ty))
        tl.store(keys_ptr + at_new + HALF + half_E, new_high_E.to(keys_ptr.dtype.element_ty))
        new_value_E = tl.load(joined_ptr + (HEADS + KEY_HEADS + head) * size + e_E)
        tl.store(values_ptr + at_new + e_E, new_value_E)
        most_G = tl.sum(low_GE * new_low_E[None, :], axis=1) + tl.sum(high_GE * new_high_E[None, :], axis=1)
        total_G += 1.0
        mixed_GE += new_value_E.to(tl.float32)[None, :]

    kind = keys_ptr.dtype.element_ty
    low_GE, high_GE = low_GE.to(kind), high_GE.to(kind)
    for start in range(part * BLOCK_P, length, PARTS * BLOCK_P):
        p_P = start + tl.arange(0, BLOCK_P)
        cached_P = p_P < length
        at_EP = base + p_P[None, :] * size + half_E[:, None]
        low_EP = tl.load(keys_ptr + at_EP, mask=cached_P[None, :], other=0.0)
        high_EP = tl.load(keys_ptr + at_EP + HALF, mask=cached_P[None, :], other=0.0)
        score_GP = tl.dot(low_GE, low_EP, input_precision="ieee")
        score_GP = tl.dot(high_GE, high_EP, score_GP, input_precision="ieee")
        score_GP = tl.where(cached_P[None, :], score_GP, float("-inf"))
        higher_G = tl.maximum(most_G, tl.max(score_GP, axis=1))
        weight_GP = tl.exp(score_GP - higher_G[:, None])
        shrink_G = tl.exp(most_G - higher_G)
        value_PE = tl.load(values_ptr + base + p_P[:, None] * size + e_E[None, :], mask=cached_P[:, None], other=0.0)
        mixed_GE = tl.dot(weight_GP.to(kind), value_PE, mixed_GE * shrink_G[:, None], input_precision="ieee")
        total_G = total_G * shrink_G + tl.sum(weight_GP, axis=1)
        most_G = higher_G

    at_G = (row * HEADS + head * group + query_G) * PARTS + part
    mine_G = query_G < group
    if PARTS == 1:
        mixed_GE /= total_G[:, None]
    else:
        tl.store(sums_ptr + at_G * 2, most_G, mask=mine_G)
        tl.store(sums_ptr + at_G * 2 + 1, total_G, mask=mine_G)
    tl.store(
        parts_ptr + at_G[:, None] * size + e_E[None, :], mixed_GE.to(parts_ptr.dtype.element_ty), mask=mine_G[:, None]
    )


@triton.jit
def _join(
    parts_ptr: tl.tensor, sums_ptr: tl.tensor, mixed_ptr: tl.tensor,
    SIZE: tl.constexpr, PARTS: tl.constexpr, EARLY: tl.constexpr,
) -> None:  # fmt: skip
    """Join the parts of one row and query head; a part that saw nothing has the weight 0."""
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    pair = tl.program_id(0)
    part_S, e_E = tl.arange(0, PARTS), tl.arange(0, SIZE)
    most_S = tl.load(sums_ptr + (pair * PARTS + part_S) * 2)
    total_S = tl.load(sums_ptr + (pair * PARTS + part_S) * 2 + 1)
    share_S = tl.exp(most_S - tl.max(most_S, axis=0))
    parts_SE = tl.load(parts_ptr + (pair * PARTS + part_S)[:, None] * SIZE + e_E[None, :])
    mixed_E = tl.sum(parts_SE * share_S[:, None], axis=0) / tl.sum(total_S * share_S, axis=0)
    tl.store(mixed_ptr + pair * SIZE + e_E, mixed_E.to(mixed_ptr.dtype.element_ty))


class KernelOps:
    """`torch_ops.Ops` on a CUDA device, for models that it `fits`."""

    bounded = True

    def __init__(self, *, early: bool = False) -> None:
        self._early = early

    def layer(self, llama: Llama, number: int, x_BD: Tensor, cache: Cache, limit: int) -> Tensor:
        """See `torch_ops.Ops`; `limit` is not needed."""
        layer, rows = llama.layers[number], len(x_BD)
        if rows > 1:
            joined_BN = functional.linear(normed(x_BD, layer.attention_gain, llama.epsilon), layer.joined)
            mixed_BN = attend(
                joined_BN, cache.keys[number], cache.values[number], cache, llama.heads, early=self._early
            )
            x_BD = torch.addmm(x_BD, mixed_BN, layer.output.T)
            joined_BF = functional.linear(normed(x_BD, layer.inner_gain, llama.epsilon), layer.gate_up)
            return torch.addmm(x_BD, gated(joined_BF), layer.down.T)
        joined_BN = product(x_BD, layer.joined, gain_D=layer.attention_gain, epsilon=llama.epsilon, early=self._early)
        mixed_BN = attend(joined_BN, cache.keys[number], cache.values[number], cache, llama.heads, early=self._early)
        x_BD = product(mixed_BN, layer.output, residual=x_BD, early=self._early)
        inner_BF = product(
            x_BD, layer.gate_up, gain_D=layer.inner_gain, epsilon=llama.epsilon, is_gated=True, early=self._early
        )
        return product(inner_BF, layer.down, residual=x_BD, early=self._early)

    def draw(self, scores: Scores, draws: Draws) -> Tensor:
        """See `torch_ops.Ops`."""
        extra = 0 if scores.extra_logits is None else scores.extra_logits.shape[1]
        fits_kernel = scores.logits.shape[1] + extra <= MOST_POSITIONS
        return draw(scores, draws) if fits_kernel else draw_ids(scores, draws)


def fits(llama: Llama) -> bool:
    """Whether the kernels serve this model: they hold a head in a power of two, which a tensor core can multiply."""
    return llama.head_size >= 32 and llama.head_size.bit_count() == 1


def product(
    x_1D: Tensor,
    weight: Tensor,
    *,
    gain_D: Tensor | None = None,
    epsilon: float = 0.0,
    residual: Tensor | None = None,
    is_gated: bool = False,
    early: bool = False,
) -> Tensor:
    """`weight` [outputs, D] times one row `x` [1, D]: normed before, gated or added to after; [1, outputs]."""
    size = x_1D.shape[1]
    outputs = len(weight) // (1 + is_gated)
    y = x_1D.new_empty((1, outputs))
    _product[(triton.cdiv(outputs, _OUTPUTS),)](
        x_1D, x_1D if gain_D is None else gain_D, weight, x_1D if residual is None else residual, y, outputs, epsilon,
        SIZE=size, BLOCK_N=_OUTPUTS, BLOCK_K=min(_INPUTS, size & -size),
        NORM=gain_D is not None, GATED=is_gated, RESIDUAL=residual is not None, EARLY=early,
        num_warps=_WARPS, **_launch(early),
    )  # fmt: skip
    return y


def attend(
    joined_BN: Tensor, keys_BHPE: Tensor, values_BHPE: Tensor, cache: Cache, heads: int, *, early: bool = False
) -> Tensor:
    """As `torch_ops.attend`, whatever the lengths are."""
    rows, key_heads, positions, size = keys_BHPE.shape
    parts = max(1, min(_PROGRAMS // (rows * key_heads), triton.next_power_of_2(triton.cdiv(positions, _POSITIONS))))
    mixed_BN = joined_BN.new_empty((rows, heads * size))
    parts_ = mixed_BN if parts == 1 else joined_BN.new_empty((rows, heads, parts, size), dtype=torch.float32)
    sums = mixed_BN if parts == 1 else joined_BN.new_empty((rows, heads, parts, 2), dtype=torch.float32)
    _attend[(rows, key_heads, parts)](
        joined_BN, keys_BHPE, values_BHPE, cache.lengths, cache.rotations, parts_, sums, positions, size**-0.5,
        HEADS=heads, KEY_HEADS=key_heads, HALF=size // 2, PARTS=parts,
        BLOCK_P=_POSITIONS, GROUP=max(_GROUP, triton.next_power_of_2(heads // key_heads)), EARLY=early, num_warps=4,
        **_launch(early),
    )  # fmt: skip
    if parts > 1:
        _join[(rows * heads,)](
            parts_, sums, mixed_BN, SIZE=size, PARTS=parts, EARLY=early, num_warps=2, **_launch(early)
        )
    return mixed_BN


def _launch(early: bool) -> dict[str, bool]:
    """Programmatic dependent launch: a kernel starts, and reads its weights, before the one before it has ended."""
    return {"launch_pdl": True} if early else {}
