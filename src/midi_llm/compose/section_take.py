"""A take by a plan of sections: each new one is composed after what stands before it, one that comes again is repeated.

In: a plan with sections and the prompt ids of each name, then token ids. Out: `Request`s, and the events of the piece
with the bars they stand on. It takes the place of a `Take` at the composer. Bars are as long as those heard in the
first section, or as the tempo asked for; every later one is played at that tempo before the next is composed, so that
sections begin on bar lines and the tempo does not drift. Knows no engine and no text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from midi_llm.compose.bounds import Bounds
from midi_llm.compose.plan import SLOW_BPM, Plan
from midi_llm.compose.retake import Passage, Retake
from midi_llm.compose.settings import MAX_SECONDS
from midi_llm.compose.take import Ending, Progress
from midi_llm.compose.tempo import hear, is_clear, played, slower
from midi_llm.compose.timing import COMMON_TIME, LEVELS, MOST_STRETCH, bar_seconds, nearest
from midi_llm.engines.base import FinishReason, Request, SamplingParams
from midi_llm.music.beats import BeatGrid
from midi_llm.music.score import Marker, Score, Tempo, TimeSignature
from midi_llm.music.write import DEFAULT_BPM
from midi_llm.tokens.codec import Events
from midi_llm.tokens.salvage import DecodeReport
from midi_llm.tokens.vocab import TICKS_PER_SECOND

HEARD_TICKS = 15 * TICKS_PER_SECOND
"""The tempo is heard in at least so much of the first section, more than there are bars of it if need be."""
SPARE = 1.08
"""A section is composed so much longer than its bars: what is slower than the first one then fills them as well."""
ON_LINE = 1 / 32
"""Of a bar: an onset so little after a bar line is on it."""


class SectionTake:
    """A mutable take; `ending` is None while it is being composed."""

    def __init__(
        self,
        *,
        index: int,
        seed: int,
        prompts: Mapping[str, list[int]],
        plan: Plan,
        params: SamplingParams,
        attempt: int,
        bounds: Bounds,
        text_rows: int,
        max_positions: int,
    ) -> None:
        self.index = index
        self.seed = seed
        self.attempt = attempt
        self.plan = plan
        self.params = params
        self.ending: Ending | None = None
        self.reports: list[DecodeReport] = []
        self.windows: list[tuple[int, ...]] = []
        """AMT ids composed in each window; times are relative to the window."""
        self.events: Events = np.empty((0, 4), np.int32)
        """Every event of the sections that are done, without rests."""
        self._prompts = prompts
        self._bounds = bounds
        self._text_rows = text_rows
        self._max_positions = max_positions
        self._allowed = plan.wishes.ensemble.pick(seed)
        self._sections = plan.wishes.sections
        self._first_bars = [sum(one.bars for one in self._sections[:number]) for number in range(len(self._sections))]
        self._number = 0
        self._notes = 0
        self._parts = 0
        wishes = plan.wishes
        self._metre = wishes.metre or COMMON_TIME
        self._bpm = wishes.bpm or SLOW_BPM
        self._is_timed = False
        """Whether tempo and metre are known for good."""
        self._is_new = True
        """Whether the part at work is the whole of a section that does not repeat another one."""
        room = MOST_STRETCH if wishes.bpm is not None else 1.0
        self._part = self._compose(0, max(HEARD_TICKS, math.ceil(self._line(self._sections[0].bars) * room)))

    @property
    def is_bound(self) -> bool:
        """Whether the text leaves it some instruments only."""
        return self._allowed is not None

    def request(self) -> Request:
        """The request for the current window."""
        return self._part.request()

    def push(self, token_id: int) -> bool:
        """Note an id; True when it completes a note."""
        is_note = self._part.push(token_id)
        self._notes += is_note
        return is_note

    def progress(self) -> Progress:
        """Where this take stands."""
        part = self._part.progress()
        seconds = min(self._start / TICKS_PER_SECOND + part.seconds, self.plan.seconds or math.inf)
        return Progress(take=self.index, notes=self._notes, seconds=seconds, note=part.note)

    def end_window(self, reason: FinishReason) -> None:
        """Go on in the section, with the next one, or set `ending`."""
        self._part.end_window(reason)
        while self.ending is None and self._part.ending is not None:  # a part may be over before a note: none fits
            self.windows += self._part.windows
            self._close_part(self._part.ending)

    def timed(self, score: Score) -> Score:
        """`score` of the take's events with its tempo and metre, a marker at each section, and whole bars."""
        if not self._is_timed:
            return score
        starts = [self._line(bar) / TICKS_PER_SECOND for bar in self._first_bars]
        reached = range(self._number + 1 if self.ending == "cancelled" else len(starts))
        return replace(
            score,
            tempos=(Tempo(time=0.0, bpm=self._bpm),),
            time_signatures=(TimeSignature(time=0.0, numerator=self._metre[0], denominator=self._metre[1]),),
            markers=tuple(Marker(time=starts[number], text=self._sections[number].name) for number in reached),
            end=0.0 if self.ending == "cancelled" else self._line(self._bars) / TICKS_PER_SECOND,
        )

    @property
    def _bars(self) -> int:
        """Of the whole piece."""
        return self._first_bars[-1] + self._sections[-1].bars

    @property
    def _last(self) -> int:
        return len(self._sections) - 1

    @property
    def _rings_out(self) -> bool:
        """Whether the current section is the last one, and the piece no loop."""
        return self._number == self._last and not self.plan.wishes.loop

    def _line(self, bar: int) -> int:
        """The tick at which a bar begins."""
        return round(bar * bar_seconds(self._bpm, self._metre) * TICKS_PER_SECOND)

    def _begin(self) -> None:
        """Compose the current section, or repeat one of its name up to a last bar that is composed anew."""
        section, first = self._sections[self._number], self._first_bars[self._number]
        start, end = self._line(first), self._line(first + section.bars)
        names = [one.name for one in self._sections[: self._number]]
        self._is_new = section.name not in names
        if not self._is_new:
            last_bar = self._line(first + section.bars - 1)
            self._repeat(names.index(section.name), start, last_bar)
            self._part = self._compose(last_bar, end)
        else:
            self._part = self._compose(start, start + math.ceil((end - start) * SPARE))

    def _repeat(self, earlier: int, start: int, end: int) -> None:
        """The events of section number `earlier` from `start` until `end`, again and again where it is shorter."""
        first, bars = self._first_bars[earlier], self._sections[earlier].bars
        begin, stop = self._line(first), self._line(first + bars)
        source = self.events[(self.events[:, 0] >= begin) & (self.events[:, 0] < stop)]
        for at in range(start, end, stop - begin):
            copy = source.copy()
            copy[:, 0] += at - begin
            self._add(copy[copy[:, 0] < end])

    def _compose(self, start: int, end: int) -> Retake:
        """The model at work from `start` to `end` for the current section; at the end of the piece for a bar more."""
        self._start, self._end = start, end + (self._line(1) if self._rings_out else 0)
        self._parts += 1
        seed = np.random.SeedSequence([self.seed, self.attempt, self._parts]).generate_state(1)[0]
        passage = Passage(
            start=start, end=self._end, instruments=self._allowed, may_end=self._number == self._last, bounded=True
        )
        return Retake(
            index=self.index,
            seed=int(seed),
            prompt_ids=self._prompts[self._sections[self._number].name],
            given=self.events,
            passages=(passage,),
            params=self.params,
            bounds=self._bounds,
            wishes=self.plan.wishes,
            text_rows=self._text_rows,
            max_positions=self._max_positions,
        )

    def _close_part(self, ending: Ending) -> None:
        """Put what was composed on the bars; compose what the section lacks, or begin the next one, or end."""
        if ending == "cancelled":
            self._add(self._part.composed)
            self.ending = ending
            return
        section, first = self._sections[self._number], self._first_bars[self._number]
        factor = self._listen(self._part.composed) if self._is_new else 1.0
        self._is_new = False
        composed = played(self._part.composed, start=self._start, factor=factor)
        reached = self._start + math.floor((self._end - self._start) * factor)
        end = self._line(first + section.bars)
        self._add(composed[composed[:, 0] < end + self._struck_after()])
        if ending == "asked" and reached < end:
            self._part = self._compose(reached, end)
        elif self._number < self._last:
            self._number += 1
            self._begin()
        else:
            stop = end + (self._line(1) if self._rings_out else 0)
            self.events[:, 1] = np.minimum(self.events[:, 1], stop - self.events[:, 0])
            self.ending = ending

    def _listen(self, composed: Events) -> float:
        """How much slower a section is to be played; the first one sets tempo and metre of the piece."""
        if not self._is_timed:
            return self._set_tempo(hear(composed, self.plan.wishes.metre))
        return slower(composed, self._bpm, self._metre)

    def _set_tempo(self, grid: BeatGrid | None) -> float:
        """Take the tempo asked for, unless another is clearly heard, else the one heard; how much slower that is."""
        wishes, factor, self._is_timed = self.plan.wishes, 1.0, True
        near = None if grid is None or wishes.bpm is None else _nearest(grid, wishes.bpm)
        if near is not None:
            factor, self._bpm = near
        elif wishes.bpm is None or is_clear(grid):
            self._bpm = DEFAULT_BPM if grid is None else grid.bpm
        if grid is not None and wishes.metre is None and math.isclose(grid.bpm / factor, self._bpm):
            self._metre = grid.metre  # bars are heard at the level of the beats
        while self._line(self._bars) > MAX_SECONDS * TICKS_PER_SECOND:  # heard too slow for so many bars
            self._bpm *= 2
        return factor

    def _struck_after(self) -> int:
        """At the end of the piece, notes that are struck on the bar line belong to it: so many ticks more."""
        return round(self._line(1) * ON_LINE) if self._rings_out else 0

    def _add(self, events: Events) -> None:
        merged = np.concatenate([self.events, events])
        self.events = merged[np.argsort(merged[:, 0], kind="stable")]


def _nearest(grid: BeatGrid, asked: float) -> tuple[float, float] | None:
    """As `timing.nearest`, for a beat of half or twice the length as well: few notes tell little of the level."""
    heard = (nearest(replace(grid, bpm=grid.bpm * level), asked) for level in LEVELS)
    return next((found for found in heard if found is not None), None)
