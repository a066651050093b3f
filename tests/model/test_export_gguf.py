"""GGUF: the file against the checkpoint, and a second implementation of llama.cpp's conventions against torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from midi_llm.engines.torch_engine import TorchEngine
from midi_llm.errors import CheckpointError, OutputError, RequestError
from midi_llm.model.gguf_tokens import gguf_tokens
from midi_llm.model.tiny import write_tiny_checkpoint
from midi_llm.prompt import PUBLISHED, load_tokenizer
from midi_llm.weights import Weights

gguf = pytest.importorskip("gguf", reason="the extra 'gguf' is not installed")

from midi_llm.model import export_gguf as export  # noqa: E402
from midi_llm.model.export_gguf import export_gguf, interleaved  # noqa: E402

from .gguf_llama import GgufLlama  # noqa: E402

Bare = Callable[..., GgufLlama]
PROMPT = [256, *range(40, 90), 55_026 + 320]


@pytest.fixture(scope="module")
def file(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> GgufLlama:
    return GgufLlama(export_gguf(tiny_checkpoint, precision="f32", out=tmp_path_factory.mktemp("gguf") / "tiny.gguf"))


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bare:
    """Export and read without the vocabulary, which takes the reader seconds."""
    monkeypatch.setattr(export, "_add_tokens", lambda *_: None)
    return lambda folder, precision="f32": GgufLlama(export_gguf(folder, precision=precision, out=tmp_path / "a.gguf"))


def test_settings_are_those_of_the_config(file: GgufLlama, tiny_checkpoint: Path) -> None:
    config = json.loads((tiny_checkpoint / "config.json").read_text())
    expected = {
        "general.architecture": "llama",
        "general.name": "tiny",
        "general.file_type": 0,
        "llama.vocab_size": config["vocab_size"],
        "llama.context_length": config["max_position_embeddings"],
        "llama.embedding_length": config["hidden_size"],
        "llama.feed_forward_length": config["intermediate_size"],
        "llama.block_count": config["num_hidden_layers"],
        "llama.attention.head_count": config["num_attention_heads"],
        "llama.attention.head_count_kv": config["num_key_value_heads"],
        "llama.attention.key_length": config["head_dim"],
        "llama.attention.value_length": config["head_dim"],
        "llama.attention.layer_norm_rms_epsilon": pytest.approx(config["rms_norm_eps"]),
        "llama.rope.dimension_count": config["head_dim"],
        "llama.rope.freq_base": config["rope_theta"],
    }
    assert {name: file.settings.get(name) for name in expected} == expected
    assert not [name for name in file.settings if "rope.scaling" in name]


def test_the_vocabulary_is_in_the_file(file: GgufLlama, tiny_checkpoint: Path) -> None:
    tokens = gguf_tokens(load_tokenizer(tiny_checkpoint), PUBLISHED, 320)
    expected = {
        "model": "gpt2",
        "pre": "gpt-2",
        "tokens": tokens.texts,
        "token_type": tokens.types,
        "merges": tokens.merges,
        "add_bos_token": True,
        "bos_token_id": 256,
        "eos_token_id": 55_025 + 320,
    }
    found = {name: file.settings[f"tokenizer.ggml.{name}"] for name in expected}
    assert found == expected
    assert file.settings["tokenizer.chat_template"] == tokens.chat_template


def test_every_tensor_is_there_once_and_as_it_was_stored(file: GgufLlama, tiny_checkpoint: Path) -> None:
    weights = Weights(tiny_checkpoint)
    assert len(file.tensors) == len(weights.names)
    assert "output.weight" not in file.tensors
    assert np.array_equal(file.tensors["token_embd.weight"], weights.rows("model.embed_tokens.weight"))
    assert np.array_equal(file.tensors["blk.1.ffn_down.weight"], weights.rows("model.layers.1.mlp.down_proj.weight"))
    for layer in range(2):
        for ours, theirs in (("q_proj", "attn_q"), ("k_proj", "attn_k")):
            rows = file.tensors[f"blk.{layer}.{theirs}.weight"]
            back = rows.reshape(-1, 16, 2, 64).swapaxes(1, 2).reshape(rows.shape)  # heads of 32
            assert np.array_equal(back, weights.rows(f"model.layers.{layer}.self_attn.{ours}.weight"))


def test_rows_of_a_head_alternate_between_its_halves() -> None:
    rows = np.arange(8, dtype=np.float32)[:, None]
    assert interleaved(rows, 4)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


SCALED = {"factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tied": False, "heads": 4, "kv_heads": 2},
        {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
        {"rope_scaling": {"rope_type": "llama3"} | SCALED, "dtype": "BF16"},
    ],
    ids=["plain", "untied, grouped", "linear rope", "llama3 rope"],
)
def test_logits_by_the_conventions_of_llama_cpp_are_those_of_torch(
    settings: dict[str, Any], bare: Bare, tmp_path: Path
) -> None:
    folder = write_tiny_checkpoint(tmp_path / "model", seed=3, **settings)
    engine = TorchEngine(folder, device="cpu", dtype="float32")
    found = bare(folder).logits(PROMPT)
    np.testing.assert_allclose(found, engine.next_logits(PROMPT), rtol=0, atol=2e-5)


@pytest.mark.parametrize(("precision", "share"), [("f16", 2**-11), ("bf16", 2**-8), ("q8_0", 0.5 / 127 + 2**-11)])
def test_other_precisions_round_matrices_and_leave_vectors(
    precision: str, share: float, tiny_checkpoint: Path, bare: Bare
) -> None:
    found = bare(tiny_checkpoint, precision)
    weights = Weights(tiny_checkpoint)
    assert {kind.name for name, kind in found.kinds.items() if "norm" in name} == {"F32"}
    assert {kind.name.lower() for name, kind in found.kinds.items() if "norm" not in name} == {precision}
    table = weights.rows("model.embed_tokens.weight")
    rounding = np.abs(found.tensors["token_embd.weight"] - table)
    largest = np.abs(table).reshape(len(table), -1, 32).max(axis=2).repeat(32, axis=1)
    assert rounding.max() > 0
    assert (rounding <= share * largest).all()


def test_bfloat16_weights_stay_what_they_are(tiny_untied_checkpoint: Path, bare: Bare) -> None:
    found = bare(tiny_untied_checkpoint, "bf16")
    assert np.array_equal(found.tensors["output.weight"], Weights(tiny_untied_checkpoint).rows("lm_head.weight"))


def test_rows_that_fill_no_blocks_of_eight_bits_are_float16(bare: Bare, tmp_path: Path) -> None:
    kinds = bare(write_tiny_checkpoint(tmp_path / "model", hidden_size=48, layers=1), "q8_0").kinds
    assert kinds["token_embd.weight"].name == "F16"
    assert kinds["blk.0.ffn_down.weight"].name == "Q8_0"


def test_the_file_lies_in_the_checkpoint_and_a_second_export_replaces_it(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_checkpoint, folder)
    before = set(folder.iterdir())
    path = export_gguf(folder)
    assert path == folder / "model-q8_0.gguf"
    first = path.read_bytes()
    path.write_bytes(b"old")
    export_gguf(folder)
    assert path.read_bytes() == first
    assert set(folder.iterdir()) == before | {path}


def test_a_failed_export_leaves_the_old_file_and_no_debris(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.gguf"
    out.write_bytes(b"old")

    def full_disk(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(export, "_kind", full_disk)
    with pytest.raises(OutputError, match=r"cannot write .*No space"):
        export_gguf(tiny_checkpoint, out=out)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_what_cannot_be_written_is_refused(tmp_path: Path, tiny_checkpoint: Path) -> None:
    with pytest.raises(RequestError, match="allowed is f32, f16, bf16, q8_0"):
        export_gguf(tiny_checkpoint, precision="int4")  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="is a folder"):
        export_gguf(tiny_checkpoint, out=tmp_path)
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "changed")
    config = json.loads((folder / "config.json").read_text())
    for change, found in (({"model_type": "mistral"}, "mistral"), ({"hidden_act": "gelu"}, "hidden_act 'gelu'")):
        (folder / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(CheckpointError, match=found):
            export_gguf(folder)


def test_without_gguf_the_error_names_the_extra() -> None:
    code = "import sys; sys.modules['gguf'] = None; import midi_llm.model.export_gguf"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingExtraError: gguf is not installed; run: pip install 'midi-llm[gguf]'" in done.stderr
