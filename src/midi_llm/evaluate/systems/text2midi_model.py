"""Text2midi's network in plain torch, under the names of its published state dict. Needs the extra `torch`.

In: a state dict and a T5 encoder. Out: logits of the next REMI id. Source: AMAAI-Lab/Text2midi at 872d8dc,
model/transformer_model.py, with the settings of its README. Two properties of that code are kept because the weights
were trained with them (both make `generate` recompute everything at each id; nothing can be cached):
1. Self-attention reshapes [B, T, D] to [B, H, T, D / H] without exchanging axes, so that a "head" is a stretch of T / H
   positions, each cut into H slices, and how a position is seen depends on the length of the whole sequence.
2. Positional encodings are indexed by the batch, not by time: a batch of one adds row 0 everywhere.
Shapes: B batch (always 1), T ids so far, S text ids, D model size, H heads, F feed-forward size, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from midi_llm.errors import CheckpointError

HEADS = 8
"""The state dict does not tell; its README does."""
_TIED = "encoder.encoder.embed_tokens.weight"
"""The encoder's embedding under its second name."""


class _Positions(nn.Module):
    def __init__(self, rows: int, size: int) -> None:
        super().__init__()
        self.pe = nn.Parameter(torch.zeros(rows, 1, size), requires_grad=False)


class _SelfAttention(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.to_qkv = nn.Linear(size, 3 * size, bias=False)
        self.to_out = nn.Linear(size, size, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        b, t, d = x_BTD.shape
        q, k, v = (part.reshape(b, HEADS, t, d // HEADS) for part in self.to_qkv(x_BTD).chunk(3, dim=-1))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.to_out(mixed.reshape(b, t, d))
        return out


class _Layer(nn.Module):
    def __init__(self, size: int, inner: int) -> None:
        super().__init__()
        self.self_attn = _SelfAttention(size)
        self.multihead_attn = nn.MultiheadAttention(size, HEADS, batch_first=True)
        self.linear1 = nn.Linear(size, inner)
        self.linear2 = nn.Linear(inner, size)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(size), nn.LayerNorm(size), nn.LayerNorm(size)

    def forward(self, x_BTD: Tensor, memory_BSD: Tensor) -> Tensor:
        x_BTD = self.norm1(x_BTD + self.self_attn(x_BTD))
        x_BTD = self.norm2(x_BTD + self.multihead_attn(x_BTD, memory_BSD, memory_BSD, need_weights=False)[0])
        out: Tensor = self.norm3(x_BTD + self.linear2(functional.relu(self.linear1(x_BTD))))
        return out


class _Decoder(nn.Module):
    def __init__(self, layers: int, size: int, inner: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(size, inner) for _ in range(layers))
        self.norm = nn.LayerNorm(size)


class Text2midiModel(nn.Module):
    """`encoder` is transformers' T5EncoderModel; all sizes are free but the number of heads."""

    def __init__(self, *, encoder: nn.Module, vocab: int, size: int, layers: int, inner: int, rows: int) -> None:
        super().__init__()
        self.input_emb = nn.Embedding(vocab, size)
        self.pos_encoder = _Positions(rows, size)
        self.encoder = encoder
        self.decoder = _Decoder(layers, size, inner)
        self.projection = nn.Linear(size, vocab)

    def next_logits(self, ids_1T: Tensor, memory_1SD: Tensor) -> Tensor:
        """Logits [V] of the id after `ids_1T`, given the encoded text."""
        x_1TD = self.input_emb(ids_1T) * math.sqrt(self.input_emb.embedding_dim) + self.pos_encoder.pe[:1]
        for layer in self.decoder.layers:
            x_1TD = layer(x_1TD, memory_1SD)
        logits_V: Tensor = self.projection(self.decoder.norm(x_1TD[0, -1]))
        return logits_V

    @torch.inference_mode()
    def generate(self, text_ids: list[int], *, tokens: int, temperature: float, seed: int, start: int) -> Iterator[int]:
        """`tokens` ids drawn one by one after the id `start`; it does not stop at EOS, as the published code."""
        device = self.projection.weight.device
        memory_1SD = self.encoder(torch.tensor([text_ids], device=device)).last_hidden_state
        rng = torch.Generator().manual_seed(seed)
        ids = [start]
        for _ in range(tokens):
            logits_V = self.next_logits(torch.tensor([ids], device=device), memory_1SD).float().cpu()
            drawn = torch.multinomial(torch.softmax(logits_V / temperature, dim=-1), 1, generator=rng)
            ids.append(int(drawn))
            yield ids[-1]


def build(state: Mapping[str, Tensor], encoder: nn.Module) -> Text2midiModel:
    """The model that `state` holds the weights of. Raises `CheckpointError` naming what is missing or does not fit."""
    try:
        vocab, size = state["input_emb.weight"].shape
        model = Text2midiModel(
            encoder=encoder,
            vocab=vocab,
            size=size,
            layers=1 + max(int(name.split(".")[2]) for name in state if name.startswith("decoder.layers.")),
            inner=state["decoder.layers.0.linear1.weight"].shape[0],
            rows=state["pos_encoder.pe"].shape[0],
        )
        missing, unexpected = model.load_state_dict(state, strict=False)
    except (KeyError, ValueError, RuntimeError, AssertionError) as error:
        raise CheckpointError(f"the weights are not Text2midi's published layout: {error}; get them again") from error
    wrong = [name for name in (*missing, *unexpected) if name != _TIED]
    if wrong:
        raise CheckpointError(
            f"{len(wrong)} tensors are missing or unknown, {wrong[0]} among them; get pytorch_model.bin of"
            " amaai-lab/text2midi again"
        )
    return model.eval().requires_grad_(False)
