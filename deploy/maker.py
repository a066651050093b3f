"""Jobs handed to replicas: the `Maker` of a front process that has no engine.

In: requests of a service. Out: their takes, and notes while they are composed. A job whose replica is lost is made
again on another one, and is the same piece by its seed. Raises what the replicas raise, and `EngineError` where they
cannot be had. Knows no jobs' ids.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.serve.exceptions import RayServeException, RequestCancelledError
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from deploy.replica import Message, Replica
from midi_llm.compose.take import Progress
from midi_llm.errors import EngineError, MidiLLMError
from midi_llm.server import making

_log = logging.getLogger(__name__)

MOST_TRIES = 3
"""A job during which so many replicas were lost is not tried again."""
LOOK_SECONDS = 0.05
"""Between looks for jobs that were cancelled."""
COUNT_SECONDS = 1.0
"""Between counts of the replicas."""


class RayMaker:
    """Replicas behind `handle`, each of which makes `takes_each` side by side. Close it.

    `count` says how many of them run.
    """

    def __init__(self, handle: DeploymentHandle[Replica], *, takes_each: int, count: Callable[[], int]) -> None:
        self._handle = handle.options(stream=True)
        self._takes_each = takes_each
        self._count = count
        self._replicas = count()
        self._open: dict[DeploymentResponseGenerator[Message], threading.Event] = {}
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._every, args=(seconds, look), daemon=True)
            for seconds, look in ((LOOK_SECONDS, self._cancel), (COUNT_SECONDS, self._recount))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def takes_at_once(self) -> int:
        """As many as the replicas that run now make side by side."""
        return self._replicas * self._takes_each

    def make(
        self, request: making.Request, source: bytes | None, *, on_progress: making.OnProgress, cancel: threading.Event
    ) -> list[making.Made]:
        """Make one job on some replica; nothing where `cancel` is set. Raises `MidiLLMError`s."""
        for _ in range(MOST_TRIES):
            told: set[int] = set()
            try:
                with self._asked(request, source, cancel) as messages:
                    return _listen(messages, on_progress, told)
            except RayTaskError as error:
                raise error.cause if isinstance(error.cause, MidiLLMError) else error from error
            except (RayActorError, RequestCancelledError) as error:
                if cancel.is_set():
                    return []
                _log.warning("a replica was lost, its job is made again: %s", _first_line(error))
                for take in told:
                    on_progress(Progress(take=take, notes=0, seconds=0.0))
            except (RayError, RayServeException) as error:
                raise EngineError(
                    f"no replica can be reached: {_first_line(error)}; start the service again"
                ) from error
        raise EngineError(f"{MOST_TRIES} replicas were lost while they composed this; ask for something shorter")

    def close(self) -> None:
        """Stop looking after jobs."""
        self._closing.set()
        for thread in self._threads:
            thread.join()

    @contextmanager
    def _asked(
        self, request: making.Request, source: bytes | None, cancel: threading.Event
    ) -> Iterator[Iterator[Message]]:
        """What a replica answers; while this lasts, `cancel` is looked at."""
        response = cast("DeploymentResponseGenerator[Message]", self._handle.make.remote(request, source))
        self._open[response] = cancel
        try:
            yield response
        finally:
            del self._open[response]

    def _every(self, seconds: float, look: Callable[[], None]) -> None:
        while not self._closing.wait(seconds):
            look()

    def _cancel(self) -> None:
        """Let replicas stop what nobody wants any more."""
        for response, cancel in list(self._open.items()):
            if cancel.is_set():
                response.cancel()  # type: ignore[no-untyped-call]

    def _recount(self) -> None:
        try:
            self._replicas = self._count()
        except (RayError, RayServeException) as error:
            _log.warning("the replicas cannot be counted: %s", _first_line(error))


def _listen(messages: Iterator[Message], on_progress: making.OnProgress, told: set[int]) -> list[making.Made]:
    """Pass notes on until the takes come; `told` gets the takes of which there were notes."""
    for message in messages:
        if isinstance(message, list):
            return message
        for progress in message:
            told.add(progress.take)
            on_progress(progress)
    raise EngineError("a replica ended a job without its takes; look into its log")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
