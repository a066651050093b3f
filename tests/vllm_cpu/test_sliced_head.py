"""The head that multiplies only the rows that can be drawn, against the whole head of vLLM itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from midi_llm.engines.base import Request, SamplingParams, generate
from midi_llm.engines.rules import Layout
from midi_llm.engines.torch_engine import TorchEngine
from midi_llm.engines.vllm_engine import VllmEngine
from midi_llm.errors import EngineError
from midi_llm.tokens.rules import layout_numbers

from .conftest import LAYOUT, PROMPTS, TEXT_ROWS, RuledSlotCycle, request, window


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> Iterator[VllmEngine]:
    made = VllmEngine(tiny_checkpoint, dtype="float32", layout=LAYOUT)
    yield made
    made.close()


def greedy(seeds: range) -> list[Request]:
    return [
        request(
            PROMPTS[seed % 3],
            temperature=0.0,
            max_tokens=60 + 30 * (seed % 3),
            end_ticks=(1000, 3000, 10_000)[seed % 3],
            polyphony=1 + seed % 7,
        )
        for seed in seeds
    ]


def widths(engine: VllmEngine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many logits the sampler gets for each request, from now on."""
    found: list[int] = []
    sampler = engine._loop._engine.model_executor.driver_worker.worker.model_runner.sampler
    forward = sampler.forward

    def noting(**named: Any) -> Any:
        found.append(named["logits"].shape[1])
        return forward(**named)

    monkeypatch.setattr(sampler, "forward", noting)
    return found


def test_greedy_ids_are_those_of_the_torch_engine_and_only_the_layout_is_sampled(
    engine: VllmEngine, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = TorchEngine(tiny_checkpoint, device="cpu", dtype="float32")
    expected = generate(reference, greedy(range(15)))
    reference.close()
    seen = widths(engine, monkeypatch)
    assert generate(engine, greedy(range(15))) == expected
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


def test_weights_that_are_no_numbers_end_in_an_error_or_at_the_budget(engine: VllmEngine) -> None:
    """The last test of this file: the engine cannot be used afterwards."""

    def poison(model: Any) -> None:
        model.model.norm.weight.data.fill_(float("nan"))

    engine._loop._engine.apply_model(poison)
    for temperature in (0.0, 1.0):
        params = SamplingParams(temperature=temperature, max_tokens=40)
        asked = Request(prompt_ids=[256], params=params, constraint=RuledSlotCycle())
        steps = 0
        with contextlib.suppress(EngineError):
            for step in engine.stream([asked]):
                steps += step.token_id is not None
        assert steps <= 40
        assert not engine._loop._engine.has_unfinished_requests()
