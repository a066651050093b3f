"""Loss by slot: every position is scored only against the ids its slot admits.

Learned are music events and SEPARATOR; text ids too where the recipe says so. Never learned: the first id of a segment,
AUTOREGRESS and ANTICIPATE, control ids (they are given when composing), padding.
In: final hidden states, the embedding table, ids and the slots of their targets. Out: nats (negative log likelihood) by
position, and their sums per slot. The grammar admits one block per slot anyway, so mass on other blocks would be
thrown away when decoding; one block also costs a sixth of the full head. SEPARATOR competes with the time ids.
Shapes: B rows, L ids, D hidden size, V rows of the table, N = B * (L - 1) positions, n positions of one slot.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from midi_llm.tokens.vocab import AUTOREGRESS, CONTROL_OFFSET, DUR_OFFSET, NOTE_OFFSET, REST, SEPARATOR, TIME_OFFSET

TEXT, TIME, DURATION, NOTE = range(4)
SLOT_NAMES = ("text", "time", "duration", "note")
_BOUNDS = (TIME_OFFSET, DUR_OFFSET, NOTE_OFFSET, CONTROL_OFFSET, SEPARATOR, AUTOREGRESS)
_SLOT_BETWEEN = (TEXT, TIME, DURATION, NOTE, -1, TIME, -1)
"""Slot of the AMT ids below, between and from the bounds on; -1 for controls and for the ids that start a piece."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotLoss:
    """Nats summed per slot and the number of positions behind each sum, both [4]."""

    nats: Tensor
    counts: Tensor

    def bits_per_event(self) -> float:
        """Bits to say one event: the mean of each of its three slots, added. NaN where a slot has no position."""
        per_slot = self.nats[1:].detach().double() / self.counts[1:].double()
        return float(per_slot.sum() / torch.log(torch.tensor(2.0)))


def target_slots(ids_BL: Tensor, positions_BL: Tensor, inside_BL: Tensor, *, text_rows: int, with_text: bool) -> Tensor:
    """Slot of the id that position i predicts, int64 [B, L-1]; -1 where nothing is learned.

    `positions_BL` count from each segment's start, `inside_BL` is false on padding.
    """
    bounds, slots = (torch.tensor(values, device=ids_BL.device) for values in (_BOUNDS, _SLOT_BETWEEN))
    slots_BL = slots[torch.bucketize(ids_BL[:, 1:] - text_rows, bounds, right=True)]
    learned = inside_BL[:, 1:] & (positions_BL[:, 1:] > 0) & ((slots_BL != TEXT) | with_text)
    return torch.where(learned, slots_BL, -1)


def position_nats(hidden_BLD: Tensor, table_VD: Tensor, ids_BL: Tensor, slots_BL: Tensor, text_rows: int) -> Tensor:
    """Cross-entropy of each position's next id within its slot's block, float32 [B, L-1]; 0 where nothing is learned.

    `slots_BL` is [B, L-1] from `target_slots`.
    """
    hidden_ND = hidden_BLD[:, :-1].reshape(-1, hidden_BLD.shape[-1])
    targets_N, slots_N = ids_BL[:, 1:].reshape(-1), slots_BL.reshape(-1)
    nats_N = torch.zeros(targets_N.shape, device=hidden_ND.device)
    for slot in (TEXT, TIME, DURATION, NOTE):
        where = (slots_N == slot).nonzero().squeeze(1)
        if where.numel():
            block_VD, target_n = _block(slot, table_VD, targets_N[where], text_rows)
            logits_nV = hidden_ND[where] @ block_VD.to(hidden_ND.dtype).T
            nats_n = functional.cross_entropy(logits_nV.float(), target_n, reduction="none")
            nats_N = nats_N.index_put((where,), nats_n)
    return nats_N.view_as(slots_BL)


def slot_loss(nats_BL: Tensor, slots_BL: Tensor) -> SlotLoss:
    """Sum `position_nats` by slot; set slots to -1 to leave positions out."""
    masks = [slots_BL == slot for slot in (TEXT, TIME, DURATION, NOTE)]
    return SlotLoss(
        nats=torch.stack([nats_BL[mask].sum() for mask in masks]), counts=torch.stack([mask.sum() for mask in masks])
    )


def _block(slot: int, table_VD: Tensor, target_n: Tensor, text_rows: int) -> tuple[Tensor, Tensor]:
    """The rows that `slot` admits and the targets as indices into them."""
    if slot == TEXT:
        return table_VD[:text_rows], target_n
    music_VD, music_n = table_VD[text_rows:], target_n - text_rows
    if slot == TIME:
        block = torch.cat([music_VD[:DUR_OFFSET], music_VD[SEPARATOR : SEPARATOR + 1]])
        return block, torch.where(music_n == SEPARATOR, DUR_OFFSET, music_n)
    if slot == DURATION:
        return music_VD[DUR_OFFSET:NOTE_OFFSET], music_n - DUR_OFFSET
    return music_VD[NOTE_OFFSET : REST + 1], music_n - NOTE_OFFSET
