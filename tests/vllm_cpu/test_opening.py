"""Opening: checkpoints of other kinds, and folders that are none. No engine may be open beside these."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import vllm.platforms

from midi_llm.engines import vllm_open
from midi_llm.engines.rules import Layout
from midi_llm.engines.vllm_engine import VllmEngine
from midi_llm.engines.vllm_machine import Machine
from midi_llm.errors import EngineError
from midi_llm.model.tiny import write_tiny_checkpoint
from midi_llm.tokens.rules import layout_numbers

TEXT_ROWS = 2048


def logits(model: Any) -> torch.Tensor:
    """Of three fixed hidden states."""
    states = torch.randn((3, model.config.hidden_size), generator=torch.Generator().manual_seed(0))
    found: torch.Tensor = model.compute_logits(states)
    return found.clone()


def test_an_untied_head_and_other_text_rows(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path, text_rows=TEXT_ROWS, tied=False, dtype="BF16", heads=4, kv_heads=2)
    layout = Layout(**layout_numbers(TEXT_ROWS))
    found = []
    for asked in (None, layout):
        engine = VllmEngine(folder, dtype="float32", layout=asked)
        found.append(engine._loop._engine.apply_model(logits)[0])
        engine.close()
    whole, sliced = found
    drawn = [*range(layout.first_id, layout.first_id + layout.width), layout.separator]
    torch.testing.assert_close(sliced, whole[:, drawn], rtol=1e-5, atol=1e-6)


def test_a_folder_without_weights_is_one_line(tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((tiny_checkpoint / "config.json").read_bytes())
    with pytest.raises(EngineError, match="vLLM cannot open") as error:
        VllmEngine(tmp_path)
    assert "\n" not in str(error.value)


def test_the_facts_of_a_cuda_device_are_those_that_torch_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    told = SimpleNamespace(name="NVIDIA X1", major=8, minor=9, is_integrated=False)
    monkeypatch.setattr(vllm.platforms.current_platform, "is_cuda", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (5 << 30, 80 << 30))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda: told)
    expected = Machine(kind="cuda", name="NVIDIA X1", capability=(8, 9), free_bytes=5 << 30, total_bytes=80 << 30)
    assert vllm_open._machine() == expected
    told.is_integrated = True
    assert vllm_open._machine().total_bytes == 0


def test_here_vllm_runs_on_a_cpu() -> None:
    assert vllm_open._machine() == Machine(kind="cpu")
