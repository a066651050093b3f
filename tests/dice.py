"""An engine without weights: it draws any allowed id, with times near the last one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import numpy as np

from midi_llm.engines.base import Allowed, FinishReason, Request, Step, check_requests
from midi_llm.tokens.vocab import DUR_OFFSET, MUSIC_VOCAB_SIZE

TEXT_ROWS = 320


class DiceEngine:
    """Draws uniformly, but no time over `stride` ticks ahead; `closes` is the chance of an extra id (SEPARATOR)."""

    name = "dice"
    joins = False

    def __init__(self, *, stride: int = 40, closes: float = 0.0, max_positions: int = 2048) -> None:
        self.best_batch = 6
        self.vocab_size = TEXT_ROWS + MUSIC_VOCAB_SIZE
        self.max_positions = max_positions
        self.stride = stride
        self.closes = closes
        self.batches: list[list[Request]] = []
        self.closed = False

    def stream(self, requests: Sequence[Request], *, cancel: threading.Event | None = None) -> Iterator[Step]:
        check_requests(requests, vocab_size=self.vocab_size, max_positions=self.max_positions)
        self.batches.append(list(requests))
        rngs = [np.random.default_rng(request.params.seed) for request in requests]
        left = [request.params.max_tokens for request in requests]
        running = set(range(len(requests)))
        while running:
            for index in sorted(running):
                if cancel is not None and cancel.is_set():
                    running.remove(index)
                    yield Step(index=index, token_id=None, finish_reason="cancelled")
                    continue
                constraint = requests[index].constraint
                assert constraint is not None
                token_id = self.draw(constraint.allowed(), rngs[index])
                constraint.accept(token_id)
                left[index] -= 1
                reason: FinishReason | None = "stop" if constraint.finished else None if left[index] else "length"
                if reason:
                    running.remove(index)
                yield Step(index=index, token_id=token_id, finish_reason=reason)

    def draw(self, allowed: Allowed, rng: np.random.Generator) -> int:
        ids = np.arange(allowed.start, allowed.stop)
        if allowed.mask is not None:
            ids = ids[allowed.mask]
        if allowed.extra and (len(ids) == 0 or rng.random() < self.closes):
            return int(rng.choice(allowed.extra))
        if ids[0] < TEXT_ROWS + DUR_OFFSET:
            ids = ids[: self.stride + 1]
        return int(rng.choice(ids))

    def close(self) -> None:
        self.closed = True
