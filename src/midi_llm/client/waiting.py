"""The client that waits for its answers. Raises `ServiceError`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self, TypeVar

import httpx

from midi_llm.client import calls
from midi_llm.client.calls import Call, Event
from midi_llm.server import schemas
from midi_llm.server.schemas import Composition, Edit, PlanRequest

T = TypeVar("T")


class Client:
    """A connection to a service. Close it, or use it in a `with` block."""

    def __init__(
        self,
        url: str = calls.DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float = calls.DEFAULT_TIMEOUT,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(base_url=url, headers=calls.headers(api_key), timeout=timeout, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def plan(self, request: PlanRequest) -> schemas.Plan:
        """What is understood of a text."""
        return self._do(calls.send("plans", request, schemas.Plan))

    def compose(self, request: Composition) -> schemas.Job:
        """Let a composition wait."""
        return self._do(calls.send("compositions", request, schemas.Job))

    def edit(self, request: Edit) -> schemas.Job:
        """Let work on a piece wait."""
        return self._do(calls.send("edits", request, schemas.Job))

    def upload(self, content: bytes, *, name: str = "upload.mid") -> schemas.Upload:
        """Send a MIDI file to work on."""
        return self._do(calls.upload(content, name))

    def jobs(self, *, limit: int = 50, before: str | None = None) -> schemas.JobPage:
        """Jobs, newest first."""
        return self._do(calls.page(limit, before))

    def job(self, job: str) -> schemas.Job:
        """One job."""
        return self._do(calls.get(f"jobs/{job}", schemas.Job))

    def cancel(self, job: str) -> schemas.Job:
        """End a job now; harmless for one that has ended."""
        return self._do(calls.cancel(job))

    def events(self, job: str) -> Iterator[Event]:
        """What happens to a job, from its beginning to its end; a stream that breaks off is opened again."""
        following = calls.Following()
        while not following.is_over:
            broken: httpx.TransportError | None = None
            try:
                with self._http.stream("GET", f"/v1/jobs/{job}/events", headers=following.headers()) as response:
                    if response.is_error:
                        response.read()
                        raise calls.refused(response)
                    for line in response.iter_lines():
                        if (event := following(line)) is not None:
                            yield event
            except httpx.TransportError as error:
                broken = error
            if not following.is_over:
                following.broke_off(broken)
                time.sleep(calls.PAUSE_SECONDS)

    def wait(self, job: str) -> schemas.Job:
        """The job, when it has ended."""
        for _ in self.events(job):
            pass
        return self.job(job)

    def midi(self, job: str, take: int = 0) -> bytes:
        """The MIDI file of a take."""
        return self._do(calls.result(calls.take(job, take), "midi"))

    def wav(self, job: str, take: int = 0) -> bytes:
        """The sound of a take."""
        return self._do(calls.result(calls.take(job, take), "wav"))

    def musicxml(self, job: str, take: int = 0) -> str:
        """A take on staves."""
        return self._do(calls.result(calls.take(job, take), "musicxml")).decode("utf-8")

    def notes(self, job: str, take: int = 0) -> schemas.Notes:
        """The notes of a take as numbers."""
        return self._do(calls.get(f"{calls.take(job, take)}/notes", schemas.Notes))

    def stems(self, job: str, take: int = 0) -> list[schemas.Stem]:
        """The tracks of a take."""
        return self._do(calls.get_list(f"{calls.take(job, take)}/stems", schemas.Stem))

    def stem(self, job: str, take: int, index: int) -> bytes:
        """One track as a MIDI file."""
        return self._do(calls.result(calls.take(job, take), f"stems/{index}"))

    def upload_midi(self, upload: str) -> bytes:
        """The MIDI file of an upload, as it was sent."""
        return self._do(calls.result(calls.uploaded(upload), "midi"))

    def upload_wav(self, upload: str) -> bytes:
        """The sound of an upload."""
        return self._do(calls.result(calls.uploaded(upload), "wav"))

    def upload_musicxml(self, upload: str) -> str:
        """An upload on staves."""
        return self._do(calls.result(calls.uploaded(upload), "musicxml")).decode("utf-8")

    def upload_notes(self, upload: str) -> schemas.Notes:
        """The notes of an upload as numbers."""
        return self._do(calls.get(f"{calls.uploaded(upload)}/notes", schemas.Notes))

    def upload_stems(self, upload: str) -> list[schemas.Stem]:
        """The tracks of an upload."""
        return self._do(calls.get_list(f"{calls.uploaded(upload)}/stems", schemas.Stem))

    def upload_stem(self, upload: str, index: int) -> bytes:
        """One track of an upload as a MIDI file."""
        return self._do(calls.result(calls.uploaded(upload), f"stems/{index}"))

    def models(self) -> list[schemas.Model]:
        """Models known by name, and the one that composes there."""
        return self._do(calls.get_list("models", schemas.Model))

    def instruments(self) -> list[schemas.Instrument]:
        """Instruments and their numbers."""
        return self._do(calls.get_list("instruments", schemas.Instrument))

    def _do(self, call: Call[T]) -> T:
        try:
            response = self._http.request(call.method, call.path, **call.options)
        except httpx.TransportError as error:
            raise calls.unreachable(error) from error
        return calls.answered(call, response)
