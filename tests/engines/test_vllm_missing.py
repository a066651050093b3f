"""What the vLLM engine says where there is no vLLM; with it, see tests/vllm_cpu."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from midi_llm.engines.open import open_engine
from midi_llm.engines.vllm_engine import VllmEngine
from midi_llm.errors import CheckpointError, EngineError, MissingExtraError

without_vllm = pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")


@without_vllm
def test_without_vllm_the_install_command_is_named(tiny_checkpoint: Path) -> None:
    with pytest.raises(MissingExtraError, match=r"midi-llm\[vllm\]"):
        open_engine(tiny_checkpoint, "vllm")


def test_a_folder_or_number_format_that_is_none_is_refused_before_vllm_is_loaded(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json"):
        VllmEngine(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}', encoding="utf-8")
    with pytest.raises(CheckpointError, match="gpt2"):
        VllmEngine(tmp_path)
    with pytest.raises(EngineError, match="float32, float16, bfloat16, fp8"):
        VllmEngine(tiny_checkpoint, dtype="int4")  # type: ignore[arg-type]
