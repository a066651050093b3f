"""A race told event by event: who fails leaves, who is stopped keeps what is finished, time may be limited."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from midi_llm.errors import EngineError, MissingExtraError
from midi_llm.evaluate import race as race_module
from midi_llm.evaluate.contenders import Contender, Run
from midi_llm.evaluate.race import Entry, Event, Failed, Lap, Opened, race
from midi_llm.evaluate.speed import engine_results
from midi_llm.evaluate.speed_table import markdown, rows


class Runner:
    """Takes of ten ids in `seconds`; the runs whose numbers are in `breaks` fail."""

    def __init__(self, seconds: float = 1.0, *, breaks: tuple[int, ...] = (), stops: int | None = None) -> None:
        self.seconds, self.breaks, self.stops = seconds, breaks, stops
        self.runs = 0
        self.is_closed = False

    def run(self, *, batch: int, seed: int) -> Run:
        self.runs += 1
        if self.runs in self.breaks:
            raise EngineError(f"no memory for {batch} takes")
        if self.runs == self.stops:
            raise KeyboardInterrupt
        return Run(tokens=10 * batch, seconds=self.seconds, first_note_seconds=0.25, music_seconds=3.0 * batch)

    def close(self) -> None:
        self.is_closed = True


def entry(name: str, runner: Runner) -> Entry:
    return Entry(name=name, open=lambda: runner)


def absent() -> Contender:
    raise MissingExtraError("torch", "torch")


def told(events: Iterator[Event]) -> list[str]:
    return [f"{type(event).__name__} {event.contender}" for event in events]


def gather(laps: Iterator[Event], events: list[Event]) -> None:
    for event in laps:
        events.append(event)


def test_a_contender_that_cannot_be_opened_leaves_and_the_others_race() -> None:
    runner = Runner()
    events = list(race([Entry(name="torch", open=absent), entry("onnx", runner)], batches=(1,), rounds=2))
    assert told(iter(events)) == ["Failed torch", "Opened onnx", "Lap onnx", "Lap onnx"]
    assert isinstance(events[0], Failed)
    assert isinstance(events[0].error, MissingExtraError)
    assert runner.is_closed
    assert [row.contender for row in rows(engine_results(events))] == ["onnx"]


def test_a_contender_that_cannot_go_on_keeps_the_laps_it_has_finished() -> None:
    weak, strong = Runner(breaks=(3,)), Runner(2.0)
    events = list(race([entry("weak", weak), entry("strong", strong)], batches=(1, 4), rounds=2))
    assert told(iter(events)) == [
        "Opened weak", "Opened strong",
        "Lap weak", "Lap strong", "Failed weak", "Lap strong", "Lap strong", "Lap strong",
    ]  # fmt: skip
    assert weak.is_closed
    made = rows(engine_results(events))
    assert [(row.contender, row.takes, row.rounds) for row in made] == [
        ("weak", 1, 1),
        ("strong", 1, 2),
        ("strong", 4, 2),
    ]
    assert made[0].ratio == 2.0


def test_one_that_fails_in_its_first_take_has_no_row() -> None:
    runner = Runner(breaks=(1,))
    events = list(race([entry("a", runner)], batches=(1,), rounds=1))
    assert told(iter(events)) == ["Failed a"]
    assert runner.is_closed
    assert rows(engine_results(events)) == []


def test_a_race_that_is_stopped_has_told_what_was_finished_and_closes_everyone() -> None:
    first, second = Runner(), Runner(stops=3)
    events: list[Event] = []
    laps = race([entry("a", first), entry("b", second)], batches=(1,), rounds=3)
    with closing(laps), pytest.raises(KeyboardInterrupt):
        gather(laps, events)
    assert told(iter(events)) == ["Opened a", "Opened b", "Lap a", "Lap b", "Lap a"]
    assert first.is_closed
    assert second.is_closed


def test_no_round_begins_that_would_end_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(float(10 * tick) for tick in range(100))  # each look at the clock is ten seconds later
    monkeypatch.setattr(race_module.time, "perf_counter", lambda: next(now))
    whole = list(race([entry("a", Runner())], batches=(1,), rounds=5))
    assert sum(isinstance(event, Lap) for event in whole) == 5
    cut = list(race([entry("a", Runner())], batches=(1,), rounds=5, seconds=60.0))
    assert sum(isinstance(event, Lap) for event in cut) == 2
    least = list(race([entry("a", Runner())], batches=(1,), rounds=5, seconds=0.0))
    assert sum(isinstance(event, Lap) for event in least) == 1


def test_the_table_shows_medians_and_what_is_not_known() -> None:
    events: list[Event] = [Opened(contender="a", seconds=0.5, mebibytes=12.4)]
    events += [
        Lap(contender="a", batch=4, run=Run(tokens=80, seconds=seconds, first_note_seconds=0.0125, music_seconds=8.0))
        for seconds in (2.0, 4.0, 8.0)
    ]
    events.append(Lap(contender="a", batch=1, run=Run(tokens=20, seconds=2.0)))
    made = rows(engine_results(events))
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown(made).splitlines()]
    assert lines[0] == [
        "engine",
        "takes",
        "ids",
        "s (least, most)",
        "ids/s",
        "RTF",
        "first note, ms",
        "opening, s",
        "added MiB",
    ]
    assert lines[2] == ["a", "4", "20", "4.00 (2.00, 8.00)", "20", "2.0", "12.5", "0.50", "12"]
    assert lines[3] == ["a", "1", "20", "2.00 (2.00, 2.00)", "10", "-", "-", "0.50", "12"]
    assert len({len(line) for line in markdown(made, with_ratio=True).splitlines()}) == 1
