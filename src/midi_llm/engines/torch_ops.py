"""One decoding step of a Llama over a cache of fixed size, in plain torch.

In: one id for each row and how many positions it has cached. Out: the hidden state of each row; its key and value are
written in place and its length grows by one. Shapes do not depend on lengths, so a step can be captured in a CUDA
graph. `Ops` is the seam: `torch_kernels` gives the same products as fewer kernels.

Shapes: B rows, otherwise those of `torch_llama`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from midi_llm.engines.torch_drawing import Draws, Scores, draw_ids
from midi_llm.engines.torch_llama import Layer, Llama, gated, normed, rotated

TOLERANCE = 0.1
"""Relative distance of hidden states up to which kernels are trusted: in bfloat16 they lie 0.03 from float32."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cache:
    """Keys and values [L, B, H, P, E], cached positions [B] and the rotations [2, P, E / 2] of all positions."""

    keys: Tensor
    values: Tensor
    lengths: Tensor
    rotations: Tensor

    def rows(self, count: int) -> Cache:
        """The first `count` rows, as views."""
        return Cache(
            keys=self.keys[:, :count],
            values=self.values[:, :count],
            lengths=self.lengths[:count],
            rotations=self.rotations,
        )


class Ops(Protocol):
    """The products of a step, and the drawing from its logits."""

    bounded: bool
    """Whether the cost of attention follows the lengths by itself, whatever `limit` says."""

    def layer(self, llama: Llama, number: int, x_BD: Tensor, cache: Cache, limit: int) -> Tensor:
        """The residual stream [B, D] after layer `number`; no row has more than `limit` positions after the step."""
        ...

    def draw(self, scores: Scores, draws: Draws) -> Tensor:
        """As `torch_drawing.draw_ids`."""
        ...


class PlainOps:
    """The reference: torch's own functions. `compiled` leaves it to torch.compile to join them, one layer at a time."""

    def __init__(self, *, compiled: bool = False) -> None:
        self.bounded = compiled  # its code would be made anew for each limit
        self._layer = torch.compile(_layer, dynamic=False) if compiled else _layer

    def layer(self, llama: Llama, number: int, x_BD: Tensor, cache: Cache, limit: int) -> Tensor:
        """See `Ops`."""
        seen = (cache.keys[number], cache.values[number], cache.lengths, cache.rotations)
        return self._layer(llama.layers[number], llama.heads, llama.epsilon, x_BD, *seen, limit)

    def draw(self, scores: Scores, draws: Draws) -> Tensor:
        """See `Ops`."""
        return draw_ids(scores, draws)


def _layer(
    layer: Layer,
    heads: int,
    epsilon: float,
    x_BD: Tensor,
    keys_BHPE: Tensor,
    values_BHPE: Tensor,
    lengths_B: Tensor,
    rotations: Tensor,
    limit: int,
) -> Tensor:
    joined_BN = functional.linear(normed(x_BD, layer.attention_gain, epsilon), layer.joined)
    mixed_BN = attend(joined_BN, keys_BHPE, values_BHPE, lengths_B, rotations, heads, limit)
    x_BD = x_BD + functional.linear(mixed_BN, layer.output)
    hidden_BF = gated(functional.linear(normed(x_BD, layer.inner_gain, epsilon), layer.gate_up))
    return x_BD + functional.linear(hidden_BF, layer.down)


def attend(
    joined_BN: Tensor,
    keys_BHPE: Tensor,
    values_BHPE: Tensor,
    lengths_B: Tensor,
    rotations: Tensor,
    heads: int,
    limit: int,
) -> Tensor:
    """Write the new key and value at `lengths`, and attend to all positions up to it; [B, heads * E]."""
    rows, key_heads, _, head_size = keys_BHPE.shape
    queries_BHE, new_keys_BHE, new_values_BHE = torch.split(
        joined_BN.view(rows, -1, head_size), [heads, key_heads, key_heads], dim=1
    )
    cosines_B1E, sines_B1E = rotations[:, lengths_B, None]
    queries_BHE = rotated(queries_BHE, cosines_B1E, sines_B1E)
    place = torch.arange(rows, device=lengths_B.device)
    keys_BHPE[place, :, lengths_B] = rotated(new_keys_BHE, cosines_B1E, sines_B1E)
    values_BHPE[place, :, lengths_B] = new_values_BHE
    seen_B1P = torch.arange(limit, device=lengths_B.device) <= lengths_B[:, None, None]
    mixed_BH1E = functional.scaled_dot_product_attention(
        queries_BHE[:, :, None],
        keys_BHPE[:, :, :limit],
        values_BHPE[:, :, :limit],
        attn_mask=seen_B1P[:, None],
        enable_gqa=True,
    )
    return mixed_BH1E.reshape(rows, -1)


def step(llama: Llama, ops: Ops, ids_B: Tensor, cache: Cache, limit: int) -> Tensor:
    """Append `ids` to the rows of `cache`; the normed hidden states [B, D].

    A row that has no position left overwrites its last one: rows that nobody reads any more need no care.
    """
    x_BD = functional.embedding(ids_B, llama.table)
    for number in range(len(llama.layers)):
        x_BD = ops.layer(llama, number, x_BD, cache, limit)
    cache.lengths.add_(1).clamp_(max=cache.keys.shape[3] - 1)
    return normed(x_BD, llama.final_gain, llama.epsilon)


def agrees(ops: Ops, llama: Llama) -> bool:
    """Whether a step by `ops` after two ids gives what the plain step gives, within `TOLERANCE`."""
    ids_B = torch.arange(1, device=llama.device)
    found = []
    for one in (PlainOps(), ops):
        shape = (len(llama.layers), 1, llama.key_heads, 256, llama.head_size)
        cache = Cache(
            keys=torch.zeros(shape, dtype=llama.dtype, device=llama.device),
            values=torch.zeros(shape, dtype=llama.dtype, device=llama.device),
            lengths=torch.zeros(1, dtype=torch.long, device=llama.device),
            rotations=llama.rotations(256),
        )
        for number in range(3):
            hidden_BD = step(llama, one, ids_B + number, cache, 256)
        found.append(hidden_BD.float())
    return bool((found[1] - found[0]).norm() <= TOLERANCE * found[0].norm())
