"""The decoding step of `torch_ops` in Triton kernels: one row waits for weights, and for the gaps between kernels.

Five kernels a layer: norm, queries, keys and values in one; all of attention in one; each product with its residual;
norm, gate, up and their product in one. More rows than one take torch's products, which use tensor cores, or for
matrices of 8 bits a kernel that reads them as they are.

Shapes: those of `torch_ops`.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from midi_llm.engines.torch_attend_kernel import attend
from midi_llm.engines.torch_draw_kernel import MOST_POSITIONS, draw
from midi_llm.engines.torch_drawing import Draws, Scores, draw_ids
from midi_llm.engines.torch_llama import Llama, gated, normed
from midi_llm.engines.torch_matrix import Matrix, Scaled
from midi_llm.engines.torch_ops import Cache
from midi_llm.engines.torch_product_kernel import launch, product, shared_product


@triton.jit
def _finish(
    x_ptr: tl.tensor, gain_ptr: tl.tensor, hidden_ptr: tl.tensor, lengths_ptr: tl.tensor,
    last: tl.tensor, epsilon: tl.tensor, SIZE: tl.constexpr, BLOCK: tl.constexpr, EARLY: tl.constexpr,
) -> None:  # fmt: skip
    """One row: its norm, and one position more."""
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    row = tl.program_id(0).to(tl.int64)
    d_D = tl.arange(0, BLOCK)
    x_D = tl.load(x_ptr + row * SIZE + d_D, mask=d_D < SIZE, other=0.0).to(tl.float32)
    gain_D = tl.load(gain_ptr + d_D, mask=d_D < SIZE, other=0.0).to(tl.float32)
    hidden_D = x_D * tl.rsqrt(tl.sum(x_D * x_D) / SIZE + epsilon) * gain_D
    tl.store(hidden_ptr + row * SIZE + d_D, hidden_D.to(hidden_ptr.dtype.element_ty), mask=d_D < SIZE)
    tl.store(lengths_ptr + row, tl.minimum(tl.load(lengths_ptr + row) + 1, last))


class KernelOps:
    """`torch_ops.Ops` on a CUDA device, for models that it `fits`."""

    bounded = True

    def __init__(self, *, early: bool = False) -> None:
        self._early = early

    def layer(self, llama: Llama, number: int, x_BD: Tensor, cache: Cache, limit: int) -> Tensor:
        """See `torch_ops.Ops`; `limit` is not needed."""
        layer, early = llama.layers[number], self._early
        if len(x_BD) > 1:
            joined_BN = self.linear(normed(x_BD, layer.attention_gain, llama.epsilon), layer.joined)
            mixed_BN = attend(joined_BN, cache, number, llama.heads, early=early)
            x_BD = self._added(x_BD, mixed_BN, layer.output)
            inner_BF = gated(self.linear(normed(x_BD, layer.inner_gain, llama.epsilon), layer.gate_up))
            return self._added(x_BD, inner_BF, layer.down)
        joined_BN = product(x_BD, layer.joined, gain_D=layer.attention_gain, epsilon=llama.epsilon, early=early)
        mixed_BN = attend(joined_BN, cache, number, llama.heads, early=early)
        x_BD = product(mixed_BN, layer.output, residual=x_BD, early=early)
        inner_BF = product(
            x_BD, layer.gate_up, gain_D=layer.inner_gain, epsilon=llama.epsilon, is_gated=True, early=early
        )
        return product(inner_BF, layer.down, residual=x_BD, early=early)

    def finish(self, llama: Llama, x_BD: Tensor, cache: Cache, hidden_BD: Tensor) -> None:
        """See `torch_ops.Ops`."""
        rows, size = x_BD.shape
        _finish[(rows,)](
            x_BD, llama.final_gain, hidden_BD, cache.lengths, cache.keys.shape[3] - 1, llama.epsilon,
            SIZE=size, BLOCK=triton.next_power_of_2(size), EARLY=self._early, num_warps=4, **launch(self._early),
        )  # fmt: skip

    def linear(self, x_BD: Tensor, matrix: Matrix) -> Tensor:
        """See `torch_ops.Ops`."""
        if isinstance(matrix, Tensor):
            return x_BD @ matrix.T
        return shared_product(x_BD, matrix) if len(x_BD) > 1 else product(x_BD, matrix)

    def draw(self, scores: Scores, draws: Draws) -> Tensor:
        """See `torch_ops.Ops`."""
        extra = 0 if scores.extra_logits is None else scores.extra_logits.shape[1]
        fits_kernel = scores.logits.shape[1] + extra <= MOST_POSITIONS
        return draw(scores, draws) if fits_kernel else draw_ids(scores, draws)

    def _added(self, residual: Tensor, x_BD: Tensor, matrix: Matrix) -> Tensor:
        if isinstance(matrix, Scaled):
            return shared_product(x_BD, matrix, residual=residual, early=self._early)
        return torch.addmm(residual, x_BD, matrix.T)


def fits(llama: Llama) -> bool:
    """Whether the kernels serve this model: they hold a head in a power of two, which a tensor core can multiply."""
    layer = llama.layers[0]
    inputs = [len(llama.final_gain), llama.heads * llama.head_size, len(layer.gate_up) // 2]
    is_aligned = all(size % 16 == 0 for size in inputs)
    return is_aligned and llama.head_size >= 32 and llama.head_size.bit_count() == 1
