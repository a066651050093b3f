"""The step of the torch engine against transformers, and its order of work on a device that runs ahead of the host."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from midi_llm.engines import torch_batch
from midi_llm.engines.base import Request, SamplingParams, generate
from midi_llm.engines.torch_batch import TorchBatch
from midi_llm.engines.torch_drawing import Draws, Scores
from midi_llm.engines.torch_engine import TorchEngine
from midi_llm.engines.torch_llama import from_transformers
from midi_llm.engines.torch_ops import Cache, PlainOps, agrees
from midi_llm.errors import CheckpointError, EngineError

from .conftest import TEXT_ROWS, Free, SlotCycle
from .small_llama import ROTATIONS, distance, model_of

START = 55_026 + TEXT_ROWS


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_hidden_states_are_those_of_transformers_in_rows_of_unequal_length(rotation: str) -> None:
    assert distance(model_of(rotation), PlainOps()) < 1e-4


def test_a_variant_with_another_arithmetic_is_refused() -> None:
    for settings, found in (
        ({"attention_bias": True}, "attention_bias is True"),
        ({"mlp_bias": True}, "mlp_bias is True"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"rotation": "dynamic"}, "rope_type is 'dynamic'"),
    ):
        with pytest.raises(CheckpointError, match=found):
            from_transformers(model_of(**settings))  # type: ignore[arg-type]


def test_logits_that_are_no_numbers_are_an_error(tiny_checkpoint: Path) -> None:
    model = LlamaForCausalLM.from_pretrained(tiny_checkpoint)
    with torch.no_grad():
        model.model.norm.weight.fill_(torch.nan)
    request = Request(prompt_ids=[1], params=SamplingParams(max_tokens=3), constraint=Free())
    with pytest.raises(EngineError, match="no logit of the allowed ids is finite"):
        generate(TorchEngine.of_model(model), [request])


class Replayed:
    """In place of a CUDA graph: the recorded step is run."""

    def __init__(self, step: Callable[[], None]) -> None:
        self.replay = step


@pytest.fixture
def runs_ahead(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The order of work on CUDA, on this processor: rows in powers of two, steps before ids are known to the host."""
    captured: list[tuple[int, int]] = []
    construct = TorchBatch.__init__

    def init(self: TorchBatch, *args: Any, rows: int, **settings: Any) -> None:
        construct(self, *args, rows=1 << (rows - 1).bit_length(), **settings)
        self.captures = True

    def capture(self: TorchBatch, rows: int, limit: int) -> Replayed:
        captured.append((rows, limit))
        return Replayed(lambda: self._run(rows, limit))

    monkeypatch.setattr(torch_batch.TorchBatch, "__init__", init)
    monkeypatch.setattr(torch_batch.TorchBatch, "_capture", capture)
    return captured


def requests() -> list[Request]:
    def take(seed: int, tokens: int, *, prompt: int = 4, closes_after: int | None = None, **params: float) -> Request:
        return Request(
            prompt_ids=[*range(1, prompt), START],
            unprompted_ids=[START],
            params=SamplingParams(seed=seed, max_tokens=tokens, **params),
            constraint=SlotCycle(closes_after=closes_after, must_close=closes_after is not None),
        )

    return [
        take(1, 40, prompt=250),
        take(2, 9, temperature=0.0),
        take(3, 30, guidance=2.0, closes_after=3),
        take(4, 21, guidance=0.5, top_p=0.5, prompt=9),
        take(5, 5, top_p=1.0),
        Request(prompt_ids=[7], params=SamplingParams(max_tokens=17, seed=6)),
    ]


def test_running_ahead_gives_the_same_ids(
    tiny_checkpoint: Path, runs_ahead: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = TorchEngine(tiny_checkpoint, device="cpu")
    first, again = generate(ahead, requests()), generate(ahead, requests())
    rows = [count for count, _ in runs_ahead]
    assert rows == sorted(rows, reverse=True)
    assert set(rows) == {8, 4, 1}  # eight lanes for six requests, two of them guided; captured once for both runs
    assert len(set(runs_ahead)) == len(runs_ahead)
    monkeypatch.undo()
    plain = TorchEngine(tiny_checkpoint, device="cpu")
    assert first == again == generate(plain, requests())
    assert [len(completion.token_ids) for completion in first] == [40, 9, 10, 21, 5, 17]


def test_running_ahead_can_be_cancelled_and_the_engine_serves_on(
    tiny_checkpoint: Path, runs_ahead: list[tuple[int, int]]
) -> None:
    engine = TorchEngine(tiny_checkpoint, device="cpu")
    cancel, ids = threading.Event(), []
    for step in engine.stream(requests()[:1], cancel=cancel):
        ids.append(step.token_id)
        if len(ids) == 6:
            cancel.set()
    assert ids[-1] is None
    assert ids[:-1] == generate(engine, requests()[:1])[0].token_ids[: len(ids) - 1]


class Broken(PlainOps):
    """As kernels would be that a device or a compiler gets wrong: in some rows, or where much is cached."""

    def __init__(self, fault: float, where: str) -> None:
        super().__init__()
        self._fault, self._where = fault, where

    def layer(self, llama: Any, number: int, x_BD: torch.Tensor, cache: Cache, limit: int) -> torch.Tensor:
        if self._where == "far":  # the first part of a long past is not seen
            cache.keys[:, :, :, : max(0, int(cache.lengths.max()) - 1400)] = 0
            cache.values[:, :, :, : max(0, int(cache.lengths.max()) - 1400)] = 0
        out_BD = super().layer(llama, number, x_BD, cache, limit)
        if self._where == "everywhere" or (self._where == "second row" and len(x_BD) > 1):
            out_BD[-1] *= 1 + self._fault * torch.arange(x_BD.shape[1])
        return out_BD

    def draw(self, scores: Scores, draws: Draws) -> torch.Tensor:
        return super().draw(scores, draws) + (self._where == "drawing")


@pytest.mark.parametrize(
    ("fault", "where", "trusted"),
    [
        (0.0, "nowhere", True),
        (1e-4, "everywhere", True),
        (0.1, "everywhere", False),
        (float("nan"), "everywhere", False),
        (0.1, "second row", False),
        (0.0, "far", False),
        (0.0, "drawing", False),
    ],
)
def test_kernels_are_trusted_only_where_they_give_what_plain_torch_gives(
    fault: float, where: str, trusted: bool
) -> None:
    with torch.no_grad():
        assert agrees(Broken(fault, where), from_transformers(model_of())) is trusted
