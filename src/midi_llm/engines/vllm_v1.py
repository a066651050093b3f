"""The grammar as a logits processor of vLLM's V1 model runner. Loaded by vLLM, by its dotted path.

In: the rules in a request's `extra_args`, and the live lists of ids that vLLM keeps. Out: logits in which only legal
ids are left. The last entry of such a list may be a placeholder until `apply`, so ids are read there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from midi_llm.engines.rules import TripletRules
from midi_llm.engines.tensor_grammar import TRIPLET, RuleTable, allowed_masks
from midi_llm.engines.vllm_rules import check_rules, read_rules


class V1GrammarProcessor(LogitsProcessor):  # type: ignore[misc]
    """Masks the rows of the requests that carry rules; others pass as they are."""

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Raise `ValueError` for rules that cannot be read."""
        check_rules(sampling_params)

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        self._device = device
        self._rows: dict[int, _Row] = {}
        self._table: RuleTable | None = None

    def is_argmax_invariant(self) -> bool:
        """False: the best legal id is seldom the best of all."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow requests that came, went or moved."""
        if process_dict_updates(self._rows, batch_update, _row):
            rules = [row.rules for row in self._rows.values()]
            self._table = RuleTable.of(rules, self._device) if rules else None

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Mask `logits` [requests, vocabulary] in place."""
        if self._table is None:
            return logits
        rows = list(self._rows.values())
        lengths = [row.read() for row in rows]
        history = np.zeros((len(rows), max(lengths) + 1), np.int32)
        for at, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            history[at, :length] = row.ids[:length]
        masks = allowed_masks(
            self._table,
            torch.from_numpy(history).to(self._device),
            torch.tensor(lengths, device=self._device),
        )
        where = torch.tensor(list(self._rows), device=self._device)
        logits[where] = masks.apply(logits[where])
        return logits


class _Row:
    """A request's rules and ids: its given events, then what it has drawn, copied from vLLM's list as that grows."""

    def __init__(self, rules: TripletRules, prompt: list[int], output: list[int], budget: int) -> None:
        self.rules = rules
        given = TRIPLET * rules.given_events
        self.ids = np.zeros(given + budget, np.int32)
        tail = prompt[max(0, len(prompt) - given) :]
        self.ids[given - len(tail) : given] = tail
        self._output = output
        self._given = self._length = given

    def read(self) -> int:
        """Take over new ids; returns how many there are. What comes after the budget does not count."""
        fresh = self._output[self._length - self._given :][: len(self.ids) - self._length]
        self.ids[self._length : self._length + len(fresh)] = fresh
        self._length += len(fresh)
        return self._length


def _row(params: Any, prompt: list[int] | None, output: list[int]) -> _Row | None:
    rules = read_rules(params)
    if rules is None:
        return None
    return _Row(rules, prompt or [], output, budget=min(params.max_tokens or rules.max_tokens, rules.max_tokens))
