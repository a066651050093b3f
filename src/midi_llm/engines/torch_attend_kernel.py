"""Attention of one decoding step in Triton: rotation, writing of the cache and attention as one kernel.

Few rows share out their past among programs, and the program that ends last joins the parts (flash-decoding, Dao et
al. 2023). Only what is cached is read, so a graph of a step holds for all lengths. Accumulation is in float32.

Shapes: those of `torch_ops`; G query heads share a key head, S parts of the past.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from midi_llm.engines.torch_ops import Cache
from midi_llm.engines.torch_product_kernel import launch

_POSITIONS = 128  # of the past, for each turn of a program
_PROGRAMS = 128  # that fill a device
_GROUP = 16  # the least number of rows of a tensor core product


@triton.jit
def _join(
    parts_ptr: tl.tensor, sums_ptr: tl.tensor, mixed_ptr: tl.tensor, first_pair: tl.tensor,
    SIZE: tl.constexpr, PARTS: tl.constexpr, GROUP: tl.constexpr, BLOCK_G: tl.constexpr,
) -> None:  # fmt: skip
    """Join the parts, which other programs wrote, of one key head; a part that saw nothing has the weight 0."""
    query_G, e_E = tl.arange(0, BLOCK_G), tl.arange(0, SIZE)
    at_SG = (first_pair + query_G)[None, :] * PARTS + tl.arange(0, PARTS)[:, None]
    mine_1G = (query_G < GROUP)[None, :]
    most_SG = tl.load(sums_ptr + at_SG * 2, mask=mine_1G, other=0.0, cache_modifier=".cg")
    total_SG = tl.load(sums_ptr + at_SG * 2 + 1, mask=mine_1G, other=1.0, cache_modifier=".cg")
    at_SGE = at_SG[:, :, None] * SIZE + e_E[None, None, :]
    parts_SGE = tl.load(parts_ptr + at_SGE, mask=mine_1G[:, :, None], other=0.0, cache_modifier=".cg")
    share_SG = tl.exp(most_SG - tl.max(most_SG, axis=0)[None, :])
    mixed_GE = tl.sum(parts_SGE * share_SG[:, :, None], axis=0) / tl.sum(total_SG * share_SG, axis=0)[:, None]
    at_GE = (first_pair + query_G)[:, None] * SIZE + e_E[None, :]
    tl.store(mixed_ptr + at_GE, mixed_GE.to(mixed_ptr.dtype.element_ty), mask=(query_G < GROUP)[:, None])


@triton.jit
def _attend(
    joined_ptr: tl.tensor, keys_ptr: tl.tensor, values_ptr: tl.tensor, lengths_ptr: tl.tensor,
    rotations_ptr: tl.tensor, arrived_ptr: tl.tensor, parts_ptr: tl.tensor, sums_ptr: tl.tensor, mixed_ptr: tl.tensor,
    positions: tl.tensor, scale: tl.tensor,
    HEADS: tl.constexpr, KEY_HEADS: tl.constexpr, HALF: tl.constexpr, PARTS: tl.constexpr,
    BLOCK_P: tl.constexpr, GROUP: tl.constexpr, JOINED: tl.constexpr, EARLY: tl.constexpr,
) -> None:  # fmt: skip
    """One row, key head and part: attention of its query heads; part 0 also writes and sees the new key and value.

    Whichever part ends last joins them all.
    """
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

    first_pair = row * HEADS + head * group
    at_G = (first_pair + query_G) * PARTS + part
    mine_G = query_G < group
    if PARTS == 1:
        mixed_GE /= total_G[:, None]
        mixed_GE = mixed_GE.to(mixed_ptr.dtype.element_ty)
        tl.store(mixed_ptr + at_G[:, None] * size + e_E[None, :], mixed_GE, mask=mine_G[:, None])
    else:
        tl.store(sums_ptr + at_G * 2, most_G, mask=mine_G)
        tl.store(sums_ptr + at_G * 2 + 1, total_G, mask=mine_G)
        tl.store(parts_ptr + at_G[:, None] * size + e_E[None, :], mixed_GE, mask=mine_G[:, None])
        tl.debug_barrier()  # all that this program has stored comes before its arrival
        arrived_ptr += row * KEY_HEADS + head
        if tl.atomic_add(arrived_ptr, 1, sem="acq_rel") == PARTS - 1:
            _join(parts_ptr, sums_ptr, mixed_ptr, first_pair, size, PARTS, group, JOINED)
            tl.store(arrived_ptr, 0)


def attend(joined_BN: Tensor, cache: Cache, number: int, heads: int, *, early: bool = False) -> Tensor:
    """As `torch_ops.attend` for layer `number`, whatever the lengths are."""
    keys_BHPE, values_BHPE = cache.keys[number], cache.values[number]
    rows, key_heads, positions, size = keys_BHPE.shape
    joined = triton.next_power_of_2(heads // key_heads)
    parts = parts_of(rows * key_heads, positions)
    mixed_BN = joined_BN.new_empty((rows, heads * size))
    parts_ = joined_BN.new_empty((rows, heads, parts, size), dtype=torch.float32)
    sums = joined_BN.new_empty((rows, heads, parts, 2), dtype=torch.float32)
    _attend[(rows, key_heads, parts)](
        joined_BN, keys_BHPE, values_BHPE, cache.lengths, cache.rotations, cache.arrived, parts_, sums, mixed_BN,
        positions, size**-0.5, HEADS=heads, KEY_HEADS=key_heads, HALF=size // 2, PARTS=parts,
        BLOCK_P=_POSITIONS, GROUP=max(_GROUP, joined), JOINED=joined, EARLY=early, num_warps=4, **launch(early),
    )  # fmt: skip
    return mixed_BN


def parts_of(pairs: int, positions: int) -> int:
    """Among how many programs each of `pairs` rows and key heads shares out a past; a power of two, as blocks are."""
    free = max(1, _PROGRAMS // pairs)
    return min(1 << (free.bit_length() - 1), int(triton.next_power_of_2(triton.cdiv(positions, _POSITIONS))))
