"""Jobs as they are kept and as clients see them.

In: a `JobRecord`. Out: the `Job` that is answered, the request that is composed, the feed of one that has ended.
"""

from __future__ import annotations

from midi_llm.server import schemas
from midi_llm.server.feed import Feed
from midi_llm.server.store import Facts, JobRecord

_AS_KEPT = ("id", "kind", "status", "created", "started", "ended", "request", "takes", "position", "problem")


def job_of(record: JobRecord) -> schemas.Job:
    """What clients see of a job."""
    source = record.request.get("source", {})
    kept = {name: getattr(record, name) for name in _AS_KEPT}
    parent = {"job": source["job"], "take": source.get("take", 0)} if "job" in source else None
    return schemas.Job.model_validate({**kept, "parent": parent})


def request_of(record: JobRecord) -> schemas.Composition | schemas.Edit:
    """The request that a job came from."""
    if record.kind == "compose":
        return schemas.Composition(**record.request)
    return schemas.Edit(**record.request)


def takes_of(request: Facts) -> int:
    """How many takes a request as it is kept asks for."""
    return int(request.get("takes", 1))


def feed_of(job: schemas.Job) -> Feed:
    """What is told of a job that has ended."""
    feed = Feed()
    for take in job.takes:
        feed.publish("take", {"take": take.model_dump()})
    if job.status == "done":
        feed.publish("done", {"job": job.model_dump()})
    elif job.problem is not None:
        feed.publish("failed", {"problem": job.problem.model_dump(exclude_none=True)})
    elif job.status == "cancelled":
        feed.publish("cancelled", {})
    feed.close()
    return feed
