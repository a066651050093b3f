"""What happens to a job, as it happens: events in order, kept while it lasts, for any number of listeners.

In: events from the thread that composes. Out: those behind a place, and a call when there are more. A listener that
comes late, or again, misses nothing. Knows no HTTP; times out nothing.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """`name` is state, notes, progress, take, done, failed or cancelled; `data` its JSON object."""

    id: str
    name: str
    data: str


class Feed:
    """Events of one job. After a restart of the service, or when it has ended, a job has another feed."""

    def __init__(self) -> None:
        self._epoch = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._closed = False
        self._wakers: set[Callable[[], None]] = set()

    def publish(self, name: str, data: Mapping[str, object]) -> None:
        """Add an event and wake all listeners; nothing once the feed is closed."""
        with self._lock:
            if self._closed:
                return
            number = len(self._events) + 1
            self._events.append(Event(id=f"{self._epoch}.{number}", name=name, data=json.dumps(data)))
            self._wake()

    def close(self) -> None:
        """There will be no more events."""
        with self._lock:
            self._closed = True
            self._wake()

    def place(self, last_id: str | None) -> int:
        """How many events a listener has that saw `last_id` last; 0 where that is of another feed."""
        epoch, _, number = (last_id or "").partition(".")
        return int(number) if epoch == self._epoch and number.isdecimal() else 0

    def since(self, place: int) -> tuple[list[Event], bool]:
        """The events behind `place`, and whether they are the last ones."""
        with self._lock:
            return self._events[place:], self._closed

    @contextmanager
    def listening(self, wake: Callable[[], None]) -> Iterator[None]:
        """`wake` is called, from any thread, whenever there is more."""
        with self._lock:
            self._wakers.add(wake)
        try:
            yield
        finally:
            with self._lock:
                self._wakers.discard(wake)

    def _wake(self) -> None:
        for wake in self._wakers:
            wake()
