"""The client for asyncio. Raises `ServiceError`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self, TypeVar

import httpx

from midi_llm.client import calls
from midi_llm.client.calls import Call, Event
from midi_llm.server import schemas
from midi_llm.server.schemas import Composition, Edit, PlanRequest

T = TypeVar("T")


class AsyncClient:
    """`Client` for asyncio. Close it, or use it in an `async with` block."""

    def __init__(
        self,
        url: str = calls.DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float = calls.DEFAULT_TIMEOUT,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=url, headers=calls.headers(api_key), timeout=timeout, transport=transport
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    async def plan(self, request: PlanRequest) -> schemas.Plan:
        """What is understood of a text."""
        return await self._do(calls.send("plans", request, schemas.Plan))

    async def compose(self, request: Composition) -> schemas.Job:
        """Let a composition wait."""
        return await self._do(calls.send("compositions", request, schemas.Job))

    async def edit(self, request: Edit) -> schemas.Job:
        """Let work on a piece wait."""
        return await self._do(calls.send("edits", request, schemas.Job))

    async def upload(self, content: bytes, *, name: str = "upload.mid") -> schemas.Upload:
        """Send a MIDI file to work on."""
        return await self._do(calls.upload(content, name))

    async def jobs(self, *, limit: int = 50, before: str | None = None) -> schemas.JobPage:
        """Jobs, newest first."""
        return await self._do(calls.page(limit, before))

    async def job(self, job: str) -> schemas.Job:
        """One job."""
        return await self._do(calls.get(f"jobs/{job}", schemas.Job))

    async def cancel(self, job: str) -> schemas.Job:
        """End a job now; harmless for one that has ended."""
        return await self._do(calls.cancel(job))

    async def events(self, job: str) -> AsyncIterator[Event]:
        """What happens to a job, from its beginning to its end; a stream that breaks off is opened again."""
        following = calls.Following()
        while not following.is_over:
            broken: httpx.TransportError | None = None
            try:
                async with self._http.stream("GET", f"/v1/jobs/{job}/events", headers=following.headers()) as response:
                    if response.is_error:
                        await response.aread()
                        raise calls.refused(response)
                    async for line in response.aiter_lines():
                        if (event := following(line)) is not None:
                            yield event
            except httpx.TransportError as error:
                broken = error
            if not following.is_over:
                following.broke_off(broken)
                await asyncio.sleep(calls.PAUSE_SECONDS)

    async def wait(self, job: str) -> schemas.Job:
        """The job, when it has ended."""
        async for _ in self.events(job):
            pass
        return await self.job(job)

    async def midi(self, job: str, take: int = 0) -> bytes:
        """The MIDI file of a take."""
        return await self._do(calls.result(calls.take(job, take), "midi"))

    async def wav(self, job: str, take: int = 0) -> bytes:
        """The sound of a take."""
        return await self._do(calls.result(calls.take(job, take), "wav"))

    async def musicxml(self, job: str, take: int = 0) -> str:
        """A take on staves."""
        return (await self._do(calls.result(calls.take(job, take), "musicxml"))).decode("utf-8")

    async def notes(self, job: str, take: int = 0) -> schemas.Notes:
        """The notes of a take as numbers."""
        return await self._do(calls.get(f"{calls.take(job, take)}/notes", schemas.Notes))

    async def stems(self, job: str, take: int = 0) -> list[schemas.Stem]:
        """The tracks of a take."""
        return await self._do(calls.get_list(f"{calls.take(job, take)}/stems", schemas.Stem))

    async def stem(self, job: str, take: int, index: int) -> bytes:
        """One track as a MIDI file."""
        return await self._do(calls.result(calls.take(job, take), f"stems/{index}"))

    async def upload_midi(self, upload: str) -> bytes:
        """The MIDI file of an upload, as it was sent."""
        return await self._do(calls.result(calls.uploaded(upload), "midi"))

    async def upload_wav(self, upload: str) -> bytes:
        """The sound of an upload."""
        return await self._do(calls.result(calls.uploaded(upload), "wav"))

    async def upload_musicxml(self, upload: str) -> str:
        """An upload on staves."""
        return (await self._do(calls.result(calls.uploaded(upload), "musicxml"))).decode("utf-8")

    async def upload_notes(self, upload: str) -> schemas.Notes:
        """The notes of an upload as numbers."""
        return await self._do(calls.get(f"{calls.uploaded(upload)}/notes", schemas.Notes))

    async def upload_stems(self, upload: str) -> list[schemas.Stem]:
        """The tracks of an upload."""
        return await self._do(calls.get_list(f"{calls.uploaded(upload)}/stems", schemas.Stem))

    async def upload_stem(self, upload: str, index: int) -> bytes:
        """One track of an upload as a MIDI file."""
        return await self._do(calls.result(calls.uploaded(upload), f"stems/{index}"))

    async def models(self) -> list[schemas.Model]:
        """Models known by name, and the one that composes there."""
        return await self._do(calls.get_list("models", schemas.Model))

    async def instruments(self) -> list[schemas.Instrument]:
        """Instruments and their numbers."""
        return await self._do(calls.get_list("instruments", schemas.Instrument))

    async def _do(self, call: Call[T]) -> T:
        try:
            response = await self._http.request(call.method, call.path, **call.options)
        except httpx.TransportError as error:
            raise calls.unreachable(error) from error
        return calls.answered(call, response)
