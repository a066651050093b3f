"""Events in order, for listeners that come early, late and again; notes told in groups."""

from __future__ import annotations

import json

from midi_llm.compose.take import Progress
from midi_llm.server.feed import Feed
from midi_llm.server.metrics import Metrics
from midi_llm.server.telling import Telling


def names(feed: Feed, place: int = 0) -> list[str]:
    return [event.name for event in feed.since(place)[0]]


def test_a_listener_is_woken_and_finds_what_it_has_not_seen() -> None:
    feed, woken = Feed(), []
    feed.publish("state", {})
    with feed.listening(lambda: woken.append(len(woken))):
        feed.publish("notes", {"take": 0})
        feed.close()
    feed.publish("late", {})
    assert len(woken) == 2
    events, is_last = feed.since(0)
    assert [event.name for event in events] == ["state", "notes"]
    assert is_last
    assert names(feed, feed.place(events[0].id)) == ["notes"]


def test_an_id_of_another_feed_begins_anew() -> None:
    first, second = Feed(), Feed()
    for feed in (first, second):
        feed.publish("state", {})
    for last in (first.since(0)[0][0].id, None, "", "x", "x.y"):
        assert second.place(last) == 0


def progress(notes: int) -> Progress:
    return Progress(take=0, notes=notes, seconds=notes / 2, note=(notes / 2, 0.25, 33, 40))


def test_every_note_is_told_once_and_a_new_attempt_is_announced() -> None:
    feed, metrics = Feed(), Metrics(lambda status: 0)
    telling = Telling(feed.publish, metrics)
    for notes in (1, 2, 3):
        telling(progress(notes))
    telling.flush()
    telling.flush()
    for notes in (1, 2):
        telling(progress(notes))
    telling(Progress(take=0, notes=3, seconds=1.5))  # a note that was given
    telling.flush()
    told = [(event.name, json.loads(event.data)) for event in feed.since(0)[0]]
    rows = [[0.5, 0.25, 33, 40, 72], [1.0, 0.25, 33, 40, 72], [1.5, 0.25, 33, 40, 72]]
    assert told == [
        ("notes", {"take": 0, "notes": rows}),
        ("progress", {"take": 0, "seconds": 1.5, "notes": 3}),
        ("progress", {"take": 0, "seconds": 0.0, "notes": 0}),
        ("notes", {"take": 0, "notes": rows[:2]}),
        ("progress", {"take": 0, "seconds": 1.5, "notes": 3}),
    ]
    assert b"midi_llm_notes_total 5.0" in metrics.text()
