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


class Feeds:
    """The feeds of jobs that have not ended, by job. What is told of any other job is told to nobody."""

    def __init__(self) -> None:
        self._feeds: dict[str, Feed] = {}

    def open(self, job: str) -> Feed:
        """A feed for a job that waits."""
        feed = self._feeds[job] = Feed()
        return feed

    def get(self, job: str) -> Feed | None:
        """The feed of a job that has not ended."""
        return self._feeds.get(job)

    def publish(self, job: str, name: str, data: Mapping[str, object]) -> None:
        """Tell what happens to a job."""
        feed = self._feeds.get(job)
        if feed is not None:
            feed.publish(name, data)

    def end(self, job: str, name: str, data: Mapping[str, object]) -> None:
        """Tell how a job ended; from now on the data base tells it."""
        feed = self._feeds.pop(job, None)
        if feed is not None:
            feed.publish(name, data)
            feed.close()

    def close(self, job: str, name: str, data: Mapping[str, object]) -> None:
        """Tell how a job ended where the data base cannot: the feed stays."""
        self.publish(job, name, data)
        self._feeds[job].close()

    def close_all(self) -> None:
        """Nothing more is told."""
        for feed in list(self._feeds.values()):
            feed.close()
