"""One decoding step of a Llama over a cache of fixed size, in plain torch.

In: one id for each row and how many positions it has cached. Out: the hidden state of each row; its key and value are
written in place and its length grows by one. Shapes do not depend on lengths, so a step can be captured in a CUDA
graph. `Ops` is the seam: `torch_kernels` gives the same products as fewer kernels.

Shapes: B rows, otherwise those of `torch_llama`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from midi_llm.engines.torch_drawing import Draws, Scores, draw_ids
from midi_llm.engines.torch_llama import Layer, Llama, gated, normed, rotated
from midi_llm.engines.torch_matrix import Matrix, linear

TOLERANCE = 0.1
"""Relative distance of hidden states up to which kernels are trusted: in bfloat16 they lie 0.03 from float32."""

_TRIED_LENGTHS = (1500, 3)
_TRIED_STEP = 256  # positions: room comes in whole steps, as in a batch, since kernels are compiled for multiples of 16
_TRIED_IDS = 16_512  # of the head, as many as there are notes


@dataclass(frozen=True, kw_only=True, slots=True)
class Cache:
    """Keys and values [L, B, H, P, E], cached positions [B] and the rotations [2, P, E / 2] of all positions.

    `arrived` [B, H] is zero between kernels: programs that share a sum count there which of them is the last.
    """

    keys: Tensor
    values: Tensor
    lengths: Tensor
    rotations: Tensor
    arrived: Tensor

    @classmethod
    def empty(cls, llama: Llama, rows: int, positions: int) -> Cache:
        """Room for `rows` x `positions`."""
        shape = (len(llama.layers), rows, llama.key_heads, positions, llama.head_size)
        return cls(
            keys=torch.zeros(shape, dtype=llama.dtype, device=llama.device),
            values=torch.zeros(shape, dtype=llama.dtype, device=llama.device),
            lengths=torch.zeros(rows, dtype=torch.long, device=llama.device),
            rotations=llama.rotations(positions),
            arrived=torch.zeros((rows, llama.key_heads), dtype=torch.int32, device=llama.device),
        )

    def rows(self, count: int) -> Cache:
        """The first `count` rows, as views."""
        return Cache(
            keys=self.keys[:, :count],
            values=self.values[:, :count],
            lengths=self.lengths[:count],
            rotations=self.rotations,
            arrived=self.arrived[:count],
        )


class Ops(Protocol):
    """The products of a step, and the drawing from its logits."""

    bounded: bool
    """Whether the cost of attention follows the lengths by itself, whatever `limit` says."""

    def layer(self, llama: Llama, number: int, x_BD: Tensor, cache: Cache, limit: int) -> Tensor:
        """The residual stream [B, D] after layer `number`; no row has more than `limit` positions after the step."""
        ...

    def finish(self, llama: Llama, x_BD: Tensor, cache: Cache, hidden_BD: Tensor) -> None:
        """Write the normed states to `hidden`, and count the new position in `cache`.

        A row that has no position left overwrites its last one: rows that nobody reads any more need no care.
        """
        ...

    def linear(self, x_BD: Tensor, matrix: Matrix) -> Tensor:
        """As `torch_matrix.linear`, for a part of the head."""
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

    def finish(self, llama: Llama, x_BD: Tensor, cache: Cache, hidden_BD: Tensor) -> None:
        """See `Ops`."""
        hidden_BD.copy_(normed(x_BD, llama.final_gain, llama.epsilon))
        cache.lengths.add_(1).clamp_(max=cache.keys.shape[3] - 1)

    def linear(self, x_BD: Tensor, matrix: Matrix) -> Tensor:
        """See `Ops`."""
        return linear(x_BD, matrix)

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
    joined_BN = linear(normed(x_BD, layer.attention_gain, epsilon), layer.joined)
    mixed_BN = attend(joined_BN, keys_BHPE, values_BHPE, lengths_B, rotations, heads, limit)
    x_BD = x_BD + linear(mixed_BN, layer.output)
    hidden_BF = gated(linear(normed(x_BD, layer.inner_gain, epsilon), layer.gate_up))
    return x_BD + linear(hidden_BF, layer.down)


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


def step(llama: Llama, ops: Ops, ids_B: Tensor, cache: Cache, limit: int, hidden_BD: Tensor) -> None:
    """Append `ids` to the rows of `cache`; their normed hidden states are written to `hidden`."""
    x_BD = functional.embedding(ids_B, llama.table)
    for number in range(len(llama.layers)):
        x_BD = ops.layer(llama, number, x_BD, cache, limit)
    ops.finish(llama, x_BD, cache, hidden_BD)


def agrees(ops: Ops, llama: Llama) -> bool:
    """Whether `ops` gives what plain torch gives: hidden states and logits within `TOLERANCE`, and what is drawn.

    Tried with one row and with two, one of them with a long past: kernels differ by the number of rows, and share out
    a past among programs.
    """
    for lengths in (_TRIED_LENGTHS[:1], _TRIED_LENGTHS):
        (plain_BD, plain_BW), (hidden_BD, logits_BW) = (_tried(one, llama, lengths) for one in (PlainOps(), ops))
        if not (_near(hidden_BD, plain_BD) and _near(logits_BW, plain_BW)):
            return False
    scores, ones_B1 = Scores(logits=plain_BW, start=0), torch.ones((len(plain_BW), 1), device=llama.device)
    draws = Draws(temperature=ones_B1, top_p=0.98 * ones_B1.double(), uniform=0.3 * ones_B1.double())
    return torch.equal(ops.draw(scores, draws), draw_ids(scores, draws))


def _tried(ops: Ops, llama: Llama, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Hidden states [B, D] and logits [B, W] after two ids, behind arbitrary cached keys and values."""
    positions = (max(lengths) // _TRIED_STEP + 1) * _TRIED_STEP
    cache = Cache.empty(llama, len(lengths), positions)
    arbitrary = torch.Generator(llama.device).manual_seed(0)
    for cached in (cache.keys, cache.values):
        cached.normal_(generator=arbitrary)
    cache.lengths.copy_(torch.tensor(lengths))
    hidden_BD = llama.table.new_empty((len(lengths), llama.table.shape[1]))
    for number in range(2):
        ids_B = torch.arange(len(lengths), device=llama.device) + number
        step(llama, ops, ids_B, cache, positions, hidden_BD)
    return hidden_BD, ops.linear(hidden_BD, llama.head[-_TRIED_IDS:])


def _near(found: Tensor, expected: Tensor) -> bool:
    """Row by row; numbers that are none are not near."""
    distance_B = (found.float() - expected.float()).norm(dim=1)
    return bool((distance_B <= TOLERANCE * expected.float().norm(dim=1)).all())
