"""One open request during decoding: what may come next, its random stream, its budget, and when it ends.

In: a `Request`. Out: an id drawn from logits, and the `Step` that reports it. Every engine keeps one per request, so
that they share the meaning of budgets, constraints and seeds. Knows no model.
"""

from __future__ import annotations

from midi_llm.engines.base import Allowed, FinishReason, Request, Step
from midi_llm.engines.sampling import FloatArray, draw, generator


class OpenRequest:
    """Request number `index` of a batch; `finish_reason` is None while it is open."""

    def __init__(self, index: int, request: Request, *, vocab_size: int) -> None:
        self.index = index
        self.request = request
        self.finish_reason: FinishReason | None = None
        self._everything = Allowed(start=0, stop=vocab_size)
        self._rng = generator(request.params.seed)
        self._produced = 0
        if request.constraint is not None and request.constraint.finished:
            self.finish_reason = "stop"

    def allowed(self) -> Allowed:
        """Return the ids that may come next (all when there is no constraint)."""
        constraint = self.request.constraint
        return self._everything if constraint is None else constraint.allowed()

    def draw(self, allowed: Allowed, logits: FloatArray, extra_logits: FloatArray | None) -> Step:
        """Draw the next id from the logits of `allowed` (see `sampling.draw`) and advance."""
        return self.advance(draw(allowed, logits, extra_logits, self.request.params, self._rng))

    def advance(self, token_id: int) -> Step:
        """Accept `token_id` as the next id; `TokenError` from the constraint when it is not allowed."""
        constraint = self.request.constraint
        if constraint is not None:
            constraint.accept(token_id)
        self._produced += 1
        if constraint is not None and constraint.finished:
            self.finish_reason = "stop"
        elif self._produced >= self.request.params.max_tokens:
            self.finish_reason = "length"
        return Step(index=self.index, token_id=token_id, finish_reason=self.finish_reason)

    def end(self, reason: FinishReason) -> Step:
        """End without a further id."""
        self.finish_reason = reason
        return Step(index=self.index, token_id=None, finish_reason=reason)


def permits(allowed: Allowed, token_id: int) -> bool:
    """Whether `token_id` is one of `allowed`."""
    if allowed.start <= token_id < allowed.stop:
        return allowed.mask is None or bool(allowed.mask[token_id - allowed.start]) or token_id in allowed.extra
    return token_id in allowed.extra
