"""A public fake: an engine without a model that replays recorded ids.

In: recordings, one per request number, or a function that makes them. Out: the same steps a real engine would yield
for those ids: constraints are obeyed, budgets and cancellation end requests. For tests and demonstrations.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from midi_llm.engines.base import Request, Step, check_requests
from midi_llm.engines.decoding import OpenRequest, open_requests, permits
from midi_llm.errors import EngineError

Recordings = Sequence[Iterable[int]] | Callable[[int, Request], Iterable[int]]


class ReplayEngine:
    """Replays `recordings[i]`, or `recordings(i, request)`, as request i of every batch.

    A recording that is over ends its request with "length", as a spent budget would. `EngineError` when a request
    has no recording, or when a recorded id is outside the vocabulary or not allowed by the request's constraint.
    """

    name = "replay"
    joins = False

    def __init__(
        self, recordings: Recordings, *, vocab_size: int, max_positions: int = 2048, best_batch: int = 8
    ) -> None:
        self._recordings = recordings
        self._closed = False
        self.vocab_size = vocab_size
        self.max_positions = max_positions
        self.best_batch = best_batch

    def stream(self, requests: Sequence[Request], *, cancel: threading.Event | None = None) -> Iterator[Step]:
        """Replay all `requests` side by side, one id of each in turn."""
        if self._closed:
            raise EngineError("this engine is closed; open another one")
        check_requests(requests, vocab_size=self.vocab_size, max_positions=self.max_positions)
        takes = open_requests(requests, vocab_size=self.vocab_size)
        return self._replay([(take, iter(self._recording(take))) for take in takes], cancel)

    def close(self) -> None:
        """Refuse further requests."""
        self._closed = True

    def _recording(self, take: OpenRequest) -> Iterable[int]:
        if callable(self._recordings):
            return self._recordings(take.index, take.request)
        if take.index >= len(self._recordings):
            raise EngineError(f"request {take.index} has no recording; there are {len(self._recordings)}: add one")
        return self._recordings[take.index]

    def _replay(
        self, playing: list[tuple[OpenRequest, Iterator[int]]], cancel: threading.Event | None
    ) -> Iterator[Step]:
        for take, _ in playing:
            if take.finish_reason is not None:
                yield take.end(take.finish_reason)
        while playing := [(take, ids) for take, ids in playing if take.finish_reason is None]:
            cancelled = cancel is not None and cancel.is_set()
            for take, ids in playing:
                yield take.end("cancelled") if cancelled else self._next(take, ids)

    def _next(self, take: OpenRequest, ids: Iterator[int]) -> Step:
        token_id = next(ids, None)
        if token_id is None:
            return take.end("length")
        if not permits(take.allowed(), token_id):
            raise EngineError(f"the recording of request {take.index} has id {token_id} where it is not allowed")
        return take.advance(token_id)
