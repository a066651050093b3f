"""The triplet grammar on tensors: which ids may come next after each of many histories, without a loop over rows.

In: token ids so far, left-aligned (given events first), their number, and each row's `TripletRules`. Out: masks. The
state is computed from the history alone, so nothing has to be kept in step with a scheduler that preempts or reorders.
No value is read back from the device. A history that breaks the rules is not an error here: its row allows what the
numbers give, or the separator; the request's own constraint finds it out.

Shapes: R rows, L history ids, N triplets, T times, D durations, I instruments, P pitches, Q notes (I * P) and a rest,
W all ids of the triplets, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import torch
from torch import Tensor

from midi_llm.engines.rules import LISTS, Layout, TripletRules
from midi_llm.errors import EngineError

TRIPLET = 3
PITCH_CLASSES = 12
_NUMBERS = tuple(field.name for field in fields(TripletRules) if field.name not in {"layout", *LISTS})


class RuleTable:
    """The rules of R rows on one device, all of one layout: `numbers_RF` int64, `usable_RIP` (notes) bool."""

    def __init__(self, layout: Layout, numbers_RF: Tensor, usable_RIP: Tensor) -> None:
        self.layout = layout
        self.numbers_RF = numbers_RF
        self.usable_RIP = usable_RIP

    @classmethod
    def of(cls, rules: Sequence[TripletRules], device: torch.device | str = "cpu") -> RuleTable:
        """Row i holds `rules[i]`; `EngineError` when their layouts differ."""
        layout = rules[0].layout
        table = cls.empty(layout, len(rules))
        for row, one in enumerate(rules):
            table.set(row, one)
        return table.to(device)

    @classmethod
    def empty(cls, layout: Layout, rows: int) -> RuleTable:
        """`rows` rows of zeros, on the CPU."""
        numbers_RF = torch.zeros((rows, len(_NUMBERS)), dtype=torch.int64)
        return cls(layout, numbers_RF, torch.zeros((rows, layout.instruments, layout.pitches), dtype=torch.bool))

    def to(self, device: torch.device | str) -> RuleTable:
        """A copy on `device`."""
        return RuleTable(self.layout, self.numbers_RF.to(device, copy=True), self.usable_RIP.to(device, copy=True))

    def set(self, row: int, rules: TripletRules) -> None:
        """Write one row; `EngineError` when its layout is another one."""
        if rules.layout != self.layout:
            raise EngineError(f"a request has the layout {rules.layout}; this engine already serves {self.layout}")
        self.numbers_RF[row] = torch.tensor([getattr(rules, name) for name in _NUMBERS])
        self.usable_RIP[row] = _usable(rules)

    def select(self, rows_R: Tensor) -> RuleTable:
        """The table of the rows `rows_R`."""
        return RuleTable(self.layout, self.numbers_RF[rows_R], self.usable_RIP[rows_R])

    def column(self, name: str) -> Tensor:
        """One rule of every row, [R, 1]."""
        at = _NUMBERS.index(name)
        return self.numbers_RF[:, at : at + 1]


def _usable(rules: TripletRules) -> Tensor:
    """The notes [I, P] that the rules leave, whatever has been played."""
    layout = rules.layout
    pitch_P = torch.arange(layout.pitches)
    lowest_I, highest_I = torch.tensor(rules.lowest), torch.tensor(rules.highest)
    usable_IP = (pitch_P >= lowest_I[:, None]) & (pitch_P <= highest_I[:, None])
    usable_IP[:-1] &= (rules.pitch_classes >> (pitch_P % PITCH_CLASSES)) & 1 > 0
    chosen_I = torch.zeros(layout.instruments, dtype=torch.bool)
    chosen_I[list(rules.instruments)] = True
    return usable_IP & chosen_I[:, None]


class AllowedMasks:
    """Ids that may come next: `block_RW` from the layout's first id to its rest, and the separator."""

    def __init__(self, layout: Layout, block_RW: Tensor, separator_R: Tensor) -> None:
        self.layout = layout
        self.block_RW = block_RW
        self.separator_R = separator_R

    def apply(self, logits_RV: Tensor) -> Tensor:
        """New logits in which every other id is -inf."""
        first, width = self.layout.first_id, self.layout.width
        masked_RV = torch.full_like(logits_RV, -torch.inf)
        block_RW = masked_RV[:, first : first + width]
        block_RW.copy_(torch.where(self.block_RW, logits_RV[:, first : first + width], block_RW))
        closing_R = logits_RV[:, self.layout.separator]
        masked_RV[:, self.layout.separator] = torch.where(self.separator_R, closing_R, -torch.inf)
        return masked_RV


def allowed_masks(table: RuleTable, history_RL: Tensor, lengths_R: Tensor) -> AllowedMasks:
    """What may follow each row's first `lengths_R` ids of `history_RL` (its given events included)."""
    state = _State(table, history_RL, lengths_R)
    time_RT, closes_R1 = _time_slot(state)
    duration_RD, may_rest_R1, shortest_R1 = _duration_slot(state)
    note_RQ, rest_R1 = _note_slot(state, may_rest_R1, shortest_R1)
    block_RW = torch.cat(
        (
            time_RT & (state.slot_R1 == 0),
            duration_RD & (state.slot_R1 == 1),
            note_RQ & (state.slot_R1 == 2),
            rest_R1 & (state.slot_R1 == 2),
        ),
        dim=1,
    )
    block_RW &= ~state.closed_R1
    separator_R1 = closes_R1 & (state.slot_R1 == 0) | ~block_RW.any(dim=1, keepdim=True)
    return AllowedMasks(table.layout, block_RW, separator_R1[:, 0])


class _State:
    """What a history leaves behind, one row each; columns are [R, 1]."""

    def __init__(self, table: RuleTable, history_RL: Tensor, lengths_R: Tensor) -> None:
        self.table = table
        self.layout = table.layout
        ids_RN3 = torch.nn.functional.pad(history_RL, (0, -history_RL.shape[1] % TRIPLET)).to(torch.int64)
        ids_RN3 = ids_RN3.view(len(ids_RN3), -1, TRIPLET)
        self._given_R1 = table.column("given_events")
        length_R1 = torch.maximum(lengths_R.to(torch.int64)[:, None], TRIPLET * self._given_R1)
        whole_R1 = length_R1 // TRIPLET
        self.slot_R1 = length_R1 % TRIPLET
        self.used_R1 = length_R1 - TRIPLET * self._given_R1
        self._index_N = torch.arange(ids_RN3.shape[1], device=ids_RN3.device)
        self._read(ids_RN3, whole_R1, length_R1)
        self._follow(whole_R1)

    def _read(self, ids_RN3: Tensor, whole_R1: Tensor, length_R1: Tensor) -> None:
        """Times, durations (cut as the grammar cuts them), notes; which of the triplets count."""
        layout, table = self.layout, self.table
        raw_RN = ids_RN3[..., 0] - layout.first_id
        time_RN = raw_RN.clamp(0, layout.times - 1)
        duration_RN = (ids_RN3[..., 1] - layout.first_id - layout.times).clamp(0, layout.durations - 1)
        note_RN = (ids_RN3[..., 2] - layout.first_id - layout.times - layout.durations).clamp(0, layout.notes)
        is_own_RN = self._index_N >= self._given_R1
        room_RN = torch.minimum(table.column("max_duration_ticks"), table.column("end_ticks") - time_RN).clamp(min=0)
        self._duration_RN = torch.where(is_own_RN, torch.minimum(duration_RN, room_RN), duration_RN)
        self._time_RN, self._note_RN = time_RN, note_RN
        self._is_note_RN = (self._index_N < whole_R1) & (note_RN < layout.notes)
        self.notes_R1 = (self._is_note_RN & is_own_RN).sum(dim=1, keepdim=True)
        latest_R1 = latest_onset(table)
        closing_RN = is_own_RN & (TRIPLET * self._index_N < length_R1) & ((raw_RN > latest_R1) | (raw_RN < 0))
        self.closed_R1 = closing_RN.any(dim=1, keepdim=True)

    def _follow(self, whole_R1: Tensor) -> None:
        """Where time stands, what sounds there, and which notes are left."""
        last_R1 = (whole_R1 - 1).clamp(0, self._time_RN.shape[1] - 1)
        zero_R1 = torch.zeros_like(whole_R1)
        self.is_first_R1 = whole_R1 == 0
        before_R1 = torch.where(self.is_first_R1, zero_R1, self._time_RN.gather(1, last_R1))
        self.before_R1 = torch.maximum(before_R1, self.table.column("start_ticks"))
        current_R1 = whole_R1.clamp(max=self._time_RN.shape[1] - 1)
        self.now_R1 = torch.where(self.slot_R1 > 0, self._time_RN.gather(1, current_R1), self.before_R1)
        self.duration_R1 = self._duration_RN.gather(1, current_R1)
        last_note_R1 = torch.where(self._is_note_RN, self._index_N, -1).amax(dim=1, keepdim=True)
        self.rests_R1 = whole_R1 - 1 - last_note_R1
        ends_RN = torch.where(self._is_note_RN, self._time_RN + self._duration_RN, 0)
        self.reached_R1 = ends_RN.amax(dim=1, keepdim=True)
        rank_R1 = self.table.column("max_polyphony") - 1
        nth_R1 = ends_RN.sort(dim=1, descending=True).values.gather(1, rank_R1.clamp(0, ends_RN.shape[1] - 1))
        self.free_from_R1 = torch.where(rank_R1 < ends_RN.shape[1], nth_R1, zero_R1)
        usable_RQ = self._usable()
        here_RQ = self._scatter(self._note_RN, self._time_RN == self.now_R1, self.layout.notes)
        self.choices_R1 = usable_RQ.sum(dim=1, keepdim=True)
        self.here_R1 = (usable_RQ & here_RQ).sum(dim=1, keepdim=True)
        self.left_RQ = usable_RQ & ~here_RQ

    def _usable(self) -> Tensor:
        """Notes [R, Q] that the instruments and pitches leave, those that start now included."""
        layout, table = self.layout, self.table
        drums = layout.instruments - 1
        is_melodic_I = torch.arange(layout.instruments, device=self._index_N.device) < drums
        used_RI = self._scatter(self._note_RN // layout.pitches, self._is_note_RN, layout.instruments)
        has_room_R1 = used_RI.sum(dim=1, keepdim=True) < table.column("max_instruments")
        has_melodic_R1 = used_RI[:, :drums].sum(dim=1, keepdim=True) < table.column("max_melodic")
        open_RI = used_RI | (has_room_R1 & (has_melodic_R1 | ~is_melodic_I))
        usable_RIP = open_RI[:, :, None] & table.usable_RIP
        return usable_RIP.view(len(usable_RIP), -1)

    def _scatter(self, values_RN: Tensor, which_RN: Tensor, count: int) -> Tensor:
        """[R, count]: whether a note of `which_RN` has that value."""
        marked = torch.zeros((len(values_RN), count + 1), dtype=torch.bool, device=values_RN.device)
        values_RN = torch.where(which_RN & self._is_note_RN, values_RN, count)
        return marked.scatter_(1, values_RN, torch.ones_like(values_RN, dtype=torch.bool))[:, :count]


def latest_onset(table: RuleTable) -> Tensor:
    """The last time [R, 1] at which a note fits."""
    shortest_R1 = torch.maximum(table.column("min_duration_ticks"), table.column("min_melodic_ticks"))
    return table.column("end_ticks") - shortest_R1


def _time_slot(state: _State) -> tuple[Tensor, Tensor]:
    """Times [R, T] that may come, and whether the separator may [R, 1]."""
    table, now_R1 = state.table, state.now_R1
    latest_R1 = latest_onset(table)
    earliest_R1 = torch.maximum(now_R1 + (state.here_R1 >= state.choices_R1), state.free_from_R1)
    later_R1 = now_R1 + torch.where(state.here_R1 > 0, table.column("min_gap_ticks"), 0)
    earliest_R1 = torch.where(earliest_R1 > now_R1, torch.maximum(earliest_R1, later_R1), earliest_R1)
    must_close_R1 = (
        (table.column("max_tokens") - state.used_R1 <= TRIPLET)
        | (state.notes_R1 >= table.column("max_notes"))
        | (earliest_R1 > latest_R1)
    )
    may_close_R1 = (state.notes_R1 > 0) & (state.reached_R1 >= table.column("min_end_ticks"))
    time_T = torch.arange(state.layout.times, device=now_R1.device)
    is_gap_RT = (time_T > earliest_R1) & (time_T < later_R1)
    is_ahead_RT = (time_T > earliest_R1) & (time_T >= _pace(state)) & (table.column("pace_events") > 0)
    fits_RT = (time_T >= earliest_R1) & (time_T <= latest_R1) & ~is_gap_RT & ~is_ahead_RT
    has_late_R1 = may_close_R1 & (table.column("opens_past_end") > 0) & (table.column("end_ticks") < state.layout.times)
    return (fits_RT | (has_late_R1 & (time_T > latest_R1))) & ~must_close_R1, must_close_R1 | may_close_R1


def _pace(state: _State) -> Tensor:
    """The time [R, 1] that the next onset must lie before, where there is a pace."""
    events_R1 = state.used_R1 // TRIPLET
    return state.layout.times * (events_R1 + 1) // state.table.column("pace_events").clamp(min=1)


def _duration_slot(state: _State) -> tuple[Tensor, Tensor, Tensor]:
    """Durations [R, D] that may come; whether a rest may stand here, and the shortest duration of a note [R, 1]."""
    table, layout = state.table, state.layout
    has_drums_R1 = state.left_RQ[:, -layout.pitches :].any(dim=1, keepdim=True)
    shortest_R1 = table.column("min_duration_ticks")
    shortest_R1 = torch.where(has_drums_R1, shortest_R1, torch.maximum(shortest_R1, table.column("min_melodic_ticks")))
    used_R1 = state.used_R1 - (state.slot_R1 == 2).to(torch.int64)  # as they were when the time had been said
    has_budget_R1 = (state.notes_R1 > 0) | (table.column("max_tokens") - used_R1 - (TRIPLET - 1) > TRIPLET)
    gap_R1, interval_R1 = state.now_R1 - state.before_R1, table.column("rest_interval_ticks")
    is_due_R1 = (gap_R1 == interval_R1) | (state.is_first_R1 & (gap_R1 < interval_R1))
    may_rest_R1 = (state.rests_R1 < table.column("max_consecutive_rests")) & has_budget_R1 & is_due_R1
    duration_D = torch.arange(layout.durations, device=gap_R1.device)
    longest_R1 = torch.minimum(table.column("max_duration_ticks"), table.column("end_ticks") - state.now_R1)
    longest_R1 = torch.where(table.column("opens_past_end") > 0, layout.durations - 1, longest_R1)
    fits_RD = (duration_D >= shortest_R1) & (duration_D <= longest_R1)
    return fits_RD | (may_rest_R1 & (duration_D == 0)), may_rest_R1, shortest_R1


def _note_slot(state: _State, may_rest_R1: Tensor, shortest_R1: Tensor) -> tuple[Tensor, Tensor]:
    """Notes [R, Q] that may come, and whether a rest may [R, 1]."""
    layout = state.layout
    rest_R1 = may_rest_R1 & (state.duration_R1 == 0)
    is_drum_Q = torch.arange(layout.notes, device=rest_R1.device) >= layout.notes - layout.pitches
    is_long_R1 = state.duration_R1 >= state.table.column("min_melodic_ticks")
    return state.left_RQ & (is_long_R1 | is_drum_Q) & ~(rest_R1 & (shortest_R1 > 0)), rest_R1
