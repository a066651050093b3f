"""What every engine promises, asked of each of them: the public fake, ONNX Runtime (float32 and int4), and torch."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from midi_llm.engines.base import Allowed, Completion, Engine, Request, SamplingParams, generate
from midi_llm.engines.onnx_engine import OnnxEngine
from midi_llm.engines.replay import ReplayEngine
from midi_llm.errors import EngineError, RequestError

from .conftest import SEPARATOR, SLOTS, TEXT_ROWS, VOCAB_SIZE, Free, SlotCycle

PROMPT = [256, 72, 101, 108, 55_026 + TEXT_ROWS]


def random_triplets(index: int, request: Request) -> Iterator[int]:
    """A recording for the fake: legal triplets that depend on the seed and the prompt; closes where it may."""
    rng = np.random.default_rng([request.params.seed, *request.prompt_ids])
    time, count = 0, 0
    while True:
        allowed = request.constraint.allowed() if request.constraint else None
        if allowed and allowed.extra and (allowed.start == allowed.stop or rng.random() < 0.5):
            yield allowed.extra[0]
        start, stop = SLOTS[count % 3]
        start = time if count % 3 == 0 else start
        value = int(rng.integers(start, min(stop, start + 50)))
        time = value if count % 3 == 0 else time
        yield value + TEXT_ROWS
        count += 1


@pytest.fixture(scope="module", params=["replay", "onnx float32", "onnx int4", "torch"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "torch":
        if importlib.util.find_spec("transformers") is None:
            pytest.skip("the extra 'torch' is not installed")
        from midi_llm.engines.torch_engine import TorchEngine

        made: Engine = TorchEngine(request.getfixturevalue("tiny_checkpoint"), device="cpu", dtype="float32")
    elif request.param == "replay":
        made = ReplayEngine(random_triplets, vocab_size=VOCAB_SIZE)
    else:
        name = "tiny_onnx_checkpoint" if "float32" in request.param else "tiny_int4_checkpoint"
        made = OnnxEngine(request.getfixturevalue(name))
    yield made
    made.close()


def take(seed: int = 0, *, max_tokens: int = 12, prompt: list[int] | None = None, **settings: object) -> Request:
    params = SamplingParams(seed=seed, max_tokens=max_tokens, temperature=1.0)
    return Request(prompt_ids=prompt or PROMPT, params=params, constraint=SlotCycle(**settings))  # type: ignore[arg-type]


def test_it_is_an_engine_with_the_sizes_of_its_model(engine: Engine) -> None:
    assert isinstance(engine, Engine)
    assert (engine.vocab_size, engine.max_positions) == (VOCAB_SIZE, 2048)
    assert engine.best_batch >= 1


def test_all_ids_are_legal_and_the_budget_is_exact(engine: Engine) -> None:
    (completion,) = generate(engine, [take(max_tokens=31)])
    assert completion.finish_reason == "length"
    assert len(completion.token_ids) == 31
    grammar = SlotCycle()
    for token_id in completion.token_ids:
        grammar.accept(token_id)


def test_a_finished_constraint_stops_the_request_with_its_last_id(engine: Engine) -> None:
    (completion,) = generate(engine, [take(max_tokens=90, closes_after=3, must_close=True)])
    assert len(completion.token_ids) == 10
    assert completion.finish_reason == "stop"
    assert completion.token_ids[-1] == SEPARATOR + TEXT_ROWS


def test_a_constraint_that_is_finished_already_gives_no_id(engine: Engine) -> None:
    done = SlotCycle()
    done.finished = True
    params = SamplingParams(max_tokens=9)
    ended = Request(prompt_ids=PROMPT, params=params, constraint=done)
    first, second = generate(engine, [ended, take(max_tokens=2)])
    assert (first.token_ids, first.finish_reason) == ([], "stop")
    assert len(second.token_ids) == 2


def test_the_same_seed_repeats_and_another_seed_differs(engine: Engine) -> None:
    first, again, other = (generate(engine, [take(seed)])[0].token_ids for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_request_gives_the_same_ids_alone_and_in_a_batch(engine: Engine) -> None:
    def batch() -> list[Request]:
        return [
            take(1, max_tokens=24),
            take(2, max_tokens=5, prompt=[256]),
            take(3, max_tokens=24, prompt=[*range(40), 256]),
            take(4, max_tokens=24, closes_after=1),
            take(1, max_tokens=24),
        ]

    together = generate(engine, batch())
    alone = [generate(engine, [request])[0] for request in batch()]
    assert together == alone
    assert together[0] == together[4]


def test_the_stream_yields_every_id_in_order_and_one_end_per_request(engine: Engine) -> None:
    requests = [take(5, max_tokens=7), take(6, max_tokens=3), take(7, max_tokens=20, closes_after=1, must_close=True)]
    steps = list(engine.stream(requests))
    completions = generate(
        engine, [take(5, max_tokens=7), take(6, max_tokens=3), take(7, max_tokens=20, closes_after=1, must_close=True)]
    )
    for index, completion in enumerate(completions):
        own = [step for step in steps if step.index == index]
        assert [step.token_id for step in own] == completion.token_ids
        assert [step.finish_reason for step in own] == [None] * (len(own) - 1) + [completion.finish_reason]


def test_cancelling_midway_keeps_what_was_decoded_and_ends_every_open_request(engine: Engine) -> None:
    cancel = threading.Event()
    ids: dict[int, list[int]] = {0: [], 1: []}
    reasons = {}
    for step in engine.stream([take(1, max_tokens=2000), take(2, max_tokens=4)], cancel=cancel):
        if step.token_id is not None:
            ids[step.index].append(step.token_id)
        if step.finish_reason is not None:
            reasons[step.index] = step.finish_reason
        if len(ids[0]) >= 6 and 1 in reasons:
            cancel.set()
    assert reasons == {0: "cancelled", 1: "length"}
    assert 6 <= len(ids[0]) < 1000  # an engine that works ahead has drawn some more meanwhile
    assert ids[0] == generate(engine, [take(1, max_tokens=len(ids[0]))])[0].token_ids


def test_a_cancel_that_is_set_before_the_start_gives_no_ids(engine: Engine) -> None:
    cancel = threading.Event()
    cancel.set()
    completions = generate(engine, [take(1), take(2)], cancel=cancel)
    assert [(c.token_ids, c.finish_reason) for c in completions] == [([], "cancelled")] * 2


def test_a_stream_may_be_abandoned_and_the_engine_still_serves(engine: Engine) -> None:
    stream = engine.stream([take(1, max_tokens=50)])
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert len(generate(engine, [take(1)])[0].token_ids) == 12


def test_two_streams_side_by_side_do_not_disturb_each_other(engine: Engine) -> None:
    expected = [generate(engine, [take(seed)])[0].token_ids for seed in (8, 9)]
    first, second = engine.stream([take(8)]), engine.stream([take(9)])
    pairs = list(zip(first, second, strict=True))
    assert [[step.token_id for step in steps] for steps in zip(*pairs, strict=True)] == expected


def test_streams_of_several_threads_come_and_go_and_each_is_what_it_is_alone(engine: Engine) -> None:
    if not engine.joins:
        pytest.skip("this engine is used by one thread at a time")
    batches = [
        [take(seed * 3 + number, max_tokens=9 + 7 * number) for number in range(seed % 3 + 1)] for seed in range(7)
    ]
    alone = [[generate(engine, [request])[0] for request in _again(batch)] for batch in batches]
    together: dict[int, list[Completion]] = {}

    def follow(number: int) -> None:
        together[number] = generate(engine, batches[number])

    threads = [threading.Thread(target=follow, args=(number,)) for number in range(len(batches))]
    for thread in threads:
        thread.start()
        thread.join(0.005)  # so that they join at different steps
    for thread in threads:
        thread.join(60)
    assert [together[number] for number in range(len(batches))] == alone


def _again(batch: list[Request]) -> list[Request]:
    """The same requests with constraints that have seen nothing yet."""
    return [replace(request, constraint=SlotCycle()) for request in batch]


def test_bad_requests_are_refused_before_anything_is_decoded(engine: Engine) -> None:
    too_long = Request(prompt_ids=[1] * 2000, params=SamplingParams(max_tokens=50))
    for requests, found in (
        ([], "no request"),
        ([Request(prompt_ids=[])], "empty prompt"),
        ([Request(prompt_ids=[VOCAB_SIZE])], "this model knows"),
        ([take(), too_long], "2000 prompt"),
    ):
        with pytest.raises(RequestError, match=found):
            generate(engine, requests)


class Nothing:
    """Allows ids only until `after` are taken, and never finishes; `mask`: ids are named but none is let through."""

    finished = False

    def __init__(self, *, after: int = 0, mask: bool = False) -> None:
        self.left = after
        self.mask = np.zeros(10, np.bool_) if mask else None

    def allowed(self) -> Allowed:
        stop = 10 if self.left or self.mask is not None else 0
        return Allowed(start=0, stop=stop, mask=None if self.left else self.mask)

    def accept(self, token_id: int) -> None:
        self.left -= 1


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("mask", [False, True])
def test_a_constraint_that_allows_nothing_is_refused_before_anything_is_decoded(
    engine: Engine, mask: bool, temperature: float
) -> None:
    params = SamplingParams(max_tokens=4, temperature=temperature)
    stuck = Request(prompt_ids=PROMPT, params=params, constraint=Nothing(mask=mask))
    with pytest.raises(EngineError, match="request 1 may not begin with any id"):
        engine.stream([take(), stuck])
    assert len(generate(engine, [take()])[0].token_ids) == 12


@pytest.mark.parametrize("mask", [False, True])
def test_a_constraint_that_gets_stuck_ends_in_an_error_and_the_engine_still_serves(engine: Engine, mask: bool) -> None:
    if engine.name == "replay":
        pytest.skip("a recording knows no constraint of this kind")
    stuck = Request(prompt_ids=PROMPT, params=SamplingParams(max_tokens=9), constraint=Nothing(after=2, mask=mask))
    ids: list[int | None] = []
    with pytest.raises(EngineError, match="allowed"):
        ids += [step.token_id for step in engine.stream([stuck])]
    assert len(generate(engine, [take()])[0].token_ids) == 12


def test_the_last_position_of_the_model_can_be_used(engine: Engine) -> None:
    prompt = [int(token_id) for token_id in np.random.default_rng(0).integers(0, 256, 2046)]
    (completion,) = generate(engine, [take(max_tokens=3, prompt=prompt)])
    assert len(completion.token_ids) == 3


def test_a_closed_engine_says_so(tiny_onnx_checkpoint: Path) -> None:
    for engine in (OnnxEngine(tiny_onnx_checkpoint), ReplayEngine([[1]], vocab_size=VOCAB_SIZE)):
        engine.close()
        with pytest.raises(EngineError, match="closed"):
            generate(engine, [take()])


def test_slices_outside_the_head_blocks_are_served_too(engine: Engine) -> None:
    if engine.name == "replay":
        pytest.skip("the fake has no head")
    text = Request(prompt_ids=PROMPT, params=SamplingParams(max_tokens=4), constraint=Free(0, TEXT_ROWS))
    controls = Request(prompt_ids=PROMPT, params=SamplingParams(max_tokens=4), constraint=Free(30_000, 41_000))
    whole = Request(prompt_ids=PROMPT, params=SamplingParams(max_tokens=4))
    completions = generate(engine, [text, take(max_tokens=4), controls, whole])
    assert all(len(completion.token_ids) == 4 for completion in completions)
    assert max(completions[0].token_ids) < TEXT_ROWS
    assert all(30_000 <= token_id < 41_000 for token_id in completions[2].token_ids)
