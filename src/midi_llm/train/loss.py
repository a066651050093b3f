"""Loss by slot: a position is scored against the ids that its slot admits, or against the whole vocabulary.

Learned are music events and SEPARATOR; text ids too where the recipe says so. Never learned: the first id of a segment,
AUTOREGRESS and ANTICIPATE, control ids (they are given when composing), padding.
In: final hidden states, the embedding table, ids and the slots of their targets. Out: nats (negative log likelihood) by
position, and their sums per slot. The grammar admits one block per slot anyway, so mass on other blocks would be
thrown away when decoding; one block also costs a sixth of the full head. SEPARATOR competes with the time ids.
Shapes: B rows, L ids, D hidden size, V rows of the table, N = B * (L - 1) positions, n positions of one slot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from midi_llm.tokens.vocab import AUTOREGRESS, CONTROL_OFFSET, DUR_OFFSET, NOTE_OFFSET, REST, SEPARATOR, TIME_OFFSET
from midi_llm.train.config import LossConfig, Over
from midi_llm.train.fused import nats_by_position, summed_nats

TEXT, TIME, DURATION, NOTE = SLOTS = range(4)
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


def position_nats(
    hidden_BLD: Tensor, table_VD: Tensor, ids_BL: Tensor, slots_BL: Tensor, *, text_rows: int, loss: LossConfig
) -> Tensor:
    """Cross-entropy of each position's next id, float32 [B, L-1]; 0 where nothing is learned.

    `slots_BL` is [B, L-1] from `target_slots`.
    """
    nats_N = torch.zeros(slots_BL.numel(), device=hidden_BLD.device)
    for where, hidden_nD, block_VD, target_n in _by_slot(hidden_BLD, table_VD, ids_BL, slots_BL, text_rows, loss.over):
        nats_n = nats_by_position(hidden_nD, block_VD, target_n, chunk=loss.chunk)
        nats_N = nats_N.index_put((where,), nats_n)
    return nats_N.view_as(slots_BL)


def slot_sums(
    hidden_BLD: Tensor, table_VD: Tensor, ids_BL: Tensor, slots_BL: Tensor, *, text_rows: int, loss: LossConfig
) -> Tensor:
    """`position_nats` summed by slot, float32 [4], by the kernel that `loss` asks for."""
    sums = []
    for _, hidden_nD, block_VD, target_n in _by_slot(hidden_BLD, table_VD, ids_BL, slots_BL, text_rows, loss.over):
        if loss.over == "slot":
            logits_nV = hidden_nD @ block_VD.T
            sums.append(functional.cross_entropy(logits_nV.float(), target_n, reduction="sum"))
        else:
            sums.append(summed_nats(hidden_nD, block_VD, target_n, kernel=loss.kernel, chunk=loss.chunk))
    return torch.stack(sums)


def _by_slot(
    hidden_BLD: Tensor, table_VD: Tensor, ids_BL: Tensor, slots_BL: Tensor, text_rows: int, over: Over
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """For each slot: its positions [n] of N, their hidden states, the rows they are scored against, the targets."""
    hidden_ND = hidden_BLD[:, :-1].reshape(-1, hidden_BLD.shape[-1])
    targets_N, slots_N = ids_BL[:, 1:].reshape(-1), slots_BL.reshape(-1)
    table_VD = table_VD.to(hidden_ND.dtype)
    for slot in SLOTS:
        where = (slots_N == slot).nonzero().squeeze(1)
        block_VD, target_n = table_VD, targets_N[where]
        if over == "slot":
            block_VD, target_n = _block(slot, table_VD, target_n, text_rows)
        yield where, hidden_ND[where], block_VD, target_n


def slot_counts(slots_BL: Tensor) -> Tensor:
    """How many positions each slot has, int64 [4]."""
    return torch.stack([(slots_BL == slot).sum() for slot in SLOTS])


def slot_loss(nats_BL: Tensor, slots_BL: Tensor) -> SlotLoss:
    """Sum `position_nats` by slot; set slots to -1 to leave positions out."""
    sums = torch.stack([nats_BL[slots_BL == slot].sum() for slot in SLOTS])
    return SlotLoss(nats=sums, counts=slot_counts(slots_BL))


def nats_per_slot(losses: SlotLoss) -> dict[str, float]:
    """Mean nats of each slot that occurred, by its name."""
    pairs = zip(SLOT_NAMES, losses.nats.tolist(), losses.counts.tolist(), strict=True)
    return {name: round(nats / count, 4) for name, nats, count in pairs if count}


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
