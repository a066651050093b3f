"""A composer whose engine draws with dice."""

from __future__ import annotations

from pathlib import Path

import pytest

from dice import DiceEngine
from midi_llm.compose.composer import Composer
from midi_llm.prompt import load_tokenizer


@pytest.fixture
def dice() -> DiceEngine:
    return DiceEngine()


@pytest.fixture
def make_composer(tiny_checkpoint: Path):
    tokenizer = load_tokenizer(tiny_checkpoint)

    def make(engine: DiceEngine | None = None) -> Composer:
        return Composer(engine=engine or DiceEngine(), tokenizer=tokenizer, model="dice")

    make.engine = DiceEngine
    return make
