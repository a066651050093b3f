"""A replica: an opened model in a process of its own, which makes as many jobs side by side as its engine decodes.

In: requests that were checked, and the piece they work on. Out: lists of `Progress` while a job is made, ten times a
second, and at the end its takes. Whoever stops listening frees the engine. Knows no job's id, no data base and no HTTP.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from deploy.cores import Cores
from deploy.scaling import TAKES
from midi_llm.compose.composer import Composer
from midi_llm.compose.take import Progress
from midi_llm.server import making
from midi_llm.server.telling import EVERY_SECONDS

Message = tuple[Progress, ...] | list[making.Made]
"""Notes that are new, or, as the last one, the takes."""

MOST_THREADS = 1024
"""More jobs than that a replica is never given at once."""


class Replica:
    """What Ray Serve runs. Raises `MidiLLMError`s where the model cannot be opened."""

    def __init__(self, model: str, engine: str, cores: int) -> None:
        self._cores = Cores(cores)
        self._threads = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="job", initializer=self._cores.pin)
        self._composer = self._threads.submit(Composer.open, model, engine=engine).result()
        self._takes = 0

    async def make(self, request: making.Request, source: bytes | None) -> AsyncIterator[Message]:
        """Make one job. Raises `MidiLLMError`s."""
        cancel = threading.Event()
        told: deque[Progress] = deque()
        job = partial(making.make, self._composer, request, source, on_progress=told.append, cancel=cancel)
        self._takes += request.takes
        making_it = asyncio.get_running_loop().run_in_executor(self._threads, job)
        try:
            while not making_it.done():
                await asyncio.wait([making_it], timeout=EVERY_SECONDS)
                if told:
                    yield tuple(told.popleft() for _ in range(len(told)))
            yield await making_it
        finally:
            cancel.set()
            self._takes -= request.takes

    def record_autoscaling_stats(self) -> dict[str, int]:
        """What scaling.py goes by."""
        return {TAKES: self._takes}


def takes_at_once(model: str, engine: str, cores: int) -> int:
    """How many takes a replica composes side by side: it is opened for that. Raises `MidiLLMError`s."""
    with (
        Cores(cores) as own,
        ThreadPoolExecutor(1, initializer=own.pin) as thread,
        thread.submit(Composer.open, model, engine=engine).result() as composer,
    ):
        return making.LocalMaker(composer).takes_at_once
