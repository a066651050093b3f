"""A piece in which passages are composed anew around what is given: the windows of one such take.

In: the given events of the whole piece, and passages: from when to when, and for which instruments. Out: `Request`s,
window by window, and the composed events. Each window repeats the prompt and the piece just before it. It takes the
place of a `Take` at the composer. Knows no engine, no file and no text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from midi_llm.compose.bounds import Bounds, InstrumentBounds
from midi_llm.compose.given import PassageConstraint
from midi_llm.compose.take import LEAST_SECONDS_PER_WINDOW, Ending, Progress, last_event, live_note
from midi_llm.compose.windows import MIN_END_SHARE, SLIDE_TICKS, Window, slide
from midi_llm.compose.wishes import Wishes
from midi_llm.engines.base import FinishReason, Request, SamplingParams
from midi_llm.errors import RequestError
from midi_llm.tokens.codec import Events, encode
from midi_llm.tokens.grammar import TRIPLET, EventGrammar
from midi_llm.tokens.rests import insert_rests, remove_rests
from midi_llm.tokens.vocab import MAX_INSTRUMENT, REST, TICKS_PER_SECOND


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """From `start` (ticks of the piece) to just before `end`, for `instruments` (None: all)."""

    start: int
    end: int
    instruments: frozenset[int] | None = None
    may_end: bool = False
    """The model may close the piece in it."""
    bounded: bool = False
    """The whole piece keeps to the number of instruments that the model's bounds allow."""


class Retake:
    """A mutable take; `ending` is None while it is being composed."""

    def __init__(
        self,
        *,
        index: int,
        seed: int,
        prompt_ids: list[int],
        given: Events,
        passages: tuple[Passage, ...],
        params: SamplingParams,
        bounds: Bounds,
        wishes: Wishes,
        text_rows: int,
        max_positions: int,
    ) -> None:
        self.index = index
        self.seed = seed
        self.params = params
        self.ending: Ending | None = None if passages else "asked"
        self.windows: list[tuple[int, ...]] = []
        """AMT ids of each window, those of given events among them; times are relative to the window."""
        self.composed: Events = np.empty((0, 4), np.int32)
        """In time order, times from the start of the piece; no rests."""
        self._prompt_ids = prompt_ids
        self._given = given
        self._given_rows = set(map(tuple, given.tolist()))
        self._passages = list(passages)
        self._bounds = bounds
        self._wishes = wishes
        self._text_rows = text_rows
        self._budget = max_positions - len(prompt_ids)
        self._arrived: list[int] = []
        self._notes = 0
        self._reached = self._passages[0].start if passages else 0
        self._whole_ticks = sum(passage.end - passage.start for passage in passages)
        self._done_ticks = 0
        self._open()

    def request(self) -> Request:
        """The request for the current window."""
        context = (encode(self._window.context) + self._text_rows).tolist()
        seed = int(np.random.SeedSequence([self.seed, len(self.windows)]).generate_state(1)[0])
        return Request(
            prompt_ids=self._prompt_ids + context,
            unprompted_ids=self._prompt_ids[-1:] + context,
            params=replace(self.params, max_tokens=self._constraint.max_tokens, seed=seed),
            constraint=self._constraint,
        )

    def push(self, token_id: int) -> bool:
        """Note an id; True when it completes a note."""
        amt_id = token_id - self._text_rows
        slot = len(self._arrived) % TRIPLET
        self._arrived.append(amt_id)
        if slot == 0:
            self._reached = max(self._reached, min(self._window.offset_ticks + amt_id, self._passages[0].end))
        self._notes += slot == 2 and amt_id != REST
        return slot == 2 and amt_id != REST

    def progress(self) -> Progress:
        """Where this take stands, in seconds of the passages."""
        here = self._reached - self._passages[0].start if self._passages else 0
        event = last_event(self._arrived, self._window.offset_ticks)
        note = None if event in self._given_rows else live_note(event)
        seconds = (self._done_ticks + here) / TICKS_PER_SECOND
        return Progress(take=self.index, notes=self._notes, seconds=seconds, note=note)

    def end_window(self, reason: FinishReason) -> None:
        """Keep what the window brought; go on in the passage, with the next one, or set `ending`."""
        fresh = remove_rests(self._constraint.events)
        fresh[:, 0] += self._window.offset_ticks
        merged = np.concatenate([self.composed, fresh])
        self.composed = merged[np.argsort(merged[:, 0], kind="stable")]
        self.windows.append(tuple(self._constraint.amt_ids))
        close = self._constraint.close
        self._reached = self._constraint_end if close == "asked" else self._reached + 1
        if reason == "cancelled" and close is None:
            self.ending = "cancelled"
        elif close == "own":
            self.ending = "own"
        elif self._constraint_end >= self._passages[0].end and close == "asked":
            self._next_passage()
        elif self._is_stuck():
            self.ending = "full"
        else:
            self._open()

    def _next_passage(self) -> None:
        done = self._passages.pop(0)
        self._done_ticks += done.end - done.start
        if not self._passages:
            self.ending = "asked"
            return
        self._reached = self._passages[0].start
        self._open()

    def _open(self) -> None:
        """Make the window in which the current passage begins or goes on."""
        if not self._passages:
            return
        passage = self._passages[0]
        self._arrived = []
        self._window = window = self._before(max(self._reached, passage.start), passage)
        self._constraint_end = min(passage.end, window.offset_ticks + SLIDE_TICKS)
        start, end = max(self._reached, passage.start) - window.offset_ticks, self._constraint_end - window.offset_ticks
        given = self._ahead(window, start, end)
        try:
            grammar = self._grammar(passage, window, start=start, end=end)
        except RequestError:  # not one more note fits
            self._next_passage()
            return
        self._constraint = PassageConstraint(
            grammar, given, end_ticks=end, may_end=passage.may_end and not len(given), text_rows=self._text_rows
        )

    def _grammar(self, passage: Passage, window: Window, *, start: int, end: int) -> EventGrammar:
        instruments, polyphony = self._instruments(passage, window)
        return EventGrammar(
            start_ticks=start,
            end_ticks=end,
            min_end_ticks=max(0, end - int((1 - MIN_END_SHARE) * (passage.end - passage.start))),
            max_tokens=self._budget - 3 * len(window.context),
            context=window.context,
            max_polyphony=polyphony,
            min_gap_ticks=self._bounds.min_gap_ticks,
            min_melodic_ticks=min(self._bounds.min_melodic_ticks, end),
            pitch_classes=self._wishes.pitch_classes,
            ranges={instrument: (low, high) for instrument, low, high in self._wishes.ranges},
            **instruments,
        )

    def _instruments(self, passage: Passage, window: Window) -> tuple[InstrumentBounds, int]:
        """The grammar's bounds on instruments, and how many notes may sound at once."""
        given = frozenset(self._given[:, 2].tolist())
        if not passage.bounded:
            bounds = InstrumentBounds(instruments=passage.instruments, max_instruments=MAX_INSTRUMENT)
            return bounds, self._bounds.polyphony(given | (passage.instruments or frozenset()))
        used = given | set(self.composed[:, 2].tolist())
        here = set(remove_rests(window.context)[:, 2].tolist())
        bounds = self._bounds.instruments(passage.instruments, used=set(used), here=here)
        return bounds, self._bounds.polyphony(passage.instruments)

    def _before(self, tick: int, passage: Passage) -> Window:
        """The piece just before `tick`, filled with rests up to it; nothing where it is silent for too long."""
        events = np.concatenate([self._given, self.composed])
        events = events[np.argsort(events[:, 0], kind="stable")]
        events = events[events[:, 0] < tick]
        if not len(events) or tick - events[-1, 0] > SLIDE_TICKS // 4:
            return Window(offset_ticks=tick, context=np.empty((0, 4), np.int32))
        window = slide(events, max_events=self._budget // 3)
        filled = insert_rests(window.context, tick - window.offset_ticks)
        return replace(window, context=filled)

    def _ahead(self, window: Window, start: int, end: int) -> Events:
        """Given events of the window's own part, in its ticks."""
        times = self._given[:, 0] - window.offset_ticks
        ahead = self._given[(times >= start) & (times < end)].copy()
        ahead[:, 0] -= window.offset_ticks
        return ahead

    def _is_stuck(self) -> bool:
        seconds = self._whole_ticks / TICKS_PER_SECOND
        return len(self.windows) >= 4 + len(self._passages) + math.ceil(seconds / LEAST_SECONDS_PER_WINDOW)
