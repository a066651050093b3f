"""What several requests may draw next, as tensors: the slice of ids that they share, and what is legal in it.

In: each request's `Allowed`. Out: slices of the head to multiply, masks and extra ids on the device. Knows no logits.

Shapes: R requests, W ids of a slice, X extra ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from midi_llm.engines.base import Allowed


def tensor_on(values: Tensor, device: torch.device) -> Tensor:
    """A copy of `values` on `device` that does not make the host wait for what the device is doing."""
    if device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """Requests that draw from overlapping ids: `members` of the batch, and the ids `start..stop - 1` they share."""

    members: list[int]
    start: int
    stop: int

    def legal(self, allowed: Sequence[Allowed], device: torch.device) -> Tensor | None:
        """Which ids of the slice each member may draw, [R, W]; None where all may draw all."""
        mine = [allowed[member] for member in self.members]
        width = self.stop - self.start
        if any(one.mask is not None for one in mine):
            mask = np.zeros((len(mine), width), np.bool_)
            for row, one in zip(mask, mine, strict=True):
                row[one.start - self.start : one.stop - self.start] = True if one.mask is None else one.mask
            return tensor_on(torch.from_numpy(mask), device)
        if all((one.start, one.stop) == (self.start, self.stop) for one in mine):
            return None
        bounds = tensor_on(torch.tensor([[one.start - self.start, one.stop - self.start] for one in mine]), device)
        positions_W = torch.arange(width, device=device)
        return (positions_W >= bounds[:, :1]) & (positions_W < bounds[:, 1:])


def slices(allowed: Sequence[Allowed]) -> list[Slice]:
    """Group requests whose ranges overlap, so that a row of the head is read once for all of them."""
    found: list[Slice] = []
    for member in sorted(range(len(allowed)), key=lambda one: (allowed[one].start, allowed[one].stop)):
        start, stop = allowed[member].start, max(allowed[member].start, allowed[member].stop)
        if found and (start < found[-1].stop or start == found[-1].start):
            last = found[-1]
            found[-1] = Slice(members=[*last.members, member], start=last.start, stop=max(last.stop, stop))
        else:
            found.append(Slice(members=[member], start=start, stop=stop))
    return [replace(part, members=sorted(part.members)) for part in found]


def extras(allowed: Sequence[Allowed]) -> tuple[tuple[int, ...], npt.NDArray[np.bool_] | None]:
    """All extra ids, and which of them are each request's [R, X]; None where each may draw them all."""
    sets = {one.extra for one in allowed}
    ids = tuple(dict.fromkeys(token_id for one in sorted(sets) for token_id in one))
    if len(sets) == 1:
        return ids, None
    return ids, np.array([[token_id in one.extra for token_id in ids] for one in allowed], np.bool_)
