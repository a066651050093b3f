"""One open request during decoding: what may come next, its random stream, its budget, and when it ends.

In: a `Request`. Out: an id drawn from logits, and the `Step` that reports it. Every engine keeps one per request, so
that they share the meaning of budgets, constraints and seeds. Knows no model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from midi_llm.engines.base import Allowed, FinishReason, Request, Step
from midi_llm.engines.sampling import FloatArray, draw, generator, guided
from midi_llm.errors import EngineError


class OpenRequest:
    """Request number `index` of a batch; `finish_reason` is None while it is open."""

    def __init__(self, index: int, request: Request, *, vocab_size: int) -> None:
        self.index = index
        self.request = request
        self.finish_reason: FinishReason | None = None
        self._everything = Allowed(start=0, stop=vocab_size)
        self._rng = generator(request.params.seed)
        self._produced = 0
        self.last_id = -1
        """The id drawn last."""
        if request.constraint is not None and request.constraint.finished:
            self.finish_reason = "stop"

    @property
    def left(self) -> int:
        """How many further ids the budget holds."""
        return self.request.params.max_tokens - self._produced

    def allowed(self) -> Allowed:
        """Return the ids that may come next (all when there is no constraint)."""
        constraint = self.request.constraint
        return self._everything if constraint is None else constraint.allowed()

    def draw(self, allowed: Allowed, logits: Sequence[FloatArray], extra_logits: Sequence[FloatArray]) -> Step:
        """Draw the next id and advance.

        `logits` [stop - start] of `allowed` after each of the request's prompts; `extra_logits` likewise, empty where
        there are no extra ids (see `sampling.draw`).
        """
        params = self.request.params
        extra = guided(extra_logits, params.guidance) if extra_logits else None
        return self.advance(draw(allowed, guided(logits, params.guidance), extra, params, self._rng))

    def advance(self, token_id: int) -> Step:
        """Accept `token_id` as the next id; `TokenError` from the constraint when it is not allowed."""
        constraint = self.request.constraint
        if constraint is not None:
            constraint.accept(token_id)
        self._produced += 1
        self.last_id = token_id
        if constraint is not None and constraint.finished:
            self.finish_reason = "stop"
        elif self._produced >= self.request.params.max_tokens:
            self.finish_reason = "length"
        return Step(index=self.index, token_id=token_id, finish_reason=self.finish_reason)

    def end(self, reason: FinishReason) -> Step:
        """End without a further id."""
        self.finish_reason = reason
        return Step(index=self.index, token_id=None, finish_reason=reason)


def open_requests(requests: Sequence[Request], *, vocab_size: int) -> list[OpenRequest]:
    """The requests of a batch, opened. `EngineError` where a constraint that is not finished allows no id at all."""
    takes = [OpenRequest(index, request, vocab_size=vocab_size) for index, request in enumerate(requests)]
    for take in takes:
        if take.finish_reason is None and not permits_any(take.allowed()):
            raise EngineError(
                f"request {take.index} may not begin with any id; its constraint must be finished or allow at least one"
            )
    return takes


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """A row of a batch: an open request and which of its prompts the row goes on from."""

    take: OpenRequest
    prompt: int

    @property
    def prompt_ids(self) -> Sequence[int]:
        """The ids that the row begins with."""
        return self.take.request.prompts[self.prompt]


def lanes_of(takes: Sequence[OpenRequest]) -> list[Lane]:
    """A row for each prompt of each request, in order."""
    return [Lane(take=take, prompt=number) for take in takes for number in range(len(take.request.prompts))]


def rows_of(lanes: Sequence[Lane]) -> list[tuple[OpenRequest, list[int]]]:
    """Each request with its rows, its own prompt's first; in the order in which those come."""
    if all(lane.prompt == 0 for lane in lanes):
        return [(lane.take, [row]) for row, lane in enumerate(lanes)]
    second = {lane.take: row for row, lane in enumerate(lanes) if lane.prompt}
    own = [(row, lane.take) for row, lane in enumerate(lanes) if not lane.prompt]
    return [(take, [row, second[take]] if take in second else [row]) for row, take in own]


def leave(lanes: list[Lane], copy: Callable[[int, int], None]) -> None:
    """Drop the lanes of finished requests; the last one moves to where one is missing, its row by `copy(last, row)`."""
    for row in reversed(range(len(lanes))):
        if lanes[row].take.finish_reason is not None:
            if row < len(lanes) - 1:
                copy(len(lanes) - 1, row)
                lanes[row] = lanes[-1]
            del lanes[-1]


def permits(allowed: Allowed, token_id: int) -> bool:
    """Whether `token_id` is one of `allowed`."""
    if allowed.ceiling is not None and token_id > allowed.ceiling:
        return False
    if allowed.start <= token_id < allowed.stop:
        return allowed.mask is None or bool(allowed.mask[token_id - allowed.start]) or token_id in allowed.extra
    return token_id in allowed.extra


def permits_any(allowed: Allowed) -> bool:
    """Whether there is an id among `allowed`."""
    return bool(allowed.extra) or (allowed.start < allowed.stop and (allowed.mask is None or bool(allowed.mask.any())))
