"""Notes told to a job's listeners while they are composed, a few at a time.

In: a `Progress` after every note. Out: `notes` and `progress` events, each take's at most every `EVERY_SECONDS`.
A `progress` of 0 notes says that a take is composed again: what was told of it counts no more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from midi_llm.compose.take import LiveNote, Progress
from midi_llm.music.score import DEFAULT_VELOCITY
from midi_llm.server.metrics import Metrics

EVERY_SECONDS = 0.1

Publish = Callable[[str, Mapping[str, object]], None]
"""Takes the name and the data of an event."""


@dataclass
class _Told:
    """What is known of one take."""

    reached: Progress
    fresh: list[LiveNote] = field(default_factory=list)


class Telling:
    """Gathers notes for `publish`; call it with every `Progress`, and `flush` it at the end."""

    def __init__(self, publish: Publish, metrics: Metrics) -> None:
        self._publish = publish
        self._metrics = metrics
        self._takes: dict[int, _Told] = {}
        self._last = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """One more note."""
        told = self._takes.setdefault(progress.take, _Told(progress))
        if progress.notes < told.reached.notes:
            told.fresh = []
            self._publish("progress", {"take": progress.take, "seconds": 0.0, "notes": 0})
        told.reached = progress
        if progress.note is not None:
            told.fresh.append(progress.note)
            self._metrics.note()
        if time.monotonic() - self._last >= EVERY_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Tell what has been gathered."""
        for number, told in self._takes.items():
            if told.fresh:
                rows = [[*note, DEFAULT_VELOCITY] for note in told.fresh]
                self._publish("notes", {"take": number, "notes": rows})
                reached = told.reached
                self._publish("progress", {"take": number, "seconds": reached.seconds, "notes": reached.notes})
                told.fresh = []
        self._last = time.monotonic()
