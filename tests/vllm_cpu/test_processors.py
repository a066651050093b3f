"""The two logits processors, given batches by hand: rows that come, go, move and are reused."""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate, MoveDirectionality
from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext, LogitsProcRequestState

from engines.conftest import VOCAB_SIZE
from engines.test_tensor_grammar import draw, given_ids, listed, random_window
from midi_llm.compose.constraint import WindowConstraint
from midi_llm.engines.vllm_rules import RULES_ARGUMENT, extra_args
from midi_llm.engines.vllm_v1 import V1GrammarProcessor
from midi_llm.engines.vllm_v2 import V2GrammarProcessor

CONFIG = SimpleNamespace(speculative_config=None)
CPU = torch.device("cpu")
TEXT = [256, 72, 101]


class Walk:
    """One request: a random window, its prompt, and the ids drawn so far; without rules where `is_ruled` is False."""

    def __init__(self, rng: random.Random, *, is_ruled: bool = True) -> None:
        self.constraint: WindowConstraint | None = None
        while is_ruled and self.constraint is None:
            self.constraint = random_window(rng)
        rules = self.constraint.rules() if self.constraint else None
        self.params = SamplingParams(extra_args=extra_args(rules), max_tokens=500)
        self.prompt = TEXT + (given_ids(self.constraint._grammar) if self.constraint else [])
        self.output: list[int] = []
        self._rng = rng

    @property
    def is_over(self) -> bool:
        return self.constraint.finished if self.constraint else len(self.output) > 8

    def expected(self) -> np.ndarray:
        return listed(self.constraint.allowed()) if self.constraint else np.ones(VOCAB_SIZE, np.bool_)

    def advance(self) -> None:
        token_id = draw(self.expected(), self._rng)
        if self.constraint:
            self.constraint.accept(token_id)
        self.output.append(token_id)


def check(masked: torch.Tensor, walks: list[Walk]) -> None:
    found = torch.isfinite(masked).numpy()
    for row, walk in enumerate(walks):
        assert np.array_equal(found[row], walk.expected())


def test_v1_follows_requests_that_come_go_and_move() -> None:
    rng = random.Random(3)
    processor = V1GrammarProcessor(CONFIG, CPU, False)
    walks = [Walk(rng, is_ruled=row != 2) for row in range(5)]
    added = [(row, walk.params, walk.prompt, walk.output) for row, walk in enumerate(walks)]
    processor.update_state(BatchUpdate(batch_size=5, removed=[], added=added, moved=[]))
    for step in range(200):
        check(processor.apply(torch.zeros((len(walks), VOCAB_SIZE))), walks)
        for walk in walks:
            walk.advance()
        over = [row for row, walk in enumerate(walks) if walk.is_over]
        fresh = [(row, Walk(rng, is_ruled=rng.random() < 0.8)) for row in over]
        moved = [(0, 3, MoveDirectionality.SWAP)] if step % 3 == 0 else []
        for row, walk in fresh:
            walks[row] = walk
        added = [(row, walk.params, walk.prompt, walk.output) for row, walk in fresh]
        if moved:
            walks[0], walks[3] = walks[3], walks[0]
        update = BatchUpdate(batch_size=5, removed=[], added=added, moved=moved) if added or moved else None
        processor.update_state(update)
    processor.update_state(BatchUpdate(batch_size=0, removed=[0, 1, 2, 3, 4], added=[], moved=[]))
    logits = torch.randn((1, 7))
    assert processor.apply(logits) is logits


def test_v1_takes_up_a_request_again_in_its_middle() -> None:
    rng = random.Random(4)
    walk = Walk(rng)
    while len(walk.output) < 7 or walk.is_over:
        if walk.is_over:
            walk = Walk(rng)
        walk.advance()
    processor = V1GrammarProcessor(CONFIG, CPU, False)
    update = BatchUpdate(batch_size=1, removed=[], added=[(0, walk.params, walk.prompt, walk.output)], moved=[])
    processor.update_state(update)
    check(processor.apply(torch.zeros((1, VOCAB_SIZE))), [walk])


def context(order: list[int], walks: dict[int, Walk]) -> LogitsContext:
    """What the V2 runner says about a step in which the slots `order` are decoded."""
    slots = torch.tensor(order, dtype=torch.int32)
    lengths = [len(walks[slot].prompt) + len(walks[slot].output) for slot in order]
    return LogitsContext(
        expanded_idx_mapping=slots,
        idx_mapping=slots,
        idx_mapping_np=np.array(order, np.int32),
        expanded_local_pos=torch.zeros_like(slots),
        input_ids=torch.zeros_like(slots),
        pos=torch.tensor(lengths) - 1,
        seq_lens_upper_bound_np=np.array(lengths, np.int32) + 2,
    )


def states(slots: int, width: int) -> Any:
    def zeros(*shape: int) -> Any:
        return SimpleNamespace(gpu=torch.zeros(shape, dtype=torch.int32))

    return LogitsProcRequestState(
        device=CPU,
        max_num_reqs=slots,
        vocab_size=VOCAB_SIZE,
        all_token_ids=zeros(slots, width),
        prompt_len=zeros(slots),
        prefill_len=zeros(slots),
        total_len=zeros(slots),
    )


def test_v2_reads_the_table_of_ids_in_any_order_of_rows() -> None:
    rng = random.Random(5)
    table = states(slots=6, width=160)
    processor = V2GrammarProcessor(CONFIG, table)
    walks: dict[int, Walk] = {}
    for _ in range(200):
        for slot in [slot for slot in range(6) if slot not in walks or walks[slot].is_over]:
            walks[slot] = Walk(rng, is_ruled=rng.random() < 0.8)
            assert processor.add_request(slot, walks[slot].params) is (walks[slot].constraint is not None)
            table.prompt_len.gpu[slot] = len(walks[slot].prompt)
            table.all_token_ids.gpu[slot] = 0
        for slot, walk in walks.items():
            ids = walk.prompt + walk.output
            table.all_token_ids.gpu[slot, : len(ids)] = torch.tensor(ids, dtype=torch.int32)
        processor.apply_staged_writes()
        order = rng.sample(range(6), rng.randint(1, 6))
        logits = torch.zeros((len(order), VOCAB_SIZE))
        check(processor.apply(logits, context(order, walks)), [walks[slot] for slot in order])
        for slot in order:
            walks[slot].advance()


def test_v2_takes_up_a_preempted_request_in_another_slot_beside_one_whose_prompt_is_not_read_yet() -> None:
    """After a preemption the ids drawn so far come back as part of what is read at once (`prefill_len`); meanwhile the
    rows of requests whose prompt is read in parts are computed as well, and not used."""
    rng = random.Random(6)
    table = states(slots=4, width=160)
    processor = V2GrammarProcessor(CONFIG, table)
    walks = {slot: Walk(rng) for slot in (0, 1)}
    while min(len(walk.output) for walk in walks.values()) < 10 or any(walk.is_over for walk in walks.values()):
        walks = {slot: Walk(rng) if walk.is_over else walk for slot, walk in walks.items()}
        for walk in walks.values():
            walk.advance()
    walks = {2: walks[0], 3: walks[1], 0: Walk(rng)}
    for slot, walk in walks.items():
        ids = walk.prompt + walk.output
        processor.add_request(slot, walk.params)
        table.all_token_ids.gpu[slot, : len(ids)] = torch.tensor(ids, dtype=torch.int32)
        table.prefill_len.gpu[slot] = len(ids)
    # vLLM gives a new tensor at every step, and pads the bounds of the lengths with zeros
    table.prompt_len.gpu = torch.tensor([len(walks[0].prompt), 0, len(walks[2].prompt), len(walks[3].prompt)])
    processor.apply_staged_writes()
    said = context([3, 0, 2], walks)
    said.pos[1] = 0
    said = replace(said, seq_lens_upper_bound_np=np.append(said.seq_lens_upper_bound_np, np.zeros(5, np.int32)))
    masked = processor.apply(torch.zeros((3, VOCAB_SIZE)), said)
    check(masked[[0, 2]], [walks[3], walks[2]])


def test_v2_lets_batches_without_rules_pass_and_refuses_drafts() -> None:
    processor = V2GrammarProcessor(CONFIG, states(slots=2, width=20))
    walk = Walk(random.Random(1), is_ruled=False)
    assert processor.add_request(1, walk.params) is False
    logits = torch.randn((1, 9))
    processor.apply_staged_writes()
    assert processor.apply(logits, context([1], {1: walk})) is logits
    with pytest.raises(ValueError, match="speculative"):
        V2GrammarProcessor(SimpleNamespace(speculative_config=object()), states(slots=2, width=20))


@pytest.mark.parametrize("kind", [V1GrammarProcessor, V2GrammarProcessor])
def test_rules_that_cannot_be_read_are_refused_at_admission(kind: Any) -> None:
    kind.validate_params(SamplingParams())
    kind.validate_params(Walk(random.Random(0)).params)
    with pytest.raises(ValueError, match="lack"):
        kind.validate_params(SamplingParams(extra_args={RULES_ARGUMENT: {"end_ticks": 3000}}))
