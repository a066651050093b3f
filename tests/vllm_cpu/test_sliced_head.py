"""The head that multiplies only the rows that can be drawn, against the whole head of vLLM itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from midi_llm.engines.base import Request, SamplingParams, generate
from midi_llm.engines.rules import Layout
from midi_llm.engines.torch_engine import TorchEngine
from midi_llm.engines.vllm_engine import VllmEngine
from midi_llm.errors import EngineError
from midi_llm.model.tiny import write_tiny_checkpoint
from midi_llm.tokens.rules import layout_numbers

from .conftest import LAYOUT, PROMPTS, TEXT_ROWS, RuledSlotCycle, long_request, request, window


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> Iterator[VllmEngine]:
    made = VllmEngine(tiny_checkpoint, dtype="float32", layout=LAYOUT)
    yield made
    made.close()


def greedy(seeds: range) -> list[Request]:
    return [request(PROMPTS[seed % 3], temperature=0.0, max_tokens=90, polyphony=1 + seed) for seed in seeds]


def widths(engine: VllmEngine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many logits the sampler gets for each request, from now on."""
    found: list[int] = []
    sampler = engine._loop._engine.model_executor.driver_worker.worker.model_runner.sampler
    forward = sampler.forward

    def noting(logits: torch.Tensor, *others: Any, **named: Any) -> Any:
        found.append(logits.shape[1])
        return forward(logits, *others, **named)

    monkeypatch.setattr(sampler, "forward", noting)
    return found


def test_greedy_ids_are_those_of_the_torch_engine_and_only_the_layout_is_sampled(
    engine: VllmEngine, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = TorchEngine(tiny_checkpoint, device="cpu", dtype="float32")
    expected = generate(reference, greedy(range(9)))
    reference.close()
    seen = widths(engine, monkeypatch)
    assert generate(engine, greedy(range(9))) == expected
    assert sum(len(completion.token_ids) for completion in expected) > 100
    assert set(seen) == {LAYOUT.width + 1}


def test_what_lies_outside_of_the_layout_is_refused(engine: VllmEngine) -> None:
    with pytest.raises(EngineError, match="request 0 has no constraint, and this engine draws ids of one layout only"):
        engine.stream([Request(prompt_ids=[256], params=SamplingParams(max_tokens=2))])
    moved = window()
    moved._text_rows += 1
    with pytest.raises(EngineError, match="this engine already serves"):
        engine.stream([Request(prompt_ids=[256], params=SamplingParams(max_tokens=2), constraint=moved)])


def test_a_layout_outside_of_the_vocabulary_is_refused_before_anything_is_loaded(tiny_checkpoint: Path) -> None:
    with pytest.raises(EngineError, match="not inside a vocabulary of 55350 ids"):
        VllmEngine(tiny_checkpoint, layout=Layout(**layout_numbers(TEXT_ROWS + 6)))


def test_weights_that_are_no_numbers_end_in_an_error_or_at_the_budget_and_harm_no_other_engine(
    engine: VllmEngine, tiny_checkpoint: Path
) -> None:
    broken = VllmEngine(tiny_checkpoint, dtype="float32", layout=LAYOUT)

    def poison(model: Any) -> None:
        model.model.norm.weight.data.fill_(float("nan"))

    broken._loop._engine.apply_model(poison)
    with pytest.raises(EngineError, match="against the rules"):
        generate(broken, [long_request(1, max_tokens=40)])
    params = SamplingParams(temperature=0.0, max_tokens=40)
    (completion,) = generate(broken, [Request(prompt_ids=[256], params=params, constraint=RuledSlotCycle())])
    assert len(completion.token_ids) == 40
    broken.close()
    assert len(generate(engine, [long_request(2, max_tokens=4)])[0].token_ids) == 4


def test_an_untied_head_and_more_text_rows_in_bfloat16(tmp_path: Path) -> None:
    rows = 2048
    folder = write_tiny_checkpoint(tmp_path / "untied", text_rows=rows, tied=False, dtype="BF16", heads=4, kv_heads=2)
    found = []
    for layout in (None, Layout(**layout_numbers(rows))):
        engine = VllmEngine(folder, dtype="float32", layout=layout)
        found.append(engine._loop._engine.apply_model(logits)[0])
        engine.close()
    whole, sliced = found
    layout = Layout(**layout_numbers(rows))
    drawn = [*range(layout.first_id, layout.first_id + layout.width), layout.separator]
    torch.testing.assert_close(sliced, whole[:, drawn], rtol=1e-5, atol=1e-6)


def logits(model: Any) -> torch.Tensor:
    """Of three fixed hidden states."""
    states = torch.randn((3, model.config.hidden_size), generator=torch.Generator().manual_seed(0))
    found: torch.Tensor = model.compute_logits(states)
    return found.clone()
