"""Loss by slot: every position is scored only against the ids its slot admits.

In: final hidden states, the training table, rows and their spans. Out: summed negative log likelihood (nats) and count
per slot. The grammar admits one block per slot anyway, so mass on other blocks would be thrown away at decoding time;
scoring one block also costs a sixth of the full head. SEPARATOR competes with the time ids.
Shapes: B rows, L ids, D hidden size, V rows of the training table, n positions of one slot.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from midi_llm.tokens.vocab import DUR_OFFSET, NOTE_OFFSET, REST, SEPARATOR
from midi_llm.train.embedding import CONTROL_ROWS

TEXT, TIME, DURATION, NOTE = range(4)
SLOT_NAMES = ("text", "time", "duration", "note")
SEPARATOR_ROW = SEPARATOR - CONTROL_ROWS
"""Of SEPARATOR in the training table, after the text rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotLoss:
    """Nats summed per slot and the number of positions behind each sum, both [4]."""

    nats: Tensor
    counts: Tensor

    def bits_per_event(self) -> float:
        """Bits to say one event: the mean of each of its three slots, added. NaN where a slot has no position."""
        per_slot = self.nats[1:].detach().double() / self.counts[1:].double()
        return float(per_slot.sum() / torch.log(torch.tensor(2.0)))


def target_slots(spans_B2: Tensor, length: int, *, with_text: bool) -> Tensor:
    """Slot of the id that position i predicts, int64 [B, L-1]; -1 where nothing is learned (padding, masked prompt)."""
    target = torch.arange(1, length, device=spans_B2.device)[None]
    start, end = spans_B2[:, :1].long(), spans_B2[:, 1:].long()
    slots = torch.where(target >= start, (target - start) % 3 + TIME, torch.full_like(target, TEXT))
    learned = (target < end) & ((target >= start) | ((target < start - 1) & with_text))
    return torch.where(learned, slots, torch.full_like(slots, -1))


def slot_loss(hidden_BLD: Tensor, table_VD: Tensor, ids_BL: Tensor, slots_BL: Tensor, text_rows: int) -> SlotLoss:
    """Cross-entropy of each position's next id within its slot's block.

    `ids_BL` are training ids (see `training_ids`), `slots_BL` is [B, L-1] from `target_slots`.
    """
    hidden_ND = hidden_BLD[:, :-1].reshape(-1, hidden_BLD.shape[-1])
    targets_N = ids_BL[:, 1:].reshape(-1)
    slots_N = slots_BL.reshape(-1)
    nats, counts = [], []
    for slot in (TEXT, TIME, DURATION, NOTE):
        where = (slots_N == slot).nonzero().squeeze(1)
        counts.append(where.numel())
        if not where.numel():
            nats.append(hidden_ND.new_zeros((), dtype=torch.float32))
            continue
        block_VD, target_n = _block(slot, table_VD, targets_N[where], text_rows)
        logits_nV = hidden_ND[where] @ block_VD.to(hidden_ND.dtype).T
        nats.append(functional.cross_entropy(logits_nV.float(), target_n, reduction="sum"))
    return SlotLoss(nats=torch.stack(nats), counts=torch.tensor(counts, device=hidden_ND.device))


def _block(slot: int, table_VD: Tensor, target_n: Tensor, text_rows: int) -> tuple[Tensor, Tensor]:
    """The rows that `slot` admits and the targets as indices into them."""
    if slot == TEXT:
        return table_VD[:text_rows], target_n
    music_VD, music_n = table_VD[text_rows:], target_n - text_rows
    if slot == TIME:
        block = torch.cat([music_VD[:DUR_OFFSET], music_VD[SEPARATOR_ROW : SEPARATOR_ROW + 1]])
        return block, torch.where(music_n == SEPARATOR_ROW, torch.full_like(music_n, DUR_OFFSET), music_n)
    if slot == DURATION:
        return music_VD[DUR_OFFSET:NOTE_OFFSET], music_n - DUR_OFFSET
    return music_VD[NOTE_OFFSET : REST + 1], music_n - NOTE_OFFSET
