"""Small random checkpoints in the published layout, for tests and smoke runs.

In: a folder and a size. Out: config.json, model.safetensors, tokenizer.json and tokenizer_config.json, as a Hugging
Face Llama folder that plain transformers loads. The weights are noise; the prompt format is the published one, so no
midi_llm.json is written. Needs no torch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE

from midi_llm.tokens.vocab import MUSIC_VOCAB_SIZE
from midi_llm.weights import FloatArray, StoredDtype, write_safetensors

BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"


def write_tiny_checkpoint(
    folder: Path,
    *,
    seed: int = 0,
    hidden_size: int = 64,
    layers: int = 2,
    heads: int = 2,
    kv_heads: int = 1,
    intermediate_size: int | None = None,
    text_rows: int = 320,
    max_positions: int = 2048,
    tied: bool = True,
    dtype: StoredDtype = "F32",
    rope_scaling: dict[str, Any] | None = None,
) -> Path:
    """Write a random Llama checkpoint with `text_rows` + 55,030 rows to `folder` (made if needed) and return it.

    `text_rows` must hold the 256 bytes and two special ids of the tokenizer; `intermediate_size` None is twice the
    width. The same arguments give the same bytes.
    """
    if text_rows < 258 or hidden_size % heads or heads % kv_heads:
        raise ValueError("text_rows must be 258 or more, heads must divide hidden_size, and kv_heads must divide heads")
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _byte_tokenizer()
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": text_rows + MUSIC_VOCAB_SIZE,
        "hidden_size": hidden_size,
        "intermediate_size": intermediate_size or 2 * hidden_size,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": hidden_size // heads,
        "max_position_embeddings": max_positions,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "rope_scaling": rope_scaling,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": tied,
        "bos_token_id": tokenizer.token_to_id(BOS),
        "eos_token_id": tokenizer.token_to_id(EOS),
        "dtype": {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}[dtype],
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tokenizer.save(str(folder / "tokenizer.json"))
    tokenizer_config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config, indent=2) + "\n", encoding="utf-8")
    write_safetensors(folder / "model.safetensors", _random_tensors(config, seed=seed), dtype=dtype)
    return folder


def _byte_tokenizer() -> Tokenizer:
    """Byte-level tokenizer without merges: ids 0..255 are bytes, then BOS (put in front of every text) and EOS."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE(vocab={symbol: index for index, symbol in enumerate(alphabet)}, merges=[]))
    tokenizer.add_special_tokens([BOS, EOS])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return tokenizer


def _random_tensors(config: dict[str, Any], *, seed: int) -> dict[str, FloatArray]:
    """Gaussian tensors scaled so that hidden states and logits have a spread near 1 (greedy choices without ties)."""
    rng = np.random.default_rng(seed)
    hidden, inner, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    kv_width = config["num_key_value_heads"] * config["head_dim"]

    def matrix(rows: int, columns: int) -> FloatArray:
        values: FloatArray = rng.standard_normal((rows, columns), dtype=np.float32) / np.float32(np.sqrt(columns))
        return values

    def norm() -> FloatArray:
        values: FloatArray = 1 + np.float32(0.1) * rng.standard_normal(hidden, dtype=np.float32)
        return values

    tensors = {"model.embed_tokens.weight": matrix(vocab, hidden)}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        tensors[prefix + "input_layernorm.weight"] = norm()
        tensors[prefix + "self_attn.q_proj.weight"] = matrix(hidden, hidden)
        tensors[prefix + "self_attn.k_proj.weight"] = matrix(kv_width, hidden)
        tensors[prefix + "self_attn.v_proj.weight"] = matrix(kv_width, hidden)
        tensors[prefix + "self_attn.o_proj.weight"] = matrix(hidden, hidden)
        tensors[prefix + "post_attention_layernorm.weight"] = norm()
        tensors[prefix + "mlp.gate_proj.weight"] = matrix(inner, hidden)
        tensors[prefix + "mlp.up_proj.weight"] = matrix(inner, hidden)
        tensors[prefix + "mlp.down_proj.weight"] = matrix(hidden, inner)
    tensors["model.norm.weight"] = norm()
    if not config["tie_word_embeddings"]:
        tensors["lm_head.weight"] = matrix(vocab, hidden)
    return tensors
