"""The data base: transactions, restarts, versions."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from midi_llm.errors import OutputError, ServiceError
from midi_llm.server.store import FILE_NAME, VERSION, Facts, Store


def add(store: Store, job: str, client: str = "me", takes: int = 1) -> None:
    request = {"prompt": "x", "takes": takes}
    store.add_job(job, kind="compose", client=client, request=request, check=lambda waiting, mine: None)


def always(request: Facts) -> bool:
    return True


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path)
    yield store
    store.close()


def test_nothing_overtakes_a_job_for_which_there_is_no_room(store: Store) -> None:
    add(store, "large", takes=3)
    add(store, "small", takes=1)
    assert store.start_next(lambda request: request["takes"] < 2) is None
    assert store.start_next(lambda request: request["takes"] < 4).id == "large"


def test_jobs_start_in_their_order_and_know_their_place(store: Store) -> None:
    for job in ("a", "b", "c"):
        add(store, job)
    assert [store.job(job).position for job in "abc"] == [0, 1, 2]
    assert store.start_next(always).id == "a"
    assert store.waiting() == ["b", "c"]
    assert [store.job(job).position for job in "abc"] == [None, 1, 2]
    assert store.count() == {"queued": 2, "running": 1}


def test_a_job_ends_once(store: Store) -> None:
    add(store, "a")
    assert not store.finish("a", [])  # it has not started
    store.start_next(always)
    assert store.cancel("a")
    assert not store.cancel("a")
    assert not store.finish("a", [({"index": 0}, b"MThd")])
    assert not store.fail("a", {"detail": "late"})
    assert store.job("a").status == "cancelled"
    assert store.midi("a", 0) is None


def test_what_is_kept_is_there_when_the_file_is_opened_again(store: Store, tmp_path: Path) -> None:
    for job in ("a", "b", "c"):
        add(store, job)
    store.start_next(always)
    store.finish("a", [({"index": 0}, b"first"), ({"index": 1}, b"second")])
    store.start_next(always)
    store.close()
    other = Store(tmp_path)
    assert other.requeue(3, {"detail": "given up"}) == 2
    assert [other.job(job).status for job in "abc"] == ["done", "queued", "queued"]
    assert other.midi("a", 1) == b"second"
    assert other.start_next(always).id == "b"
    other.close()


def test_a_job_that_always_ends_the_process_is_given_up(store: Store) -> None:
    add(store, "a")
    for _ in range(2):
        store.start_next(always)
        store.requeue(3, {"detail": "given up"})
        assert store.job("a").status == "queued"
    store.start_next(always)
    store.put_back("a")  # an orderly end does not count
    store.start_next(always)
    store.requeue(3, {"detail": "given up"})
    assert store.job("a").status == "failed"
    assert store.job("a").problem == {"detail": "given up"}


def test_a_check_that_raises_leaves_nothing(store: Store) -> None:
    add(store, "a", "me")
    add(store, "b", "you")

    def refuse(waiting: int, mine: int) -> None:
        assert (waiting, mine) == (2, 1)
        raise ServiceError(429, "full")

    with pytest.raises(ServiceError):
        store.add_job("c", kind="compose", client="me", request={}, check=refuse)
    assert store.job("c") is None


def test_one_service_alone_uses_a_folder(store: Store, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="another service uses it"):
        Store(tmp_path)


def test_a_file_of_a_newer_version_and_one_that_is_none_are_refused(tmp_path: Path) -> None:
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    with pytest.raises(OutputError, match="written by a newer midi-llm"):
        Store(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / FILE_NAME).write_bytes(b"no data base" * 100)
    with pytest.raises(OutputError, match="not a database"):
        Store(tmp_path / "other")
    with pytest.raises(OutputError, match="cannot keep jobs"):
        Store(tmp_path / "other" / FILE_NAME)
