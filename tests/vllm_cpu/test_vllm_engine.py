"""vLLM against the torch engine and the grammar, on a tiny random model."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import vllm

from midi_llm.engines import vllm_open
from midi_llm.engines.base import Allowed, Request, SamplingParams, generate
from midi_llm.engines.torch_engine import TorchEngine
from midi_llm.engines.vllm_engine import VllmEngine
from midi_llm.engines.vllm_machine import Machine
from midi_llm.errors import EngineError, RequestError
from midi_llm.tokens.codec import decode

from .conftest import PROMPTS, TEXT_ROWS, RuledSlotCycle, SlotCycle, long_request, request

CONTEXT = np.array([(0, 200, 0, 60), (50, 400, 33, 40), (50, 30, 128, 36), (150, 100, 0, 64)], np.int32)


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> Iterator[VllmEngine]:
    # as small as vLLM allows beside two sequences of full length, so that many requests preempt each other
    made = VllmEngine(tiny_checkpoint, dtype="float32", cache_bytes=40 * 128 * 512)
    yield made
    made.close()


def varied(temperature: float, seeds: range) -> list[Request]:
    """Requests that differ in prompt, length, polyphony and context."""
    return [
        request(
            PROMPTS[seed % 3],
            seed=seed,
            temperature=temperature,
            context=CONTEXT if seed % 4 == 3 else None,
            max_tokens=60 + 30 * (seed % 3),
            end_ticks=(1000, 3000, 10_000)[seed % 3],
            polyphony=1 + seed % 7,
        )
        for seed in seeds
    ]


def test_greedy_ids_are_those_of_the_torch_engine(engine: VllmEngine, tiny_checkpoint: Path) -> None:
    reference = TorchEngine(tiny_checkpoint, device="cpu", dtype="float32")
    expected = generate(reference, varied(0.0, range(12)))
    reference.close()
    assert generate(engine, varied(0.0, range(12))) == expected
    assert sum(len(completion.token_ids) for completion in expected) > 100


def test_32_requests_side_by_side_are_what_they_are_alone_and_decode(engine: VllmEngine) -> None:
    requests = varied(1.0, range(32))
    together = generate(engine, requests)
    for request_, completion in zip(requests, together, strict=True):
        assert request_.constraint is not None
        kept = request_.constraint.amt_ids  # type: ignore[attr-defined]
        decode(kept[: len(kept) - len(kept) % 3])
        assert completion.finish_reason in ("stop", "length")
    alone = [generate(engine, [one])[0] for one in varied(1.0, range(32))[::5]]
    assert together[::5] == alone


def test_preempted_requests_go_on_where_they_were(engine: VllmEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = engine._loop._engine.engine_core.engine_core.scheduler
    preempted: list[str] = []
    preempt = type(scheduler)._preempt_request

    def counting(self: object, request_: object, *others: object, **named: object) -> object:
        preempted.append(request_.request_id)  # type: ignore[attr-defined]
        return preempt(self, request_, *others, **named)

    monkeypatch.setattr(type(scheduler), "_preempt_request", counting)
    together = generate(engine, [long_request(seed) for seed in range(16)])
    assert preempted
    assert [len(completion.token_ids) for completion in together] == [400] * 16
    assert together[::5] == [generate(engine, [long_request(seed)])[0] for seed in range(0, 16, 5)]


def assert_nothing_is_left(engine: VllmEngine) -> None:
    """No request in vLLM's scheduler, and no block of the cache in use, without a further step."""
    scheduler = engine._loop._engine.engine_core.engine_core.scheduler
    assert not engine._loop._engine.has_unfinished_requests()
    assert not engine._loop._arrived
    assert not scheduler.requests
    assert scheduler.kv_cache_manager.usage == 0.0


def test_requests_that_end_leave_nothing_behind(engine: VllmEngine) -> None:
    cancel = threading.Event()
    for number, _ in enumerate(engine.stream([long_request(1), long_request(2)], cancel=cancel)):
        if number == 5:
            assert engine._loop._engine.engine_core.engine_core.scheduler.kv_cache_manager.usage > 0.0
            cancel.set()
    stream = engine.stream([long_request(3)])
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert_nothing_is_left(engine)
    generate(engine, varied(1.0, range(3)))
    assert_nothing_is_left(engine)


def test_streams_of_several_threads_that_come_at_different_times_are_batched(
    engine: VllmEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = {seed: 90 - 10 * seed for seed in range(6)}
    expected = [generate(engine, [long_request(seed, max_tokens=count)])[0] for seed, count in lengths.items()]
    batches: list[int] = []
    step = engine._loop._engine.step

    def counting() -> object:
        outputs = step()
        batches.append(len(outputs))
        return outputs

    monkeypatch.setattr(engine._loop._engine, "step", counting)
    found: dict[int, object] = {}

    def run(seed: int) -> None:
        while len(batches) < 5 * seed:
            time.sleep(0.001)
        found[seed] = generate(engine, [long_request(seed, max_tokens=lengths[seed])])[0]

    threads = [threading.Thread(target=run, args=(seed,)) for seed in lengths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[seed] for seed in lengths] == expected
    assert max(batches) == 6
    assert len(batches) < 1.3 * lengths[0]  # alone, one after the other, they would take 390


def test_ids_that_wait_while_another_stream_steps_are_all_yielded_and_the_rest_is_dropped(engine: VllmEngine) -> None:
    def closing() -> Request:
        params = SamplingParams(seed=3, max_tokens=60, temperature=1.0)
        return Request(prompt_ids=PROMPTS[0], params=params, constraint=RuledSlotCycle(closes_after=3, must_close=True))

    expected = generate(engine, [closing()])[0]
    slow = engine.stream([closing()])
    first = next(slow)
    generate(engine, [long_request(1, max_tokens=40)])
    steps = [first, *slow]
    assert [step.token_id for step in steps] == expected.token_ids
    assert steps[-1].finish_reason == "stop"
    assert_nothing_is_left(engine)


def test_requests_without_a_constraint_may_be_anything_and_mix_with_others(engine: VllmEngine) -> None:
    free = Request(prompt_ids=[256, 1], params=SamplingParams(max_tokens=5, temperature=0.0))
    first, second = generate(engine, [free, long_request(0, max_tokens=7)])
    assert (len(first.token_ids), first.finish_reason) == (5, "length")
    assert second == generate(engine, [long_request(0, max_tokens=7)])[0]


class Nothing(RuledSlotCycle):
    """Allows nothing after `legal` ids, whatever its rules say."""

    legal = 0

    def allowed(self) -> Allowed:
        return super().allowed() if len(self.ids) < self.legal else Allowed(start=0, stop=0)


class NothingLater(Nothing):
    legal = 4


def test_what_it_cannot_serve_is_refused(engine: VllmEngine) -> None:
    def asked(constraint: object, **params: object) -> Request:
        settings = SamplingParams(max_tokens=9, **params)  # type: ignore[arg-type]
        return Request(prompt_ids=[256], params=settings, constraint=constraint, unprompted_ids=[1])  # type: ignore[arg-type]

    with pytest.raises(EngineError, match="SlotCycle, which states no rules"):
        engine.stream([asked(SlotCycle())])
    with pytest.raises(EngineError, match="may not begin with any id"):
        engine.stream([asked(Nothing())])
    with pytest.raises(EngineError, match="no id is allowed"):
        generate(engine, [asked(NothingLater())])
    with pytest.raises(RequestError, match="allows 1"):
        engine.stream([asked(None, guidance=1.5)])
    assert_nothing_is_left(engine)


def test_rules_that_vllm_does_not_carry_out_are_found_out(engine: VllmEngine) -> None:
    class Stricter(RuledSlotCycle):
        def accept(self, token_id: int) -> None:
            super().accept(token_id)
            if len(self.ids) == 2:
                super().accept(TEXT_ROWS)  # a time where a note belongs: refused

    with pytest.raises(EngineError, match="against the rules"):
        generate(engine, [Request(prompt_ids=[256], params=SamplingParams(max_tokens=9), constraint=Stricter())])


def test_what_cannot_be_is_found_before_the_weights_are_read(
    engine: VllmEngine, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "no weights"
    empty.mkdir()
    (empty / "config.json").write_bytes((tiny_checkpoint / "config.json").read_bytes())
    with pytest.raises(EngineError, match="'fp8_per_tensor' needs a CUDA device"):
        VllmEngine(empty, dtype="fp8_per_tensor")
    small = Machine(kind="cuda", name="X1", capability=(9, 0), free_bytes=1 << 30, total_bytes=80 << 30)
    monkeypatch.setattr(vllm_open, "_machine", lambda: small)
    with pytest.raises(EngineError, match=r"X1 has 1.0 of 80.0 GiB free; memory_share 0.5 asks for 40.0"):
        VllmEngine(empty, memory_share=0.5)
    monkeypatch.undo()
    with pytest.raises(EngineError, match=r"a vLLM engine is open in this process, .* one at a time .*: close it"):
        VllmEngine(empty)
    monkeypatch.setattr(vllm, "__version__", "0.33.0")
    with pytest.raises(EngineError, match=r"vLLM 0.33.0 is installed; supported are 0.25 to 0.32"):
        VllmEngine(empty)
