"""The export: what the folder holds, the quantisation, rotary frequencies, and the checkpoints that are refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.engines import onnx_folder
from midi_llm.errors import CheckpointError, RequestError
from midi_llm.model import export_onnx as export
from midi_llm.model.exportable import rope_frequencies, rope_settings
from midi_llm.model.quantize import dequantize_blocks, quantize_blocks
from midi_llm.model.tiny import write_tiny_checkpoint
from midi_llm.weights import Weights

NAMES = {"meta.json"} | {
    f"{stem}.onnx{suffix}" for stem in ("body", "head_time", "head_duration", "head_note") for suffix in ("", ".data")
}


def test_the_writer_and_the_reader_agree_on_the_version() -> None:
    assert export.FORMAT_VERSION == onnx_folder.FORMAT_VERSION


def test_the_folder_holds_graphs_blocks_and_the_digest_of_the_weights(tiny_int4_checkpoint: Path) -> None:
    folder = tiny_int4_checkpoint / "onnx"
    assert {path.name for path in folder.iterdir()} == NAMES
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["precision"] == "int4"
    assert meta["source"]["sha256"] == Weights(tiny_int4_checkpoint).sha256()
    spans = [(block["start"], block["stop"]) for block in meta["head_blocks"]]
    assert spans == [(320, 10_320), (10_320, 11_320), (11_320, 27_833)]  # the last one ends with REST
    for path in folder.glob("*.onnx"):
        assert onnx.load(path, load_external_data=False).graph.node


def test_int4_has_a_4_bit_body_and_8_bit_heads(tiny_int4_checkpoint: Path) -> None:
    def bits(name: str) -> set[int]:
        graph = onnx.load(tiny_int4_checkpoint / "onnx" / name, load_external_data=False).graph
        products = [node for node in graph.node if node.op_type == "MatMulNBits"]
        return {a.i for node in products for a in node.attribute if a.name == "bits"}

    assert (bits("body.onnx"), bits("head_time.onnx")) == ({4}, {8})


def test_exporting_again_replaces_the_folder_and_gives_the_same_bytes(tmp_path: Path, tiny_checkpoint: Path) -> None:
    out = tmp_path / "made" / "onnx"
    export.export_onnx(tiny_checkpoint, precision="int8", out=out)
    (out / "stray").touch()
    first = {path.name: path.read_bytes() for path in out.iterdir() if path.name != "stray"}
    assert export.export_onnx(tiny_checkpoint, precision="int8", out=out) == out
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first
    assert list(out.parent.iterdir()) == [out]  # nothing half-built is left


def test_a_failed_export_leaves_the_old_folder_and_no_debris(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "onnx"
    out.mkdir()
    (out / "old").touch()

    def full_disk(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(export, "_write_heads", full_disk)
    with pytest.raises(OSError, match="No space"):
        export.export_onnx(tiny_checkpoint, out=out)
    assert [path.name for path in tmp_path.rglob("*")] == ["onnx", "old"]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"attention_bias": True}, "q_proj.bias"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope type 'yarn'"),
        ({"num_hidden_layers": 3}, "missing"),
        ({"intermediate_size": 64}, "shape"),
        ({"model_type": "mistral"}, "mistral"),
    ],
)
def test_a_checkpoint_that_the_graph_cannot_express_is_refused(
    tmp_path: Path, tiny_checkpoint: Path, change: dict[str, Any], found: str
) -> None:
    folder = tmp_path / "changed"
    folder.mkdir()
    (folder / "model.safetensors").symlink_to(tiny_checkpoint / "model.safetensors")
    config = json.loads((tiny_checkpoint / "config.json").read_text()) | change
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=found):
        export.export_onnx(folder)
    assert not (folder / "onnx").exists()


def test_an_unknown_precision_is_refused(tiny_checkpoint: Path) -> None:
    with pytest.raises(RequestError, match="allowed is float32, int8, int4"):
        export.export_onnx(tiny_checkpoint, precision="int2")  # type: ignore[arg-type]


def test_without_onnx_the_error_names_the_extra() -> None:
    code = "import sys; sys.modules['onnx'] = None; import midi_llm.model.export_onnx"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingExtraError: onnx is not installed; run: pip install 'midi-llm[export]'" in done.stderr


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a folder"):
        export.export_onnx(tmp_path / "nothing")


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 6),
    columns=st.integers(1, 100),
    scale=st.sampled_from([0.0, 1e-6, 1.0, 1e3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_quantised_weights_are_within_a_step_of_the_original(rows: int, columns: int, scale: float, seed: int) -> None:
    matrix = (np.random.default_rng(seed).standard_normal((rows, columns)) * scale).astype(np.float32)
    for bits in (4, 8):
        packed, scales = quantize_blocks(matrix, bits)  # type: ignore[arg-type]
        blocks = -(-columns // 32)
        assert packed.shape == (rows, blocks, 32 * bits // 8)
        restored = dequantize_blocks(packed, scales, columns, bits)  # type: ignore[arg-type]
        largest = np.abs(matrix).max(axis=1, keepdims=True)
        step = largest / 2 ** (bits - 1)
        assert restored.shape == matrix.shape
        slack = 2.2 if bits == 4 else 1.001  # four bits may clip up to a fifth of the largest weight
        assert (np.abs(restored - matrix) <= slack * step + 1e-12).all()


def test_more_bits_and_a_searched_scale_lower_the_error() -> None:
    matrix = np.random.default_rng(0).standard_normal((64, 256)).astype(np.float32)
    errors = {}
    for bits in (4, 8):
        packed, scales = quantize_blocks(matrix, bits)  # type: ignore[arg-type]
        errors[bits] = float(np.sqrt(np.square(dequantize_blocks(packed, scales, 256, bits) - matrix).mean()))  # type: ignore[arg-type]
    extreme = np.abs(matrix.reshape(64, 8, 32)).max(axis=2)
    plain = float(np.sqrt(np.square(extreme / 8).mean() / 12))  # rounding error at the step of the largest weight
    assert errors[8] < 0.01
    assert errors[4] < plain


@pytest.mark.parametrize(
    "scaling",
    [
        None,
        {"rope_type": "linear", "factor": 4.0},
        {
            "rope_type": "llama3",
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    ],
)
def test_rotary_frequencies_equal_those_of_transformers(tmp_path: Path, scaling: dict[str, Any] | None) -> None:
    transformers = pytest.importorskip("transformers")
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    folder = write_tiny_checkpoint(tmp_path, rope_scaling=scaling, layers=1)
    config = json.loads((folder / "config.json").read_text())
    theirs = LlamaRotaryEmbedding(transformers.LlamaConfig.from_pretrained(folder)).inv_freq.numpy()
    ours = rope_frequencies(rope_settings(config), 32)
    assert np.allclose(ours, theirs, rtol=1e-6, atol=0)


def test_both_spellings_of_the_rotary_settings_are_read() -> None:
    new = {"rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0}}
    old = {"rope_theta": 500_000.0, "rope_scaling": None}
    assert rope_settings(new)["rope_theta"] == rope_settings(old)["rope_theta"] == 500_000.0


def test_a_copied_checkpoint_keeps_a_valid_onnx_folder(tiny_int4_checkpoint: Path, tmp_path: Path) -> None:
    from midi_llm.engines.onnx_engine import OnnxEngine

    shutil.copytree(tiny_int4_checkpoint, tmp_path / "moved")
    assert OnnxEngine(tmp_path / "moved").precision == "int4"
