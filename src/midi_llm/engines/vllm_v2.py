"""The grammar as a logits processor of vLLM's V2 model runner (0.31 and later). Loaded by vLLM, by its dotted path.

In: the rules in a request's `extra_args`, and vLLM's own table of ids on the device. Out: logits in which only legal
ids are left. Rules are kept by request slot; nothing is read back from the device. Drafts of speculative decoding are
not in that table, so it must be off.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext, LogitsProcessor, LogitsProcRequestState

from midi_llm.engines.rules import TripletRules
from midi_llm.engines.tensor_grammar import TRIPLET, RuleTable, allowed_masks
from midi_llm.engines.vllm_rules import check_rules, read_rules


class V2GrammarProcessor(LogitsProcessor):  # type: ignore[misc]
    """Masks the rows of the requests that carry rules; others pass as they are."""

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Raise `ValueError` for rules that cannot be read."""
        check_rules(sampling_params)

    def __init__(self, vllm_config: Any, req_states: LogitsProcRequestState) -> None:
        if vllm_config.speculative_config is not None:
            raise ValueError("the grammar does not read draft tokens; switch speculative decoding off")
        self._states = req_states
        self._is_ruled = np.zeros(req_states.max_num_reqs, np.bool_)
        self._staged: RuleTable | None = None
        self._table: RuleTable | None = None
        self._is_stale = False

    def add_request(self, req_idx: int, sampling_params: Any) -> bool:
        """Note the rules of the request that enters slot `req_idx`; False where it has none."""
        rules = read_rules(sampling_params)
        self._is_ruled[req_idx] = rules is not None
        if rules is not None:
            self._stage(req_idx, rules)
        return rules is not None

    def apply_staged_writes(self) -> None:
        """Bring new rules to the device."""
        if self._staged is not None and self._is_stale:
            self._table = self._staged.to(self._states.device)
            self._is_stale = False

    def apply(self, logits: torch.Tensor, ctx: LogitsContext) -> torch.Tensor:
        """Mask `logits` [rows, vocabulary]; row i belongs to slot `ctx.expanded_idx_mapping[i]`."""
        is_ruled = self._is_ruled[ctx.idx_mapping_np]
        if self._table is None or not is_ruled.any():
            return logits
        slots_R = ctx.expanded_idx_mapping.to(torch.int64)
        table = self._table.select(slots_R)
        given_R = TRIPLET * table.column("given_events")[:, 0]
        start_R = (self._states.prompt_len.gpu[slots_R].to(torch.int64) - given_R).clamp(min=0)
        ids = self._states.all_token_ids.gpu
        places_L = torch.arange(int(ctx.seq_lens_upper_bound_np.max()), device=logits.device)
        places_RL = (start_R[:, None] + places_L).clamp(0, ids.shape[1] - 1)
        lengths_R = ctx.pos.to(torch.int64) + 1 - start_R
        masked = allowed_masks(table, ids[slots_R[:, None], places_RL], lengths_R).apply(logits)
        if is_ruled.all():
            return masked
        ruled = torch.from_numpy(self._is_ruled).to(logits.device)
        return torch.where(ruled[slots_R][:, None], masked, logits)

    def _stage(self, slot: int, rules: TripletRules) -> None:
        if self._staged is None:
            self._staged = RuleTable.empty(rules.layout, self._states.max_num_reqs)
        self._staged.set(slot, rules)
        self._is_stale = True
