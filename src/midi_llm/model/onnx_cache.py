"""The int8 key-value cache of the exported body: its scales are measured, then written into the graph.

In: a `body.onnx` whose attention keeps float32 keys and values, and the embedding table. Out: the same file with an
int8 cache and one constant scale per layer, head and channel. The ranges come from made-up pieces (random instruments,
pitches and lengths at a steady pace), which reach as far as the model's own takes do (docs/performance.md). A key's
channel turns with its partner as positions go by, so both get the range of the pair. Needs `onnx` and ONNX Runtime.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from midi_llm.errors import MissingExtraError
from midi_llm.model.layout import EMBEDDINGS, Layout
from midi_llm.tokens.vocab import DUR_OFFSET, MAX_TIME_TICKS, MUSIC_VOCAB_SIZE, NOTE_OFFSET, TIME_OFFSET
from midi_llm.weights import FloatArray

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as error:
    raise MissingExtraError("onnx", "export") from error

_PIECES, _TEXT_IDS, _NOTES = 8, 16, 80
_MARGIN = 1.25
"""Beyond the largest value seen; half a step more of rounding costs less than a value cut off (measured)."""

_LEVELS = 127
_QUANTISED = {"k_quant_type": "PER_CHANNEL", "v_quant_type": "PER_CHANNEL", "kv_cache_bit_width": 8}
_SCALE_INPUT = 12  # of GroupQueryAttention: keys', then values'


def quantize_cache(body: Path, layout: Layout, *, head_size: int) -> None:
    """Turn the float32 cache of the graph `body` into an int8 one, in place."""
    ranges = measured_ranges(body, layout, head_size=head_size)
    model = onnx.load(body, load_external_data=False)
    attentions = [node for node in model.graph.node if node.op_type == "GroupQueryAttention"]
    for layer, node in enumerate(attentions):
        node.input.extend([""] * (_SCALE_INPUT - len(node.input)))
        for kind in ("key", "value"):
            scale = np.maximum(ranges[f"{layer}.{kind}"] * np.float32(_MARGIN / _LEVELS), np.finfo(np.float32).tiny)
            name = f"scale.{layer}.{kind}"
            model.graph.initializer.append(numpy_helper.from_array(scale[:, None, :], name))
            node.input.append(name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in _QUANTISED.items())
    for value in (*model.graph.input, *model.graph.output):
        if value.name.startswith(("past.", "present.")):
            value.type.tensor_type.elem_type = TensorProto.INT8
    body.write_bytes(model.SerializeToString())


def measured_ranges(body: Path, layout: Layout, *, head_size: int) -> dict[str, FloatArray]:
    """Largest magnitude [kv_heads, head_size] of every cached tensor ("0.key", …) over the made-up pieces."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(body), options, providers=["CPUExecutionProvider"])
    names = [f"{layer}.{kind}" for layer in range(layout.layers) for kind in ("key", "value")]
    empty = np.zeros((1, layout.kv_heads, 0, head_size), dtype=np.float32)
    ranges = {name: np.zeros((layout.kv_heads, head_size), dtype=np.float32) for name in names}
    rng = np.random.default_rng(0)
    for _ in range(_PIECES):
        ids = _piece(rng, text_rows=layout.vocab_size - MUSIC_VOCAB_SIZE)[: layout.max_positions]
        feeds = {
            "inputs_embeds": layout.weights.rows(EMBEDDINGS, ids)[None],
            "seqlens_k": np.array([len(ids) - 1], dtype=np.int32),
            "total_sequence_length": np.array([len(ids)], dtype=np.int32),
            **{f"past.{name}": empty for name in names},
        }
        for name, cached in zip(names, session.run([f"present.{name}" for name in names], feeds), strict=True):
            largest = np.abs(_pair_lengths(cached[0]) if name.endswith("key") else cached[0]).max(axis=1)
            ranges[name] = np.maximum(ranges[name], largest)
    return ranges


def _pair_lengths(keys_NSD: FloatArray) -> FloatArray:
    """Length of the pair that each channel turns in; channel c turns with c + head_size / 2."""
    half = keys_NSD.shape[2] // 2
    lengths: FloatArray = np.tile(np.hypot(keys_NSD[..., :half], keys_NSD[..., half:]), 2)
    return lengths


def _piece(rng: np.random.Generator, *, text_rows: int) -> npt.NDArray[np.int64]:
    """Token ids of a random prompt and a random piece of a few instruments."""
    instruments = rng.integers(0, 129, rng.integers(1, 7))
    onsets = np.cumsum(rng.geometric(0.07, _NOTES) - 1) % MAX_TIME_TICKS  # 13 ticks apart on average
    durations = np.exp(rng.uniform(1.5, 6.5, _NOTES)).astype(np.int64)  # 40 ms to 6.6 s
    pitches = np.clip(rng.normal(62, 13, _NOTES), 21, 108).astype(np.int64)
    notes = rng.choice(instruments, _NOTES) * 128 + pitches
    music = np.stack([TIME_OFFSET + onsets, DUR_OFFSET + durations, NOTE_OFFSET + notes], axis=1).reshape(-1)
    return np.concatenate([rng.integers(0, text_rows, _TEXT_IDS), text_rows + music])
