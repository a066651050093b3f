"""A feed as server-sent events.

In: a `Feed` and the id a client saw last. Out: the text of the stream, with a sign of life where nothing happens, so
that a client that has gone away is noticed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from midi_llm.server.feed import Event, Feed

NAMES = ("state", "notes", "progress", "take", "done", "failed", "cancelled")
ALIVE_SECONDS = 15.0
ALIVE = ": alive\n\n"


async def stream(feed: Feed, last_id: str | None) -> AsyncIterator[str]:
    """Every event behind `last_id`, as it comes, until the feed ends."""
    loop, more = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        if not more.is_set():
            with suppress(RuntimeError):  # the loop has ended, and this stream with it
                loop.call_soon_threadsafe(more.set)

    place = feed.place(last_id)
    with feed.listening(wake):
        while True:
            more.clear()
            events, is_last = feed.since(place)
            place += len(events)
            if events:
                yield "".join(map(as_text, events))
            if is_last:
                return
            try:
                await asyncio.wait_for(more.wait(), ALIVE_SECONDS)
            except TimeoutError:
                yield ALIVE


def as_text(event: Event) -> str:
    """One event; its data is one line."""
    return f"id: {event.id}\nevent: {event.name}\ndata: {event.data}\n\n"
