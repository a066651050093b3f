"""What the vLLM engine says where there is no vLLM; with it, see tests/vllm_cpu."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from midi_llm.compose.composer import Composer
from midi_llm.engines import vllm_engine
from midi_llm.engines.open import open_engine
from midi_llm.engines.replay import ReplayEngine
from midi_llm.engines.rules import Layout
from midi_llm.engines.vllm_engine import VllmEngine
from midi_llm.errors import CheckpointError, EngineError, MissingExtraError

from .conftest import TEXT_ROWS, VOCAB_SIZE

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


@pytest.mark.parametrize(("grammar", "first_id"), [(True, TEXT_ROWS), (False, None)])
def test_the_composer_tells_vllm_which_ids_it_will_draw(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, grammar: bool, first_id: int | None
) -> None:
    def opened(folder: Path, *, layout: Layout | None) -> ReplayEngine:
        assert folder == tiny_checkpoint
        assert (layout.first_id if layout else None) == first_id
        return ReplayEngine([], vocab_size=VOCAB_SIZE)

    monkeypatch.setattr(vllm_engine, "VllmEngine", opened)
    with Composer.open(str(tiny_checkpoint), engine="vllm", grammar=grammar) as composer:
        assert composer.text_rows == TEXT_ROWS
