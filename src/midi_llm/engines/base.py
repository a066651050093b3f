"""What an engine is: token ids in, token ids out. It knows no music, no text, and no files beyond its weights.

`stream` is the one primitive: it decodes a batch of `Request`s and yields a `Step` for every token of every request;
`generate` collects those steps into `Completion`s. Grammar reaches an engine as a `TokenConstraint`, which names the
ids that may come next as one contiguous slice (so that only that slice of the head is computed) plus a few extra ids.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from midi_llm.errors import EngineError, RequestError

MAX_GUIDANCE = 20.0
FinishReason = Literal["stop", "length", "cancelled"]
"""`stop`: the constraint is finished; `length`: the token budget is spent; `cancelled`: the caller asked to stop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowed:
    """Ids that may come next: `start <= id < stop` where `mask[id - start]` holds (None = all), or one of `extra`.

    An id of the slice that is drawn above `ceiling` counts as `ceiling`: whatever comes that late comes then. There are
    no `extra` ids beside a ceiling.
    """

    start: int
    stop: int
    mask: npt.NDArray[np.bool_] | None = None
    extra: tuple[int, ...] = ()
    ceiling: int | None = None


class TokenConstraint(Protocol):
    """A stateful grammar over token ids, one instance per request."""

    @property
    def finished(self) -> bool:
        """True when the sequence is complete and nothing may follow."""

    def allowed(self) -> Allowed:
        """The ids that may come next; never empty while not `finished`."""

    def accept(self, token_id: int) -> None:
        """Advance by one id; raises `TokenError` when it was not allowed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingParams:
    """How to draw the next id. `temperature` 0 is greedy; `top_p` in (0, 1]; `seed` fixes the draw.

    `guidance` g is classifier-free (Ho and Salimans 2022, arXiv 2207.12598): logits u + g (c - u), where c are those
    after the prompt and u those after `Request.unprompted_ids`. 1 is off; every id then costs one pass and not two.
    """

    temperature: float = 1.0
    top_p: float = 0.98
    guidance: float = 1.0
    max_tokens: int = 2046
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature <= 10.0:
            raise RequestError(f"temperature is {self.temperature}; allowed is 0 (greedy) to 10, 1.0 is usual")
        if not 0.0 < self.top_p <= 1.0:
            raise RequestError(f"top-p is {self.top_p}; allowed is above 0 and at most 1, 0.98 is usual")
        if not 0.0 <= self.guidance <= MAX_GUIDANCE:
            raise RequestError(f"guidance is {self.guidance}; allowed is 0 to {MAX_GUIDANCE:g}, 1 (off) to 3 is usual")
        if self.max_tokens < 1:
            raise RequestError(f"max_tokens is {self.max_tokens}; at least 1 is needed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One take: prompt ids, how to sample, and what may come next (None = any id of the vocabulary)."""

    prompt_ids: Sequence[int]
    params: SamplingParams = field(default_factory=SamplingParams)
    constraint: TokenConstraint | None = None
    unprompted_ids: Sequence[int] | None = None
    """What stands in place of `prompt_ids` without the text; needed where `params.guidance` is not 1."""

    @property
    def prompts(self) -> tuple[Sequence[int], ...]:
        """The prompts that are decoded: one, or two where the request is guided."""
        if self.params.guidance == 1.0 or self.unprompted_ids is None:
            return (self.prompt_ids,)
        return self.prompt_ids, self.unprompted_ids


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One decoded id of request number `index`; `finish_reason` is set on the request's last step.

    `token_id` is None when a request ends without a further id (cancelled).
    """

    index: int
    token_id: int | None
    finish_reason: FinishReason | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """All decoded ids of one request and why decoding ended."""

    token_ids: list[int]
    finish_reason: FinishReason


@runtime_checkable
class Engine(Protocol):
    """Anything that decodes token ids. `cancel`, once set, ends every open request at the next step."""

    name: str
    vocab_size: int
    max_positions: int
    best_batch: int
    """How many requests it decodes side by side at best, a guided one counted twice; more are better asked for in turn:
    they bring no speed, or their caches need too much memory. A stream serves any number."""
    joins: bool
    """Whether streams of several threads are decoded together, side by side. Where not, take one at a time."""

    def stream(self, requests: Sequence[Request], *, cancel: threading.Event | None = None) -> Iterator[Step]:
        """Decode all `requests` side by side and yield their ids as they come.

        An engine may work ahead: until a request's last step, its constraint may have accepted more than was yielded.
        """

    def close(self) -> None:
        """Free the weights; the engine cannot be used afterwards."""


def generate(engine: Engine, requests: Sequence[Request], *, cancel: threading.Event | None = None) -> list[Completion]:
    """Decode `requests` to their ends; result i belongs to request i."""
    ids: list[list[int]] = [[] for _ in requests]
    reasons: list[FinishReason | None] = [None] * len(requests)
    for step in engine.stream(requests, cancel=cancel):
        if step.token_id is not None:
            ids[step.index].append(step.token_id)
        if step.finish_reason is not None:
            reasons[step.index] = step.finish_reason
    completions = []
    for index, reason in enumerate(reasons):
        if reason is None:
            raise EngineError(f"engine {engine.name} ended its stream without finishing request {index}")
        completions.append(Completion(token_ids=ids[index], finish_reason=reason))
    return completions


def check_requests(requests: Sequence[Request], *, vocab_size: int, max_positions: int) -> None:
    """Raise `RequestError` for an empty batch, an empty prompt, ids outside the vocabulary, or too many positions."""
    if not requests:
        raise RequestError("no request was given; at least one is needed")
    for index, request in enumerate(requests):
        if request.params.guidance != 1.0 and request.unprompted_ids is None:
            raise RequestError(f"request {index} has guidance {request.params.guidance:g} and no ids without the text")
        for prompt in map(np.asarray, request.prompts):
            if prompt.size == 0:
                raise RequestError(f"request {index} has an empty prompt; at least one id is needed")
            if prompt.min() < 0 or prompt.max() >= vocab_size:
                raise RequestError(
                    f"request {index} has ids {prompt.min()}..{prompt.max()}; this model knows 0..{vocab_size - 1}"
                )
            if prompt.size + request.params.max_tokens > max_positions + 1:
                raise RequestError(
                    f"request {index} needs {prompt.size} prompt + {request.params.max_tokens} new positions;"
                    f" the model has {max_positions}: lower max_tokens or shorten the prompt"
                )
