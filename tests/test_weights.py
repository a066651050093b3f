"""Safetensors through numpy: rows, number formats, shards, fingerprints, and broken files made byte by byte."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from midi_llm.errors import CheckpointError
from midi_llm.weights import INDEX_FILE, StoredDtype, Weights, write_safetensors

MATRIX = np.arange(12, dtype=np.float32).reshape(4, 3) / 8


def write(path: Path, header: object, data: bytes = b"") -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_what_is_written_is_read_back_whole_and_by_rows(tmp_path: Path, dtype: StoredDtype) -> None:
    write_safetensors(tmp_path / "model.safetensors", {"a": MATRIX, "b": MATRIX[0]}, dtype=dtype)
    weights = Weights(tmp_path)
    assert weights.names == ("a", "b")
    assert weights.shape("a") == (4, 3)
    assert "a" in weights
    assert "c" not in weights
    assert np.array_equal(weights.rows("a"), MATRIX)
    assert np.array_equal(weights.rows("a", slice(1, 3)), MATRIX[1:3])
    assert np.array_equal(weights.rows("a", np.array([3, 0, 3])), MATRIX[[3, 0, 3]])
    assert weights.rows("b").dtype == np.float32


@settings(max_examples=50, deadline=None)
@given(bits=npst.arrays(np.uint32, 20, elements=st.integers(0, 0x7F00_0000)))  # every finite value but the largest
def test_bfloat16_is_rounded_to_nearest_even_as_torch_does(
    tmp_path_factory: pytest.TempPathFactory, bits: np.ndarray
) -> None:
    torch = pytest.importorskip("torch")
    values = np.concatenate([bits.view(np.float32), -bits.view(np.float32)])
    folder = tmp_path_factory.mktemp("bf16")
    write_safetensors(folder / "model.safetensors", {"a": values}, dtype="BF16")
    assert np.array_equal(Weights(folder).rows("a"), torch.from_numpy(values).bfloat16().float().numpy())


def test_the_safetensors_package_reads_the_same(tmp_path: Path) -> None:
    reference = pytest.importorskip("safetensors.numpy")
    write_safetensors(tmp_path / "model.safetensors", {"a": MATRIX}, dtype="F32")
    assert np.array_equal(reference.load_file(tmp_path / "model.safetensors")["a"], MATRIX)
    reference.save_file({"z": MATRIX}, tmp_path / "model.safetensors")
    assert np.array_equal(Weights(tmp_path).rows("z"), MATRIX)


def test_shards_are_read_through_their_index(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model-1.safetensors", {"a": MATRIX})
    write_safetensors(tmp_path / "model-2.safetensors", {"b": MATRIX + 1})
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / INDEX_FILE).write_text(json.dumps(index))
    assert np.array_equal(Weights(tmp_path).rows("b"), MATRIX + 1)
    (tmp_path / "model-2.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks model-2\.safetensors"):
        Weights(tmp_path)


def test_a_fingerprint_follows_the_values_and_not_the_place(tmp_path: Path) -> None:
    prints = []
    for name, values in (("one", MATRIX), ("two", MATRIX), ("three", MATRIX + 1)):
        (tmp_path / name).mkdir()
        write_safetensors(tmp_path / name / "model.safetensors", {"a": values})
        prints.append((Weights(tmp_path / name).fingerprint(), Weights(tmp_path / name).sha256()))
    assert prints[0] == prints[1]
    assert prints[0][0] != prints[2][0]
    assert prints[0][1] != prints[2][1]


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", {"a": MATRIX})
    with pytest.raises(CheckpointError, match="no tensor 'q'"):
        Weights(tmp_path).rows("q")


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no model\.safetensors"):
        Weights(tmp_path)


@pytest.mark.parametrize("index", ["{", "[]", '{"weight_map": 3}'])
def test_a_broken_index_is_refused(tmp_path: Path, index: str) -> None:
    (tmp_path / INDEX_FILE).write_text(index)
    with pytest.raises(CheckpointError, match="not a safetensors index"):
        Weights(tmp_path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "0 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs"),
        (struct.pack("<Q", 1 << 60) + b"{}", "not a safetensors file"),
        (struct.pack("<Q", 2) + b"[]", "broken header"),
        (struct.pack("<Q", 4) + b"{:-)", "broken header"),
    ],
)
def test_bytes_that_are_not_safetensors_are_refused(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=found):
        Weights(tmp_path)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "I8", "shape": [4], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},  # the file holds eight bytes
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]},  # the shape needs sixteen
        {"dtype": "F32", "shape": [2]},
    ],
)
def test_entries_that_do_not_fit_the_file_are_refused(tmp_path: Path, entry: dict[str, object]) -> None:
    write(tmp_path / "model.safetensors", {"a": entry}, b"\0" * 8)
    with pytest.raises(CheckpointError, match="broken header"):
        Weights(tmp_path)
