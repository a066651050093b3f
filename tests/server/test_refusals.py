"""What is refused: with the right status, a problem that says what to do, and a service that goes on."""

from __future__ import annotations

import json
import socket
import sqlite3
from contextlib import suppress

import httpx
import pytest

from midi_llm.client import Client, Composition
from midi_llm.errors import ServiceError
from midi_llm.music.score import Note, Score, Track, note_array
from midi_llm.music.write import to_midi_bytes
from midi_llm.server.problems import MEDIA_TYPE
from midi_llm.server.store import Store

SHORT = Composition(prompt="a calm piano piece", seconds=1, seed=5)
UNKNOWN = "0123456789abcdef"
MIDI = {"Content-Type": "audio/midi"}


def problem(response: httpx.Response, status: int) -> str:
    """The text of a problem, after checking that it is one."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == MEDIA_TYPE
    told = response.json()
    assert told["status"] == status
    assert told["title"]
    assert told["request_id"] == response.headers["x-request-id"]
    return told["detail"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"prompt": "x", "seconds": 5000}, 422, "seconds is 5000; allowed is 1 to 600"),
        ({"prompt": "x" * 10_000}, 422, "shorten the text"),
        ({"prompt": "x" * 70_000}, 413, "at most 65,536 bytes"),
        ({"prompt": ""}, 422, "the prompt is empty"),
        ({"prompt": "\udc80"}, 422, "U+DC80"),
        ({"prompt": "x", "wishes": {"key": "\udc80"}}, 422, "wishes.key: "),
        ({"prompt": 7, "takes": "many"}, 422, "prompt: Input should be a valid string (found 7)"),
        ({"prompt": "x", "takes": 9}, 422, "takes: "),
        ({"prompt": "x", "best": 2}, 422, "best is 2"),
        ({"prompt": "x", "seed": -1}, 422, "seed: "),
        ({"prompt": "x", "tempo": 90}, 422, "tempo: Extra inputs are not permitted"),
        ({"prompt": "x", "temperature": "NaN"}, 422, "temperature: "),
        ({"prompt": "x", "wishes": {"key": "H major"}}, 422, "no key is called 'H major'"),
        ({"prompt": "x", "wishes": {"only": "²"}}, 422, "no instrument is called '²'"),
        ({"prompt": "x", "wishes": {"bars": 4}, "seconds": 9}, 422, "leave one of them away"),
        ([], 422, "the body: "),
        ({}, 422, "prompt: Field required"),
    ],
)
def test_a_composition_that_cannot_be(running, body: object, status: int, said: str) -> None:
    content = json.dumps(body).encode()
    answer = running.http.post("/v1/compositions", content=content, headers={"Content-Type": "application/json"})
    assert said in problem(answer, status)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"kind": "infill"}, 422, "'infill' needs 'bars', such as [5, 8]"),
        ({"kind": "infill", "bars": [3, 99]}, 422, "bars 3-99; the piece has bars 1 to 4"),
        ({"kind": "infill", "bars": [3]}, 422, "bars: "),
        ({"kind": "accompany"}, 422, "'accompany' needs 'instruments'"),
        ({"kind": "replace"}, 422, "'replace' needs 'instrument'"),
        ({"kind": "replace", "instrument": "tuba"}, 422, "has no Tuba"),
        ({"kind": "continue", "seconds": 1e9}, 422, "at most 600"),
        ({"kind": "continue", "seconds": 1e300}, 422, "seconds: "),
        ({"kind": "vary", "strength": 0}, 422, "strength is 0"),
        ({"kind": "explode"}, 422, "kind: "),
        ({"kind": "vary", "source": {}}, 422, "either 'upload' or 'job'"),
        ({"kind": "vary", "source": {"upload": UNKNOWN}}, 404, "no upload"),
        ({"kind": "vary", "source": {"job": "../../etc/passwd"}}, 404, "no job"),
    ],
)
def test_an_edit_that_cannot_be(running, uploaded: str, body: dict, status: int, said: str) -> None:
    body = {"source": {"upload": uploaded}, **body}
    assert said in problem(running.http.post("/v1/edits", json=body), status)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"PK\x03\x04 not MIDI", "not a standard MIDI file"),
        (b"MThd\x00\x00\x00\x06\x00\x01\x00\x01\x01\xe0MTrk\x00\x00\x00\xff\x00", "the file "),
    ],
)
def test_a_file_that_cannot_be_read(running, content: bytes, said: str) -> None:
    assert said in problem(running.http.post("/v1/uploads", content=content, headers=MIDI), 422)


def test_a_file_that_is_far_too_large(running) -> None:
    content = bytes(100_000_000)
    assert "8,000,000" in problem(running.http.post("/v1/uploads", content=content, headers=MIDI), 413)
    parts = (content[:100_000] for _ in range(1_000))  # sent without a length
    assert "8,000,000" in problem(running.http.post("/v1/uploads", content=parts, headers=MIDI), 413)
    assert running.client.wait(running.client.compose(SHORT).id).status == "done"


def test_a_body_of_another_type(running) -> None:
    for path, data in (("compositions", b'{"prompt": "x"}'), ("uploads", b"MThd")):
        said = problem(running.http.post(f"/v1/{path}", content=data, headers={"Content-Type": "text/plain"}), 415)
        assert "'text/plain'" in said
    problem(running.http.post("/v1/plans", content=b"{", headers={"Content-Type": "application/json"}), 422)
    deep = b'{"prompt": ' + b"[" * 60_000
    problem(running.http.post("/v1/plans", content=deep, headers={"Content-Type": "application/json"}), 400)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"jobs/{UNKNOWN}", 404),
        (f"jobs/{UNKNOWN}/events", 404),
        (f"jobs/{UNKNOWN}/takes/0/midi", 404),
        ("jobs/%00%ff", 404),
        ("jobs/..%2f..%2fetc", 404),
        (f"jobs?before={UNKNOWN}", 404),
        ("jobs?limit=0", 422),
        (f"jobs/{UNKNOWN}/takes/99999999999999999999/midi", 422),
        ("nothing", 404),
    ],
)
def test_what_is_not_there(running, path: str, status: int) -> None:
    problem(running.http.get(f"/v1/{path}"), status)
    if path == f"jobs/{UNKNOWN}":
        problem(running.http.delete(f"/v1/{path}"), status)
        problem(running.http.put(f"/v1/{path}"), 405)


def test_a_result_that_is_not_there_yet(running) -> None:
    running.hold()
    job = running.client.compose(SHORT).id
    assert "wait until it is done" in problem(running.http.get(f"/v1/jobs/{job}/takes/0/midi"), 409)
    running.release()
    running.client.wait(job)
    assert "has 1 takes" in problem(running.http.get(f"/v1/jobs/{job}/takes/1/midi"), 404)


def test_a_full_queue_and_a_client_with_its_share(serving, until) -> None:
    with serving(queue=2, per_client=4) as running:
        running.hold()
        first = running.client.compose(SHORT).id
        until(lambda: running.client.job(first).status == "running")
        for _ in range(2):
            running.client.compose(SHORT)
        with pytest.raises(ServiceError, match="2 jobs wait") as caught:
            running.client.compose(SHORT)
        assert caught.value.status == 429
        assert caught.value.retry_after is not None
        running.service.settings = type(running.service.settings)(
            data=running.service.settings.data, queue=64, per_client=3
        )
        with pytest.raises(ServiceError, match="3 of your jobs have not ended") as caught:
            running.client.compose(SHORT)
        assert caught.value.status == 429
        running.client.cancel(first)
        assert running.client.compose(SHORT).status == "queued"
        running.release()


def test_more_streams_than_are_allowed(serving, until) -> None:
    with serving(streams=1) as running:
        running.hold()
        job = running.client.compose(SHORT).id
        with running.http.stream("GET", f"/v1/jobs/{job}/events") as response:
            lines = response.iter_lines()
            next(lines)
            assert "event streams are open" in problem(running.http.get(f"/v1/jobs/{job}/events"), 429)
        running.release()
        until(lambda: running.service.open_streams == 0)
        assert running.client.wait(job).status == "done"


def test_a_key_is_asked_for(serving) -> None:
    key = "a-secret-of-some-length"
    with serving(api_keys=("another-secret-here", key)) as running:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"X-Api-Key": "é".encode()}):
            answer = running.http.get("/v1/jobs", headers=headers)
            assert "an API key is needed" in problem(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
        problem(running.http.get("/metrics"), 401)
        assert running.http.get("/readyz").status_code == 200
        assert running.http.get("/v1/jobs", headers={"X-Api-Key": key}).status_code == 200
        with Client(running.url, api_key=key) as client:
            assert client.wait(client.compose(SHORT).id).status == "done"


def test_pages_of_other_sites_are_kept_out_unless_they_are_named(serving) -> None:
    origin = {"Origin": "https://example.org"}
    asked = {**origin, "Access-Control-Request-Method": "POST"}
    with serving() as running:
        assert "access-control-allow-origin" not in running.http.get("/v1/jobs", headers=origin).headers
        said = problem(running.http.get("/v1/jobs", headers={"Host": "evil.example"}), 421)
        assert "evil.example" in said
    with serving(origins=("https://example.org",)) as running:
        answer = running.http.options("/v1/compositions", headers=asked)
        assert answer.headers["access-control-allow-origin"] == "https://example.org"


def test_a_request_that_never_arrives(serving) -> None:
    with serving(request_seconds=0.2) as running:
        host, port = running.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as slow:
            slow.sendall(
                b"POST /v1/plans HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: 100\r\n\r\n{"
            )
            answer = slow.recv(65_536).decode()
        assert answer.startswith("HTTP/1.1 408")


def fill(store: Store) -> None:
    """Keep uploads, smaller and smaller ones, until none fits."""
    for size in (100_000, 1_000, 100, 1):
        with suppress(sqlite3.OperationalError):
            for number in range(1000):
                store.add_upload(f"{size}-{number}", {}, bytes(size))


def test_a_full_disk(serving, song: bytes) -> None:
    with serving() as running:
        job = running.client.wait(running.client.compose(SHORT).id)
        store = running.service.store
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages + 2}")
        fill(store)
        with pytest.raises(ServiceError, match="the disk of the service is full") as caught:
            running.client.upload(song)
        assert caught.value.status == 507
        assert running.client.job(job.id).status == "done"
        assert running.http.get("/readyz").status_code == 200
        store._db.execute("PRAGMA max_page_count = 1000000")
        assert running.client.upload(song).bars == 4


def test_a_job_whose_takes_find_no_room_fails_and_the_next_one_is_kept(serving, monkeypatch) -> None:
    with serving() as running:
        keep = running.service.store.finish

        def full(job: str, takes: object) -> bool:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

        monkeypatch.setattr(running.service.store, "finish", full)
        with monkeypatch.context() as fuller:
            fuller.setattr(running.service.store, "fail", full)
            assert [event.name for event in running.client.events(running.client.compose(SHORT).id)][-1] == "failed"
        job = running.client.wait(running.client.compose(SHORT).id)
        assert job.status == "failed"
        assert job.problem is not None
        assert job.problem.status == 507
        monkeypatch.setattr(running.service.store, "finish", keep)
        assert running.client.wait(running.client.compose(SHORT).id).status == "done"


def test_a_shutdown_refuses_and_ends_streams(serving, until) -> None:
    with serving() as running:
        running.hold()
        job = running.client.compose(SHORT).id
        until(lambda: running.client.job(job).status == "running")
        with running.http.stream("GET", f"/v1/jobs/{job}/events") as response:
            running.service.stop()
            lines = list(response.iter_lines())
        assert "event: done" not in lines
        problem(running.http.get("/readyz"), 503)
        with pytest.raises(ServiceError, match="shutting down"):
            running.client.compose(SHORT)
        assert running.client.job(job).status == "queued"
        running.release()
    with serving() as running:
        assert running.client.wait(job).status == "done"


@pytest.mark.parametrize("what", ["midi", "notes", "musicxml", "wav", "stems", "stems/0"])
def test_files_of_an_upload_that_is_not_there(running, what: str) -> None:
    told = problem(running.http.get(f"/v1/uploads/{UNKNOWN}/{what}"), 404)
    assert told == f"there is no upload '{UNKNOWN}'; POST the file to /v1/uploads first"


def test_a_stem_that_an_upload_does_not_have(running, uploaded: str) -> None:
    told = problem(running.http.get(f"/v1/uploads/{uploaded}/stems/2"), 404)
    assert told == "there is no stem 2; the piece has 2, counted from 0"


def test_sound_of_an_hour_is_refused(running) -> None:
    notes = note_array([Note(time=0.0, duration=1.0, pitch=60), Note(time=3600.0, duration=1.0, pitch=60)])
    hour = to_midi_bytes(Score(tracks=(Track(program=0, notes=notes),)))
    told = problem(running.http.get(f"/v1/uploads/{running.client.upload(hour).id}/wav"), 422)
    assert told.startswith("the piece lasts 3,601 s; the service makes sound of at most 1200 s: cut the piece")
