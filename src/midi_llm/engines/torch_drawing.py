"""Drawing the next ids on the device: the arithmetic of `sampling`, for several requests at once.

In: logits, and how each request draws. Out: ids, on the device. Weights are the same integers as in `sampling`,
the nucleus and the ticket are found in the same order: the same logits and seed give the same id (up to the last bit of
the exponential). On CUDA nothing here waits for the device; elsewhere ids are drawn on the host.

Shapes: R requests, W ids of a slice, X extra ids.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from midi_llm.engines.sampling import COLDEST, ONE, FloatArray, position_at

FAILED = -1
"""In place of an id where no logit is finite."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Draws:
    """How each request draws: temperature (0 is greedy; float32), top-p and a uniform number (float64), all [R, 1].

    They lie where ids are drawn: on the logits' device if that is CUDA, else on the host.
    `sampled` and `nucleus` may be false where every temperature is 0, every top-p 1: that only saves time.
    """

    temperature: Tensor
    top_p: Tensor
    uniform: Tensor
    sampled: bool = True
    nucleus: bool = True

    def of(self, members: Tensor) -> Draws:
        """Those of some requests."""
        members = members.to(self.uniform.device)
        chosen = (self.temperature[members], self.top_p[members], self.uniform[members])
        return replace(self, temperature=chosen[0], top_p=chosen[1], uniform=chosen[2])


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """Logits [R, W] of the ids from `start` on, those of extra ids [R, X] where there are any, and what is legal."""

    logits: Tensor
    start: int
    legal: Tensor | None = None
    """[R, W]; None = all."""
    extra_logits: Tensor | None = None
    """-inf where an extra id is not one of the request."""
    extra_ids: Tensor | None = None


def draw_ids(scores: Scores, draws: Draws) -> Tensor:
    """Draw one id for each request, [R]; `FAILED` where no legal logit is finite."""
    width = scores.logits.shape[1]
    logits_RW = scores.logits.float()
    if scores.legal is not None:
        logits_RW = logits_RW.masked_fill(~scores.legal, -torch.inf)
    if scores.extra_logits is not None:
        logits_RW = torch.cat((logits_RW, scores.extra_logits.float()), dim=1)
    on_cuda = logits_RW.device.type == "cuda"
    positions_R = draw_positions(logits_RW, draws) if on_cuda else _draw_on_host(logits_RW, draws)
    ids_R = positions_R + scores.start
    if scores.extra_ids is not None:
        extra_R = scores.extra_ids[(positions_R - width).clamp(min=0)]
        ids_R = torch.where(positions_R < width, ids_R, extra_R)
    return torch.where(positions_R == FAILED, FAILED, ids_R)


def _draw_on_host(logits_RW: Tensor, draws: Draws) -> Tensor:
    """Positions as numpy draws them, which sorts less and needs no float64 of the device; [R]."""
    rows = zip(
        logits_RW.cpu().numpy(),
        draws.uniform[:, 0].tolist(),
        draws.temperature[:, 0].tolist(),
        draws.top_p[:, 0].tolist(),
        strict=True,
    )
    positions = [_position(row, uniform, temperature, top_p) for row, uniform, temperature, top_p in rows]
    return torch.tensor(positions, device=logits_RW.device)


def _position(logits_W: FloatArray, uniform: float, temperature: float, top_p: float) -> int:
    if not np.isfinite(logits_W.max()):
        return FAILED
    return position_at(logits_W, uniform, temperature=temperature, top_p=top_p)


def draw_positions(logits_RW: Tensor, draws: Draws) -> Tensor:
    """Draw one position of each row of float32 logits, [R]; -inf is not allowed, `FAILED` where nothing is finite."""
    best_R1 = logits_RW.amax(dim=1, keepdim=True)
    positions_W = torch.arange(logits_RW.shape[1], device=logits_RW.device)
    drawn_R = torch.where(logits_RW == best_R1, positions_W, logits_RW.shape[1]).amin(dim=1)
    if draws.sampled:
        weights_RW = ((logits_RW - best_R1) / draws.temperature.clamp(min=COLDEST)).exp().mul(float(ONE)).long()
        if draws.nucleus:
            weights_RW *= _nucleus(weights_RW, draws.top_p)
        drawn_R = torch.where(draws.temperature[:, 0] == 0, drawn_R, _inverse(weights_RW, draws.uniform))
    return torch.where(best_R1[:, 0].isfinite(), drawn_R, FAILED)


def _nucleus(weights_RW: Tensor, top_p_R1: Tensor) -> Tensor:
    """Mask of the smallest set of largest weights whose share is at least top-p; lower positions first among equals."""
    descending_RW = weights_RW.float().sort(dim=1, descending=True).values.long()  # 24 bits: exact in float32
    cumulated_RW = descending_RW.cumsum(dim=1)
    total_R1 = cumulated_RW[:, -1:]
    target_R1 = (top_p_R1 * total_R1).ceil().long().clamp(min=1).minimum(total_R1)
    last_R1 = torch.searchsorted(cumulated_RW, target_R1)
    smallest_R1 = descending_RW.gather(1, last_R1)
    surplus_R1 = last_R1 + 1 - (descending_RW > smallest_R1).sum(dim=1, keepdim=True)
    equal_RW = weights_RW == smallest_R1
    return (weights_RW > smallest_R1) | (equal_RW & (equal_RW.cumsum(dim=1) <= surplus_R1))


def _inverse(weights_RW: Tensor, uniform_R1: Tensor) -> Tensor:
    """Position whose interval of the cumulated weights holds `uniform` (in [0, 1)), [R]."""
    cumulated_RW = weights_RW.cumsum(dim=1)
    total_R1 = cumulated_RW[:, -1:]
    ticket_R1 = (uniform_R1 * total_R1).long().minimum(total_R1 - 1)
    return torch.searchsorted(cumulated_RW, ticket_R1, right=True)[:, 0]
