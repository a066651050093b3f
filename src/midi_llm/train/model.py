"""The trainable small model: a Hugging Face `LlamaModel` body between a `MusicEmbedding` and its transpose.

In: a `ModelShape`. Out: hidden states, nats by position, and the plain `LlamaForCausalLM` state that a checkpoint
stores.
Shapes: B rows, L ids, D hidden size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaModel

from midi_llm.tokens.vocab import MUSIC_VOCAB_SIZE
from midi_llm.train.config import ModelShape
from midi_llm.train.embedding import MusicEmbedding
from midi_llm.train.loss import position_nats


def llama_config(shape: ModelShape) -> LlamaConfig:
    """The Hugging Face configuration of `shape`; vocabulary = text rows + 55,030."""
    return LlamaConfig(
        vocab_size=shape.text_rows + MUSIC_VOCAB_SIZE,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_size,
        max_position_embeddings=shape.positions,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=None,
        pad_token_id=None,
    )


class StructuredLlama(nn.Module):
    """Trains as structure + residual, exports as a plain Llama."""

    def __init__(self, shape: ModelShape, *, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.shape = shape
        self.embedding = MusicEmbedding(shape.text_rows, shape.hidden_size)
        body = LlamaModel(_without_table(llama_config(shape)))
        del body.embed_tokens
        for name, weight in body.named_parameters():  # blocks start as the identity
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.zeros_(weight)
        self.body = body

    def forward(self, ids_BL: Tensor, positions_BL: Tensor, slots_BL: Tensor) -> Tensor:
        """Nats of each position's next id, [B, L-1]; the arguments are those of a `TrainBatch`."""
        table_VD = self.embedding.table()
        with torch.autocast(ids_BL.device.type, dtype=torch.bfloat16):
            hidden_BLD = self.hidden(nn.functional.embedding(ids_BL, table_VD), positions_BL)
            return position_nats(hidden_BLD, table_VD, ids_BL, slots_BL, self.shape.text_rows)

    def hidden(self, embedded_BLD: Tensor, positions_BL: Tensor) -> Tensor:
        """Final hidden states [B, L, D]. Where positions start again, nothing before is attended to.

        That is transformers' own rule for packed rows, when it is given positions and no attention mask
        (masking_utils.find_packed_sequence_indices in 5.23).
        """
        output = self.body(inputs_embeds=embedded_BLD, position_ids=positions_BL, use_cache=False)
        hidden_BLD: Tensor = output.last_hidden_state
        return hidden_BLD

    def matrices(self) -> list[nn.Parameter]:
        """The body's weight matrices (for Muon)."""
        return [p for p in self.body.parameters() if p.ndim == 2]

    def others(self) -> list[nn.Parameter]:
        """Everything else (for AdamW): the embedding's parts and the norms' gains."""
        return [*self.embedding.parameters(), *(p for p in self.body.parameters() if p.ndim != 2)]

    def llama_state(self) -> dict[str, Tensor]:
        """Tensors by their names in a tied `LlamaForCausalLM`."""
        state: dict[str, Any] = {f"model.{name}": tensor for name, tensor in self.body.state_dict().items()}
        state["model.embed_tokens.weight"] = self.embedding.table().detach()
        return state


def _without_table(config: LlamaConfig) -> LlamaConfig:
    """The same configuration with a one-row vocabulary: the body is built without a 59,126-row table to throw away."""
    config.vocab_size = 1
    return config
