"""The service without HTTP: jobs are taken, followed, cancelled, and their results given; limits.

In: checked requests. Out: `Job`s, their feeds, their results. A `Scheduler` has them made. Raises `ServiceError` for
what it refuses.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator

from midi_llm.compose.composer import Composer
from midi_llm.compose.settings import Settings
from midi_llm.errors import ServiceError
from midi_llm.server import making, schemas
from midi_llm.server.feed import Feed, Feeds
from midi_llm.server.metrics import Metrics
from midi_llm.server.problems import problem_of
from midi_llm.server.records import feed_of, job_of
from midi_llm.server.scheduler import Scheduler
from midi_llm.server.settings import ServerSettings
from midi_llm.server.store import JobRecord, Store

_log = logging.getLogger(__name__)

MOST_STARTS = 3
"""A job during which the process ended so often is not tried again."""
GIVEN_UP = f"the service ended {MOST_STARTS} times while it composed this; ask for something shorter"


class Service:
    """An opened model and its jobs. `start` it, and `stop` it: what has not ended is done at the next start.

    `composer` reads and checks requests, `maker` makes them; None: the composer does.
    """

    def __init__(self, composer: Composer, settings: ServerSettings, maker: making.Maker | None = None) -> None:
        self.composer = composer
        self.settings = settings
        self.store = Store(settings.data)
        self.metrics = Metrics(lambda status: self.store.count()[status])
        self.open_streams = 0
        self.metrics.streams.set_function(lambda: self.open_streams)
        self._feeds = Feeds()
        self._scheduler = Scheduler(
            store=self.store,
            maker=maker or making.LocalMaker(composer),
            feeds=self._feeds,
            metrics=self.metrics,
            source=self.source,
            job_seconds=settings.job_seconds,
            at_once=settings.at_once,
        )

    def start(self) -> None:
        """Take up what waits, and compose."""
        problem = problem_of(ServiceError(500, GIVEN_UP))
        waiting = self.store.requeue(MOST_STARTS, problem.model_dump(exclude_none=True))
        if waiting:
            _log.info("%d unfinished jobs are taken up again", waiting)
        for job in self.store.waiting():
            self._feeds.open(job)
        self._scheduler.start()

    def stop(self) -> None:
        """Refuse new jobs, put the running ones back, end all feeds."""
        self._scheduler.stop()
        self._feeds.close_all()

    def close(self) -> None:
        """Close the data base."""
        self.store.close()

    @property
    def is_ready(self) -> bool:
        """Whether jobs are taken and composed."""
        return self._scheduler.is_ready

    def submit(self, request: making.Request, *, client: str) -> schemas.Job:
        """Let a request wait. Raises `ServiceError`, and what `making.check` raises."""
        if self._scheduler.is_stopping:
            raise ServiceError(503, "the service is shutting down; try again in a moment", retry_after=5)
        if request.seed is None:
            request = request.model_copy(update={"seed": Settings().seeds()[0]})
        making.check(self.composer, request, self.source(request))
        job = secrets.token_hex(8)
        with self._scheduler.change:
            kind = "compose" if isinstance(request, schemas.Composition) else request.kind
            body = request.model_dump(by_alias=True, exclude_none=True)
            self.store.add_job(job, kind=kind, client=client, request=body, check=self._check_room)
            feed = self._feeds.open(job)
            record = self.record(job)
            feed.publish("state", {"status": "queued", "position": record.position})
            self._scheduler.change.notify_all()
        return job_of(record)

    def record(self, job: str) -> JobRecord:
        """The job called `job`. Raises `ServiceError`."""
        found = self.store.job(job)
        if found is None:
            raise ServiceError(404, f"there is no job {job!r}; GET /v1/jobs lists them")
        return found

    def cancel(self, job: str) -> schemas.Job:
        """End a job now; one that has ended stays as it is. Raises `ServiceError`."""
        with self._scheduler.change:
            if self.store.cancel(job):
                self.metrics.jobs.labels(self.record(job).kind, "cancelled").inc()
                self._feeds.end(job, "cancelled", {})
            self._scheduler.cancel(job)
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
            return self.upload(source.upload)[0]
        return self.midi(source.job or "", source.take)

    def upload(self, upload: str) -> tuple[bytes, str]:
        """The file of an upload, and what it is called. Raises `ServiceError`."""
        found = self.store.upload(upload)
        if found is None:
            raise ServiceError(404, f"there is no upload {upload!r}; POST the file to /v1/uploads first")
        return found

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

    def _check_room(self, waiting: int, of_client: int) -> None:
        """Raise `ServiceError` where the queue is full, or a client has its share."""
        if waiting >= self.settings.queue:
            raise ServiceError(
                429,
                f"{waiting} jobs wait, which is all there is room for; try later",
                retry_after=self._scheduler.wait_seconds(),
            )
        if of_client >= self.settings.per_client:
            raise ServiceError(
                429,
                f"{of_client} of your jobs have not ended, and {self.settings.per_client} are allowed; wait for one,"
                " or cancel one",
                retry_after=self._scheduler.wait_seconds(),
            )
