"""Session fixtures: tiny random checkpoints, written once per run. Treat the folders as read-only: copy to change."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Literal

import pytest

from midi_llm.model.tiny import write_tiny_checkpoint

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: the models are so small that threads only wait

if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before triton: its kernels then run here, as Python

LONG = (
    "test_processes.py",
    "test_studio.py",
    "test_loop.py",
    "test_base_model.py",
    "test_assess.py",
    "test_expand.py",
    "test_build.py",
)
"""Files that take longest, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files start first, so that at the end no process works on one while the others have nothing left to do."""
    rank = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.name, len(LONG)))


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers, 64 wide, tied, float32, 320 text rows, 2,048 positions."""
    return write_tiny_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny")


@pytest.fixture(scope="session")
def tiny_untied_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One layer, 64 wide, its own LM head, bfloat16, grouped heads, Llama 3 rope scaling, 256 positions."""
    return write_tiny_checkpoint(
        tmp_path_factory.mktemp("checkpoints") / "tiny_untied",
        seed=1,
        layers=1,
        heads=4,
        kv_heads=2,
        max_positions=256,
        tied=False,
        dtype="BF16",
        rope_scaling={
            "rope_type": "llama3",
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    )


@pytest.fixture(scope="session")
def tiny_onnx_checkpoint(tiny_checkpoint: Path) -> Path:
    """A copy of `tiny_checkpoint` with a float32 ONNX folder."""
    return _exported(tiny_checkpoint, "float32")


@pytest.fixture(scope="session")
def tiny_int4_checkpoint(tiny_checkpoint: Path) -> Path:
    """A copy of `tiny_checkpoint` with an int4 ONNX folder (the default export)."""
    return _exported(tiny_checkpoint, "int4")


def _exported(source: Path, precision: Literal["float32", "int8", "int4"]) -> Path:
    from midi_llm.model.export_onnx import export_onnx

    folder = source.with_name(f"{source.name}_{precision}")
    shutil.copytree(source, folder)
    export_onnx(folder, precision=precision)
    return folder
