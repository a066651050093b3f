"""A batch of shard rows as tensors: what the model and the loss need to know of several segments in one row.

In: a `ShardSet` and row numbers. Out: `TrainBatch`. Shapes: B rows, L ids, s segments.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from midi_llm.data.shards import END, ROW, START, ShardSet
from midi_llm.train.loss import target_slots


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainBatch:
    """B rows cut to the longest one's L ids."""

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
        """The same batch with its tensors on `device`."""
        tensors = {name: getattr(self, name).to(device) for name in ("ids", "positions", "slots", "owners")}
        return replace(self, **tensors)


def train_batch(shards: ShardSet, indices: npt.NDArray[np.integer], *, with_text: bool) -> TrainBatch:
    """Rows `indices` of `shards`; text is learned where `with_text` holds."""
    batch = shards.batch(indices)
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
