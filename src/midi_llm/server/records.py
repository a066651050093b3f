"""Jobs as they are kept and as clients see them.

In: a `JobRecord`. Out: the `Job` that is answered, the request that is composed, the feed of one that has ended.
"""

from __future__ import annotations

from midi_llm.server import schemas
from midi_llm.server.feed import Feed
from midi_llm.server.store import JobRecord


def job_of(record: JobRecord) -> schemas.Job:
    """What clients see of a job."""
    source = record.request.get("source", {})
    return schemas.Job(
        id=record.id,
        kind=record.kind,
        status=record.status,
        created=record.created,
        started=record.started,
        ended=record.ended,
        request=record.request,
        parent=None if "job" not in source else schemas.Parent(job=source["job"], take=source.get("take", 0)),
        takes=[schemas.Take(**facts) for facts in record.takes],
        position=record.position,
        problem=None if record.problem is None else schemas.Problem(**record.problem),
    )


def request_of(record: JobRecord) -> schemas.Composition | schemas.Edit:
    """The request that a job came from."""
    if record.kind == "compose":
        return schemas.Composition(**record.request)
    return schemas.Edit(**record.request)


def feed_of(job: schemas.Job) -> Feed:
    """What is told of a job that has ended."""
    feed = Feed()
    for take in job.takes:
        feed.publish("take", {"take": take.model_dump()})
    if job.status == "done":
        feed.publish("done", {"job": job.model_dump()})
    elif job.status == "failed":
        feed.publish("failed", {"problem": job.problem.model_dump(exclude_none=True) if job.problem else {}})
    else:
        feed.publish(job.status, {})
    feed.close()
    return feed
