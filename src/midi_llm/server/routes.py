"""The API under /v1: plans, compositions, uploads, edits, jobs, and what the service knows (files of pieces: files.py).

In: checked bodies. Out: answers. Each route is one call of the service; what it raises becomes a problem
(problems.py). Functions that are not `async` run in threads, so that reading and composing never hold up the loop.
"""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, StreamingResponse

from midi_llm.errors import ServiceError
from midi_llm.model.catalog import list_models
from midi_llm.music.instruments import instrument_name
from midi_llm.music.score import DRUMS
from midi_llm.server import events, making, results, schemas, uploads
from midi_llm.server.asking import settings_of, wishes_said
from midi_llm.server.files import KEEP, MIDI, JobId, add_files, file_answer, known
from midi_llm.server.gate import UPLOADS
from midi_llm.server.problems import problems
from midi_llm.server.records import job_of
from midi_llm.server.service import Service

_EVENT = {
    "type": "object",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string"},
        "event": {"type": "string", "enum": list(events.NAMES)},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}


def make_router(service: Service) -> APIRouter:
    """All routes over `service`."""
    router = APIRouter(prefix="/v1", responses=problems())
    _add_requests(router, service)
    _add_jobs(router, service)
    add_files(router, service)
    _add_knowledge(router, service)
    return router


def _add_requests(router: APIRouter, service: Service) -> None:
    @router.post("/plans")
    def plan(body: schemas.PlanRequest) -> schemas.Plan:
        """What is understood of a text, before anything is composed."""
        made = service.composer.plan(body.prompt, settings_of(body))
        return schemas.Plan(seconds=made.seconds, text=made.text, wishes=wishes_said(made.wishes))

    @router.post("/compositions", status_code=202)
    def compose(body: schemas.Composition, request: Request, response: Response) -> schemas.Job:
        """Compose from a text: the answer is a job that waits."""
        return _submitted(service, body, request, response)

    @router.post("/edits", status_code=202, responses=problems(404, 409))
    def edit(body: schemas.Edit, request: Request, response: Response) -> schemas.Job:
        """Continue, infill, accompany, replace or vary a piece: the answer is a job that waits."""
        return _submitted(service, body, request, response)

    binary = {"schema": {"type": "string", "format": "binary"}}

    @router.post(
        UPLOADS.removeprefix("/v1"),
        status_code=201,
        openapi_extra={"requestBody": {"required": True, "content": {MIDI: binary}}},
    )
    async def upload(
        request: Request, name: Annotated[str, Query(max_length=200, description="What it is called.")] = "upload.mid"
    ) -> schemas.Upload:
        """Send a MIDI file to work on."""
        content = await request.body()
        found = await run_in_threadpool(uploads.inspect, content, upload=secrets.token_hex(8), name=name)
        await run_in_threadpool(service.store.add_upload, found.id, found.model_dump(), content)
        return found


def _add_jobs(router: APIRouter, service: Service) -> None:
    @router.get("/jobs", responses=problems(404))
    def jobs(limit: Annotated[int, Query(ge=1, le=200)] = 50, before: str | None = None) -> schemas.JobPage:
        """Jobs, newest first."""
        if before is not None:
            service.record(known(before))
        found = service.store.jobs(limit=limit, before=before)
        is_more = len(found) == limit
        return schemas.JobPage(jobs=[job_of(one) for one in found], next=found[-1].id if is_more else None)

    @router.get("/jobs/{job}", responses=problems(404))
    def one_job(job: JobId) -> schemas.Job:
        """One job: its state, and its takes once it is done."""
        return job_of(service.record(known(job)))

    @router.delete("/jobs/{job}", responses=problems(404))
    def cancel(job: JobId) -> schemas.Job:
        """Cancel a job that waits or runs, at once; harmless for one that has ended."""
        return service.cancel(known(job))

    @router.get(
        "/jobs/{job}/events",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {"schema": _EVENT}}}, **problems(404)},
    )
    def follow(
        job: JobId, last_event_id: Annotated[str | None, Header(description="Go on behind it.")] = None
    ) -> StreamingResponse:
        """What happens to a job as server-sent events: state, notes, progress, take, done, failed, cancelled."""
        text = service.counted(events.stream(service.feed(known(job)), last_event_id))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(text, media_type="text/event-stream", headers=headers)


def _add_knowledge(router: APIRouter, service: Service) -> None:
    @router.get("/models")
    def models() -> list[schemas.Model]:
        """Models known by name, and the one that composes here."""
        loaded = service.composer.model
        known = [
            schemas.Model(
                name=one.name,
                description=one.description,
                licence=one.licence,
                where=one.where,
                available=one.available,
                loaded=one.name == loaded,
            )
            for one in list_models()
        ]
        if any(one.loaded for one in known):
            return known
        own = schemas.Model(name="own", description="", licence="", where="local", available=True, loaded=True)
        return [*known, own]

    @router.get("/instruments")
    def instruments() -> list[schemas.Instrument]:
        """Instruments and their numbers; 128 are the drums."""
        return [schemas.Instrument(instrument=one, name=instrument_name(one)) for one in range(DRUMS + 1)]

    @router.get("/soundfont", response_class=FileResponse, responses=file_answer("application/octet-stream"))
    def sound_font() -> FileResponse:
        """The sound font that was found on the service's machine."""
        font = results.sounds().font
        if font is None:
            raise ServiceError(404, f"there is no sound font here: {results.sounds().missing}")
        return FileResponse(font.path, media_type="application/octet-stream", headers=KEEP)


def _submitted(service: Service, body: making.Request, request: Request, response: Response) -> schemas.Job:
    job = service.submit(body, client=str(request.scope["midi_llm_client"]))
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job
