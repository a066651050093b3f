"""Classifier-free guidance: the mixture of two passes, step by step, in both engines, alone and beside others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from midi_llm.engines.base import Request, SamplingParams, generate
from midi_llm.engines.decoding import OpenRequest, lanes_of, rows_of
from midi_llm.engines.onnx_engine import OnnxEngine
from midi_llm.engines.sampling import guided
from midi_llm.engines.torch_engine import TorchEngine
from midi_llm.errors import RequestError

from .conftest import TEXT_ROWS, VOCAB_SIZE, SlotCycle

START = 55_026 + TEXT_ROWS
PROMPT = [256, 72, 101, 108, START]
Reference = OnnxEngine | TorchEngine


@pytest.fixture(scope="module", params=["onnx", "torch"])
def engine(request: pytest.FixtureRequest) -> Iterator[Reference]:
    folder: Path = request.getfixturevalue("tiny_onnx_checkpoint")
    made = OnnxEngine(folder) if request.param == "onnx" else TorchEngine(folder, device="cpu", dtype="float32")
    yield made
    made.close()


def take(
    guidance: float,
    *,
    seed: int = 0,
    tokens: int = 15,
    temperature: float = 1.0,
    prompt: list[int] | None = None,
    closes_after: int | None = None,
) -> Request:
    params = SamplingParams(seed=seed, max_tokens=tokens, temperature=temperature, guidance=guidance)
    return Request(
        prompt_ids=prompt or PROMPT,
        unprompted_ids=[START],
        params=params,
        constraint=SlotCycle(closes_after=closes_after, must_close=closes_after is not None),
    )


def ids(engine: Reference, *requests: Request) -> list[list[int]]:
    return [completion.token_ids for completion in generate(engine, requests)]


@pytest.mark.parametrize("guidance", [0.0, 1.0, 1.5, 4.0])
def test_each_id_is_the_likeliest_of_the_mixed_logits(engine: Reference, guidance: float) -> None:
    (found,) = ids(engine, take(guidance, temperature=0.0, tokens=9))
    grammar = SlotCycle()
    for place, token_id in enumerate(found):
        allowed = grammar.allowed()
        prompted, unprompted = (
            engine.next_logits([*prompt, *found[:place]], start=allowed.start, stop=allowed.stop)
            for prompt in (PROMPT, [START])
        )
        mixed = unprompted + guidance * (prompted - unprompted)
        assert mixed[token_id - allowed.start] >= mixed.max() - 1e-4
        grammar.accept(token_id)


def test_guidance_of_1_is_none_and_of_0_forgets_the_prompt(engine: Reference) -> None:
    plain = Request(prompt_ids=PROMPT, params=SamplingParams(max_tokens=15), constraint=SlotCycle())
    without = Request(prompt_ids=[START], params=SamplingParams(max_tokens=15), constraint=SlotCycle())
    assert ids(engine, take(1.0)) == ids(engine, plain)
    assert ids(engine, take(0.0)) == ids(engine, without) != ids(engine, plain)


def test_a_guided_request_gives_the_same_ids_beside_others_that_end_before_and_after_it(engine: Reference) -> None:
    def batch() -> list[Request]:
        return [
            take(2.0, seed=1, tokens=6),
            take(1.0, seed=2, tokens=20),
            take(3.0, seed=3, tokens=24, prompt=[*range(40), START]),
            take(1.5, seed=4, tokens=24, closes_after=2),
            take(1.0, seed=5, tokens=3),
            take(2.0, seed=6, tokens=18),
        ]

    together = generate(engine, batch())
    alone = [generate(engine, [request])[0] for request in batch()]
    assert together == alone
    assert together[3].finish_reason == "stop"


def test_engines_draw_the_same_guided_takes(tiny_onnx_checkpoint: Path) -> None:
    torch_engine = TorchEngine(tiny_onnx_checkpoint, device="cpu", dtype="float32")
    onnx_engine = OnnxEngine(tiny_onnx_checkpoint)
    requests = [(2.0, seed) for seed in range(4)]
    first, second = (
        ids(engine, *[take(guidance, seed=seed, tokens=30) for guidance, seed in requests])
        for engine in (torch_engine, onnx_engine)
    )
    assert first == second


def test_guidance_needs_the_ids_without_the_text_and_bounds(engine: Reference) -> None:
    lone = Request(prompt_ids=PROMPT, params=SamplingParams(max_tokens=3, guidance=2.0))
    foreign = Request(prompt_ids=PROMPT, unprompted_ids=[VOCAB_SIZE], params=SamplingParams(max_tokens=3, guidance=2.0))
    for request, message in ((lone, "no ids without the text"), (foreign, "this model knows")):
        with pytest.raises(RequestError, match=message):
            generate(engine, [request])
    for guidance in (-0.1, 20.5, float("nan")):
        with pytest.raises(RequestError, match="guidance is"):
            SamplingParams(guidance=guidance)


def test_logits_are_mixed_by_the_formula() -> None:
    prompted, unprompted = np.array([1.0, 2.0], np.float32), np.array([3.0, -2.0], np.float32)
    assert guided([prompted], 5.0) is prompted
    assert guided([prompted, unprompted], 1.5).tolist() == [0.0, 4.0]


def test_rows_find_their_requests_in_any_order() -> None:
    takes = [
        OpenRequest(index, take(guidance), vocab_size=VOCAB_SIZE) for index, guidance in enumerate((2.0, 1.0, 2.0))
    ]
    lanes = lanes_of(takes)
    assert [(lane.take.index, lane.prompt) for lane in lanes] == [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1)]
    moved = [lanes[4], lanes[2], lanes[3], lanes[1], lanes[0]]
    assert [(one.index, rows) for one, rows in rows_of(moved)] == [(1, [1]), (2, [2, 0]), (0, [4, 3])]
