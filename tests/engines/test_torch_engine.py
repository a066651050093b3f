from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from midi_llm.engines.base import Allowed, Engine, Request, SamplingParams, generate
from midi_llm.engines.torch_engine import TorchEngine
from midi_llm.engines.torch_matrix import Weights
from midi_llm.errors import CheckpointError, EngineError, MissingExtraError, RequestError, TokenError

PROMPTS = [[256, 40, 70, 33], [256, 99], [256, 12, 13, 14, 15, 16, 17, 200]]
GREEDY = SamplingParams(temperature=0.0, max_tokens=24)


class Slots:
    """Time, duration, note in turn from token id `base` on; the separator may stand in for a time; ends by `length`."""

    def __init__(self, base: int, length: int | None = None) -> None:
        self.base, self.length, self.taken = base, length, 0

    @property
    def finished(self) -> bool:
        return self.taken == self.length

    def allowed(self) -> Allowed:
        start, stop = ((0, 10_000), (10_000, 11_000), (11_000, 27_512))[self.taken % 3]
        mask = np.arange(start, stop) % 7 != 0
        extra = (self.base + 55_025,) if self.taken % 3 == 0 else ()
        return Allowed(start=self.base + start, stop=self.base + stop, mask=mask, extra=extra)

    def accept(self, token_id: int) -> None:
        allowed = self.allowed()
        inside = allowed.start <= token_id < allowed.stop
        if token_id not in allowed.extra and not (
            inside and allowed.mask is not None and allowed.mask[token_id - allowed.start]
        ):
            raise TokenError(f"{token_id} is not allowed")
        self.taken += 1


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> Iterator[TorchEngine]:
    engine = TorchEngine(tiny_checkpoint, device="cpu")
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> transformers.LlamaForCausalLM:
    return transformers.AutoModelForCausalLM.from_pretrained(tiny_checkpoint)


def ids_of(engine: Engine, *requests: Request) -> list[list[int]]:
    return [completion.token_ids for completion in generate(engine, requests)]


def test_it_is_an_engine_and_knows_its_sizes(engine: TorchEngine) -> None:
    assert isinstance(engine, Engine)
    assert (engine.name, engine.vocab_size, engine.max_positions) == ("torch", 320 + 55_030, 2048)


@pytest.mark.parametrize("fixture", ["tiny_checkpoint", "tiny_untied_checkpoint"])
def test_logits_are_those_of_plain_transformers(fixture: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(fixture)
    plain = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        expected = plain(torch.tensor([PROMPTS[2]])).logits[0, -1].numpy()
    found = TorchEngine(folder, device="cpu", dtype="float32").next_logits(PROMPTS[2])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_slice_of_the_head_gives_the_same_logits_as_the_full_head(engine: TorchEngine) -> None:
    full = engine.next_logits(PROMPTS[0])
    part = engine.next_logits(PROMPTS[0], start=10_320, stop=11_320)
    np.testing.assert_allclose(part, full[10_320:11_320], rtol=0, atol=1e-5)


def test_greedy_ids_are_those_of_transformers_generate(
    engine: TorchEngine, model: transformers.LlamaForCausalLM
) -> None:
    for prompt, ids in zip(
        PROMPTS, ids_of(engine, *(Request(prompt_ids=p, params=GREEDY) for p in PROMPTS)), strict=True
    ):
        tensor = torch.tensor([prompt])
        config = transformers.GenerationConfig(do_sample=False, max_new_tokens=24, eos_token_id=None, pad_token_id=0)
        expected = model.generate(tensor, attention_mask=torch.ones_like(tensor), generation_config=config)
        assert ids == expected[0, len(prompt) :].tolist()


def test_constrained_greedy_ids_are_the_best_legal_ids_of_the_full_head(
    engine: TorchEngine, model: transformers.LlamaForCausalLM
) -> None:
    (ids,) = ids_of(engine, Request(prompt_ids=PROMPTS[0], params=GREEDY, constraint=Slots(320)))
    with torch.inference_mode():
        logits = model(torch.tensor([PROMPTS[0] + ids])).logits[0, len(PROMPTS[0]) - 1 : -1].numpy()
    constraint = Slots(320)
    for step, token_id in enumerate(ids):
        allowed = constraint.allowed()
        assert allowed.mask is not None
        legal = np.zeros(engine.vocab_size, np.bool_)
        legal[allowed.start : allowed.stop] = allowed.mask
        legal[list(allowed.extra)] = True
        assert token_id == int(np.where(legal, logits[step], -np.inf).argmax())
        constraint.accept(token_id)


def sampled(*, seed: int, tokens: int = 30, length: int | None = None, prompt: int = 0) -> Request:
    params = SamplingParams(seed=seed, max_tokens=tokens)
    return Request(prompt_ids=PROMPTS[prompt], params=params, constraint=Slots(320, length))


def test_a_request_decodes_alike_alone_and_in_a_batch_of_unequal_prompts_and_lengths(engine: TorchEngine) -> None:
    wishes = [(0, 30, None), (1, 9, None), (2, 30, 12), (1, 21, None)]

    def request(number: int) -> Request:
        prompt, tokens, length = wishes[number]
        return sampled(seed=number, tokens=tokens, length=length, prompt=prompt)

    together = ids_of(engine, *(request(number) for number in range(4)))
    alone = [ids_of(engine, request(number))[0] for number in range(4)]
    assert together == alone
    assert [len(ids) for ids in together] == [30, 9, 12, 21]


def test_the_seed_decides_the_ids(engine: TorchEngine) -> None:
    first, again, other = ids_of(engine, sampled(seed=5), sampled(seed=5), sampled(seed=6))
    assert first == again != other


def test_reasons_tell_a_finished_constraint_from_a_spent_budget(engine: TorchEngine) -> None:
    requests = [sampled(seed=1, tokens=6), sampled(seed=2, length=6), sampled(seed=3, tokens=6, length=6)]
    requests.append(sampled(seed=4, length=0))
    done = generate(engine, requests)
    assert [completion.finish_reason for completion in done] == ["length", "stop", "stop", "stop"]
    assert [len(completion.token_ids) for completion in done] == [6, 6, 6, 0]


def test_every_id_comes_as_a_step_and_the_last_one_says_why(engine: TorchEngine) -> None:
    steps = list(engine.stream([sampled(seed=1, tokens=3), sampled(seed=2, tokens=5)]))
    assert [step.index for step in steps] == [0, 1, 0, 1, 0, 1, 1, 1]
    assert [step.finish_reason for step in steps] == [None] * 4 + ["length"] + [None] * 2 + ["length"]


def test_cancelling_ends_every_open_request_and_keeps_what_was_drawn(engine: TorchEngine) -> None:
    cancel, steps = threading.Event(), []
    for step in engine.stream([sampled(seed=1), sampled(seed=2, tokens=2), sampled(seed=3)], cancel=cancel):
        steps.append(step)
        if len(steps) == 9:
            cancel.set()
    ended = [(step.index, step.token_id, step.finish_reason) for step in steps if step.finish_reason is not None]
    assert ended[0][0::2] == (1, "length")
    assert ended[1:] == [(0, None, "cancelled"), (2, None, "cancelled")]
    assert len(steps) < 16


def test_the_whole_context_can_be_used_and_not_one_id_more(tiny_untied_checkpoint: Path) -> None:
    engine = TorchEngine(tiny_untied_checkpoint, device="cpu")
    full = Request(prompt_ids=[1] * 250, params=SamplingParams(max_tokens=7))
    assert len(ids_of(engine, full)[0]) == 7
    with pytest.raises(RequestError, match="250 prompt"):
        engine.stream([Request(prompt_ids=[1] * 250, params=SamplingParams(max_tokens=8))])


def test_bad_requests_are_refused_before_anything_is_decoded(engine: TorchEngine) -> None:
    for requests in ([], [Request(prompt_ids=[])], [Request(prompt_ids=[engine.vocab_size])]):
        with pytest.raises(RequestError):
            engine.stream(requests)


def test_streaming_leaves_the_callers_gradients_alone(engine: TorchEngine) -> None:
    for _ in engine.stream([sampled(seed=1, tokens=2)]):
        assert not torch.is_inference_mode_enabled()
        assert (torch.ones(1, requires_grad=True) * 2).requires_grad


def test_a_closed_engine_says_so(tiny_checkpoint: Path) -> None:
    engine = TorchEngine(tiny_checkpoint, device="cpu")
    engine.close()
    with pytest.raises(EngineError, match="was closed"):
        engine.stream([sampled(seed=1)])


def test_low_precision_stays_near_float32(tiny_checkpoint: Path, engine: TorchEngine) -> None:
    narrow = TorchEngine(tiny_checkpoint, device="cpu", dtype="bfloat16").next_logits(PROMPTS[2])
    exact = engine.next_logits(PROMPTS[2])
    assert narrow.dtype == np.float32
    assert float(np.abs(narrow - exact).max()) < 0.1 * float(np.abs(exact).max())


@pytest.mark.parametrize(("weights", "most"), [("int8", 0.02), ("fp8", 0.1)])
def test_weights_of_8_bits_stay_near_float32_and_decode_under_constraints(
    tiny_checkpoint: Path, engine: TorchEngine, weights: Weights, most: float
) -> None:
    narrow = TorchEngine(tiny_checkpoint, device="cpu", weights=weights)
    found, exact = narrow.next_logits(PROMPTS[2]), engine.next_logits(PROMPTS[2])
    assert 0 < float(np.linalg.norm(found - exact) / np.linalg.norm(exact)) < most
    together = ids_of(narrow, sampled(seed=1), sampled(seed=2, prompt=1, tokens=7), sampled(seed=3, length=6))
    assert [len(ids) for ids in together] == [30, 7, 6]
    assert together[0] == ids_of(narrow, sampled(seed=1))[0]


def test_formats_that_do_not_exist_are_named(tiny_checkpoint: Path) -> None:
    with pytest.raises(EngineError, match="allowed are float32"):
        TorchEngine(tiny_checkpoint, device="cpu", dtype="int8")  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="allowed are int8 and fp8"):
        TorchEngine(tiny_checkpoint, device="cpu", weights="int4")  # type: ignore[arg-type]


def test_a_folder_that_cannot_be_loaded_is_one_line(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json"):
        TorchEngine(tmp_path, device="cpu")
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(CheckpointError, match="lacks 9 tensors"):
        TorchEngine(folder, device="cpu")
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    with pytest.raises(CheckpointError, match="'gpt2'"):
        TorchEngine(folder, device="cpu")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot be loaded") as caught:
        TorchEngine(folder, device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_a_missing_package_gives_the_install_command(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"midi-llm\[torch\]"):
        TorchEngine(tiny_checkpoint, device="cpu")


@pytest.mark.gpu
def test_on_a_gpu_float32_decodes_the_same_greedy_ids(tiny_checkpoint: Path, engine: TorchEngine) -> None:
    requests = [Request(prompt_ids=prompt, params=GREEDY) for prompt in PROMPTS]
    assert ids_of(TorchEngine(tiny_checkpoint, device="cuda", dtype="float32"), *requests) == ids_of(engine, *requests)
