"""The open requests of a batch on the device: what each draws with, and one drawing for all of them.

In: hidden states on the device, and the ids that each request allows. Out: ids on the device, and later on the host.
Only the legal slice of the head is multiplied. The host waits once for each drawing (`arrived`), and may give the
device further work before that. All requests of a batch begin together, so they are always at the same draw.

Shapes: R requests, B rows (one for each prompt of a request), W ids of a slice, X extra ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from midi_llm.engines.base import Allowed
from midi_llm.engines.decoding import Lane, rows_of
from midi_llm.engines.sampling import generator
from midi_llm.engines.torch_batch import TorchBatch
from midi_llm.engines.torch_drawing import FAILED, Draws, Scores
from midi_llm.engines.torch_matrix import Matrix
from midi_llm.engines.torch_ops import Ops
from midi_llm.engines.torch_slices import Slice, extras, slices, tensor_on
from midi_llm.errors import EngineError

_NO_CEILING = 2**31
_ALIGNED = 8  # ids: products whose sizes are no multiple of it have slow kernels on a GPU


class TorchTakes:
    """The requests of `lanes`, drawing from rows of `head_VD`. Follows the lanes as they leave (`arrange`)."""

    def __init__(self, head_VD: Matrix, ops: Ops, lanes: Sequence[Lane]) -> None:
        self._head_VD, self._ops, self._device = head_VD, ops, head_VD.device
        all_params = [take.request.params for take, _ in rows_of(lanes)]
        self._order = [take.index for take, _ in rows_of(lanes)]
        uniforms = np.zeros((max(params.max_tokens for params in all_params), len(all_params)))
        for column, params in zip(uniforms.T, all_params, strict=True):
            if params.temperature > 0:
                column[: params.max_tokens] = generator(params.seed).random(params.max_tokens)
        on_cuda = self._device.type == "cuda"
        self._drawn_on = self._device if on_cuda else torch.device("cpu")
        self._uniforms = tensor_on(torch.from_numpy(uniforms), self._drawn_on)
        self._extra_rows: dict[tuple[int, ...], tuple[Tensor, Matrix]] = {}
        self._drawn = 0
        self._host_ids = torch.zeros(len(all_params), dtype=torch.long, pin_memory=on_cuda)
        self._copied = torch.cuda.Event() if on_cuda else None  # type: ignore[no-untyped-call]
        self.arrange(lanes)

    def arrange(self, lanes: Sequence[Lane]) -> None:
        """Take the requests and rows as they now are: some left, others moved."""
        takes = rows_of(lanes)
        params = [take.request.params for take, _ in takes]
        self._draws = Draws(
            temperature=_column([one.temperature for one in params], torch.float32, self._drawn_on),
            top_p=_column([one.top_p for one in params], torch.float64, self._drawn_on),
            uniform=self._uniforms[:0],
            sampled=any(one.temperature > 0 for one in params),
            nucleus=any(one.top_p < 1 for one in params),
        )
        self._guidance = _column([one.guidance for one in params], torch.float32, self._device)
        order = [take.index for take, _ in takes]
        if order != self._order:
            places = _column([self._order.index(index) for index in order], torch.long, self._drawn_on)[:, 0]
            self._uniforms, self._order = self._uniforms[:, places], order
        self._rows: Tensor | slice = slice(len(takes))
        self._other_rows: Tensor | None = None
        if len(lanes) > len(takes):
            self._rows = _column([rows[0] for _, rows in takes], torch.long, self._device)[:, 0]
            self._other_rows = _column([rows[-1] for _, rows in takes], torch.long, self._device)[:, 0]

    @torch.no_grad()
    def draw(self, batch: TorchBatch, allowed: Sequence[Allowed]) -> None:
        """Draw an id for each request, in order, into `batch.ids`; `arrived` gives them to the host."""
        draws = replace(self._draws, uniform=self._uniforms[self._drawn, :, None])
        self._drawn += 1
        hidden_RD = batch.hidden[self._rows]
        other_RD = None if self._other_rows is None else batch.hidden[self._other_rows]
        parts = slices(allowed)
        if len(parts) == 1:
            ids_R = self._draw_slice(parts[0], allowed, hidden_RD, other_RD, draws)
        else:
            ids_R = torch.empty(len(allowed), dtype=torch.long, device=self._device)
            for part in parts:
                members = tensor_on(torch.tensor(part.members), self._device)
                other = None if other_RD is None else other_RD[members]
                ids_R[members] = self._draw_slice(part, allowed, hidden_RD[members], other, draws.of(members), members)
        if any(one.ceiling is not None for one in allowed):
            highest = [_NO_CEILING if one.ceiling is None else one.ceiling for one in allowed]
            ids_R = ids_R.minimum(tensor_on(torch.tensor(highest), self._device))
        self._host_ids[: len(allowed)].copy_(ids_R, non_blocking=self._copied is not None)
        if self._copied is not None:
            self._copied.record()
        batch.ids[self._rows] = ids_R.clamp(min=0)
        if self._other_rows is not None:
            batch.ids[self._other_rows] = ids_R.clamp(min=0)

    def arrived(self, count: int) -> list[int]:
        """The ids drawn last, for `count` requests; `EngineError` where an allowed logit was not finite."""
        if self._copied is not None:
            self._copied.synchronize()
        ids: list[int] = self._host_ids[:count].tolist()
        if FAILED in ids:
            raise EngineError("no logit of the allowed ids is finite; check the weights and the constraint")
        return ids

    def _draw_slice(
        self,
        part: Slice,
        allowed: Sequence[Allowed],
        hidden_RD: Tensor,
        other_RD: Tensor | None,
        draws: Draws,
        members: Tensor | None = None,
    ) -> Tensor:
        """Ids [R] for the members of `part`, whose hidden states and draws are given."""
        extra, mine = extras([allowed[member] for member in part.members])
        guidance = self._guidance if members is None else self._guidance[members]
        logits_RW = self._slice_logits(part, hidden_RD)
        if other_RD is not None:
            logits_RW = _guided(logits_RW, self._slice_logits(part, other_RD), guidance)
        legal_RW = part.legal(allowed, self._device)
        if not extra:
            return self._ops.draw(Scores(logits=logits_RW, start=part.start, legal=legal_RW), draws)
        ids_X, rows_XD = self._extra(extra)
        extra_RX = self._ops.linear(hidden_RD, rows_XD)
        if other_RD is not None:
            extra_RX = _guided(extra_RX, self._ops.linear(other_RD, rows_XD), guidance)
        if mine is not None:
            extra_RX.masked_fill_(~tensor_on(torch.from_numpy(mine), self._device), -torch.inf)
        scores = Scores(logits=logits_RW, start=part.start, legal=legal_RW, extra_logits=extra_RX, extra_ids=ids_X)
        return self._ops.draw(scores, draws)

    def _slice_logits(self, part: Slice, hidden_RD: Tensor) -> Tensor:
        first = part.start // _ALIGNED * _ALIGNED
        last = -(-part.stop // _ALIGNED) * _ALIGNED
        return self._ops.linear(hidden_RD, self._head_VD[first:last])[:, part.start - first : part.stop - first]

    def _extra(self, ids: tuple[int, ...]) -> tuple[Tensor, Matrix]:
        """Extra ids [X] on the device and their rows of the head [X, D]."""
        if ids not in self._extra_rows:
            ids_X = tensor_on(torch.tensor(ids), self._device)
            self._extra_rows[ids] = (ids_X, self._head_VD[ids_X])
        return self._extra_rows[ids]


def _column(values: Sequence[float], dtype: torch.dtype, device: torch.device) -> Tensor:
    return tensor_on(torch.tensor(values, dtype=dtype)[:, None], device)


def _guided(prompted: Tensor, unprompted: Tensor, guidance_R1: Tensor) -> Tensor:
    """As `sampling.guided`, in float32."""
    return unprompted.float() + guidance_R1 * (prompted.float() - unprompted.float())
