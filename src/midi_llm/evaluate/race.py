"""A race of contenders, told event by event, so that whoever stops it has all that was finished.

In: contenders that can be opened, takes side by side, rounds. Out: what opening each took, then laps: rounds are
interleaved, so that a machine that slows down slows all of them. A contender that fails leaves; the others go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from midi_llm.errors import MidiLLMError, RequestError
from midi_llm.evaluate.contenders import Contender, Run, peak_memory


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A contender that is opened when its turn comes, so that its memory can be told from that of the others."""

    name: str
    open: Callable[[], Contender]


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A contender is ready: seconds that opening took, and MiB that it and a first take added at their peak."""

    contender: str
    seconds: float
    mebibytes: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Lap:
    """One run of `batch` takes side by side."""

    contender: str
    batch: int
    run: Run


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """A contender could not be opened, or could not go on."""

    contender: str
    error: MidiLLMError


Event = Opened | Lap | Failed


def race(
    entries: Sequence[Entry], *, batches: Sequence[int], rounds: int, seed: int = 0, seconds: float | None = None
) -> Generator[Event, None, None]:
    """Open every contender, then measure it at every batch size, `rounds` times in turn.

    A first take of each touches the weights and is not a lap. `seconds`: after the first round, another one begins only
    where it would be over by then if it took as long. Raises `RequestError` for no contender, two of one name, no batch
    or no round.
    """
    names = [entry.name for entry in entries]
    if not entries or len(set(names)) < len(names) or not batches or min(batches) < 1 or rounds < 1:
        raise RequestError(
            f"contenders are {names}, batches {list(batches)}, rounds {rounds}; needed are contenders with names of"
            " their own, batches of 1 or more, and at least one round"
        )
    return _race(entries, batches, rounds, seed, seconds)


def _race(
    entries: Sequence[Entry], batches: Sequence[int], rounds: int, seed: int, seconds: float | None
) -> Generator[Event, None, None]:
    began = time.perf_counter()
    running: dict[str, Contender] = {}
    try:
        for entry in entries:
            try:
                yield _open(entry, running, seed)
            except MidiLLMError as error:
                yield _leave(entry.name, running, error)
        for number in range(rounds):
            round_began = time.perf_counter()
            for batch in batches:
                for name in list(running):
                    try:
                        run = running[name].run(batch=batch, seed=seed + number * max(batches))
                        yield Lap(contender=name, batch=batch, run=run)
                    except MidiLLMError as error:
                        yield _leave(name, running, error)
            now = time.perf_counter()
            if seconds is not None and now - began + (now - round_began) > seconds:
                return
    finally:
        for contender in running.values():
            contender.close()


def _open(entry: Entry, running: dict[str, Contender], seed: int) -> Opened:
    with peak_memory() as peak:
        began = time.perf_counter()
        running[entry.name] = entry.open()
        seconds = time.perf_counter() - began
        running[entry.name].run(batch=1, seed=seed)
    return Opened(contender=entry.name, seconds=seconds, mebibytes=peak.mebibytes)


def _leave(name: str, running: dict[str, Contender], error: MidiLLMError) -> Failed:
    if name in running:
        running.pop(name).close()
    return Failed(contender=name, error=error)
