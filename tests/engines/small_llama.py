"""A Llama of random weights that is small but for its attention, and how far a step of ours is from transformers'."""

from __future__ import annotations

from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from midi_llm.engines.torch_batch import TorchBatch
from midi_llm.engines.torch_llama import Llama, from_transformers
from midi_llm.engines.torch_ops import Ops

ROTATIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "linear": {"factor": 2.0},
    "llama3": {
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 64},
}


def model_of(rotation: str = "default", *, head_size: int = 16, **settings: Any) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=96,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=head_size,
        max_position_embeddings=512,
        rope_parameters={"rope_type": rotation, "rope_theta": 10_000.0, **ROTATIONS.get(rotation, {"factor": 2.0})},
        tie_word_embeddings=False,
        **settings,
    )
    torch.manual_seed(3)
    model = LlamaForCausalLM(config).train(False).requires_grad_(False)
    for weight in model.parameters():
        weight.mul_(4)  # attention that looks at something
    return model


def hidden_states(llama: Llama, ops: Ops, *, steps: int = 3, starts: tuple[int, ...] = (1, 140, 37, 5)) -> torch.Tensor:
    """Hidden states after steps over given ids in rows of unequal length."""
    ids = given_ids(len(starts)).to(llama.device)
    batch = TorchBatch(llama, ops, rows=len(starts), positions=200)
    for row, start in enumerate(starts):
        batch.fill(row, ids[row, :start].tolist())
    for step in range(steps):
        batch.ids[: len(starts)] = torch.stack([ids[row, start + step] for row, start in enumerate(starts)])
        batch.step(len(starts))
    return batch.hidden[: len(starts)]


def given_ids(rows: int) -> torch.Tensor:
    return torch.randint(300, (rows, 200), generator=torch.Generator().manual_seed(1))


def distance(model: LlamaForCausalLM, ops: Ops, *, steps: int = 3, starts: tuple[int, ...] = (1, 140, 37, 5)) -> float:
    """Largest difference of hidden states from transformers', after steps over given ids in rows of unequal length."""
    found = hidden_states(from_transformers(model), ops, steps=steps, starts=starts)
    ids = given_ids(len(starts)).to(model.device)
    worst = 0.0
    for row, start in enumerate(starts):
        expected = model.model(ids[row : row + 1, : start + steps]).last_hidden_state[0, -1]
        worst = max(worst, float((found[row] - expected).abs().max()))
    return worst
