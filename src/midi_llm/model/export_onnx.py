"""Export a Llama checkpoint folder to the ONNX folder that `OnnxEngine` runs.

In: config.json and safetensors weights. Out: `onnx/` beside them with `body.onnx` (input embeddings to the final-norm
hidden state; grouped-query attention over a shared cache, quantised products), one small graph per head block (time,
duration, note with REST), their data files, and `meta.json`, which names the shapes, the blocks and the weights they
were made from. Embedding rows stay in the safetensors file. Needs `onnx` (extra: export), not torch.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from midi_llm.errors import RequestError
from midi_llm.model.exportable import Exportable, read_exportable, rope_frequencies
from midi_llm.model.layout import EMBEDDINGS, Layout
from midi_llm.model.onnx_graph import GraphWriter
from midi_llm.model.quantize import Bits
from midi_llm.tokens.vocab import DUR_OFFSET, NOTE_OFFSET, REST, TIME_OFFSET
from midi_llm.weights import FloatArray

Precision = Literal["float32", "int8", "int4"]

FORMAT_VERSION = 1
"""Of the ONNX folder; `OnnxEngine` refuses others."""

_BITS: dict[Precision, tuple[Bits | None, Bits | None]] = {"float32": (None, None), "int8": (8, 8), "int4": (4, 8)}
"""Of the body and of the head; None leaves float32."""

_BLOCKS = (("time", TIME_OFFSET, DUR_OFFSET), ("duration", DUR_OFFSET, NOTE_OFFSET), ("note", NOTE_OFFSET, REST + 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """What the graph needs beside the tensors."""

    model: Exportable
    body_bits: Bits | None
    head_bits: Bits | None

    @property
    def layout(self) -> Layout:
        return self.model.layout


def export_onnx(checkpoint_dir: Path, *, precision: Precision = "int4", out: Path | None = None) -> Path:
    """Write the ONNX folder of `checkpoint_dir` to `out` (default: its `onnx` subfolder), replacing it; return it.

    `int4` has a 4-bit body and 8-bit head blocks, `int8` 8 bits throughout, `float32` no rounding (the reference).
    Raises `CheckpointError` when the checkpoint is incomplete or not a plain Llama, and `RequestError` for another
    precision. Importing this module without onnx raises `MissingExtraError`.
    """
    if precision not in _BITS:
        raise RequestError(f"precision is {precision!r}; allowed is {', '.join(_BITS)}")
    plan = _plan(checkpoint_dir, precision)
    folder = out if out is not None else checkpoint_dir / "onnx"
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=folder.name + ".", dir=folder.parent))
    try:
        _write_body(building, plan)
        _write_meta(building, plan, precision, _write_heads(building, plan))
        if folder.exists():
            shutil.rmtree(folder)
        building.chmod(0o755)  # mkdtemp makes private folders
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


def _plan(checkpoint_dir: Path, precision: Precision) -> _Plan:
    body_bits, head_bits = _BITS[precision]
    return _Plan(model=read_exportable(checkpoint_dir), body_bits=body_bits, head_bits=head_bits)


def _write_body(folder: Path, plan: _Plan) -> None:
    layout = plan.layout
    angles = np.outer(
        np.arange(layout.max_positions, dtype=np.float32), rope_frequencies(plan.model.rope, plan.model.head_size)
    )
    with GraphWriter(folder / "body.onnx", bits=plan.body_bits) as graph:
        graph.input("inputs_embeds", "float32", ["batch", "sequence", layout.hidden_size])
        graph.input("seqlens_k", "int32", ["batch"])
        graph.input("total_sequence_length", "int32", [1])
        cache_shape: list[int | str] = ["batch", layout.kv_heads, "positions", plan.model.head_size]
        for layer in range(layout.layers):
            for kind in ("key", "value"):
                graph.input(f"past.{layer}.{kind}", "float32", cache_shape)
                graph.output(f"present.{layer}.{kind}", "float32", cache_shape)
        graph.constant("cos_cache", np.cos(angles))
        graph.constant("sin_cache", np.sin(angles))
        stream, branch = "inputs_embeds", None
        for layer in range(layout.layers):
            stream, branch = _write_layer(graph, plan, layer, stream, branch)
        graph.norm(stream, branch, layout.weights.rows("model.norm.weight"), plan.model.epsilon, output="hidden")
        graph.output("hidden", "float32", ["batch", "sequence", layout.hidden_size])


def _write_layer(graph: GraphWriter, plan: _Plan, layer: int, stream: str, branch: str | None) -> tuple[str, str]:
    """Add one layer to the residual `stream`, to which the last `branch` is still to be added; return the next two."""

    def tensor(name: str) -> FloatArray:
        return plan.layout.weights.rows(f"model.layers.{layer}.{name}.weight")

    normed, stream = graph.norm(stream, branch, tensor("input_layernorm"), plan.model.epsilon)
    fused = graph.product(normed, np.concatenate([tensor(f"self_attn.{name}_proj") for name in "qkv"]))
    cache = [f"past.{layer}.key", f"past.{layer}.value"]
    attended = graph.node(
        "GroupQueryAttention",
        [fused, "", "", *cache, "seqlens_k", "total_sequence_length", "cos_cache", "sin_cache"],
        extra_outputs=(f"present.{layer}.key", f"present.{layer}.value"),
        domain="com.microsoft",
        num_heads=plan.layout.heads,
        kv_num_heads=plan.layout.kv_heads,
        do_rotary=1,
        rotary_interleaved=0,
        scale=plan.model.head_size**-0.5,
    )
    branch = graph.product(attended, tensor("self_attn.o_proj"))
    normed, stream = graph.norm(stream, branch, tensor("post_attention_layernorm"), plan.model.epsilon)
    gate_rows, up_rows = tensor("mlp.gate_proj"), tensor("mlp.up_proj")
    gate, up = graph.split(graph.product(normed, np.concatenate([gate_rows, up_rows])), len(gate_rows))
    gated = graph.node("QuickGelu", [gate], domain="com.microsoft", alpha=1.0)  # x * sigmoid(x), in one pass
    return stream, graph.product(graph.node("Mul", [gated, up]), tensor("mlp.down_proj"))


def _write_heads(folder: Path, plan: _Plan) -> list[dict[str, Any]]:
    layout = plan.layout
    text_rows = plan.model.text_rows
    blocks = []
    for name, start, stop in _BLOCKS:
        rows = slice(text_rows + start, text_rows + stop)
        with GraphWriter(folder / f"head_{name}.onnx", bits=plan.head_bits) as graph:
            graph.input("hidden", "float32", ["batch", layout.hidden_size])
            graph.output("logits", "float32", ["batch", stop - start])
            graph.product("hidden", layout.weights.rows(plan.model.head_table, rows), output="logits")
        blocks.append({"name": name, "file": f"head_{name}.onnx", "start": rows.start, "stop": rows.stop})
    return blocks


def _write_meta(folder: Path, plan: _Plan, precision: Precision, blocks: list[dict[str, Any]]) -> None:
    layout = plan.layout
    meta = {
        "format_version": FORMAT_VERSION,
        "precision": precision,
        "source": {"sha256": layout.weights.sha256(), "fingerprint": layout.weights.fingerprint()},
        "vocab_size": layout.vocab_size,
        "hidden_size": layout.hidden_size,
        "layers": layout.layers,
        "kv_heads": layout.kv_heads,
        "head_size": plan.model.head_size,
        "max_positions": layout.max_positions,
        "embedding_tensor": EMBEDDINGS,
        "head_tensor": plan.model.head_table,
        "head_blocks": blocks,
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
