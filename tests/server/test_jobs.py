"""Jobs over HTTP: composed, followed while they are composed, cancelled, worked on, had in every form."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from midi_llm.client import Composition, Edit, PlanRequest, Source, Wishes
from midi_llm.compose.settings import Settings
from midi_llm.music.read import parse_midi
from midi_llm.music.write import to_midi_bytes
from midi_llm.synth.audio_file import parse_wav

SHORT = Composition(prompt="a calm piano piece", seconds=2, seed=5)
LONG = Composition(prompt="a calm piano piece", seconds=600, seed=5)


def test_a_composition_is_the_piece_that_python_composes(running) -> None:
    job = running.client.wait(running.client.compose(SHORT).id)
    assert job.status == "done"
    piece = running.service.composer.compose(SHORT.prompt, Settings(seconds=2, seed=5))
    assert running.client.midi(job.id) == to_midi_bytes(piece.score, title=SHORT.prompt)
    assert job.takes[0].notes == piece.score.note_count
    assert [one.met for one in job.takes[0].findings] == [one.met for one in piece.findings]


def test_events_come_in_order_and_the_notes_are_all_told(running) -> None:
    running.hold()
    job = running.client.compose(SHORT.model_copy(update={"takes": 2, "seconds": 4.0})).id
    events = []
    for event in running.client.events(job):
        events.append(event)
        running.release()
    names = [event.name for event in events]
    assert names[:2] == ["state", "state"]
    assert [event.data["status"] for event in events[:2]] == ["queued", "running"]
    assert names[-3:] == ["take", "take", "done"]
    assert set(names[2:-3]) == {"notes", "progress"}
    done = events[-1].data["job"]
    assert done == running.client.job(job).model_dump()
    for number in range(2):
        told = [row for event in events if event.name == "notes" and event.data["take"] == number
                for row in event.data["notes"]]  # fmt: skip
        reached = [event.data for event in events if event.name == "progress" and event.data["take"] == number]
        assert len(told) == reached[-1]["notes"] > 0
        assert all(0 <= time <= 4 and 0 <= instrument <= 128 for time, _, instrument, _, _ in told)


def test_notes_are_told_before_the_job_ends(running) -> None:
    job = running.client.compose(LONG).id
    next(event for event in running.client.events(job) if event.name == "notes")
    assert running.client.job(job).status == "running"
    running.client.cancel(job)
    assert [event.name for event in running.client.events(job)] == ["cancelled"]


def test_a_listener_goes_on_where_it_was(running) -> None:
    job = running.client.compose(SHORT).id
    running.client.wait(job)
    whole = list(running.client.events(job))
    with running.http.stream("GET", f"/v1/jobs/{job}/events", headers={"Last-Event-ID": "nonsense"}) as response:
        again = response.read().decode()
    assert again.count("\nevent: ") + again.startswith("event: ") == len(whole)


def test_a_listener_that_goes_away_leaves_the_job_alone(running, until) -> None:
    running.hold()
    job = running.client.compose(SHORT).id
    with running.http.stream("GET", f"/v1/jobs/{job}/events") as response:
        lines = response.iter_lines()
        next(lines)
        assert running.service.open_streams == 1
    running.release()
    assert running.client.wait(job).status == "done"
    until(lambda: running.service.open_streams == 0)


def test_a_running_job_is_cancelled_at_once_and_the_engine_is_free(running, until) -> None:
    running.hold()
    first, second = running.client.compose(LONG).id, running.client.compose(SHORT).id
    until(lambda: running.client.job(first).status == "running")
    assert running.client.job(second).position == 1
    assert running.client.cancel(first).status == "cancelled"
    running.release()
    assert running.client.wait(second).status == "done"
    again = running.client.cancel(first)
    assert again.status == "cancelled"
    assert again.takes == []
    assert [event.name for event in running.client.events(first)] == ["cancelled"]


def test_a_waiting_job_is_cancelled_and_a_done_one_stays(running, until) -> None:
    running.hold()
    first, second = running.client.compose(SHORT).id, running.client.compose(SHORT).id
    until(lambda: running.client.job(first).status == "running")
    assert running.client.cancel(second).status == "cancelled"
    running.release()
    assert running.client.wait(first).status == "done"
    assert running.client.cancel(first).status == "done"
    assert running.client.job(second).started is None


def test_a_result_can_be_had_in_every_form(running) -> None:
    client = running.client
    job = client.wait(client.compose(SHORT).id).id
    score = parse_midi(client.midi(job))
    notes = client.notes(job)
    assert [track.notes for track in notes.tracks] == [track.notes.tolist() for track in score.tracks]
    assert ET.fromstring(client.musicxml(job)).tag == "score-partwise"
    assert parse_wav(client.wav(job)).seconds >= score.seconds
    stems = client.stems(job)
    assert [stem.instrument for stem in stems] == [track.instrument for track in score.tracks]
    for stem in stems:
        assert parse_midi(client.stem(job, 0, stem.index)).note_count == len(score.tracks[stem.index].notes)


def test_an_upload_can_be_had_in_every_form(running, song: bytes) -> None:
    client = running.client
    upload = client.upload(song, name="my song.mid").id
    score = parse_midi(song)
    assert client.upload_midi(upload) == song
    assert [track.notes for track in client.upload_notes(upload).tracks] == [t.notes.tolist() for t in score.tracks]
    assert ET.fromstring(client.upload_musicxml(upload)).findtext("work/work-title") == "my song"
    assert parse_wav(client.upload_wav(upload)).seconds >= score.seconds
    stems = client.upload_stems(upload)
    assert [stem.instrument for stem in stems] == [0, 128]
    for stem in stems:
        assert parse_midi(client.upload_stem(upload, stem.index)).note_count == len(score.tracks[stem.index].notes)


def test_an_upload_tells_what_it_holds(running, song: bytes) -> None:
    upload = running.client.upload(song, name="mine.mid")
    assert (upload.name, upload.bars, upload.seconds) == ("mine.mid", 4, pytest.approx(7.9, abs=0.1))
    assert [one.instrument for one in upload.instruments] == [0, 128]


@pytest.mark.parametrize(
    "wanted",
    [
        {"kind": "continue", "seconds": 2},
        {"kind": "infill", "bars": [2, 2]},
        {"kind": "accompany", "instruments": "bass"},
        {"kind": "replace", "instrument": "piano", "by": "harp"},
        {"kind": "vary", "strength": 1.0, "scale": "C D E"},
    ],
    ids=lambda wanted: wanted["kind"],
)
def test_an_upload_is_worked_on(running, song: bytes, uploaded: str, wanted: dict) -> None:
    job = running.client.wait(running.client.edit(Edit(source=Source(upload=uploaded), seed=1, **wanted)).id)
    assert (job.status, job.kind, job.parent) == ("done", wanted["kind"], None)
    assert running.client.midi(job.id) != song
    if wanted["kind"] == "accompany":
        assert {0, 128} < {one.instrument for one in job.takes[0].instruments}


def test_a_take_is_worked_on_and_remembers_where_it_comes_from(running) -> None:
    first = running.client.wait(running.client.compose(SHORT).id)
    edit = Edit(kind="continue", source=Source(job=first.id), seconds=2, seed=1)
    second = running.client.wait(running.client.edit(edit).id)
    assert second.parent is not None
    assert (second.parent.job, second.parent.take) == (first.id, 0)
    assert second.takes[0].seconds > first.takes[0].seconds


def test_jobs_are_listed_newest_first_and_in_pages(running) -> None:
    ids = [running.client.compose(SHORT).id for _ in range(3)]
    page = running.client.jobs(limit=2)
    assert [job.id for job in page.jobs] == ids[:0:-1]
    assert page.next == ids[1]
    rest = running.client.jobs(limit=200, before=page.next)
    assert rest.jobs[0].id == ids[0]
    assert rest.next is None


def test_a_plan_can_be_asked_for_in_its_own_words(running) -> None:
    text = "a fast jazz trio with piano, bass and drums in D minor, 3/4, 140 bpm"
    plan = running.client.plan(PlanRequest(prompt=text))
    assert (plan.wishes.tempo, plan.wishes.key, plan.wishes.metre) == (140, "D minor", "3/4")
    again = running.client.plan(PlanRequest(prompt="music", wishes=plan.wishes, parse=False))
    assert again.wishes == plan.wishes
    assert running.client.plan(PlanRequest(prompt="music", wishes=Wishes(also="harp"))).wishes.also is not None


def test_a_seed_is_drawn_and_told(running) -> None:
    job = running.client.compose(Composition(prompt="x", seconds=1, wishes=Wishes(also="harp", tempo=90)))
    assert job.request["wishes"] == {"with": "harp", "tempo": 90, "loop": False, "ranges": []}
    assert isinstance(job.request["seed"], int)
    assert running.client.wait(job.id).takes[0].seed == job.request["seed"]


def test_a_job_that_fails_says_why_and_the_next_one_is_composed(running) -> None:
    running.engine.fault = ZeroDivisionError("a fault of the engine")
    job = running.client.wait(running.client.compose(SHORT).id)
    assert job.status == "failed"
    assert job.problem is not None
    assert job.problem.status == 500
    assert "fault of the engine" not in job.problem.detail
    running.engine.fault = None
    assert running.client.wait(running.client.compose(SHORT).id).status == "done"


def test_a_job_that_takes_too_long_is_stopped(serving) -> None:
    with serving(job_seconds=0.2) as running:
        running.hold()
        job = running.client.wait(running.client.compose(SHORT).id)
        assert job.status == "failed"
        assert job.problem is not None
        assert "0.2 s are allowed" in job.problem.detail


def test_what_the_service_knows(running) -> None:
    assert [model.name for model in running.client.models() if model.loaded] == ["own"]
    assert running.client.instruments()[128].name == "Drums"
    assert running.http.get("/healthz").json() == {"status": "alive"}
    assert running.http.get("/readyz").json() == {"status": "ready"}
    assert "midi-llm" in running.http.get("/").text.lower()
    running.client.wait(running.client.compose(SHORT).id)
    metrics = running.http.get("/metrics").text
    assert float(re.findall(r'midi_llm_jobs_total{kind="compose",status="done"} (.*)', metrics)[0]) >= 1
    assert "midi_llm_jobs_queued 0.0" in metrics


def test_jobs_are_made_side_by_side_as_far_as_there_is_room_and_none_overtakes(running, until, monkeypatch) -> None:
    monkeypatch.setattr(running.engine, "joins", True)
    monkeypatch.setattr(running.engine, "best_batch", 5)
    running.hold()
    requests = [
        SHORT.model_copy(update={"seed": seed, "takes": takes}) for seed, takes in ((1, 2), (2, 2), (3, 2), (4, 1))
    ]
    jobs = [running.client.compose(request).id for request in requests]
    until(lambda: running.service.store.count()["running"] == 2)
    assert [running.client.job(job).status for job in jobs] == ["running", "running", "queued", "queued"]
    running.release()
    assert [running.client.wait(job).status for job in jobs] == ["done"] * 4
    for job, request in zip(jobs, requests, strict=True):
        settings = Settings(seconds=2, seed=request.seed, takes=request.takes)
        pieces = running.service.composer.compose_takes(request.prompt, settings)
        midi = [to_midi_bytes(piece.score, title=request.prompt) for piece in pieces]
        assert [running.client.midi(job, take) for take in range(request.takes)] == midi


def test_how_much_is_composed_at_once_can_be_said(serving, until) -> None:
    with serving(at_once=3) as running:
        running.hold()
        jobs = [running.client.compose(SHORT.model_copy(update={"seed": seed})).id for seed in range(4)]
        until(lambda: running.service.store.count() == {"queued": 1, "running": 3})
        running.release()
        assert {running.client.wait(job).status for job in jobs} == {"done"}


def test_stopping_puts_all_running_jobs_back(serving, monkeypatch, until) -> None:
    with serving() as running:
        monkeypatch.setattr(running.engine, "joins", True)
        running.hold()
        jobs = [running.client.compose(LONG.model_copy(update={"seed": seed})).id for seed in (1, 2, 3)]
        until(lambda: running.service.store.count()["running"] == 3)
        running.service.stop()
        assert running.service.store.waiting() == jobs
