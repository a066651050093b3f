"""Drawing the next id: temperature and exact top-p over the legal ids, in numpy, shared by every engine.

In: float32 logits of the legal slice (and of a few extra ids), sampling parameters, a generator seeded per request.
Out: one token id. The nucleus is the smallest set of most probable ids whose share reaches top-p (ties: lower position
first), and is found without a full sort. Weights are integers (units of 2^-40 of the largest), so that their sums are
exact in any order: the same logits and seed give the same id on every path. Knows no model and no batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from midi_llm.engines.base import Allowed, SamplingParams
from midi_llm.errors import EngineError, RequestError

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

ONE = np.float32(2.0**40)  # the largest weight; 2^22 ids of it still sum without overflow in int64
_SORTED_WHOLE = 1024  # so many candidates are sorted at once; more are narrowed by a sample first
_SAMPLE, _SLACK = 512, 32
COLDEST = 1e-6  # smaller temperatures draw the same id and only risk overflow


def generator(seed: int) -> np.random.Generator:
    """Return the random stream of one request: one draw per sampled id, none when greedy."""
    if seed < 0:
        raise RequestError(f"seed is {seed}; allowed is 0 or any larger integer")
    return np.random.Generator(np.random.PCG64(seed))


def draw(
    allowed: Allowed,
    logits: FloatArray,
    extra_logits: FloatArray | None,
    params: SamplingParams,
    rng: np.random.Generator,
) -> int:
    """Draw one token id.

    `logits` [stop - start] belong to ids `start..stop - 1` of `allowed`, `extra_logits` [len(extra)] to `extra`
    (None when there are none). Raises `EngineError` when nothing is allowed or no allowed logit is finite.
    """
    if logits.size != allowed.stop - allowed.start:
        raise EngineError(f"{logits.size} logits were computed for ids {allowed.start}..{allowed.stop - 1}")
    if allowed.mask is not None:
        logits = np.where(allowed.mask, logits, np.float32(-np.inf))
    if extra_logits is not None and allowed.extra:
        logits = np.concatenate((logits, extra_logits))
    position = draw_position(logits, params, rng)
    width = allowed.stop - allowed.start
    if position >= width:
        return allowed.extra[position - width]
    drawn = allowed.start + position
    return drawn if allowed.ceiling is None else min(drawn, allowed.ceiling)


def guided(logits: Sequence[FloatArray], guidance: float) -> FloatArray:
    """One set of logits [n] from those after the prompt, and after none where there are two (`SamplingParams`)."""
    if len(logits) == 1:
        return logits[0]
    prompted, unprompted = logits
    mixed: FloatArray = unprompted + np.float32(guidance) * (prompted - unprompted)
    return mixed


def draw_position(logits: FloatArray, params: SamplingParams, rng: np.random.Generator) -> int:
    """Draw one position of `logits` [n]; -inf marks positions that are not allowed."""
    if logits.size == 0:
        raise EngineError("no id is allowed here; the constraint must end the request or allow at least one id")
    uniform = rng.random() if params.temperature > 0 else 0.0
    return position_at(logits, uniform, temperature=params.temperature, top_p=params.top_p)


def position_at(logits: FloatArray, uniform: float, *, temperature: float, top_p: float) -> int:
    """The position of `logits` [n] that `uniform` (in [0, 1)) stands for; the likeliest at temperature 0."""
    if temperature == 0.0:
        best = int(logits.argmax())  # the first of equals, and a NaN before any number
        _require_finite(float(logits[best]))
        return best
    weights = integer_weights(logits, temperature)
    if top_p < 1.0:
        weights *= nucleus(weights, top_p)
    return _inverse(weights, uniform)


def integer_weights(logits: FloatArray, temperature: float) -> IntArray:
    """Weights proportional to softmax(logits / temperature), int64, the largest 2^40; -inf gives 0."""
    largest = logits.max()
    _require_finite(float(largest))
    with np.errstate(over="ignore", under="ignore"):
        scaled = logits - largest
        scaled /= np.float32(max(temperature, COLDEST))
        np.exp(scaled, out=scaled)
    scaled *= ONE
    weights: IntArray = scaled.astype(np.int64)
    return weights


def nucleus(weights: IntArray, top_p: float) -> BoolArray:
    """Mask of the smallest set of largest weights whose share is at least `top_p` (in (0, 1))."""
    total = int(weights.sum())
    target = min(max(1, math.ceil(top_p * total)), total)
    # Weights at or below this bound sum to at most total - target: the nucleus lies above it.
    floor = (total - target) // weights.size
    band: BoolArray = weights > floor
    share = 0  # of the weights that are certainly inside
    if int(np.count_nonzero(band)) > _SORTED_WHOLE:
        low, high = _bracket(weights, total - target)
        certain = weights > high
        certain_share = int(weights @ certain)
        rest = band & (weights >= low) & ~certain
        if certain_share < target <= certain_share + int(weights @ rest):
            share, band = certain_share, rest
    candidates = weights[band]
    descending = np.sort(candidates)[::-1]
    count = int(np.searchsorted(descending.cumsum(), target - share)) + 1
    smallest = descending[count - 1]
    kept: BoolArray = weights > smallest
    surplus = count - int(np.count_nonzero(candidates > smallest))
    kept[np.nonzero(weights == smallest)[0][:surplus]] = True
    return kept


def _bracket(weights: IntArray, tail: int) -> tuple[int, int]:
    """Guess, from a sample, two weights between which the smallest member of the nucleus lies.

    `tail` is the sum of what the nucleus leaves out: a sample tells it far better than the sum of a few large weights.
    """
    stride = (weights.size // _SAMPLE) | 1  # odd: instruments repeat every 128 ids
    sample = np.sort(weights[::stride])
    at = int(np.searchsorted(sample.cumsum(), tail // stride))
    return int(sample[max(at - _SLACK, 0)]), int(sample[min(at + _SLACK, sample.size - 1)])


def _inverse(weights: IntArray, uniform: float) -> int:
    """Position whose interval of the cumulated weights holds `uniform` (in [0, 1))."""
    cumulated = weights.cumsum()
    ticket = min(int(uniform * float(cumulated[-1])), int(cumulated[-1]) - 1)
    return int(np.searchsorted(cumulated, ticket, side="right"))


def _require_finite(largest: float) -> None:
    if not math.isfinite(largest):
        found = "not a number" if math.isnan(largest) else "infinite" if largest > 0 else "all excluded by the mask"
        raise EngineError(f"the logits of the allowed ids are {found}; check the weights and the constraint")
