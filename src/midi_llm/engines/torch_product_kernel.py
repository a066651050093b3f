"""Products with a matrix in Triton, which read its bytes as they are: bfloat16, float16, float32, or 8 bits and scales.

One row waits for the reading of the matrix alone, so it is multiplied without tensor cores, with the norm before it and
what follows in the same kernel. More rows share each tile of a `Scaled` matrix, widened in registers, in tensor cores;
for other matrices torch has that product. Accumulation is in float32.

Shapes: B rows, D inputs, N outputs; sizes are multiples of 16.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from midi_llm.engines.torch_matrix import Matrix, Scaled

_OUTPUTS = 4  # of a matrix, for each program
_INPUTS = 2048  # for each turn: enough reads are under way at once
_WARPS = 8
_SHARED_OUTPUTS = 16  # the same for several rows: few, so that even a narrow matrix fills a device
_SHARED_ROWS = (16, 64)  # the least that tensor cores take; the most that share a tile
_SHARED_TILE = 8192  # numbers of x for each turn: four turns under way fit the shared memory of every GPU since 8.0


@triton.jit(do_not_specialize=["outputs"])  # or slices of the head would wait for compilers
def _product(
    x_ptr: tl.tensor, gain_ptr: tl.tensor, weight_ptr: tl.tensor, scales_ptr: tl.tensor, residual_ptr: tl.tensor,
    y_ptr: tl.tensor, outputs: tl.tensor, epsilon: tl.tensor,
    SIZE: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    NORM: tl.constexpr, SCALED: tl.constexpr, GATED: tl.constexpr, RESIDUAL: tl.constexpr, EARLY: tl.constexpr,
) -> None:  # fmt: skip
    """Y [outputs] = weight [outputs, SIZE] times x [SIZE]; gated: gate rows, then as many up rows."""
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
    n_N = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    fits_N = n_N < outputs
    n_N = tl.minimum(n_N, outputs - 1)
    acc_NK = tl.zeros((BLOCK_N, BLOCK_K), tl.float32)
    up_NK = tl.zeros((BLOCK_N, BLOCK_K), tl.float32)
    squares_K = tl.zeros((BLOCK_K,), tl.float32)
    for start in tl.static_range(0, SIZE, BLOCK_K):
        k_K = start + tl.arange(0, BLOCK_K)
        at_NK = n_N[:, None].to(tl.int64) * SIZE + k_K[None, :]
        gate_NK = tl.load(weight_ptr + at_NK, eviction_policy="evict_first")
        if GATED:
            second_NK = tl.load(weight_ptr + outputs.to(tl.int64) * SIZE + at_NK, eviction_policy="evict_first")
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
    up_N = tl.sum(up_NK, axis=1)
    if SCALED:
        y_N *= tl.load(scales_ptr + n_N)
        if GATED:
            up_N *= tl.load(scales_ptr + outputs + n_N)
    if NORM:
        scale = tl.rsqrt(tl.sum(squares_K) / SIZE + epsilon)
        y_N *= scale
        up_N *= scale
    if GATED:
        y_N = y_N * tl.sigmoid(y_N) * up_N
    if RESIDUAL:
        y_N += tl.load(residual_ptr + n_N).to(tl.float32)
    tl.store(y_ptr + n_N, y_N.to(y_ptr.dtype.element_ty), mask=fits_N)


@triton.jit(do_not_specialize=["rows", "outputs"])
def _shared_product(
    x_ptr: tl.tensor, weight_ptr: tl.tensor, scales_ptr: tl.tensor, residual_ptr: tl.tensor, y_ptr: tl.tensor,
    rows: tl.tensor, outputs: tl.tensor,
    SIZE: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    RESIDUAL: tl.constexpr, EARLY: tl.constexpr,
) -> None:  # fmt: skip
    """Y [rows, outputs] = x [rows, SIZE] times weight [outputs, SIZE] of 8 bits."""
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    b_B = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B)
    n_N = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    fits_BN = (b_B < rows)[:, None] & (n_N < outputs)[None, :]
    b_B, n_N = tl.minimum(b_B, rows - 1).to(tl.int64), tl.minimum(n_N, outputs - 1)
    acc_BN = tl.zeros((BLOCK_B, BLOCK_N), tl.float32)
    for start in range(0, SIZE, BLOCK_K):
        k_K = start + tl.arange(0, BLOCK_K)
        weight_KN = tl.load(weight_ptr + n_N[None, :].to(tl.int64) * SIZE + k_K[:, None])
        x_BK = tl.load(x_ptr + b_B[:, None] * SIZE + k_K[None, :])
        acc_BN = tl.dot(x_BK, weight_KN.to(x_BK.dtype), acc_BN, input_precision="ieee")
    acc_BN *= tl.load(scales_ptr + n_N)[None, :]
    at_BN = b_B[:, None] * outputs + n_N[None, :]
    if RESIDUAL:
        acc_BN += tl.load(residual_ptr + at_BN).to(tl.float32)
    tl.store(y_ptr + at_BN, acc_BN.to(y_ptr.dtype.element_ty), mask=fits_BN)


def product(
    x_1D: Tensor,
    matrix: Matrix,
    *,
    gain_D: Tensor | None = None,
    epsilon: float = 0.0,
    residual: Tensor | None = None,
    is_gated: bool = False,
    early: bool = False,
) -> Tensor:
    """`matrix` [outputs, D] times one row `x` [1, D]: normed before, gated or added to after; [1, outputs]."""
    size = x_1D.shape[1]
    outputs = len(matrix) // (1 + is_gated)
    y = x_1D.new_empty((1, outputs))
    weight, scales = (matrix.values, matrix.scales) if isinstance(matrix, Scaled) else (matrix, matrix)
    _product[(triton.cdiv(outputs, _OUTPUTS),)](
        x_1D, x_1D if gain_D is None else gain_D, weight, scales, x_1D if residual is None else residual, y,
        outputs, epsilon, SIZE=size, BLOCK_N=_OUTPUTS, BLOCK_K=min(_INPUTS, size & -size),
        NORM=gain_D is not None, SCALED=isinstance(matrix, Scaled), GATED=is_gated, RESIDUAL=residual is not None,
        EARLY=early, num_warps=_WARPS, **launch(early),
    )  # fmt: skip
    return y


def shared_product(x_BD: Tensor, matrix: Scaled, *, residual: Tensor | None = None, early: bool = False) -> Tensor:
    """`matrix` [outputs, D] times each row of `x` [B, D], added to `residual` [B, outputs] where there is one."""
    rows, size = x_BD.shape
    outputs = len(matrix)
    y = x_BD.new_empty((rows, outputs))
    block = min(max(triton.next_power_of_2(rows), _SHARED_ROWS[0]), _SHARED_ROWS[1])
    _shared_product[(triton.cdiv(rows, block), triton.cdiv(outputs, _SHARED_OUTPUTS))](
        x_BD, matrix.values, matrix.scales, y if residual is None else residual, y, rows, outputs,
        SIZE=size, BLOCK_B=block, BLOCK_N=_SHARED_OUTPUTS, BLOCK_K=min(_SHARED_TILE // block, size & -size),
        RESIDUAL=residual is not None, EARLY=early, num_warps=4, num_stages=4, **launch(early),
    )  # fmt: skip
    return y


def launch(early: bool) -> dict[str, bool]:
    """Programmatic dependent launch: a kernel starts, and reads its weights, before the one before it has ended."""
    return {"launch_pdl": True} if early else {}
