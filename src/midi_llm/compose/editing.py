"""Work on a piece that is there: what is kept, what is composed anew, and in which passages.

In: a `SongFile` and what is to be done with it. Out: an `Edit`; and, from the events composed for it, new notes in the
ticks of the file. The model reads the piece at one steady tempo near the file's own, at which an eighth note is a whole
number of 10 ms ticks, as in training; beats, not seconds, carry over, so any tempo map stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from midi_llm.compose.new_velocities import new_velocities
from midi_llm.compose.retake import Passage
from midi_llm.compose.settings import MIN_SECONDS
from midi_llm.errors import RequestError
from midi_llm.music.instruments import instrument_name
from midi_llm.music.quantise import EARLY, grid_lines
from midi_llm.music.score import DRUMS
from midi_llm.music.smf import IntArray
from midi_llm.music.song_edit import NEW_NOTE_DTYPE, NewNotes
from midi_llm.music.song_file import BoolArray, SongFile
from midi_llm.tokens.codec import Events
from midi_llm.tokens.vocab import MAX_DURATION_TICKS, TICKS_PER_SECOND

MAX_PASSAGE_SECONDS = 600.0
"""More than that is not composed at once."""
MOST_GIVEN = 12
"""Melodic instruments of which the model hears; beyond them the busiest count."""
EIGHTHS_PER_MINUTE_TICKS = 60 * TICKS_PER_SECOND // 2
"""3,000: an eighth note in ticks is 3,000 / bpm."""
GRID_SECONDS, GRID_SHARE = 0.015, 0.8
"""A file is on the grid when so many of its onsets lie so close to it; new notes are then put on it."""
VARIED_BARS = 4
"""Bars that are varied together."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Edit:
    """What is done: the notes `removed` [n] of the file, and the `passages` composed, in ticks of the model."""

    song: SongFile
    removed: BoolArray
    passages: tuple[Passage, ...]
    ticks_per_quarter: int
    """Of the model's time, 10 ms each."""

    @property
    def given(self) -> Events:
        """What is kept, as the model hears it: [n, 4] in time order."""
        song, kept = self.song, ~self.removed
        instrument = song.notes.instrument.astype(np.int64)
        melodic, counts = np.unique(instrument[kept & (instrument != DRUMS)], return_counts=True)
        if len(melodic) > MOST_GIVEN:
            kept &= np.isin(instrument, [*melodic[np.argsort(-counts, kind="stable")[:MOST_GIVEN]], DRUMS])
        events = np.empty((int(kept.sum()), 4), np.int32)
        start = self.to_model(song.start[kept])
        events[:, 0] = start
        events[:, 1] = np.clip(self.to_model(song.end[kept]) - start, 1, MAX_DURATION_TICKS - 1)
        events[:, 2], events[:, 3] = instrument[kept], song.notes.pitch[kept]
        return events[np.argsort(events[:, 0], kind="stable")]

    @property
    def seconds(self) -> float:
        """How much music is composed, in seconds of the model."""
        return sum(passage.end - passage.start for passage in self.passages) / TICKS_PER_SECOND

    def to_model(self, ticks: IntArray) -> IntArray:
        """Ticks of the file as ticks of the model."""
        return _scaled(ticks, self.ticks_per_quarter, self.song.ticks_per_quarter)

    def new_notes(self, composed: Events, *, seed: int) -> NewNotes:
        """Composed events [n, 4] as notes of the file: on its grid where it keeps to one, as loud as its own notes.

        `seed` varies how loud they are.
        """
        song = self.song
        quarters = composed[:, 0] / self.ticks_per_quarter
        ends = quarters + composed[:, 1] / self.ticks_per_quarter
        if on_grid(song):
            quarters = grid_lines(quarters)
        notes = np.empty(len(composed), NEW_NOTE_DTYPE)
        notes["start"] = np.rint(quarters * song.ticks_per_quarter)
        notes["end"] = np.maximum(np.rint(ends * song.ticks_per_quarter), notes["start"] + 1)
        notes["instrument"], notes["pitch"] = composed[:, 2], composed[:, 3]
        notes["velocity"] = new_velocities(song, ~self.removed, notes, seed=seed)
        return notes


def continued(song: SongFile, *, seconds: float) -> Edit:
    """Go on after the last bar for `seconds`; the model may end the piece in the last tenth of it."""
    if not seconds >= MIN_SECONDS:
        raise RequestError(f"seconds is {seconds:g}; allowed is {MIN_SECONDS:g} to {MAX_PASSAGE_SECONDS:g}")
    ticks = model_ticks_per_quarter(song)
    start = int(_scaled(song.bars[-1:], ticks, song.ticks_per_quarter)[0])
    passage = Passage(start=start, end=start + round(seconds * TICKS_PER_SECOND), instruments=own(song), may_end=True)
    return _edit(song, np.zeros(len(song.start), np.bool_), (passage,))


def infilled(song: SongFile, *, first: int, last: int, instruments: frozenset[int] | None = None) -> Edit:
    """Compose bars `first` to `last` anew, all that begins in them or of `instruments` alone."""
    start, end = song.bar_range(first, last)
    chosen = own(song) if instruments is None else instruments
    removed = _begins_in(song, start, end) & np.isin(song.notes.instrument, sorted(chosen))
    return _edit(song, removed, _passages(song, [(start, end)], lambda _: chosen))


def accompanied(song: SongFile, *, instruments: frozenset[int]) -> Edit:
    """Keep every note, and compose `instruments` beside them from the first bar to the last."""
    whole = (0, int(song.bars[-1]))
    return _edit(song, np.zeros(len(song.start), np.bool_), _passages(song, [whole], lambda _: instruments))


def replaced(song: SongFile, *, old: frozenset[int], new: frozenset[int]) -> Edit:
    """Compose the parts of the instruments `old` anew, for `new`."""
    removed = np.isin(song.notes.instrument, sorted(old))
    if not removed.any():
        names = ", ".join(instrument_name(one) for one in sorted(own(song)))
        raise RequestError(
            f"{song.name} has no {', '.join(instrument_name(one) for one in sorted(old))}; it has {names}"
        )
    whole = (0, int(song.bars[-1]))
    return _edit(song, removed, _passages(song, [whole], lambda _: new))


def varied(song: SongFile, *, share: float, seed: int) -> Edit:
    """Compose a `share` (above 0, at most 1) of the piece anew: of each four bars some instruments, drawn by `seed`."""
    if not 0 < share <= 1:
        raise RequestError(f"strength is {share:g}; allowed is above 0 and at most 1")
    rng = np.random.default_rng(seed)
    removed = np.zeros(len(song.start), np.bool_)
    chosen: dict[tuple[int, int], frozenset[int]] = {}
    for at in range(0, len(song.bars) - 1, VARIED_BARS):
        bounds = (int(song.bars[at]), int(song.bars[min(at + VARIED_BARS, len(song.bars) - 1)]))
        inside = _begins_in(song, *bounds)
        here = np.unique(song.notes.instrument[inside]).tolist()
        drawn = frozenset(one for one in here if rng.random() < share)
        if drawn:
            chosen[bounds] = drawn
            removed |= inside & np.isin(song.notes.instrument, sorted(drawn))
    if not chosen:
        raise RequestError(f"with strength {share:g} and seed {seed} nothing is varied; raise the strength")
    return _edit(song, removed, _passages(song, list(chosen), chosen.__getitem__))


def own(song: SongFile) -> frozenset[int]:
    """The instruments of a song."""
    return frozenset(np.unique(song.notes.instrument).tolist())


def on_grid(song: SongFile) -> bool:
    """Whether the notes keep to sixteenths or triplets of the file's beats."""
    quarters = song.start / song.ticks_per_quarter
    seconds_per_quarter = 60.0 / mean_tempo(song)
    return bool((np.abs(grid_lines(quarters) - quarters) * seconds_per_quarter < GRID_SECONDS).mean() >= GRID_SHARE)


def mean_tempo(song: SongFile) -> float:
    """Quarter notes a minute over the whole piece."""
    seconds = float((song.notes.time + song.notes.duration).max())
    return 60.0 * int(song.end.max()) / song.ticks_per_quarter / seconds if seconds > 0 else 120.0


def model_ticks_per_quarter(song: SongFile) -> int:
    """10 ms ticks of a quarter note at the tempo nearest to the file's at which an eighth is a whole number of them."""
    return 2 * max(1, round(EIGHTHS_PER_MINUTE_TICKS / mean_tempo(song)))


def _begins_in(song: SongFile, start: int, end: int) -> BoolArray:
    """Which notes [n] belong to the bars from `start` to `end`; one that comes a little early belongs to its beat."""
    onset = song.start + EARLY * song.ticks_per_quarter
    found: BoolArray = (onset >= start) & (onset < end)
    return found


def _passages(
    song: SongFile, bounds: list[tuple[int, int]], instruments: Callable[[tuple[int, int]], frozenset[int]]
) -> tuple[Passage, ...]:
    ticks = model_ticks_per_quarter(song)
    found = []
    for pair in bounds:
        start, end = _scaled(np.array(pair, np.int64), ticks, song.ticks_per_quarter).tolist()
        found.append(Passage(start=start, end=end, instruments=instruments(pair)))
    return tuple(found)


def _edit(song: SongFile, removed: BoolArray, passages: tuple[Passage, ...]) -> Edit:
    edit = Edit(song=song, removed=removed, passages=passages, ticks_per_quarter=model_ticks_per_quarter(song))
    if edit.seconds > MAX_PASSAGE_SECONDS:
        raise RequestError(
            f"{edit.seconds:,.0f} s would be composed; at most {MAX_PASSAGE_SECONDS:g} s are at once: name fewer bars,"
            " or take a shorter file"
        )
    return edit


def _scaled(ticks: IntArray, to: int, per: int) -> IntArray:
    return np.rint(ticks * to / per).astype(np.int64)
