"""Jobs that wait are started in their order and brought to an end, as many side by side as the maker has room for.

In: a store, a maker, the feeds of those who listen. Out: jobs that are done, failed, or put back when it stops. What a
job becomes does not depend on the others, so one that is run again after a crash gives the same pieces.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from midi_llm.errors import MidiLLMError, ServiceError
from midi_llm.server import making
from midi_llm.server.feed import Feeds
from midi_llm.server.metrics import Metrics
from midi_llm.server.problems import problem_of
from midi_llm.server.records import job_of, request_of, takes_of
from midi_llm.server.store import Facts, JobRecord, Store
from midi_llm.server.telling import Telling

_log = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0
"""Between tries to use a data base that fails."""
ROOM_SECONDS = 1.0
"""Between looks for room that the maker has got meanwhile."""
USUAL_JOB_SECONDS = 5.0
"""Until a job has ended here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Running:
    """A job that is being made."""

    job: JobRecord
    cancel: threading.Event = field(default_factory=threading.Event)
    late: threading.Event = field(default_factory=threading.Event)
    began: float = field(default_factory=time.monotonic)


class Scheduler:
    """A thread that starts jobs, and a thread for each job. `source` gives the piece that a request works on.

    `at_once` takes of all jobs are made side by side; None: what the maker does best.
    """

    def __init__(
        self,
        *,
        store: Store,
        maker: making.Maker,
        feeds: Feeds,
        metrics: Metrics,
        source: Callable[[making.Request], bytes | None],
        job_seconds: float,
        at_once: int | None = None,
    ) -> None:
        self._store = store
        self._maker = maker
        self._feeds = feeds
        self._metrics = metrics
        self._source = source
        self._job_seconds = job_seconds
        self._at_once = at_once
        self.change = threading.Condition()
        """Held while jobs come, start and go."""
        self.is_stopping = False
        self._running: dict[str, _Running] = {}
        self._taken: deque[float] = deque(maxlen=20)
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)

    @property
    def is_ready(self) -> bool:
        """Whether jobs are taken and made."""
        return self._thread.is_alive() and not self.is_stopping

    def start(self) -> None:
        """Make what waits."""
        self._thread.start()

    def stop(self) -> None:
        """Start nothing more, put the running jobs back; returns when nothing runs."""
        with self.change:
            self.is_stopping = True
            for running in self._running.values():
                running.cancel.set()
            self.change.notify_all()
            self.change.wait_for(lambda: not self._running)
        if self._thread.is_alive():
            self._thread.join()

    def cancel(self, job: str) -> None:
        """Stop composing a job whose record says that it is cancelled."""
        with self.change:
            if job in self._running:
                self._running[job].cancel.set()

    def wait_seconds(self) -> float:
        """When a place in the queue may be free: what a job takes here, shared by those that run side by side."""
        usual = sum(self._taken) / len(self._taken) if self._taken else USUAL_JOB_SECONDS
        return max(1.0, usual / max(1, len(self._running)))

    def _work(self) -> None:
        """Start what waits until the service stops, a thread for each job."""
        while True:
            try:
                running = self._next()
            except sqlite3.Error as error:
                self._pause(error)
                continue
            if running is None:
                return
            threading.Thread(target=self._run, args=(running,), name=f"job {running.job.id}", daemon=True).start()

    def _next(self) -> _Running | None:
        """The next job, started, as soon as there is one and room for it; None when the service stops."""
        with self.change:
            while not self.is_stopping:
                record = self._store.start_next(self._has_room)
                if record is not None:
                    running = self._running[record.id] = _Running(job=record)
                    self._tell_places(record.id)
                    return running
                self.change.wait(ROOM_SECONDS)
        return None

    def _has_room(self, request: Facts) -> bool:
        """Whether a job can start; one alone always can."""
        most = self._maker.takes_at_once if self._at_once is None else self._at_once
        takes = sum(takes_of(running.job.request) for running in self._running.values())
        return takes == 0 or takes + takes_of(request) <= most

    def _pause(self, error: sqlite3.Error) -> None:
        _log.error("the data base cannot be used: %s", error)
        with self.change:
            self.change.wait_for(lambda: self.is_stopping, PATIENCE_SECONDS)

    def _tell_places(self, started: str) -> None:
        self._feeds.publish(started, "state", {"status": "running"})
        for place, job in enumerate(self._store.waiting(), start=1):
            self._feeds.publish(job, "state", {"status": "queued", "position": place})

    def _run(self, running: _Running) -> None:
        """Compose one job and keep what came of it."""
        job = running.job
        timer = threading.Timer(self._job_seconds, _expire, (running,))
        timer.daemon = True
        timer.start()
        try:
            made = self._make(running)
        except MidiLLMError as error:
            self._fail(job, error)
        except Exception as error:  # noqa: BLE001 - whatever a job's composing raises, its listeners shall know
            _log.exception("job %s has failed", job.id)
            self._fail(job, error)
        else:
            self._keep(running, made)
        finally:
            timer.cancel()
            with self.change:
                del self._running[job.id]
                self.change.notify_all()

    def _make(self, running: _Running) -> list[making.Made]:
        telling = Telling(partial(self._feeds.publish, running.job.id), self._metrics)
        request = request_of(running.job)
        made = self._maker.make(request, self._source(request), on_progress=telling, cancel=running.cancel)
        telling.flush()
        return made

    def _keep(self, running: _Running, made: list[making.Made]) -> None:
        """Bring a job to its end: done, put back, too late; nothing where it was cancelled meanwhile."""
        job = running.job.id
        if running.late.is_set():
            seconds = self._job_seconds
            self._fail(running.job, ServiceError(500, f"{seconds:g} s are allowed for a job; ask for a shorter piece"))
        elif running.cancel.is_set():
            if self.is_stopping:
                self._put_back(job)
        elif self._finished(running.job, [(take.model_dump(), midi) for take, midi in made]):
            self._taken.append(time.monotonic() - running.began)
            self._metrics.job_seconds.labels(running.job.kind).observe(self._taken[-1])
            record = self._store.job(job) or running.job
            done = job_of(record)
            for take in done.takes:
                self._feeds.publish(job, "take", {"take": take.model_dump()})
            self._end(record, "done", {"job": done.model_dump()})

    def _put_back(self, job: str) -> None:
        try:
            self._store.put_back(job)
        except sqlite3.Error:  # it is still kept as running, and the next start composes it
            _log.exception("job %s cannot be put back", job)

    def _finished(self, job: JobRecord, takes: list[tuple[dict[str, Any], bytes]]) -> bool:
        """Whether the takes are kept; a job whose takes cannot be kept fails."""
        try:
            return self._store.finish(job.id, takes)
        except sqlite3.Error as error:
            self._fail(job, error)
            return False

    def _fail(self, job: JobRecord, error: Exception) -> None:
        problem = problem_of(error).model_dump(exclude_none=True)
        _log.warning("job %s has failed: %s", job.id, problem["detail"])
        try:
            if self._store.fail(job.id, problem):
                self._end(job, "failed", {"problem": problem})
        except sqlite3.Error:  # not even that can be kept: the feed stays and tells it, the next start tries again
            _log.exception("the end of job %s cannot be kept", job.id)
            self._feeds.close(job.id, "failed", {"problem": problem})

    def _end(self, job: JobRecord, name: str, data: Facts) -> None:
        self._metrics.jobs.labels(job.kind, name).inc()
        self._feeds.end(job.id, name, data)


def _expire(running: _Running) -> None:
    running.late.set()
    running.cancel.set()
