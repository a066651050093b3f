"""What can be had of a piece that is here, a take or an upload: the same files at both addresses.

In: where the piece is. Out: routes that answer with its MIDI file, notes, score, sound and stems (results.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response

from midi_llm.errors import ServiceError
from midi_llm.server import results, schemas
from midi_llm.server.problems import problems
from midi_llm.server.service import Service

MIDI = "audio/midi"
MUSICXML = "application/vnd.recordare.musicxml+xml"
WAV = "audio/wav"
KEEP = {"Cache-Control": "private, max-age=31536000, immutable"}
"""Results never change."""
_ID = re.compile(r"[0-9a-f]{16}")

JobId = Annotated[str, Path(description="The id of a job.", examples=["b44b1ecacd91331e"])]
UploadId = Annotated[str, Path(description="The id of an upload.", examples=["3f2a9c51d0e84b67"])]
TakeNumber = Annotated[int, Path(ge=0, le=schemas.MOST_TAKES, description="Counted from 0.", examples=[0])]
StemIndex = Annotated[int, Path(ge=0, le=999, description="Counted from 0.", examples=[0])]


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A MIDI file, what its downloads are called, and the title of its score."""

    midi: bytes
    name: str
    title: str


def known(job: str) -> str:
    """`job`, where it can be the id of one. Raises `ServiceError`."""
    if not _ID.fullmatch(job):
        raise ServiceError(404, "there is no such job; GET /v1/jobs lists them")
    return job


def file_answer(media_type: str) -> dict[int | str, dict[str, Any]]:
    """How the page of the API describes an answer that is a file."""
    schema = {"type": "string", "format": "binary"}
    return {200: {"content": {media_type: {"schema": schema}}}, **problems(404, 409)}


def add_files(router: APIRouter, service: Service) -> None:
    """The files of takes and of uploads."""

    def take(job: JobId, number: TakeNumber) -> Piece:
        midi = service.midi(known(job), number)
        title = str(service.record(job).request.get("prompt", ""))
        return Piece(midi=midi, name=f"{job}-{number}", title=title)

    def upload(upload: UploadId) -> Piece:
        midi, name = service.upload(upload)
        return Piece(midi=midi, name=upload, title=PurePath(name).stem)

    _add(router, "/jobs/{job}/takes/{number}", take)
    _add(router, "/uploads/{upload}", upload)


def _add(router: APIRouter, place: str, find: Callable[..., Piece]) -> None:
    at_place = Depends(find)

    @router.get(f"{place}/midi", response_class=Response, responses=file_answer(MIDI))
    def midi(piece: Piece = at_place) -> Response:
        """The MIDI file."""
        return _sent(piece.midi, MIDI, f"{piece.name}.mid")

    @router.get(f"{place}/notes", responses=problems(404, 409))
    def notes(piece: Piece = at_place) -> schemas.Notes:
        """The notes as numbers."""
        return results.notes_of(piece.midi)

    @router.get(f"{place}/musicxml", response_class=Response, responses=file_answer(MUSICXML))
    def musicxml(piece: Piece = at_place) -> Response:
        """The piece on staves, for notation programs."""
        content = results.musicxml_of(piece.midi, title=piece.title)
        return _sent(content.encode(), MUSICXML, f"{piece.name}.musicxml")

    @router.get(f"{place}/wav", response_class=Response, responses=file_answer(WAV))
    def wav(piece: Piece = at_place) -> Response:
        """The sound, by the best synthesizer of the service's machine."""
        return _sent(results.wav_of(piece.midi), WAV, f"{piece.name}.wav")

    @router.get(f"{place}/stems", responses=problems(404, 409))
    def stems(piece: Piece = at_place) -> list[schemas.Stem]:
        """The tracks."""
        return results.stems_of(piece.midi)

    @router.get(f"{place}/stems/{{index}}", response_class=Response, responses=file_answer(MIDI))
    def stem(index: StemIndex, piece: Piece = at_place) -> Response:
        """One track as a MIDI file."""
        return _sent(results.stem_of(piece.midi, index), MIDI, f"{piece.name}-{index}.mid")


def _sent(content: bytes, media_type: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', **KEEP}
    return Response(content, media_type=media_type, headers=headers)
