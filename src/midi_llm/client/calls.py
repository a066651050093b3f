"""What both clients share: requests, how answers are read, events out of the lines of a stream, failures.

Knows the paths of the API; opens no connection.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter

from midi_llm.errors import ServiceError
from midi_llm.server import schemas

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT = 60.0
"""Seconds without a byte; a stream shows a sign of life more often."""
FINAL = ("done", "failed", "cancelled")
"""The last event of a job."""
TRIES = 5
"""How often a stream that broke off is opened again before anything more arrives."""
PAUSE_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One event of a job: `name` is state, notes, progress, take, done, failed or cancelled."""

    id: str
    name: str
    data: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Call(Generic[T]):
    """One request, and how its answer is read."""

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    options: dict[str, Any] = field(default_factory=dict)


def send(path: str, body: BaseModel, answer: type[M]) -> Call[M]:
    """POST a body."""
    content = body.model_dump_json(by_alias=True, exclude_none=True)
    options = {"content": content, "headers": {"Content-Type": "application/json"}}
    return Call(method="POST", path=f"/v1/{path}", read=_reader(answer), options=options)


def upload(content: bytes, name: str) -> Call[schemas.Upload]:
    """POST a MIDI file."""
    options = {"content": content, "params": {"name": name}, "headers": {"Content-Type": "audio/midi"}}
    return Call(method="POST", path="/v1/uploads", read=_reader(schemas.Upload), options=options)


def page(limit: int, before: str | None) -> Call[schemas.JobPage]:
    """GET some jobs."""
    params = {"limit": limit} | ({} if before is None else {"before": before})
    return Call(method="GET", path="/v1/jobs", read=_reader(schemas.JobPage), options={"params": params})


def cancel(job: str) -> Call[schemas.Job]:
    """DELETE a job."""
    return Call(method="DELETE", path=f"/v1/jobs/{job}", read=_reader(schemas.Job))


def get(path: str, answer: type[M]) -> Call[M]:
    """GET one thing."""
    return Call(method="GET", path=f"/v1/{path}", read=_reader(answer))


def get_list(path: str, answer: type[M]) -> Call[list[M]]:
    """GET several things."""
    adapter = TypeAdapter(list[answer])  # type: ignore[valid-type]
    return Call(method="GET", path=f"/v1/{path}", read=lambda response: adapter.validate_json(response.content))


def take(job: str, number: int) -> str:
    """Where the files of a take are."""
    return f"jobs/{job}/takes/{number}"


def uploaded(upload: str) -> str:
    """Where the files of an upload are."""
    return f"uploads/{upload}"


def result(place: str, what: str) -> Call[bytes]:
    """GET a file of a take or an upload."""
    return Call(method="GET", path=f"/v1/{place}/{what}", read=lambda response: response.content)


def answered(call: Call[T], response: httpx.Response) -> T:
    """What the service answered. Raises `ServiceError` for a refusal."""
    if response.is_error:
        raise refused(response)
    return call.read(response)


def refused(response: httpx.Response) -> ServiceError:
    """The refusal as an error: its problem's text, or its first words where something else answered."""
    try:
        detail = schemas.Problem.model_validate_json(response.content).detail
    except ValueError:
        detail = f"{response.url} answered {response.status_code}: {response.text[:200]}"
    wait = response.headers.get("retry-after", "")
    return ServiceError(response.status_code, detail, retry_after=float(wait) if wait.isdecimal() else None)


def unreachable(error: httpx.TransportError) -> ServiceError:
    """Nobody answered."""
    url = error.request.url
    return ServiceError(
        0, f"no service answers at {url.scheme}://{url.netloc.decode()} ({error}); start midi-llm serve"
    )


def headers(api_key: str | None) -> dict[str, str]:
    """What every request carries."""
    return {} if api_key is None else {"Authorization": f"Bearer {api_key}"}


@dataclass
class Following:
    """How far a job's stream was read, over all its openings; call it with every line."""

    last: str = ""
    is_over: bool = False
    tries: int = 0
    _name: str = ""
    _id: str = ""
    _data: str = ""

    def __call__(self, line: str) -> Event | None:
        """The event that `line` completes."""
        kind, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if kind == "id":
            self._id = value
        elif kind == "event":
            self._name = value
        elif kind == "data":
            self._data = value
        elif not line and self._data:
            event = Event(id=self._id, name=self._name, data=json.loads(self._data))
            self.last, self.tries, self._data = self._id, 0, ""
            self.is_over = self._name in FINAL
            return event
        return None

    def headers(self) -> dict[str, str]:
        """Of the request that goes on where the last one broke off."""
        return {"Last-Event-ID": self.last} if self.last else {}

    def broke_off(self, error: httpx.TransportError | None) -> None:
        """Raise `ServiceError` when it broke off too often."""
        self.tries, self._data = self.tries + 1, ""
        if self.tries >= TRIES:
            raise (
                ServiceError(0, "the stream of events broke off again and again")
                if error is None
                else unreachable(error)
            )


def _reader(answer: type[M]) -> Callable[[httpx.Response], M]:
    return lambda response: answer.model_validate_json(response.content)
