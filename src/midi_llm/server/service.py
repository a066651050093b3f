"""The service without HTTP: jobs that wait, one thread that composes them one after the other, listeners, limits.

In: checked requests. Out: `Job`s, their feeds, their results. One job has the engine at a time and its takes are
decoded side by side: so a job that is run again, after a crash, is the same batch and gives the same pieces.
Raises `ServiceError` for what it refuses.
"""

from __future__ import annotations

import logging
import secrets
import sqlite3
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from midi_llm.compose.composer import Composer
from midi_llm.compose.settings import Settings
from midi_llm.errors import MidiLLMError, ServiceError
from midi_llm.server import making, schemas
from midi_llm.server.feed import Feed
from midi_llm.server.metrics import Metrics
from midi_llm.server.problems import problem_of
from midi_llm.server.records import feed_of, job_of, request_of
from midi_llm.server.settings import ServerSettings
from midi_llm.server.store import JobRecord, Store
from midi_llm.server.telling import Telling

_log = logging.getLogger(__name__)

MOST_STARTS = 3
"""A job during which the process ended so often is not tried again."""
GIVEN_UP = f"the service ended {MOST_STARTS} times while it composed this; ask for something shorter"
PATIENCE_SECONDS = 5.0
"""Between tries to use a data base that fails."""
USUAL_JOB_SECONDS = 5.0
"""Until a job has ended here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Running:
    """The job that has the engine."""

    job: JobRecord
    cancel: threading.Event = field(default_factory=threading.Event)
    late: threading.Event = field(default_factory=threading.Event)
    began: float = field(default_factory=time.monotonic)


class Service:
    """An opened model and its jobs. `start` it, and `stop` it: what has not ended is done at the next start."""

    def __init__(self, composer: Composer, settings: ServerSettings) -> None:
        self.composer = composer
        self.settings = settings
        self.store = Store(settings.data)
        self.metrics = Metrics(lambda status: self.store.count()[status])
        self.is_stopping = False
        self.open_streams = 0
        self.metrics.streams.set_function(lambda: self.open_streams)
        self._change = threading.Condition()
        self._running: _Running | None = None
        self._feeds: dict[str, Feed] = {}
        self._taken: deque[float] = deque(maxlen=20)
        self._thread = threading.Thread(target=self._work, name="composing", daemon=True)

    def start(self) -> None:
        """Take up what waits, and compose."""
        problem = problem_of(ServiceError(500, GIVEN_UP))
        waiting = self.store.requeue(MOST_STARTS, problem.model_dump(exclude_none=True))
        if waiting:
            _log.info("%d unfinished jobs are taken up again", waiting)
        self._feeds = {job: Feed() for job in self.store.waiting()}
        self._thread.start()

    def stop(self) -> None:
        """Refuse new jobs, put the running one back, end all feeds."""
        with self._change:
            self.is_stopping = True
            if self._running is not None:
                self._running.cancel.set()
            self._change.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        for feed in list(self._feeds.values()):
            feed.close()

    def close(self) -> None:
        """Close the data base."""
        self.store.close()

    @property
    def is_ready(self) -> bool:
        """Whether jobs are taken and composed."""
        return self._thread.is_alive() and not self.is_stopping

    def submit(self, request: making.Request, *, client: str) -> schemas.Job:
        """Let a request wait. Raises `ServiceError`, and what `making.check` raises."""
        if self.is_stopping:
            raise ServiceError(503, "the service is shutting down; try again in a moment", retry_after=5)
        if request.seed is None:
            request = request.model_copy(update={"seed": Settings().seeds()[0]})
        making.check(self.composer, request, self.source(request))
        job = secrets.token_hex(8)
        with self._change:
            kind = "compose" if isinstance(request, schemas.Composition) else request.kind
            body = request.model_dump(by_alias=True, exclude_none=True)
            self.store.add_job(job, kind=kind, client=client, request=body, check=self._check_room)
            feed = self._feeds[job] = Feed()
            record = self.record(job)
            feed.publish("state", {"status": "queued", "position": record.position})
            self._change.notify_all()
        return job_of(record)

    def record(self, job: str) -> JobRecord:
        """The job called `job`. Raises `ServiceError`."""
        found = self.store.job(job)
        if found is None:
            raise ServiceError(404, f"there is no job {job!r}; GET /v1/jobs lists them")
        return found

    def cancel(self, job: str) -> schemas.Job:
        """End a job now; one that has ended stays as it is. Raises `ServiceError`."""
        with self._change:
            if self.store.cancel(job):
                self._end(self.record(job), "cancelled", {})
            if self._running is not None and self._running.job.id == job:
                self._running.cancel.set()
        return job_of(self.record(job))

    def feed(self, job: str) -> Feed:
        """What happens to a job, or has happened. Raises `ServiceError`."""
        if self.open_streams >= self.settings.streams:
            raise ServiceError(429, f"{self.open_streams} event streams are open; close some", retry_after=1)
        live = self._feeds.get(job)  # before its record: a feed goes when the record says that the job has ended
        found = job_of(self.record(job))
        return live or feed_of(found)

    async def counted(self, texts: AsyncIterator[str]) -> AsyncIterator[str]:
        """`texts`, counted as an open stream as long as they last."""
        self.open_streams += 1
        try:
            async for text in texts:
                yield text
        finally:
            self.open_streams -= 1

    def source(self, request: making.Request) -> bytes | None:
        """The piece that a request works on; None for one that works on none. Raises `ServiceError`."""
        if isinstance(request, schemas.Composition):
            return None
        source = request.source
        if source.upload is not None:
            midi = self.store.upload(source.upload)
            if midi is None:
                raise ServiceError(404, f"there is no upload {source.upload!r}; POST the file to /v1/uploads first")
            return midi
        return self.midi(source.job or "", source.take)

    def midi(self, job: str, take: int) -> bytes:
        """The MIDI file of a take. Raises `ServiceError`: 404 for none, 409 while there may still be one."""
        midi = self.store.midi(job, take)
        if midi is not None:
            return midi
        record = self.record(job)
        if record.status in ("queued", "running"):
            raise ServiceError(
                409, f"job {job} is {record.status}; wait until it is done: follow GET /v1/jobs/{job}/events"
            )
        raise ServiceError(404, f"job {job} is {record.status} and has {len(record.takes)} takes, counted from 0")

    def wait_seconds(self) -> float:
        """When a place in the queue may be free: what a job takes here."""
        return max(1.0, sum(self._taken) / len(self._taken) if self._taken else USUAL_JOB_SECONDS)

    def _check_room(self, waiting: int, of_client: int) -> None:
        """Raise `ServiceError` where the queue is full, or a client has its share."""
        if waiting >= self.settings.queue:
            raise ServiceError(
                429, f"{waiting} jobs wait, which is all there is room for; try later", retry_after=self.wait_seconds()
            )
        if of_client >= self.settings.per_client:
            raise ServiceError(
                429,
                f"{of_client} of your jobs have not ended, and {self.settings.per_client} are allowed; wait for one,"
                " or cancel one",
                retry_after=self.wait_seconds(),
            )

    def _work(self) -> None:
        """Compose what waits until the service stops."""
        while True:
            try:
                running = self._next()
                if running is None:
                    return
                self._run(running)
            except sqlite3.Error as error:
                _log.error("the data base cannot be used: %s", error)
                with self._change:
                    self._running = None
                    if not self.is_stopping:
                        self._change.wait(PATIENCE_SECONDS)

    def _next(self) -> _Running | None:
        """The next job, started, as soon as there is one; None when the service stops."""
        with self._change:
            while not self.is_stopping:
                record = self.store.start_next()
                if record is not None:
                    self._running = _Running(job=record)
                    self._tell_places(record.id)
                    return self._running
                self._change.wait()
        return None

    def _tell_places(self, started: str) -> None:
        self._feeds[started].publish("state", {"status": "running"})
        for place, job in enumerate(self.store.waiting(), start=1):
            self._feeds[job].publish("state", {"status": "queued", "position": place})

    def _run(self, running: _Running) -> None:
        """Compose one job and keep what came of it."""
        job = running.job
        timer = threading.Timer(self.settings.job_seconds, _expire, (running,))
        timer.daemon = True
        timer.start()
        try:
            made = self._make(running)
        except MidiLLMError as error:
            self._fail(job, error)
        except Exception as error:  # noqa: BLE001 - whatever a job's composing raises, the next one shall be composed
            _log.exception("job %s has failed", job.id)
            self._fail(job, error)
        else:
            self._keep(running, made)
        finally:
            timer.cancel()
            with self._change:
                self._running = None

    def _make(self, running: _Running) -> list[making.Made]:
        telling = Telling(self._feeds[running.job.id], self.metrics)
        request = request_of(running.job)
        made = making.make(self.composer, request, self.source(request), on_progress=telling, cancel=running.cancel)
        telling.flush()
        return made

    def _keep(self, running: _Running, made: list[making.Made]) -> None:
        """Bring a job to its end: done, put back, too late; nothing where it was cancelled meanwhile."""
        job = running.job.id
        if running.late.is_set():
            seconds = self.settings.job_seconds
            self._fail(running.job, ServiceError(500, f"{seconds:g} s are allowed for a job; ask for a shorter piece"))
        elif running.cancel.is_set():
            if self.is_stopping:
                self.store.put_back(job)
        elif self._finished(running.job, [(take.model_dump(), midi) for take, midi in made]):
            self._taken.append(time.monotonic() - running.began)
            self.metrics.job_seconds.labels(running.job.kind).observe(self._taken[-1])
            done = job_of(self.record(job))
            for take in done.takes:
                self._feeds[job].publish("take", {"take": take.model_dump()})
            self._end(running.job, "done", {"job": done.model_dump()})

    def _finished(self, job: JobRecord, takes: list[tuple[dict[str, Any], bytes]]) -> bool:
        """Whether the takes are kept; a job whose takes cannot be kept fails."""
        try:
            return self.store.finish(job.id, takes)
        except sqlite3.Error as error:
            self._fail(job, error)
            return False

    def _fail(self, job: JobRecord, error: Exception) -> None:
        problem = problem_of(error).model_dump(exclude_none=True)
        _log.warning("job %s has failed: %s", job.id, problem["detail"])
        try:
            if self.store.fail(job.id, problem):
                self._end(job, "failed", {"problem": problem})
        except sqlite3.Error:  # not even that can be kept: the feed stays and tells it, the next start tries again
            _log.exception("the end of job %s cannot be kept", job.id)
            self._feeds[job.id].publish("failed", {"problem": problem})
            self._feeds[job.id].close()

    def _end(self, job: JobRecord, name: str, data: dict[str, Any]) -> None:
        """Tell a job's listeners how it ended; from now on the data base tells it."""
        self.metrics.jobs.labels(job.kind, name).inc()
        feed = self._feeds.pop(job.id, None)
        if feed is not None:
            feed.publish(name, data)
            feed.close()


def _expire(running: _Running) -> None:
    running.late.set()
    running.cancel.set()
