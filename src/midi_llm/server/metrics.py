"""What the service counts, for Prometheus: requests, jobs, the queue, notes and tokens.

In: events of the service. Out: the text that /metrics answers. Every service has its own counters.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

TOKENS_PER_NOTE = 3
SECONDS = (0.5, 1, 2, 5, 10, 20, 40, 80, 160, 320, 640, 1280)
"""Bounds of the histogram of job times."""


class Metrics:
    """Counters of one service; `count` gives the jobs that wait and run when they are asked for."""

    def __init__(self, count: Callable[[str], int]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "midi_llm_http_requests", "Answered requests", ["method", "route", "status"], registry=self.registry
        )
        self.latency = Histogram(
            "midi_llm_http_seconds", "From a request to the head of its answer", ["route"], registry=self.registry
        )
        self.jobs = Counter("midi_llm_jobs", "Jobs that have ended", ["kind", "status"], registry=self.registry)
        self.job_seconds = Histogram(
            "midi_llm_job_seconds", "Composing of one job", ["kind"], buckets=SECONDS, registry=self.registry
        )
        self.notes = Counter("midi_llm_notes", "Notes composed", registry=self.registry)
        self.tokens = Counter("midi_llm_tokens", "Tokens of these notes, rests not counted", registry=self.registry)
        for status in ("queued", "running"):
            gauge = Gauge(f"midi_llm_jobs_{status}", f"Jobs that are {status}", registry=self.registry)
            gauge.set_function(partial(count, status))
        self.streams = Gauge("midi_llm_event_streams", "Event streams that are open", registry=self.registry)

    def note(self) -> None:
        """One more note was composed."""
        self.notes.inc()
        self.tokens.inc(TOKENS_PER_NOTE)

    def text(self) -> bytes:
        """All counters in the text format of Prometheus."""
        return generate_latest(self.registry)
