"""The drawing of `torch_drawing` as one Triton kernel: a program for each request, all its weights in registers.

The smallest weight of the nucleus is found bit by bit, each bit by one sum over all weights; the place that holds the
ticket by the sums of rows, then inside one row. So nothing is sorted, and the result is that of the sorted way.

Shapes: R requests, W ids of a slice, X extra ids, held together as a table [N, C] of N rows of C columns.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from midi_llm.engines.sampling import COLDEST, ONE
from midi_llm.engines.torch_drawing import Draws, Scores

_COLUMNS = 128
_ROWS = (8, 128, 256)  # few sizes, so that few kernels are compiled: a duration, a time and a note fit
MOST_POSITIONS = _COLUMNS * _ROWS[-1]


@triton.jit
def _find(values_NC: tl.tensor, ticket: tl.tensor, N: tl.constexpr, C: tl.constexpr) -> tl.tensor:
    """Position whose interval of the cumulated values holds `ticket`."""
    n_N = tl.arange(0, N)
    sums_N = tl.sum(values_NC, axis=1)
    row = tl.sum((tl.cumsum(sums_N, axis=0) <= ticket).to(tl.int32), axis=0)
    before = tl.sum(tl.where(n_N < row, sums_N, 0), axis=0)
    row_C = tl.sum(tl.where((n_N == row)[:, None], values_NC, 0), axis=0)
    column = tl.sum((tl.cumsum(row_C, axis=0) + before <= ticket).to(tl.int32), axis=0)
    return row * C + column


_POINTERS = (
    "logits_ptr", "legal_ptr", "extra_ptr", "extra_ids_ptr", "temperature_ptr", "top_p_ptr", "uniform_ptr", "ids_ptr"
)  # fmt: skip
_NUMBERS = ("stride", "width", "start", "extra", "masked")


@triton.jit(do_not_specialize=_NUMBERS, do_not_specialize_on_alignment=_POINTERS)  # or a take would wait for compilers
def _draw(
    logits_ptr: tl.tensor, legal_ptr: tl.tensor, extra_ptr: tl.tensor, extra_ids_ptr: tl.tensor,
    temperature_ptr: tl.tensor, top_p_ptr: tl.tensor, uniform_ptr: tl.tensor, ids_ptr: tl.tensor,
    stride: tl.tensor, width: tl.tensor, start: tl.tensor, extra: tl.tensor, masked: tl.tensor,
    one: tl.tensor, coldest: tl.tensor, N: tl.constexpr, C: tl.constexpr,
) -> None:  # fmt: skip
    """One request: `width` ids from `start` on, of which `masked` (all or none) have a mask; then `extra` others."""
    request = tl.program_id(0).to(tl.int64)
    at_NC = tl.arange(0, N)[:, None] * C + tl.arange(0, C)[None, :]
    inside_NC = at_NC < width
    legal_NC = tl.load(legal_ptr + request * width + at_NC, mask=at_NC < masked, other=1)
    inside_NC = inside_NC & (legal_NC != 0)
    extra_NC = (at_NC >= width) & (at_NC < width + extra)
    lowest = float("-inf")
    logits_NC = tl.load(logits_ptr + request * stride + at_NC, mask=inside_NC, other=lowest).to(tl.float32)
    others_NC = tl.load(extra_ptr + request * extra + at_NC - width, mask=extra_NC, other=lowest).to(tl.float32)
    logits_NC = tl.where(extra_NC, others_NC, logits_NC)
    best = tl.max(logits_NC)
    broken = tl.sum((logits_NC != logits_NC).to(tl.int32))
    temperature = tl.load(temperature_ptr + request)
    if (broken > 0) | (best == float("inf")) | (best == float("-inf")):
        position = -1
    elif temperature == 0.0:
        position = tl.min(tl.where(logits_NC == best, at_NC, N * C))
    else:
        weights_NC = tl.floor(tl.exp((logits_NC - best) / tl.maximum(temperature, coldest)) * one)
        total = tl.sum(weights_NC.to(tl.int64))
        wished = tl.ceil(tl.load(top_p_ptr + request) * total.to(tl.float64)).to(tl.int64)
        target = tl.minimum(tl.maximum(wished, 1), total)
        bits_NC = weights_NC.to(tl.int32, bitcast=True)
        smallest_bits = 0x3F800000
        for turn in range(29):
            higher = smallest_bits + (0x10000000 >> turn)
            share_NC = tl.where(bits_NC >= higher, weights_NC, 0.0).to(tl.int64)
            share = tl.sum(share_NC)
            smallest_bits = tl.where(share >= target, higher, smallest_bits)
        above_NC = bits_NC > smallest_bits
        above = tl.sum(tl.where(above_NC, weights_NC, 0.0).to(tl.int64))
        equal_NC = bits_NC == smallest_bits
        smallest = tl.max(tl.where(equal_NC, weights_NC, 0.0)).to(tl.int64)
        surplus = (target - above + smallest - 1) // smallest
        last = _find(equal_NC.to(tl.int32), surplus.to(tl.int32) - 1, N, C)
        kept_NC = tl.where(above_NC | (equal_NC & (at_NC <= last)), weights_NC, 0.0).to(tl.int64)
        kept = above + surplus * smallest
        ticket = (tl.load(uniform_ptr + request) * kept.to(tl.float64)).to(tl.int64)
        position = _find(kept_NC, tl.minimum(ticket, kept - 1), N, C)
    chosen = tl.load(extra_ids_ptr + position - width, mask=position >= width, other=0)
    chosen = tl.where(position < width, (position + start).to(tl.int64), chosen)
    tl.store(ids_ptr + request, tl.where(position < 0, -1, chosen))


def draw(scores: Scores, draws: Draws) -> Tensor:
    """As `torch_drawing.draw_ids`, for at most `MOST_POSITIONS` ids in all."""
    logits_RW, legal_RW, extra_RX = scores.logits, scores.legal, scores.extra_logits
    requests, width = logits_RW.shape
    extra = 0 if extra_RX is None else extra_RX.shape[1]
    ids_R = torch.empty(requests, dtype=torch.long, device=logits_RW.device)
    rows = next(rows for rows in _ROWS if rows * _COLUMNS >= width + extra)
    _draw[(requests,)](
        logits_RW, logits_RW.new_empty(1, dtype=torch.uint8) if legal_RW is None else legal_RW.view(torch.uint8),
        logits_RW if extra_RX is None else extra_RX, ids_R if scores.extra_ids is None else scores.extra_ids,
        draws.temperature, draws.top_p, draws.uniform, ids_R,
        logits_RW.stride(0), width, scores.start, extra, 0 if legal_RW is None else width, float(ONE), COLDEST,
        N=rows, C=_COLUMNS, num_warps=min(32, rows),
    )  # fmt: skip
    return ids_R
