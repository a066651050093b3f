"""Ids above a ceiling count as it, in every engine."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

from midi_llm.engines.base import Allowed, Engine, Request, SamplingParams, generate
from midi_llm.engines.decoding import permits
from midi_llm.engines.onnx_engine import OnnxEngine

from .conftest import TEXT_ROWS

FIRST, CEILING, LAST = TEXT_ROWS, TEXT_ROWS + 5_000, TEXT_ROWS + 10_000
PROMPT = [256, 72, 101, 55_026 + TEXT_ROWS]


class Capped:
    """Times, with or without a ceiling; `seen` are the ids accepted."""

    finished = False

    def __init__(self, ceiling: int | None) -> None:
        self.slice = Allowed(start=FIRST, stop=LAST, ceiling=ceiling)
        self.seen: list[int] = []

    def allowed(self) -> Allowed:
        return self.slice

    def accept(self, token_id: int) -> None:
        assert permits(self.slice, token_id)
        self.seen.append(token_id)


@pytest.fixture(params=["onnx", "torch"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "onnx":
        made: Engine = OnnxEngine(request.getfixturevalue("tiny_onnx_checkpoint"))
    else:
        if importlib.util.find_spec("transformers") is None:
            pytest.skip("the extra 'torch' is not installed")
        from midi_llm.engines.torch_engine import TorchEngine

        made = TorchEngine(request.getfixturevalue("tiny_checkpoint"), device="cpu", dtype="float32")
    yield made
    made.close()


def first_id(engine: Engine, seed: int, *ceilings: int | None) -> list[int]:
    """The first id of a request for each ceiling, decoded side by side."""
    params = SamplingParams(seed=seed, max_tokens=1, top_p=1.0)
    constraints = [Capped(ceiling) for ceiling in ceilings]
    requests = [Request(prompt_ids=PROMPT, params=params, constraint=constraint) for constraint in constraints]
    drawn = [completion.token_ids[0] for completion in generate(engine, requests)]
    assert drawn == [constraint.seen[0] for constraint in constraints]
    return drawn


def test_an_id_above_the_ceiling_counts_as_it_and_others_stay(engine: Engine) -> None:
    above = 0
    for seed in range(12):
        free, capped = first_id(engine, seed, None, CEILING)
        assert capped == min(free, CEILING)
        above += free > CEILING
    assert 0 < above < 12


class ThenFree(Capped):
    """A ceiling of the first id, three times; then any time."""

    def __init__(self, capped: bool) -> None:
        super().__init__(FIRST)
        self.capped = capped

    def allowed(self) -> Allowed:
        free = len(self.seen) >= 3 or not self.capped
        return Allowed(start=FIRST, stop=LAST) if free else self.slice

    def accept(self, token_id: int) -> None:
        self.seen.append(token_id)


def test_the_engine_goes_on_from_the_ceiling_and_not_from_what_was_drawn(engine: Engine) -> None:
    greedy = {"temperature": 0.0, "top_p": 1.0}
    first = Request(prompt_ids=PROMPT, params=SamplingParams(max_tokens=4, **greedy), constraint=ThenFree(capped=True))
    told = Request(
        prompt_ids=PROMPT + [FIRST] * 3,
        params=SamplingParams(max_tokens=1, **greedy),
        constraint=ThenFree(capped=False),
    )
    capped, direct = generate(engine, [first, told])
    assert capped.token_ids == [FIRST] * 3 + direct.token_ids
