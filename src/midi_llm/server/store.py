"""Jobs, their takes and uploads in one SQLite file (WAL): what is here survives a killed process.

In and out: the records of this file, results as bytes. Every change is one transaction, so a job is done with all its
takes or not done. A change of the tables raises `VERSION` and adds the statements that bring older files there.
Raises `sqlite3.Error` where the disk is full or broken. Knows no music and no HTTP.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midi_llm.errors import OutputError

FILE_NAME = "midi-llm.sqlite3"
MIGRATIONS = (
    """
    CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, status TEXT NOT NULL,
        created REAL NOT NULL, started REAL, ended REAL, starts INTEGER NOT NULL DEFAULT 0, client TEXT NOT NULL,
        request TEXT NOT NULL, problem TEXT
    );
    CREATE INDEX jobs_unfinished ON jobs (status) WHERE status IN ('queued', 'running');
    CREATE TABLE takes (
        job TEXT NOT NULL REFERENCES jobs (id), number INTEGER NOT NULL, facts TEXT NOT NULL, midi BLOB NOT NULL,
        PRIMARY KEY (job, number)
    );
    CREATE TABLE uploads (id TEXT PRIMARY KEY, created REAL NOT NULL, facts TEXT NOT NULL, midi BLOB NOT NULL);
    """,
)
"""Script n brings a file of version n to n + 1."""
VERSION = len(MIGRATIONS)

Facts = dict[str, Any]
"""JSON-able values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRecord:
    """A job as it is kept; `position` is how many unfinished jobs came before it, None once it has started."""

    id: str
    kind: str
    status: str
    created: float
    started: float | None
    ended: float | None
    starts: int
    client: str
    request: Facts
    problem: Facts | None
    takes: tuple[Facts, ...]
    position: int | None


class Store:
    """The data base; safe to use from several threads. Close it."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(folder / FILE_NAME, check_same_thread=False, isolation_level=None, timeout=1)
            self._lock = threading.RLock()
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")  # two services would run each other's jobs
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._migrate(folder)
        except (OSError, sqlite3.Error) as error:
            hint = "another service uses it: stop that one, or" if "locked" in str(error) else "make room, or"
            raise OutputError(f"cannot keep jobs in {folder}: {error}; {hint} choose another with --data") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def check(self) -> None:
        """Raise `sqlite3.Error` where the file cannot be read."""
        self._one("SELECT 1")

    def requeue(self, most_starts: int, problem: Facts) -> int:
        """Put jobs back that were running when the process ended; those started `most_starts` times fail.

        The number of jobs that wait.
        """
        with self._transaction() as db:
            db.execute(
                "UPDATE jobs SET status = 'failed', ended = ?, problem = ? WHERE status = 'running' AND starts >= ?",
                (time.time(), json.dumps(problem), most_starts),
            )
            db.execute("UPDATE jobs SET status = 'queued', started = NULL WHERE status = 'running'")
        return self.count()["queued"]

    def put_back(self, job: str) -> None:
        """Let a running job wait again, as if it had not started."""
        self._change(
            "UPDATE jobs SET status = 'queued', started = NULL, starts = starts - 1"
            " WHERE id = ? AND status = 'running'",
            job,
        )

    def add_job(self, job: str, *, kind: str, client: str, request: Facts, check: Callable[[int, int], None]) -> None:
        """Let a job wait unless `check` raises, told how many jobs wait and how many of `client` have not ended."""
        with self._transaction() as db:
            waiting, mine = db.execute(
                "SELECT count(*) FILTER (WHERE status = 'queued'), count(*) FILTER (WHERE client = ?)"
                " FROM jobs WHERE status IN ('queued', 'running')",
                (client,),
            ).fetchone()
            check(waiting, mine)
            db.execute(
                "INSERT INTO jobs (id, kind, status, created, client, request) VALUES (?, ?, 'queued', ?, ?, ?)",
                (job, kind, time.time(), client, json.dumps(request)),
            )

    def start_next(self, has_room: Callable[[Facts], bool]) -> JobRecord | None:
        """Start the oldest job that waits, unless there is no room for its request; then nothing overtakes it."""
        with self._transaction() as db:
            row = db.execute("SELECT id, request FROM jobs WHERE status = 'queued' ORDER BY seq LIMIT 1").fetchone()
            if row is None or not has_room(json.loads(row["request"])):
                return None
            db.execute(
                "UPDATE jobs SET status = 'running', started = ?, starts = starts + 1 WHERE id = ?",
                (time.time(), row["id"]),
            )
        return self.job(row["id"])

    def finish(self, job: str, takes: list[tuple[Facts, bytes]]) -> bool:
        """Keep the takes (facts, MIDI file) of a running job, which is done; False where it was cancelled."""
        with self._transaction() as db:
            if not self._end(db, job, "done", None):
                return False
            db.executemany(
                "INSERT INTO takes VALUES (?, ?, ?, ?)",
                [(job, number, json.dumps(facts), midi) for number, (facts, midi) in enumerate(takes)],
            )
        return True

    def fail(self, job: str, problem: Facts) -> bool:
        """End a running job with `problem`; False where it was cancelled."""
        with self._transaction() as db:
            return self._end(db, job, "failed", json.dumps(problem))

    def cancel(self, job: str) -> bool:
        """End a job that waits or runs; False where it has ended, or there is none."""
        with self._transaction() as db:
            return self._end(db, job, "cancelled", None)

    def job(self, job: str) -> JobRecord | None:
        """The job called `job`."""
        row = self._one("SELECT * FROM jobs WHERE id = ?", job)
        return None if row is None else self._record(row)

    def jobs(self, *, limit: int, before: str | None) -> list[JobRecord]:
        """At most `limit` jobs, the newest first, of those older than `before`."""
        rows = self._all(
            "SELECT * FROM jobs WHERE ?1 IS NULL OR seq < (SELECT seq FROM jobs WHERE id = ?1)"
            " ORDER BY seq DESC LIMIT ?2",
            before,
            limit,
        )
        return [self._record(row) for row in rows]

    def waiting(self) -> list[str]:
        """The jobs that wait, in their order."""
        return [row["id"] for row in self._all("SELECT id FROM jobs WHERE status = 'queued' ORDER BY seq")]

    def count(self) -> dict[str, int]:
        """How many jobs wait and run."""
        rows = self._all("SELECT status, count(*) AS n FROM jobs WHERE status IN ('queued', 'running') GROUP BY status")
        return {"queued": 0, "running": 0} | {row["status"]: row["n"] for row in rows}

    def midi(self, job: str, number: int) -> bytes | None:
        """The MIDI file of a take."""
        return self._blob("SELECT midi FROM takes WHERE job = ? AND number = ?", job, number)

    def add_upload(self, upload: str, facts: Facts, midi: bytes) -> None:
        """Keep a file."""
        self._change("INSERT INTO uploads VALUES (?, ?, ?, ?)", upload, time.time(), json.dumps(facts), midi)

    def upload(self, upload: str) -> tuple[bytes, str] | None:
        """The file of an upload, and its name."""
        row = self._one("SELECT midi, facts FROM uploads WHERE id = ?", upload)
        return None if row is None else (bytes(row["midi"]), str(json.loads(row["facts"])["name"]))

    def _end(self, db: sqlite3.Connection, job: str, status: str, problem: str | None) -> bool:
        allowed = "('queued', 'running')" if status == "cancelled" else "('running')"
        done = db.execute(
            f"UPDATE jobs SET status = ?, ended = ?, problem = ? WHERE id = ? AND status IN {allowed}",
            (status, time.time(), problem, job),
        )
        return done.rowcount == 1

    def _record(self, row: sqlite3.Row) -> JobRecord:
        takes = self._all("SELECT facts FROM takes WHERE job = ? ORDER BY number", row["id"])
        position = None
        if row["status"] == "queued":
            sql = "SELECT count(*) AS n FROM jobs WHERE status IN ('queued', 'running') AND seq < ?"
            position = int(self._all(sql, row["seq"])[0]["n"])
        return JobRecord(
            **{name: row[name] for name in ("id", "kind", "status", "created", "started", "ended", "starts", "client")},
            request=json.loads(row["request"]),
            problem=None if row["problem"] is None else json.loads(row["problem"]),
            takes=tuple(json.loads(take["facts"]) for take in takes),
            position=position,
        )

    def _all(self, sql: str, *values: object) -> list[sqlite3.Row]:
        with self._lock, closing(self._db.execute(sql, values)) as rows:
            return rows.fetchall()

    def _one(self, sql: str, *values: object) -> sqlite3.Row | None:
        return next(iter(self._all(sql, *values)), None)

    def _blob(self, sql: str, *values: object) -> bytes | None:
        row = self._one(sql, *values)
        return None if row is None else bytes(row[0])

    def _change(self, sql: str, *values: object) -> None:
        with self._transaction() as db:
            db.execute(sql, values)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All that is done in the block, or nothing of it."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def _migrate(self, folder: Path) -> None:
        found = int(self._all("PRAGMA user_version")[0][0])
        if found > VERSION:
            raise OutputError(
                f"{folder / FILE_NAME} is of version {found}, written by a newer midi-llm; this one reads up to"
                f" {VERSION}: update, or choose another folder with --data"
            )
        for number in range(found, VERSION):
            self._db.executescript(f"BEGIN; {MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;")
