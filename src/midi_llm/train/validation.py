"""Validation: bits per event over rows that are not trained on, also by kind of example and by source.

In: a model and a `ShardSet`. Out: a record for the logbook. Bits per event are comparable across vocabularies and
models as long as the rows are the same.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
import torch

from midi_llm.data.order import batch_indices
from midi_llm.data.shards import KIND, KINDS, SOURCE, ShardSet
from midi_llm.train.batch import train_batch
from midi_llm.train.config import TrainConfig
from midi_llm.train.distributed import World
from midi_llm.train.loss import SlotLoss, nats_per_slot, slot_loss
from midi_llm.train.model import TrainableLlama

_SEED = 0
"""Every stage validates on the same rows, spread over the whole set."""


def validate(model: TrainableLlama, rows: ShardSet, config: TrainConfig, world: World) -> dict[str, Any]:
    """Bits per event and nats per slot over `validation_rows` rows; bits per event also by kind and by source.

    Every process does all of it: it is short, and needs no exchange of parts.
    """
    whole: list[SlotLoss] = []
    parts: defaultdict[tuple[str, str], list[SlotLoss]] = defaultdict(list)
    groups = (("by_kind", KIND, KINDS), ("by_source", SOURCE, rows.spec.sources))
    count = min(config.validation_rows, len(rows))
    chosen = np.sort(batch_indices(rows=len(rows), batch_rows=count, seed=_SEED, step=0))
    at_once = config.compute.micro_rows or max(1, config.batch_rows // world.size)
    model.eval()
    for start in range(0, count, at_once):
        part = chosen[start : start + at_once]
        batch = train_batch(rows, part, with_text=config.loss.on_prompt, whole=config.compute.compile).to(world.device)
        nats_BL = model.position_nats(batch.ids, batch.positions, batch.slots)
        whole.append(slot_loss(nats_BL, batch.slots))
        for group, column, names in groups:
            labels_s = batch.segments[:, column]
            for label in np.unique(labels_s).tolist():
                own_BL = torch.from_numpy(labels_s == label).to(world.device)[batch.owners]
                parts[group, names[label]].append(slot_loss(nats_BL, batch.slots.where(own_BL, -1)))
    model.train()
    record: dict[str, Any] = {"bits_per_event": _bits(whole), **nats_per_slot(_sum(whole))}
    for (group, name), losses in sorted(parts.items()):
        if math.isfinite(bits := _bits(losses)):
            record.setdefault(group, {})[name] = bits
    return record


def _sum(parts: list[SlotLoss]) -> SlotLoss:
    """Nats and counts added up."""
    return SlotLoss(
        nats=torch.stack([part.nats for part in parts]).sum(dim=0),
        counts=torch.stack([part.counts for part in parts]).sum(dim=0),
    )


def _bits(parts: list[SlotLoss]) -> float:
    """Bits per event over all parts; NaN where a slot has no position."""
    return round(_sum(parts).bits_per_event(), 4)
