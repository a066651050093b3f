"""A Llama in vLLM that multiplies only the rows of the head whose ids can be drawn. Loaded by the vLLM engine.

In: a checkpoint whose configuration also states `drawn_ids` (first id, how many, separator). Its rows of embedding and
head are put in the order of `vllm_ids` while they are loaded, so vLLM must be spoken to in those ids. Out: logits of
the drawn ids alone: the head reads fewer bytes, and sampling sorts fewer numbers. One process, one device.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from vllm import ModelRegistry
from vllm.model_executor.models.llama import LlamaForCausalLM

from midi_llm.engines.vllm_ids import drawn_first

ARCHITECTURE = "MidiLlamaForCausalLM"
_TABLES = ("model.embed_tokens.weight", "lm_head.weight")


class SlicedHeadLlama(LlamaForCausalLM):  # type: ignore[misc]
    """`LlamaForCausalLM` with logits of the first ids only."""

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        first_id, width, separator = self.config.drawn_ids
        order_V = drawn_first(self.config.vocab_size, first_id=first_id, width=width, separator=separator)
        self._order_V = torch.from_numpy(order_V)
        self._rows = width + 1

    def compute_logits(self, hidden_states: Tensor) -> Tensor:
        """Logits [requests, drawn ids]."""
        return torch.nn.functional.linear(hidden_states, self.lm_head.weight[: self._rows])

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """Load, with the vocabulary's rows in vLLM's order."""
        loaded: set[str] = super().load_weights(self._reordered(weights))
        return loaded

    def _reordered(self, weights: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
        for name, weight in weights:
            yield name, weight[self._order_V.to(weight.device)] if name in _TABLES else weight


def register() -> str:
    """Make the model known to vLLM in this process; returns its architecture's name.

    The engine runs vLLM in this process, so no entry point is needed; one would be loaded by every vLLM on the machine.
    """
    ModelRegistry.register_model(ARCHITECTURE, SlicedHeadLlama)
    return ARCHITECTURE
