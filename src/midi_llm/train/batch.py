"""A batch of shard rows as tensors: what the model and the loss need to know of several segments in one row.

In: a `ShardSet` and row numbers. Out: `TrainBatch`. Shapes: B rows, L ids, s segments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from midi_llm.data.shards import END, ROW, START, ShardSet
from midi_llm.train.loss import target_slots

_TENSORS = ("ids", "positions", "slots", "owners")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainBatch:
    """B rows of L ids each."""

    ids: Tensor
    """[B, L] token ids."""
    positions: Tensor
    """[B, L], counted from each segment's start. Padding goes on counting: it makes no segment of its own."""
    slots: Tensor
    """[B, L-1], slot of the id that each position predicts; -1 where nothing is learned."""
    owners: Tensor
    """[B, L-1], the row of `segments` that the predicted id belongs to."""
    segments: npt.NDArray[np.int32]
    """[s, 6], columns as in data/shards.py."""

    @property
    def length(self) -> int:
        """Ids in its segments, padding left out."""
        return int((self.segments[:, END] - self.segments[:, START]).sum())

    def to(self, device: torch.device) -> TrainBatch:
        """The same batch with its tensors on `device`; pinned memory is copied without waiting."""
        return self._with_tensors(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> TrainBatch:
        """The same batch in memory that a GPU can copy from by itself."""
        return self._with_tensors(torch.Tensor.pin_memory)

    def _with_tensors(self, change: Callable[[Tensor], Tensor]) -> TrainBatch:
        tensors: dict[str, Any] = {name: change(getattr(self, name)) for name in _TENSORS}
        return replace(self, **tensors)


def train_batch(
    shards: ShardSet, indices: npt.NDArray[np.integer], *, with_text: bool, whole: bool = False
) -> TrainBatch:
    """Rows `indices` of `shards`, cut to the longest one's ids unless `whole`; text is learned where `with_text`."""
    batch = shards.batch(indices, whole=whole)
    ids_BL, segments = torch.from_numpy(batch.ids), torch.from_numpy(batch.segments).long()
    places_L = torch.arange(ids_BL.shape[1])
    segment_BL = torch.zeros_like(ids_BL)
    segment_BL[segments[:, ROW], segments[:, START]] = torch.arange(len(segments))
    segment_BL = segment_BL.cummax(dim=1).values  # segments are in order of row and start
    positions_BL = places_L - segments[segment_BL, START]
    slots_BL = target_slots(
        ids_BL,
        positions_BL,
        places_L < segments[segment_BL, END],
        text_rows=shards.spec.text_rows,
        with_text=with_text,
    )
    return TrainBatch(
        ids=ids_BL, positions=positions_BL, slots=slots_BL, owners=segment_BL[:, 1:], segments=batch.segments
    )
