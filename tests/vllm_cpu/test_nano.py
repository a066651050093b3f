"""The bundled model through vLLM with a sliced head, as the composer opens it: whole takes, long form, prompts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from midi_llm.compose.composer import Composer
from midi_llm.compose.constraint import WindowConstraint
from midi_llm.compose.settings import Settings
from midi_llm.compose.windows import Limits
from midi_llm.engines.base import Request, SamplingParams, generate
from midi_llm.engines.rules import Layout
from midi_llm.engines.torch_engine import TorchEngine
from midi_llm.engines.vllm_engine import VllmEngine
from midi_llm.tokens.grammar import EventGrammar
from midi_llm.tokens.rules import layout_numbers

from .conftest import NANO


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    with Composer.open(str(NANO), engine="onnx") as opened:
        opened.engine.close()
        opened.engine = VllmEngine(NANO, dtype="float32", layout=Layout(**layout_numbers(opened.text_rows)))
        yield opened


def test_takes_decode_strictly_and_end_at_the_length_asked_for(composer: Composer) -> None:
    pieces = composer.compose_takes("a calm piano piece", Settings(seconds=12, takes=3, seed=1))
    pieces += composer.compose_takes("a fast rock song with drums", Settings(seconds=12, takes=3, seed=1))
    for piece in pieces:
        assert not piece.reports
        assert piece.finish_reason == "stop"
        assert len(piece.events) > 5
        assert (piece.events[:, 0] + piece.events[:, 1]).max() <= 1200
    assert len({piece.windows for piece in pieces}) == 6


def test_a_long_piece_goes_on_from_window_to_window(composer: Composer) -> None:
    piece = composer.compose("a calm piano piece", Settings(seconds=101, seed=3))
    assert len(piece.windows) >= 2
    assert not piece.reports
    assert piece.finish_reason == "stop"


def greedy(composer: Composer) -> list[Request]:
    """Takes of three texts, bounded as the model recommends, of 150 ids each."""
    requests = []
    for prompt in ("a calm piano piece", "a jazz trio", "a fast rock song with drums"):
        grammar = EventGrammar(
            max_tokens=150,
            max_instruments=composer.bounds.max_instruments,
            max_polyphony=composer.bounds.polyphony(None),
            min_gap_ticks=composer.bounds.min_gap_ticks,
            min_melodic_ticks=composer.bounds.min_melodic_ticks,
        )
        limits = Limits(end_ticks=10_000, min_end_ticks=0, is_last=True)
        constraint = WindowConstraint(grammar, limits, text_rows=composer.text_rows)
        params = SamplingParams(temperature=0.0, max_tokens=150)
        requests.append(Request(prompt_ids=composer.prompt_ids(prompt), params=params, constraint=constraint))
    return requests


def test_greedy_takes_are_those_of_the_torch_engine(composer: Composer) -> None:
    reference = TorchEngine(NANO, device="cpu", dtype="float32")
    expected = generate(reference, greedy(composer))
    reference.close()
    assert generate(composer.engine, greedy(composer)) == expected
    assert sum(len(completion.token_ids) for completion in expected) > 100


def test_the_same_seed_repeats(composer: Composer) -> None:
    settings = Settings(seconds=4, seed=5)
    first, again = (composer.compose("a waltz", settings).windows for _ in range(2))
    assert first == again
    assert first != composer.compose("a waltz", Settings(seconds=4, seed=6)).windows
