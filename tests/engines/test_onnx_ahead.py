"""A request alone computes ahead of its draws: whatever is drafted, the same ids, in fewer passes where it is right."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from midi_llm.engines.base import Request, SamplingParams, generate
from midi_llm.engines.drafting import Drafter
from midi_llm.engines.onnx_batch import OnnxBatch
from midi_llm.engines.onnx_engine import OnnxEngine
from midi_llm.evaluate.contenders import PacedGrammar
from midi_llm.weights import FloatArray

from .conftest import TEXT_ROWS

PROMPT = [256, 72, 101, 108, 55_026 + TEXT_ROWS]
TOKENS = 61
Draft = Callable[[Drafter, int], Sequence[int]]


@pytest.fixture(scope="module")
def engine(tiny_onnx_checkpoint: Path) -> Iterator[OnnxEngine]:
    opened = OnnxEngine(tiny_onnx_checkpoint)
    yield opened
    opened.close()


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many positions each pass of a row alone had."""
    counts: list[int] = []
    extend = OnnxBatch.extend

    def counted(self: OnnxBatch, embeds_SH: FloatArray) -> FloatArray:
        counts.append(len(embeds_SH))
        return extend(self, embeds_SH)

    monkeypatch.setattr(OnnxBatch, "extend", counted)
    return counts


def request(seed: int = 3, *, tokens: int = TOKENS, prompt: Sequence[int] = PROMPT, **params: float) -> Request:
    sampling = SamplingParams(seed=seed, max_tokens=tokens, **params)  # type: ignore[arg-type]
    return Request(prompt_ids=prompt, params=sampling, constraint=PacedGrammar(tokens=tokens, text_rows=TEXT_ROWS))


def ids_of(engine: OnnxEngine, made: Request) -> list[int]:
    (completion,) = generate(engine, [made])
    return completion.token_ids


@pytest.fixture
def plain(engine: OnnxEngine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids without drafts."""
    with monkeypatch.context() as patched:
        patched.setattr(Drafter, "draft", lambda self, most: [])
        return ids_of(engine, request())


def known(ids: Sequence[int], spoilt: int | None = None) -> Draft:
    """A drafter that knows what comes; where every `spoilt`-th id is another one."""
    told = [0 if spoilt and place % spoilt == 0 else token_id for place, token_id in enumerate(ids)]
    return lambda drafter, most: told[len(drafter._ids) :][: min(most, 9)]


def test_drafts_that_are_right_save_passes_and_change_no_id(
    engine: OnnxEngine, plain: list[int], passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Drafter, "draft", known(plain))
    assert ids_of(engine, request()) == plain
    assert passes == [10] * 6  # and the first id follows from the prompt


@pytest.mark.parametrize("spoilt", [1, 2, 5])
def test_drafts_that_are_wrong_change_no_id(
    engine: OnnxEngine, plain: list[int], passes: list[int], monkeypatch: pytest.MonkeyPatch, spoilt: int
) -> None:
    monkeypatch.setattr(Drafter, "draft", known(plain, spoilt))
    assert ids_of(engine, request()) == plain
    assert (len(passes) == TOKENS - 1) == (spoilt == 1)


def test_a_greedy_take_that_repeats_itself_is_drafted(
    engine: OnnxEngine, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    drafted = ids_of(engine, request(temperature=0.0, tokens=151))
    assert len(passes) < 140
    monkeypatch.setattr(Drafter, "draft", lambda self, most: [])
    assert ids_of(engine, request(temperature=0.0, tokens=151)) == drafted


def test_the_last_of_several_requests_drafts_when_the_others_are_gone(
    engine: OnnxEngine, plain: list[int], passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Drafter, "draft", known(plain))
    short, long = generate(engine, [request(4, tokens=19), request()])
    assert len(short.token_ids) == 19
    assert long.token_ids == plain
    assert passes == [10, 10, 10, 10, 2]


def test_drafts_keep_to_the_last_position_of_the_model(engine: OnnxEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = [token_id % 256 for token_id in range(2049 - TOKENS)]
    monkeypatch.setattr(Drafter, "draft", lambda self, most: [TEXT_ROWS] * min(most, 9))
    assert len(ids_of(engine, request(prompt=prompt))) == TOKENS


def test_cancelling_amid_a_draft_ends_at_the_id_drawn_last(
    engine: OnnxEngine, plain: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Drafter, "draft", known(plain))
    cancel = threading.Event()
    ids = []
    for step in engine.stream([request()], cancel=cancel):
        ids.append(step.token_id)
        if len(ids) == 15:
            cancel.set()
    assert ids == [*plain[:15], None]


def test_a_constraint_without_rules_is_served_without_drafts(engine: OnnxEngine, passes: list[int]) -> None:
    generate(engine, [Request(prompt_ids=PROMPT, params=SamplingParams(max_tokens=5))])
    assert passes == [1] * 4
