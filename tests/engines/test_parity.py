"""All engines give the same distribution: greedy ids exactly, draws by a chi-square test, vLLM by the same contract.

The windows are those of the vLLM tests: the real grammar, bounded as the small model's.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from midi_llm.compose.constraint import WindowConstraint
from midi_llm.engines import torch_drawing
from midi_llm.engines.base import Request, SamplingParams, generate
from midi_llm.engines.onnx_engine import OnnxEngine
from midi_llm.engines.torch_engine import TorchEngine
from midi_llm.evaluate.contenders import PacedGrammar
from midi_llm.tokens.vocab import DUR_OFFSET, NOTE_OFFSET
from vllm_cpu.conftest import PROMPTS, START, request, window

from .conftest import TEXT_ROWS

Logits = OnnxEngine | TorchEngine
Floats = npt.NDArray[np.float64]

CONTEXT = np.array([[0, 50, 0, 60], [20, 50, 0, 64], [45, 30, 128, 38]], np.int32)


@pytest.fixture(scope="module")
def onnx(tiny_onnx_checkpoint: Path) -> Iterator[OnnxEngine]:
    engine = OnnxEngine(tiny_onnx_checkpoint)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def reference(tiny_checkpoint: Path) -> Iterator[TorchEngine]:
    engine = TorchEngine(tiny_checkpoint, device="cpu", dtype="float32")
    yield engine
    engine.close()


# Greedy: whole takes, id by id


def greedy(number: int) -> Request:
    """Takes that differ in prompt, length, context and guidance; every second one paced, so that it is long."""
    prompt, context = PROMPTS[number % 3], CONTEXT if number % 4 == 3 else None
    taken = request(prompt, temperature=0.0, context=context, max_tokens=60, polyphony=1 + number % 7)
    params = replace(taken.params, guidance=1.7 if number % 3 else 1.0)
    given = list(taken.prompt_ids[len(prompt) :])
    taken = replace(taken, params=params, unprompted_ids=[START, *given])
    if number % 2:
        return taken
    paced = PacedGrammar(tokens=90, text_rows=TEXT_ROWS)
    return replace(taken, params=replace(params, max_tokens=90), constraint=paced)


def test_greedy_takes_are_the_same_in_both_engines_together_and_alone(onnx: OnnxEngine, reference: TorchEngine) -> None:
    takes = range(10)
    expected = generate(reference, [greedy(number) for number in takes])
    assert generate(onnx, [greedy(number) for number in takes]) == expected
    for engine in (onnx, reference):
        assert [generate(engine, [greedy(number)])[0] for number in takes[::3]] == expected[::3]
    assert sum(len(completion.token_ids) for completion in expected) > 450


# Sampled: what is drawn in one slot, against the softmax of the reference's logits

DRAWS = 600
BINS = 20
FALSE_ALARM = 1e-4
"""Of one chi-square test; a right engine passes all 48 below in 99.5 of 100 choices of the seeds."""

LATE = [2800 + TEXT_ROWS, DUR_OFFSET + 20 + TEXT_ROWS, NOTE_OFFSET + 60 + TEXT_ROWS]
SLOTS = {"time": [], "duration": LATE[:1], "note": LATE[:2], "time or end": LATE}
PLAIN = SamplingParams(temperature=1.0, top_p=1.0, max_tokens=1)
GUIDED = SamplingParams(temperature=0.8, top_p=0.9, guidance=1.6, max_tokens=1)


def at(given: Sequence[int]) -> WindowConstraint:
    constraint = window()
    for token_id in given:
        constraint.accept(token_id)
    return constraint


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """All ids that are allowed, and the probability of each."""

    ids: npt.NDArray[np.int64]
    shares: Floats


def expected(reference: Logits, given: Sequence[int], params: SamplingParams) -> Distribution:
    """By definition: softmax of guided logits, masked, tempered, the smallest likeliest set that reaches top-p."""
    allowed = at(given).allowed()
    ids = np.arange(allowed.start, allowed.stop)
    ids = np.append(ids if allowed.mask is None else ids[allowed.mask], allowed.extra).astype(np.int64)
    prompted, unprompted = (
        reference.next_logits([*prompt, *given])[ids].astype(np.float64) for prompt in (PROMPTS[0], [START])
    )
    logits = (unprompted + params.guidance * (prompted - unprompted)) / params.temperature
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    order = np.argsort(-shares)
    kept = order[: int(np.searchsorted(shares[order].cumsum(), params.top_p)) + 1]
    nucleus = np.zeros_like(shares)
    nucleus[kept] = shares[kept] / shares[kept].sum()
    return Distribution(ids=ids, shares=nucleus)


def drawn(engine: Logits, given: Sequence[int], params: SamplingParams) -> npt.NDArray[np.int64]:
    """One id from each of `DRAWS` requests that differ in their seeds."""
    found: list[int] = []
    for first in range(0, DRAWS, 200):
        requests = [
            Request(
                prompt_ids=[*PROMPTS[0], *given],
                unprompted_ids=[START, *given],
                params=replace(params, seed=seed),
                constraint=at(given),
            )
            for seed in range(first, first + 200)
        ]
        found += [completion.token_ids[0] for completion in generate(engine, requests)]
    return np.array(found)


def chance(found: npt.NDArray[np.int64], true: Distribution, order: npt.NDArray[np.int64]) -> float:
    """Probability that true draws differ from `true` as much as `found` (Pearson's chi-square), 0 for an illegal id.

    Ids are binned in `order` to about the same mass. The tail is Wilson and Hilferty's (1931) cube root.
    """
    shares = true.shares[order]
    bins = np.minimum((BINS * (shares.cumsum() - shares / 2)).astype(np.int64), BINS - 1)
    counts = np.bincount(found, minlength=int(true.ids.max()) + 1)[true.ids[order]]
    if counts.sum() < len(found) or counts[shares == 0].any():
        return 0.0
    observed, wanted = np.bincount(bins, counts), np.bincount(bins, shares * len(found))
    observed, wanted = observed[wanted > 0], wanted[wanted > 0]
    freedom = len(wanted) - 1
    statistic = float((np.square(observed - wanted) / wanted).sum())
    spread = 2 / (9 * freedom)
    return 0.5 * math.erfc(((statistic / freedom) ** (1 / 3) - 1 + spread) / math.sqrt(2 * spread))


def chances(found: npt.NDArray[np.int64], true: Distribution) -> list[float]:
    """By likelihood, which shows a wrong temperature, and by id, which shows a wrong place."""
    return [chance(found, true, order) for order in (np.argsort(-true.shares), np.arange(len(true.ids)))]


@pytest.fixture(scope="module", params=["onnx", "torch", "torch, drawing on the device"])
def engine(request: pytest.FixtureRequest) -> Iterator[Logits]:
    """The last one draws on the CPU with the code that draws on CUDA."""
    with pytest.MonkeyPatch.context() as patch:
        if "device" in request.param:
            patch.setattr(torch_drawing, "_draw_on_host", torch_drawing.draw_positions)
        yield request.getfixturevalue("onnx" if request.param == "onnx" else "reference")


@pytest.mark.parametrize("params", [PLAIN, GUIDED], ids=["plain", "guided, top-p"])
@pytest.mark.parametrize("given", SLOTS.values(), ids=SLOTS)
def test_draws_follow_the_distribution_of_the_reference(
    engine: Logits, reference: TorchEngine, given: list[int], params: SamplingParams
) -> None:
    assert min(chances(drawn(engine, given, params), expected(reference, given, params))) > FALSE_ALARM


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": 1.0}, {"guidance": 1.0}, {"top_p": 0.95}, {"temperature": 0.65}],
    ids=lambda change: "".join(change),
)
def test_draws_of_other_settings_are_found_out(reference: TorchEngine, wrong: dict[str, float]) -> None:
    given = SLOTS["time"]
    found = drawn(reference, given, replace(GUIDED, **wrong))  # type: ignore[arg-type]
    assert min(chances(found, expected(reference, given, GUIDED))) < FALSE_ALARM


def test_draws_of_the_wrong_place_are_found_out(reference: TorchEngine) -> None:
    given, shifted = SLOTS["duration"], 3
    true = expected(reference, given, PLAIN)
    found = np.roll(true.ids, shifted)[np.searchsorted(true.ids, drawn(reference, given, PLAIN))]
    assert min(chances(found, true)) < FALSE_ALARM


# vLLM runs in an environment of its own


def test_vllm_is_asked_the_same_contract() -> None:
    tests = Path(__file__).parents[1]

    def tree(*parts: str) -> list[ast.stmt]:
        return ast.parse(tests.joinpath(*parts).read_text(encoding="utf-8")).body

    contract = {node.name for node in tree("engines", "test_engine_contract.py") if isinstance(node, ast.FunctionDef)}
    contract = {name for name in contract if name.startswith("test_")}
    theirs = tree("vllm_cpu", "test_contract.py")
    imported = {alias.name for node in theirs if isinstance(node, ast.ImportFrom) for alias in node.names}
    own = {
        "test_a_closed_engine_says_so",
        "test_slices_outside_the_head_blocks_are_served_too",
        "test_a_constraint_that_gets_stuck_ends_in_an_error_and_the_engine_still_serves",
    }
    assert own < contract
    assert contract - own <= imported
