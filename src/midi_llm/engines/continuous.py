"""Continuous batching: streams of many threads decoded together; requests join between steps and leave as they end.

In: open requests, and workers that compute. Out: the steps of each stream. A worker runs in a thread of its own while
it has work, and no longer (no daemon: killed inside native code at exit, it would abort the process); a request goes to
the worker with the fewest rows. The idea is that of Orca (Yu et al. 2022,
"Orca: A Distributed Serving System for Transformer-Based Generative Models"). Knows no model.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Protocol

from midi_llm.engines.base import Step
from midi_llm.engines.decoding import OpenRequest
from midi_llm.errors import EngineError

Outcome = Step | Exception


class Worker(Protocol):
    """Rows that are computed together; used by one thread at a time."""

    def join(self, takes: Sequence[OpenRequest]) -> None:
        """Take requests in; their first ids are drawn in the next step."""

    def step(self) -> list[tuple[OpenRequest, Outcome]]:
        """One id for each request, or why there is none; those that have ended have left."""

    def drop(self, takes: Sequence[OpenRequest]) -> None:
        """Let requests go that have an end."""

    def clear(self) -> None:
        """Let all requests go and free their memory."""


@dataclass(eq=False)
class _Stream:
    """Where the steps of one caller go."""

    cancel: threading.Event | None
    mail: SimpleQueue[Outcome] = field(default_factory=SimpleQueue)
    is_gone: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nobody wants further ids."""
        return self.is_gone or (self.cancel is not None and self.cancel.is_set())


@dataclass(eq=False)
class _Desk:
    """A worker with what is decoded there and what waits for it."""

    worker: Worker
    open: dict[OpenRequest, _Stream] = field(default_factory=dict)
    joining: dict[OpenRequest, _Stream] = field(default_factory=dict)
    is_busy: bool = False

    @property
    def rows(self) -> int:
        """How many rows it has to decode."""
        return sum(len(take.request.prompts) for takes in (self.open, self.joining) for take in list(takes))


class ContinuousBatching:
    """`stream` from any thread. Close it: streams that are open then raise `EngineError`."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._desks = [_Desk(worker) for worker in workers]
        self._lock = threading.Lock()
        self._is_closed = False

    def stream(self, takes: Sequence[OpenRequest], cancel: threading.Event | None) -> Iterator[Step]:
        """The steps of `takes` as they come. An exception of a worker is raised here."""
        yield from (take.end(take.finish_reason) for take in takes if take.finish_reason is not None)
        takes = [take for take in takes if take.finish_reason is None]
        stream = _Stream(cancel)
        left = len(takes)
        try:
            self._place(takes, stream)
            while left:
                outcome = stream.mail.get()
                if isinstance(outcome, Exception):
                    raise outcome
                left -= outcome.finish_reason is not None
                yield outcome
        finally:
            stream.is_gone = True

    def close(self) -> None:
        """End all streams."""
        with self._lock:
            self._is_closed = True

    def _place(self, takes: Sequence[OpenRequest], stream: _Stream) -> None:
        with self._lock:
            for take in takes:
                desk = min(self._desks, key=lambda desk: desk.rows)
                desk.joining[take] = stream
                if not desk.is_busy:
                    desk.is_busy = True
                    threading.Thread(target=self._work, args=(desk,), name="decoding").start()

    def _work(self, desk: _Desk) -> None:
        """Decode what is there until there is nothing more."""
        while True:
            with self._lock:
                joining, desk.joining = desk.joining, {}
                desk.open.update(joining)
                if not desk.open:
                    desk.worker.clear()
                    desk.is_busy = False
                    return
                closed = self._is_closed or not threading.main_thread().is_alive()
            try:
                if closed:
                    raise EngineError("this engine was closed while it decoded; open another one")
                self._round(desk, joining)
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait for ids have to know
                for stream in set(desk.open.values()):
                    stream.mail.put(error)
                desk.open.clear()
                desk.worker.clear()

    def _round(self, desk: _Desk, joining: dict[OpenRequest, _Stream]) -> None:
        """One step for all; whoever is over leaves before it."""
        over = [take for take, stream in desk.open.items() if stream.is_over]
        for take in over:
            desk.open.pop(take).mail.put(take.end("cancelled"))
        desk.worker.drop([take for take in over if take not in joining])
        desk.worker.join([take for take in joining if take not in over])
        for take, outcome in desk.worker.step() if desk.open else ():
            stream = desk.open[take]
            if isinstance(outcome, Exception) or outcome.finish_reason is not None:
                del desk.open[take]
            stream.mail.put(outcome)
