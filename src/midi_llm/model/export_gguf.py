"""Export a Llama checkpoint folder to one GGUF file, which llama.cpp runs.

In: config.json, safetensors weights, tokenizer.json. Out: the file, written whole or not at all: llama.cpp's names of
tensors and settings (gguf-py's constants, conversion/llama.py of ggml-org/llama.cpp), the rows of queries and keys in
the order of its rotary embedding, norms in float32, no head where it is tied, and the vocabulary of `gguf_tokens`.
One tensor is in memory at a time. Needs `gguf` (extra: gguf), neither torch nor onnx.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from midi_llm.errors import MissingExtraError, RequestError
from midi_llm.model.checkpoint import verify_checkpoint
from midi_llm.model.exportable import Exportable, read_exportable, rope_frequencies
from midi_llm.model.gguf_tokens import GgufTokens, gguf_tokens
from midi_llm.model.layout import EMBEDDINGS, HEAD
from midi_llm.prompt import load_tokenizer
from midi_llm.weights import FloatArray
from midi_llm.whole_file import check_target, new_file

try:
    import gguf
except ImportError as error:
    raise MissingExtraError("gguf", "gguf") from error

GgufPrecision = Literal["f32", "f16", "bf16", "q8_0"]

_KINDS: dict[GgufPrecision, tuple[gguf.GGMLQuantizationType, gguf.LlamaFileType]] = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bf16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
"""Of the matrices; everything else stays float32."""

_TENSORS = {
    EMBEDDINGS: "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    HEAD: "output.weight",
}
_LAYER_TENSORS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
ROPE_FACTORS = "rope_freqs.weight"
"""By how much each rotary frequency is divided; only where the config slows them unequally."""


def export_gguf(checkpoint_dir: Path, *, precision: GgufPrecision = "q8_0", out: Path | None = None) -> Path:
    """Write `checkpoint_dir` to the file `out` (default: model-PRECISION.gguf in it), replacing it; return it.

    `f32`, `f16` and `bf16` are number formats, `q8_0` is 8 bits with a scale for every 32 weights. Raises
    `CheckpointError` when the checkpoint is incomplete, not a plain Llama, or has a tokenizer that llama.cpp does not
    know, `RequestError` for another precision, `OutputError` when the file cannot be written. Importing this module
    without gguf raises `MissingExtraError`.
    """
    if precision not in _KINDS:
        raise RequestError(f"precision is {precision!r}; allowed is {', '.join(_KINDS)}")
    info = verify_checkpoint(checkpoint_dir)
    model = read_exportable(checkpoint_dir)
    tokens = gguf_tokens(load_tokenizer(checkpoint_dir), info.prompt_format, info.text_rows)
    path = out if out is not None else checkpoint_dir / f"model-{precision}.gguf"
    check_target(path, overwrite=True)
    with new_file(path) as partial:
        writer = gguf.GGUFWriter(partial, "llama")
        try:
            writer.add_name(info.name)
            _add_settings(writer, model, precision)
            _add_tokens(writer, tokens)
            _write(writer, model, precision)
        finally:
            writer.close()
    return path


def _add_settings(writer: gguf.GGUFWriter, model: Exportable, precision: GgufPrecision) -> None:
    layout, rope = model.layout, model.rope
    writer.add_file_type(_KINDS[precision][1])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(layout.vocab_size)
    writer.add_context_length(layout.max_positions)
    writer.add_embedding_length(layout.hidden_size)
    writer.add_block_count(layout.layers)
    writer.add_feed_forward_length(layout.config["intermediate_size"])
    writer.add_head_count(layout.heads)
    writer.add_head_count_kv(layout.kv_heads)
    writer.add_key_length(model.head_size)
    writer.add_value_length(model.head_size)
    writer.add_layer_norm_rms_eps(model.epsilon)
    writer.add_rope_dimension_count(model.head_size)
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])


def _add_tokens(writer: gguf.GGUFWriter, tokens: GgufTokens) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(tokens.words)
    writer.add_token_list(tokens.texts)
    writer.add_token_types(tokens.types)
    writer.add_token_merges(tokens.merges)
    writer.add_add_bos_token(tokens.bos is not None)
    if tokens.bos is not None:
        writer.add_bos_token_id(tokens.bos)
    writer.add_eos_token_id(tokens.end)
    writer.add_chat_template(tokens.chat_template)


def _write(writer: gguf.GGUFWriter, model: Exportable, precision: GgufPrecision) -> None:
    """Write the header with all tensors' places, then their values one by one."""
    weights = model.layout.weights
    factors = _rope_factors(model)
    if factors is not None:
        writer.add_tensor_info(ROPE_FACTORS, factors.shape, factors.dtype, factors.nbytes)
    for name, theirs in _names(model):
        shape = weights.shape(name)
        kind = _kind(shape, precision)
        writer.add_tensor_info(theirs, shape, np.dtype(np.float32), _size(shape, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    if factors is not None:
        writer.write_tensor_data(factors)
    for name, _ in _names(model):
        tensor = weights.rows(name)
        if "q_proj" in name or "k_proj" in name:
            tensor = interleaved(tensor, model.head_size)
        stored = gguf.quants.quantize(tensor, _kind(tensor.shape, precision))
        writer.write_tensor_data(np.ascontiguousarray(stored))


def _names(model: Exportable) -> Iterator[tuple[str, str]]:
    """Our name and llama.cpp's of every tensor that is written."""
    for name, theirs in _TENSORS.items():
        if name != HEAD or not model.layout.tied:
            yield name, theirs
    for layer in range(model.layout.layers):
        for name, theirs in _LAYER_TENSORS.items():
            yield f"model.layers.{layer}.{name}.weight", f"blk.{layer}.{theirs}.weight"


def _kind(shape: tuple[int, ...], precision: GgufPrecision) -> gguf.GGMLQuantizationType:
    """How a tensor of this shape is stored: vectors in float32, rows that do not fill blocks of 32 in float16."""
    if len(shape) < 2:
        return gguf.GGMLQuantizationType.F32
    kind = _KINDS[precision][0]
    return kind if shape[-1] % gguf.GGML_QUANT_SIZES[kind][0] == 0 else gguf.GGMLQuantizationType.F16


def _size(shape: tuple[int, ...], kind: gguf.GGMLQuantizationType) -> int:
    block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    size: int = math.prod(shape) // block * block_bytes
    return size


def interleaved(rows: FloatArray, head_size: int) -> FloatArray:
    """Rows [heads * head_size, n] of a query or key matrix for a rotation of neighbours instead of halves.

    transformers turns elements i and i + head_size / 2 of a head together, llama.cpp's llama 2i and 2i + 1.
    """
    heads = rows.reshape(-1, 2, head_size // 2, rows.shape[1])
    turned: FloatArray = np.ascontiguousarray(heads.swapaxes(1, 2)).reshape(rows.shape)
    return turned


def _rope_factors(model: Exportable) -> FloatArray | None:
    """Plain rotary frequencies over those of the config [head_size / 2]; None where llama.cpp needs no table."""
    if model.rope["rope_type"] != "llama3":
        return None
    plain = rope_frequencies(model.rope | {"rope_type": "default"}, model.head_size)
    factors: FloatArray = plain / rope_frequencies(model.rope, model.head_size)
    return factors
