"""Every failure as a `Problem` with the right status: what was found, what is allowed, what to do.

In: our errors, the web framework's, SQLite's. Out: an application/problem+json answer. A failure that nobody foresaw is
500 and tells the client nothing but the request's id; the log has the rest.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from midi_llm.errors import (
    MidiLLMError,
    MidiReadError,
    MissingExtraError,
    OutputError,
    PromptError,
    RequestError,
    ServiceError,
    SynthesisError,
)
from midi_llm.server.schemas import Problem

MEDIA_TYPE = "application/problem+json"
DISK_FULL = 507
_CLIENT_ERRORS = (RequestError, PromptError, MidiReadError, OutputError, SynthesisError)
"""About what was sent; the service writes no files of its own by `OutputError`'s code."""
MOST_NAMED = 5
"""Fields that a problem names at most."""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How the page of the API describes the problems of a route: those that all have, and these."""
    body = {"model": Problem, "content": {MEDIA_TYPE: {}}}
    return dict.fromkeys((*statuses, 400, 401, 408, 413, 415, 421, 422, 429, 500, 503, 507), body)


def status_of(error: Exception) -> int:
    """The HTTP status of a failure."""
    if isinstance(error, ServiceError):
        return error.status
    if isinstance(error, _CLIENT_ERRORS):
        return HTTPStatus.UNPROCESSABLE_ENTITY
    if isinstance(error, MissingExtraError):
        return HTTPStatus.NOT_IMPLEMENTED
    if isinstance(error, sqlite3.Error):
        return DISK_FULL if is_full(error) else HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.INTERNAL_SERVER_ERROR


def is_full(error: sqlite3.Error) -> bool:
    """Whether there is no room for the data base."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def problem_of(error: Exception, request_id: str | None = None) -> Problem:
    """What a client is told about a failure."""
    status = status_of(error)
    if isinstance(error, MidiLLMError):
        detail = " ".join(str(error).split())
    elif isinstance(error, sqlite3.Error) and is_full(error):
        detail = "the disk of the service is full: nothing was kept; free some room and try again"
    elif isinstance(error, sqlite3.Error):
        detail = "the service cannot use its data base now; try again, and look into its log if it stays so"
    else:
        detail = "the service has failed at this; its log says why, under this request's id"
    return _problem(status, detail, request_id)


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The answer."""
    content = problem.model_dump(exclude_none=True)
    return JSONResponse(content, status_code=problem.status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def error_response(error: Exception, request_id: str | None) -> Response:
    """The answer to a failure."""
    headers = {}
    if isinstance(error, ServiceError):
        if error.retry_after is not None:
            headers["Retry-After"] = str(math.ceil(error.retry_after))
        if error.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
    return problem_response(problem_of(error, request_id), headers)


def add_handlers(app: FastAPI) -> None:
    """Let `app` answer every failure with a problem."""

    async def ours(request: Request, error: Exception) -> Response:
        return error_response(error, request_id_of(request))

    async def framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        problem = _problem(error.status_code, str(error.detail), request_id_of(request))
        return problem_response(problem, error.headers)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        return problem_response(_problem(status, in_words(error.errors()), request_id_of(request)))

    for kind in (MidiLLMError, sqlite3.Error, Exception):
        app.add_exception_handler(kind, ours)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(RequestValidationError, invalid)


def in_words(errors: Sequence[Any]) -> str:
    """What is wrong with which field: "takes: Input should be less than or equal to 8 (found 9)"."""
    told = [_field(error) for error in errors[:MOST_NAMED]]
    more = len(errors) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")


def request_id_of(request: Request) -> str | None:
    """The id that the log knows the request by."""
    found = request.scope.get("midi_llm_request_id")
    return found if isinstance(found, str) else None


def _field(error: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in error["loc"] if part != "body") or "the body"
    found = error.get("input")
    said = f" (found {_short(repr(found))})" if isinstance(found, str | int | float | bool) else ""
    return f"{where}: {error['msg']}{said}".encode("utf-8", "backslashreplace").decode()


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _problem(status: int, detail: str, request_id: str | None) -> Problem:
    known = {one.value: one.phrase for one in HTTPStatus}
    return Problem(title=known.get(status, "Error"), status=status, detail=detail, request_id=request_id)
