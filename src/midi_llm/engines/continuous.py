"""Continuous batching: streams of many threads decoded together; requests join between steps and leave as they end.

In: open requests, and workers that compute. Out: the steps of each stream. A worker runs in a thread of its own while
it has work, and no longer (no daemon: killed inside native code at exit, it would abort the process); a request goes to
the worker with the fewest rows. The idea is that of Orca (Yu et al. 2022,
"Orca: A Distributed Serving System for Transformer-Based Generative Models"). Knows no model.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Protocol

from midi_llm.engines.base import Step
from midi_llm.engines.decoding import OpenRequest
from midi_llm.errors import EngineError

Outcome = Step | Exception

PROMPT_ROUNDS = 6
"""So many first steps of a stream are handed over one by one: its first notes come at once."""
HANDOVER_SECONDS = 0.05
"""Later ones together, this often: waking a thread for each id costs a tenth of the time and more (measured)."""


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
    """Where the steps of one caller go; `rounds` of them have been handed over, at `last` for the last time."""

    cancel: threading.Event | None
    mail: SimpleQueue[list[Outcome]] = field(default_factory=SimpleQueue)
    is_gone: bool = False
    rounds: int = 0
    last: float = 0.0

    @property
    def is_over(self) -> bool:
        """Whether nobody wants further ids."""
        return self.is_gone or (self.cancel is not None and self.cancel.is_set())


@dataclass(eq=False)
class _Desk:
    """A worker with what is decoded there and what waits for it."""

    worker: Worker
    open: dict[OpenRequest, _Stream] = field(default_factory=dict)
    kept: dict[_Stream, list[Outcome]] = field(default_factory=dict)
    """What has not been handed over yet."""
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
                for outcome in stream.mail.get():
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
                    stream.mail.put([*desk.kept.pop(stream, []), error])
                desk.open.clear()
                desk.worker.clear()

    def _round(self, desk: _Desk, joining: dict[OpenRequest, _Stream]) -> None:
        """One step for all; whoever is over leaves before it."""
        over = [take for take, stream in desk.open.items() if stream.is_over]
        for take in over:
            _keep(desk, take, take.end("cancelled"))
        desk.worker.drop([take for take in over if take not in joining])
        desk.worker.join([take for take in joining if take not in over])
        for take, outcome in desk.worker.step() if desk.open else ():
            _keep(desk, take, outcome)
        _hand_over(desk)


def _keep(desk: _Desk, take: OpenRequest, outcome: Outcome) -> None:
    """Note what came of a request, which leaves where that is its end."""
    stream = desk.open[take]
    desk.kept.setdefault(stream, []).append(outcome)
    if isinstance(outcome, Exception) or outcome.finish_reason is not None:
        del desk.open[take]
        stream.rounds = 0  # an end is told at once


def _hand_over(desk: _Desk) -> None:
    """Give streams what is due to them; all of it when nothing more will come from here."""
    now = time.monotonic()
    for stream in list(desk.kept):
        if not desk.open or stream.rounds < PROMPT_ROUNDS or now - stream.last >= HANDOVER_SECONDS:
            stream.mail.put(desk.kept.pop(stream))
            stream.rounds += 1
            stream.last = now
