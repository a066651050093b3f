"""A model opened without an engine reads and checks requests as ever, and says so where it is to compose."""

from __future__ import annotations

from pathlib import Path

import pytest

from midi_llm.compose.composer import Composer
from midi_llm.compose.settings import Settings
from midi_llm.errors import EngineError, PromptError


@pytest.fixture
def composer(tiny_checkpoint: Path) -> Composer:
    return Composer.open(str(tiny_checkpoint), engine="none")


def test_without_an_engine_prompts_are_planned_and_encoded_as_with_one(
    composer: Composer, tiny_onnx_checkpoint: Path
) -> None:
    settings = Settings(seconds=10, temperature=0.9)
    with Composer.open(str(tiny_onnx_checkpoint), engine="onnx") as other:
        assert composer.plan("a waltz in A minor", settings) == other.plan("a waltz in A minor", settings)
        assert composer.prompt_ids("a waltz") == other.prompt_ids("a waltz")
        assert composer.params(settings) == other.params(settings)
    with pytest.raises(PromptError, match="shorten the text"):
        composer.prompt_ids("a waltz " * 4000)


def test_without_an_engine_nothing_is_composed(composer: Composer) -> None:
    with pytest.raises(EngineError, match=r"composes nothing; open it with one of auto, onnx, torch, vllm"):
        composer.compose("a waltz", Settings(seconds=10))
