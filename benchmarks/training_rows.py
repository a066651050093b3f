"""Rows for the training benchmark: a prompt, AUTOREGRESS, and random legal events, the same on every call."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from midi_llm.tokens.vocab import AUTOREGRESS, DUR_OFFSET, MAX_NOTE, MAX_TIME_TICKS, NOTE_OFFSET
from midi_llm.train.config import ModelShape
from midi_llm.train.loss import target_slots

PROMPT_IDS = 64


@dataclass(frozen=True)
class Rows:
    """[B, L] ids, positions, and [B, L-1] slots."""

    ids: torch.Tensor
    positions: torch.Tensor
    slots: torch.Tensor


def make_rows(shape: ModelShape, rows: int, length: int, device: torch.device, packed: int = 1) -> Rows:
    """`packed` examples side by side in a row: a prompt, AUTOREGRESS, and triplets with rising times."""
    if packed > 1:
        parts = [make_rows(shape, rows, length // packed, device) for _ in range(packed)]
        gap = torch.full((rows, 1), -1, device=device)  # the first id of an example is not learned
        slots = [part for made in parts for part in (made.slots, gap)][:-1]
        return Rows(
            torch.cat([part.ids for part in parts], dim=1),
            torch.cat([part.positions for part in parts], dim=1),
            torch.cat(slots, dim=1),
        )
    rng = np.random.default_rng(0)
    text = shape.text_rows
    events = (length - PROMPT_IDS - 1) // 3
    ids = rng.integers(text, size=(rows, PROMPT_IDS + 1 + 3 * events))
    ids[:, PROMPT_IDS] = text + AUTOREGRESS
    ids[:, PROMPT_IDS + 1 :: 3] = text + np.sort(rng.integers(MAX_TIME_TICKS, size=(rows, events)), axis=1)
    ids[:, PROMPT_IDS + 2 :: 3] = text + DUR_OFFSET + rng.integers(1000, size=(rows, events))
    ids[:, PROMPT_IDS + 3 :: 3] = text + NOTE_OFFSET + rng.integers(MAX_NOTE, size=(rows, events))
    ids_BL = torch.from_numpy(ids).to(device)
    positions_BL = torch.arange(ids_BL.shape[1], device=device).expand_as(ids_BL)
    inside_BL = torch.ones_like(ids_BL, dtype=torch.bool)
    slots_BL = target_slots(ids_BL, positions_BL, inside_BL, text_rows=text, with_text=True)
    return Rows(ids_BL, positions_BL, slots_BL)
