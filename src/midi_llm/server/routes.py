"""The API under /v1: plans, compositions, uploads, edits, jobs and their results.

In: checked bodies. Out: answers. Each route is one call of the service; what it raises becomes a problem
(problems.py). Functions that are not `async` run in threads, so that reading and composing never hold up the loop.
"""

from __future__ import annotations

import re
import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, StreamingResponse

from midi_llm.errors import ServiceError
from midi_llm.model.catalog import list_models
from midi_llm.music.instruments import instrument_name
from midi_llm.music.score import DRUMS
from midi_llm.server import events, making, results, schemas, uploads
from midi_llm.server.asking import settings_of, wishes_said
from midi_llm.server.gate import UPLOADS
from midi_llm.server.problems import MEDIA_TYPE
from midi_llm.server.records import job_of
from midi_llm.server.service import Service

MIDI = "audio/midi"
MUSICXML = "application/vnd.recordare.musicxml+xml"
WAV = "audio/wav"
KEEP = {"Cache-Control": "private, max-age=31536000, immutable"}
"""Results never change."""
_EVENT = {
    "type": "object",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string"},
        "event": {"type": "string", "enum": list(events.NAMES)},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
_ID = re.compile(r"[0-9a-f]{16}")

JobId = Annotated[str, Path(description="The id of a job.")]
TakeNumber = Annotated[int, Path(ge=0, le=schemas.MOST_TAKES, description="Counted from 0.")]


def _problem(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Problems that a route may answer, beside those that all may."""
    body = {"model": schemas.Problem, "content": {MEDIA_TYPE: {}}}
    return dict.fromkeys((*statuses, 400, 401, 408, 413, 415, 421, 422, 429, 500, 503, 507), body)


def _file(media_type: str) -> dict[int | str, dict[str, Any]]:
    """An answer that is a file."""
    schema = {"type": "string", "format": "binary"}
    return {200: {"content": {media_type: {"schema": schema}}}, **_problem(404, 409)}


def make_router(service: Service) -> APIRouter:
    """All routes over `service`."""
    router = APIRouter(prefix="/v1", responses=_problem())
    _add_requests(router, service)
    _add_jobs(router, service)
    _add_results(router, service)
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

    @router.post("/edits", status_code=202, responses=_problem(404, 409))
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
    @router.get("/jobs", responses=_problem(404))
    def jobs(limit: Annotated[int, Query(ge=1, le=200)] = 50, before: str | None = None) -> schemas.JobPage:
        """Jobs, newest first."""
        if before is not None:
            service.record(_known(before))
        found = service.store.jobs(limit=limit, before=before)
        is_more = len(found) == limit
        return schemas.JobPage(jobs=[job_of(one) for one in found], next=found[-1].id if is_more else None)

    @router.get("/jobs/{job}", responses=_problem(404))
    def one_job(job: JobId) -> schemas.Job:
        """One job: its state, and its takes once it is done."""
        return job_of(service.record(_known(job)))

    @router.delete("/jobs/{job}", responses=_problem(404))
    def cancel(job: JobId) -> schemas.Job:
        """Cancel a job that waits or runs, at once; harmless for one that has ended."""
        return service.cancel(_known(job))

    @router.get(
        "/jobs/{job}/events",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {"schema": _EVENT}}}, **_problem(404)},
    )
    def follow(
        job: JobId, last_event_id: Annotated[str | None, Header(description="Go on behind it.")] = None
    ) -> StreamingResponse:
        """What happens to a job as server-sent events: state, notes, progress, take, done, failed, cancelled."""
        text = service.counted(events.stream(service.feed(_known(job)), last_event_id))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(text, media_type="text/event-stream", headers=headers)


def _add_results(router: APIRouter, service: Service) -> None:
    take = "/jobs/{job}/takes/{number}"

    @router.get(f"{take}/midi", response_class=Response, responses=_file(MIDI))
    def midi(job: JobId, number: TakeNumber) -> Response:
        """The MIDI file."""
        return _sent(service.midi(_known(job), number), MIDI, f"{job}-{number}.mid")

    @router.get(f"{take}/notes", responses=_problem(404, 409))
    def notes(job: JobId, number: TakeNumber) -> schemas.Notes:
        """The notes as numbers."""
        return results.notes_of(service.midi(_known(job), number))

    @router.get(f"{take}/musicxml", response_class=Response, responses=_file(MUSICXML))
    def musicxml(job: JobId, number: TakeNumber) -> Response:
        """The piece on staves, for notation programs."""
        content = service.midi(_known(job), number)
        title = str(service.record(job).request.get("prompt", ""))
        return _sent(results.musicxml_of(content, title=title).encode(), MUSICXML, f"{job}-{number}.musicxml")

    @router.get(f"{take}/wav", response_class=Response, responses=_file(WAV))
    def wav(job: JobId, number: TakeNumber) -> Response:
        """The sound, by the best synthesizer of the service's machine."""
        return _sent(results.wav_of(service.midi(_known(job), number)), WAV, f"{job}-{number}.wav")

    @router.get(f"{take}/stems", responses=_problem(404, 409))
    def stems(job: JobId, number: TakeNumber) -> list[schemas.Stem]:
        """The tracks."""
        return results.stems_of(service.midi(_known(job), number))

    @router.get(f"{take}/stems/{{index}}", response_class=Response, responses=_file(MIDI))
    def stem(job: JobId, number: TakeNumber, index: Annotated[int, Path(ge=0, le=999)]) -> Response:
        """One track as a MIDI file."""
        content = results.stem_of(service.midi(_known(job), number), index)
        return _sent(content, MIDI, f"{job}-{number}-{index}.mid")


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

    @router.get("/soundfont", response_class=FileResponse, responses=_file("application/octet-stream"))
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


def _known(job: str) -> str:
    """`job`, where it can be the id of one. Raises `ServiceError`."""
    if not _ID.fullmatch(job):
        raise ServiceError(404, "there is no such job; GET /v1/jobs lists them")
    return job


def _sent(content: bytes, media_type: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', **KEEP}
    return Response(content, media_type=media_type, headers=headers)
