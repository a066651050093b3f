"""The trainable model: a Hugging Face `LlamaModel` body between an input table and an output table.

In: a `ModelShape` (our own small model) or a checkpoint folder of any Llama with music rows, tied or untied. Out: nats,
and the plain `LlamaForCausalLM` state that a checkpoint stores.
Shapes: B rows, L ids, D hidden size, V rows of a table.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import LlamaConfig, LlamaModel

from midi_llm.errors import RequestError
from midi_llm.model.checkpoint import load_torch
from midi_llm.tokens.vocab import MUSIC_VOCAB_SIZE
from midi_llm.train.config import LossConfig, ModelShape, TrainConfig
from midi_llm.train.embedding import MusicEmbedding, PlainEmbedding, TwoTables
from midi_llm.train.lora import add_lora, merged_state
from midi_llm.train.loss import position_nats, slot_sums


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


class TrainableLlama(nn.Module):
    """A body and its tables. `forward` gives sums that train, `position_nats` what validation looks at."""

    def __init__(
        self, body: LlamaModel, tables: nn.Module, config: LlamaConfig, loss: LossConfig, *, bf16: bool
    ) -> None:
        super().__init__()
        self.body, self.tables = body, tables
        self.llama_config = config
        self._loss, self._bf16 = loss, bf16

    @property
    def text_rows(self) -> int:
        """Rows of the tables that are text."""
        return int(self.llama_config.vocab_size) - MUSIC_VOCAB_SIZE

    @property
    def positions(self) -> int:
        """Longest sequence."""
        return int(self.llama_config.max_position_embeddings)

    @property
    def scores_all_rows(self) -> bool:
        """Whether an id is scored against the whole vocabulary."""
        return self._loss.over == "vocabulary"

    def forward(self, ids_BL: Tensor, positions_BL: Tensor, slots_BL: Tensor) -> Tensor:
        """Nats of the learned ids summed by slot, [4]; the arguments are those of a `TrainBatch`."""
        with self._autocast(ids_BL):
            hidden_BLD, head_VD = self.hidden(ids_BL, positions_BL)
            return slot_sums(hidden_BLD, head_VD, ids_BL, slots_BL, text_rows=self.text_rows, loss=self._loss)

    @torch.no_grad()
    def position_nats(self, ids_BL: Tensor, positions_BL: Tensor, slots_BL: Tensor) -> Tensor:
        """Nats of each position's next id, [B, L-1], without gradients."""
        with self._autocast(ids_BL):
            hidden_BLD, head_VD = self.hidden(ids_BL, positions_BL)
            return position_nats(hidden_BLD, head_VD, ids_BL, slots_BL, text_rows=self.text_rows, loss=self._loss)

    def hidden(self, ids_BL: Tensor, positions_BL: Tensor) -> tuple[Tensor, Tensor]:
        """Final hidden states [B, L, D], and the output table [V, D].

        Where positions start again, nothing before is attended to: transformers' own rule for packed rows, when it is
        given positions and no attention mask (masking_utils.find_packed_sequence_indices in 5.23).
        """
        input_VD, output_VD = self.tables()
        embedded_BLD = nn.functional.embedding(ids_BL, input_VD)
        output = self.body(inputs_embeds=embedded_BLD, position_ids=positions_BL, use_cache=False)
        return output.last_hidden_state, output_VD

    def matrices(self) -> list[nn.Parameter]:
        """The body's weight matrices that train: what Muon takes, and what decays."""
        return [p for p in self.body.parameters() if p.ndim == 2 and p.requires_grad]

    def others(self) -> list[nn.Parameter]:
        """Everything else that trains: the tables' parts and the norms' gains."""
        gains = [p for p in self.body.parameters() if p.ndim != 2]
        return [p for p in [*self.tables.parameters(), *gains] if p.requires_grad]

    def llama_state(self) -> dict[str, Tensor]:
        """Tensors by their names in a `LlamaForCausalLM`; adapters are merged."""
        state: dict[str, Any] = {f"model.{name}": tensor for name, tensor in merged_state(self.body).items()}
        input_VD, output_VD = self.tables()
        state["model.embed_tokens.weight"] = input_VD.detach()
        if not self.llama_config.tie_word_embeddings:
            state["lm_head.weight"] = output_VD.detach()
        return state

    def _autocast(self, ids_BL: Tensor) -> torch.autocast:
        return torch.autocast(ids_BL.device.type, dtype=torch.bfloat16, enabled=self._bf16)


def build_model(config: TrainConfig, *, base: Path | None = None) -> TrainableLlama:
    """The model of a run: of `config.shape` from its seed, or the checkpoint `base` where the recipe has no shape."""
    model = _from_shape(config.shape, config) if config.shape is not None else _from_base(base, config)
    if config.lora is not None:
        torch.manual_seed(config.seed)
        add_lora(model.body, config.lora)
        model.tables.requires_grad_(False)
        if config.lora.music_rows and isinstance(model.tables, TwoTables):
            model.tables.train_music_rows()
    if config.base_rows == "structured" and isinstance(model.tables, TwoTables):
        model.tables.share_structure()
    if config.compute.checkpoint_activations:
        for layer in model.body.layers:
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
    return model


def _from_shape(shape: ModelShape, config: TrainConfig) -> TrainableLlama:
    torch.manual_seed(config.seed)
    kind = MusicEmbedding if shape.music_rows == "structured" else PlainEmbedding
    tables = kind(shape.text_rows, shape.hidden_size)
    body = LlamaModel(_without_table(llama_config(shape)))
    del body.embed_tokens
    for name, weight in body.named_parameters():  # blocks start as the identity
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            nn.init.zeros_(weight)
    return TrainableLlama(body, tables, llama_config(shape), config.loss, bf16=config.compute.precision == "bf16")


def _from_base(base: Path | None, config: TrainConfig) -> TrainableLlama:
    """The checkpoint in `base`; weights that train are float32, those that adapters stand on keep their format."""
    if base is None:
        raise RequestError(f"the recipe {config.name} trains a model that exists: give its folder as the base")
    dtype = None if config.lora is not None else torch.float32
    whole = load_torch(base, dtype=dtype)
    body, settings = whole.model, whole.config
    tables = TwoTables(
        body.embed_tokens.weight,
        None if settings.tie_word_embeddings else whole.lm_head.weight,
        music_rows=MUSIC_VOCAB_SIZE,
    )
    del body.embed_tokens
    body.train()
    return TrainableLlama(body, tables, settings, config.loss, bf16=config.compute.precision == "bf16")


def _without_table(config: LlamaConfig) -> LlamaConfig:
    """The same configuration with a one-row vocabulary: the body is built without a 59,126-row table to throw away."""
    config.vocab_size = 1
    return config
