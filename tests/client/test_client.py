"""Both clients: the same requests, refusals as errors, streams that break off."""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys

import httpx
import pytest

from midi_llm.client import AsyncClient, Client, Composition, Edit, PlanRequest, Source, Wishes, calls
from midi_llm.errors import ServiceError

JOB = {
    "id": "0123456789abcdef",
    "kind": "compose",
    "status": "done",
    "created": 1.0,
    "started": 2.0,
    "ended": 3.0,
    "request": {"prompt": "x", "seed": 1},
    "parent": None,
    "takes": [],
    "position": None,
    "problem": None,
}
LISTS = {
    "/v1/jobs": {"jobs": [JOB], "next": None},
    "/v1/models": [],
    "/v1/instruments": [{"instrument": 128, "name": "Drums"}],
}


class Answers:
    """A service that answers from a table and remembers what it was sent."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        body = request.content.decode()
        self.requests.append((request.method, str(request.url), body, request.headers.get("authorization", "")))
        if path in LISTS and request.method == "GET":
            return httpx.Response(200, json=LISTS[path])
        if path == "/v1/plans":
            return httpx.Response(200, json={"seconds": None, "text": "x", "wishes": {}})
        if path == "/v1/uploads" and request.method == "POST":
            facts = {"id": "1", "name": "x", "bars": 1, "seconds": 1.0, "tempo": 120.0, "instruments": []}
            return httpx.Response(201, json=facts)
        if path.endswith("/stems"):
            return httpx.Response(200, json=[{"index": 0, "name": "Piano", "instrument": 0}])
        if path.endswith("/notes"):
            return httpx.Response(200, json={"seconds": 1.0, "tempos": [], "metres": [], "tracks": []})
        if path.endswith("/events"):
            return httpx.Response(200, text=f"id: 1.1\nevent: done\ndata: {json.dumps({'job': JOB})}\n\n")
        if "/takes/" in path or "/uploads/" in path:
            return httpx.Response(200, content=b"<xml/>")
        return httpx.Response(200, json=JOB)


CALLS = [
    ("plan", (PlanRequest(prompt="x", wishes=Wishes(also="harp")),), {}),
    ("compose", (Composition(prompt="x", takes=2),), {}),
    ("edit", (Edit(kind="vary", source=Source(job="a", take=1)),), {}),
    ("upload", (b"MThd",), {"name": "a & b.mid"}),
    ("jobs", (), {"limit": 3, "before": "b"}),
    ("job", ("a",), {}),
    ("cancel", ("a",), {}),
    ("wait", ("a",), {}),
    ("midi", ("a", 1), {}),
    ("wav", ("a",), {}),
    ("musicxml", ("a",), {}),
    ("notes", ("a",), {}),
    ("stems", ("a",), {}),
    ("stem", ("a", 0, 3), {}),
    ("upload_midi", ("u",), {}),
    ("upload_wav", ("u",), {}),
    ("upload_musicxml", ("u",), {}),
    ("upload_notes", ("u",), {}),
    ("upload_stems", ("u",), {}),
    ("upload_stem", ("u", 3), {}),
    ("models", (), {}),
    ("instruments", (), {}),
]


def test_both_clients_send_and_read_the_same() -> None:
    one, other = Answers(), Answers()
    with Client("http://here", api_key="k", transport=httpx.MockTransport(one)) as client:
        found = [getattr(client, name)(*args, **named) for name, args, named in CALLS]

    async def ask() -> list[object]:
        async with AsyncClient("http://here", api_key="k", transport=httpx.MockTransport(other)) as client:
            return [await getattr(client, name)(*args, **named) for name, args, named in CALLS]

    assert found == asyncio.run(ask())
    assert one.requests == other.requests
    assert "http://here/v1/uploads/u/stems/3" in [request[1] for request in one.requests]
    assert {request[3] for request in one.requests} == {"Bearer k"}
    assert json.loads(one.requests[0][2])["wishes"]["with"] == "harp"
    assert one.requests[3][1] == "http://here/v1/uploads?name=a%20%26%20b.mid" or "a+%26+b.mid" in one.requests[3][1]


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        names = [name for name in vars(kind) if not name.startswith("_")]
        return {name: list(inspect.signature(getattr(kind, name)).parameters) for name in names}

    assert methods(Client) == methods(AsyncClient)
    assert {name for name, _, _ in CALLS} | {"events", "close"} == set(methods(Client))


def test_a_refusal_is_an_error_with_its_status() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        return httpx.Response(429, json={"title": "x", "status": 429, "detail": "wait"}, headers={"Retry-After": "7"})

    with Client(transport=httpx.MockTransport(refuse)) as client:
        with pytest.raises(ServiceError, match="wait") as caught:
            client.job("a")
        assert (caught.value.status, caught.value.retry_after) == (429, 7.0)
        with pytest.raises(ServiceError, match="wait"):
            next(client.events("a"))


def test_something_else_that_answers_is_an_error_too() -> None:
    proxy = httpx.MockTransport(lambda request: httpx.Response(502, text="<html>bad gateway"))
    with Client(transport=proxy) as client, pytest.raises(ServiceError, match="answered 502: <html>bad") as caught:
        client.models()
    assert caught.value.status == 502


def test_no_service_is_an_error_that_says_how_to_start_one() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(ServiceError, match="start midi-llm serve") as caught:
        client.models()
    assert caught.value.status == 0


class BreaksOff(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, parts: list[bytes]) -> None:
        self.parts = parts

    def __iter__(self):
        yield from self.parts
        raise httpx.ReadError("broke off", request=httpx.Request("GET", "http://here"))

    async def __aiter__(self):
        for part in self:
            yield part


def test_a_stream_that_breaks_off_goes_on_behind_the_last_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "PAUSE_SECONDS", 0.0)
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("last-event-id", ""))
        if len(asked) % 2:
            half = b'id: e.1\nevent: state\ndata: {"status": "running"}\n\nid: e.2\nevent: no'
            return httpx.Response(200, stream=BreaksOff([half[:20], half[20:]]))
        return httpx.Response(200, content=b": alive\n\nid: e.2\nevent: done\ndata: {}\n\nid: e.3\n")

    with Client(transport=httpx.MockTransport(answer)) as client:
        events = list(client.events("a"))

    async def listen() -> list[object]:
        async with AsyncClient(transport=httpx.MockTransport(answer)) as client:
            return [event async for event in client.events("a")]

    assert events == asyncio.run(listen())
    assert [(event.id, event.name) for event in events] == [("e.1", "state"), ("e.2", "done")]
    assert asked == ["", "e.1"] * 2


def test_a_stream_that_always_breaks_off_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "PAUSE_SECONDS", 0.0)
    ends = httpx.MockTransport(lambda request: httpx.Response(200, content=b""))
    with Client(transport=ends) as client, pytest.raises(ServiceError, match="again and again"):
        client.wait("a")


def test_the_client_needs_no_engine_and_no_web_framework() -> None:
    heavy = ("fastapi", "uvicorn", "onnxruntime", "numpy", "tokenizers")
    code = f"import sys, midi_llm.client; print(*[m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
