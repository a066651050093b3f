"""A Hugging Face Llama as the few tensors that decoding needs, and a prompt run through them.

In: a `LlamaForCausalLM`. Out: matrices that share an input joined into one (queries, keys and values; gate and up), the
table of rotations, and the hidden state and cached keys and values after a prompt. Knows no batch.

Shapes: T prompt positions, P cached positions, L layers, D hidden size, H key heads, E head size, V rows of a table,
N joined outputs of queries, keys and values, F joined outputs of gate and up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from midi_llm.engines.torch_matrix import Matrix, Weights, linear, scaled
from midi_llm.errors import CheckpointError

_STATIC_ROTATIONS = ("default", "linear", "llama3", "yarn")  # the same frequencies at every length


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """Gains [D] and matrices, output by input as in a checkpoint.

    `joined` [N, D] holds queries, keys and values, `gate_up` [F, D] gate and up; `output` and `down` lead back to D.
    """

    attention_gain: Tensor
    joined: Matrix
    output: Matrix
    inner_gain: Tensor
    gate_up: Matrix
    down: Matrix


@dataclass(frozen=True, kw_only=True, slots=True)
class Llama:
    """All weights, and the sizes that are not told by their shapes; `table` and `head` are [V, D]."""

    table: Tensor
    head: Matrix
    final_gain: Tensor
    layers: tuple[Layer, ...]
    frequencies: Tensor
    rotation_scale: float
    heads: int
    key_heads: int
    head_size: int
    epsilon: float
    max_positions: int

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.table.device

    @property
    def dtype(self) -> torch.dtype:
        """The number format of activations and cache, and of all weights that are not `Scaled`."""
        return self.table.dtype

    def rotations(self, positions: int) -> Tensor:
        """Cosines and sines of the first `positions` positions, float32 [2, P, head size / 2]."""
        places = torch.arange(positions, device=self.device, dtype=torch.float32)
        angles = torch.outer(places, self.frequencies)
        return torch.stack((angles.cos(), angles.sin())) * self.rotation_scale


def from_transformers(model: Any) -> Llama:
    """The weights of a `LlamaForCausalLM`; `CheckpointError` for a variant whose arithmetic is another."""
    config, body = model.config, model.model
    kind = config.rope_parameters["rope_type"]
    for name, found, allowed in (
        ("hidden_act", config.hidden_act, ("silu",)),
        ("attention_bias", config.attention_bias, (False,)),
        ("mlp_bias", config.mlp_bias, (False,)),
        ("rope_type", kind, _STATIC_ROTATIONS),
    ):
        if found not in allowed:
            choices = " or ".join(str(choice) for choice in allowed)
            raise CheckpointError(f"{name} is {found!r}; this engine runs Llama with {choices}")
    return Llama(
        table=body.embed_tokens.weight.detach(),
        head=model.lm_head.weight.detach(),
        final_gain=body.norm.weight.detach(),
        layers=tuple(_layer(layer) for layer in body.layers),
        frequencies=body.rotary_emb.inv_freq.detach().to(body.embed_tokens.weight.device, torch.float32),
        rotation_scale=float(body.rotary_emb.attention_scaling),
        heads=int(config.num_attention_heads),
        key_heads=int(config.num_key_value_heads),
        head_size=int(config.head_dim),
        epsilon=float(config.rms_norm_eps),
        max_positions=int(config.max_position_embeddings),
    )


def narrowed(llama: Llama, weights: Weights) -> Llama:
    """The same with all matrices in 8 bits; gains stay, and so does the table, of which a step reads one row."""

    def narrow(matrix: Matrix) -> Matrix:
        return scaled(matrix, weights) if isinstance(matrix, Tensor) else matrix

    layers = tuple(
        replace(
            layer,
            joined=narrow(layer.joined),
            output=narrow(layer.output),
            gate_up=narrow(layer.gate_up),
            down=narrow(layer.down),
        )
        for layer in llama.layers
    )
    return replace(llama, layers=layers, head=narrow(llama.head))


def _layer(layer: Any) -> Layer:
    attention, inner = layer.self_attn, layer.mlp
    return Layer(
        attention_gain=layer.input_layernorm.weight.detach(),
        joined=torch.cat([part.weight.detach() for part in (attention.q_proj, attention.k_proj, attention.v_proj)]),
        output=attention.o_proj.weight.detach(),
        inner_gain=layer.post_attention_layernorm.weight.detach(),
        gate_up=torch.cat((inner.gate_proj.weight.detach(), inner.up_proj.weight.detach())),
        down=inner.down_proj.weight.detach(),
    )


def rotated(states: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotate the pairs (e, e + E/2) of `states` [..., E] by angles whose cosines and sines broadcast to [..., E/2]."""
    first, second = states.float().chunk(2, dim=-1)
    turned = torch.cat((first * cosines - second * sines, second * cosines + first * sines), dim=-1)
    return turned.to(states.dtype)


def normed(x: Tensor, gain_D: Tensor, epsilon: float) -> Tensor:
    """RMS norm over the last dimension (Zhang and Sennrich 2019, arXiv 1910.07467)."""
    return functional.rms_norm(x, gain_D.shape, gain_D, epsilon)


def gated(gate_up: Tensor) -> Tensor:
    """SwiGLU of joined gate and up (Shazeer 2020, arXiv 2002.05202)."""
    gate, up = gate_up.chunk(2, dim=-1)
    return functional.silu(gate) * up


def prefill(llama: Llama, ids_T: Tensor, keys_LHPE: Tensor, values_LHPE: Tensor) -> Tensor:
    """Run a prompt; writes its keys and values to positions 0..T-1 and returns the normed last hidden state [D]."""
    length = len(ids_T)
    cosines_TE, sines_TE = llama.rotations(length)
    x_TD = functional.embedding(ids_T, llama.table)
    counts = [llama.heads, llama.key_heads, llama.key_heads]
    for number, layer in enumerate(llama.layers):
        joined_TN = linear(normed(x_TD, layer.attention_gain, llama.epsilon), layer.joined)
        queries_HTE, keys_HTE, values_HTE = torch.split(
            joined_TN.view(length, -1, llama.head_size).transpose(0, 1), counts, dim=0
        )
        queries_HTE, keys_HTE = (rotated(part, cosines_TE, sines_TE) for part in (queries_HTE, keys_HTE))
        keys_LHPE[number, :, :length] = keys_HTE
        values_LHPE[number, :, :length] = values_HTE
        mixed_1HTE = functional.scaled_dot_product_attention(
            queries_HTE[None], keys_HTE[None], values_HTE[None], is_causal=True, enable_gqa=True
        )
        x_TD = x_TD + linear(mixed_1HTE[0].transpose(0, 1).reshape(length, -1), layer.output)
        inner_TF = gated(linear(normed(x_TD, layer.inner_gain, llama.epsilon), layer.gate_up))
        x_TD = x_TD + linear(inner_TF, layer.down)
    return normed(x_TD[-1], llama.final_gain, llama.epsilon)
