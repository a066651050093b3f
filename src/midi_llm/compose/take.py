"""One take in the making: its windows, the ids that arrived, how far it has come.

In: prompt ids, a seed, a plan, then token ids one by one. Out: `Request`s for an engine and, at the end,
the events of the whole piece with the reason why it ended. Knows no engine and no text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from midi_llm.compose.bounds import DEFAULT_BOUNDS, Bounds
from midi_llm.compose.constraint import WindowConstraint
from midi_llm.compose.plan import Plan
from midi_llm.compose.windows import FIRST, MIN_END_SHARE, Window, length_ticks, limits, slide
from midi_llm.engines.base import FinishReason, Request, SamplingParams
from midi_llm.errors import RequestError, TokenError
from midi_llm.tokens.codec import Events, decode, encode
from midi_llm.tokens.grammar import TRIPLET, EventGrammar
from midi_llm.tokens.rests import remove_rests
from midi_llm.tokens.salvage import DecodeReport, salvage
from midi_llm.tokens.vocab import DUR_OFFSET, MAX_PITCH, MAX_TIME_TICKS, NOTE_OFFSET, REST, TICKS_PER_SECOND

Ending = Literal["own", "asked", "full", "cancelled"]
"""`own`: the model ended the piece; `asked`: it ends at the length asked for; `full`: the context held no more
(only when the length was left to the model, or when it got stuck); `cancelled`: the caller stopped it."""

LiveNote = tuple[float, float, int, int]
"""Time and duration in seconds, instrument 0-128, pitch: as drawn, before a piece is cut, stretched, transposed."""

LEAST_SECONDS_PER_WINDOW = 2
"""A take whose windows bring less than this on average is stuck; it then ends as `full`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far take number `take` (from 0) has come: `notes` composed, `seconds` of music reached.

    A take that is composed again counts its notes from 1 again.
    """

    take: int
    notes: int
    seconds: float
    note: LiveNote | None = None
    """The note that was just completed; None for one that was given and not composed."""


class Take:
    """A mutable take; `ending` is None while it is being composed."""

    def __init__(
        self,
        *,
        index: int,
        seed: int,
        prompt_ids: list[int],
        plan: Plan,
        params: SamplingParams,
        attempt: int = 0,
        bounds: Bounds = DEFAULT_BOUNDS,
        text_rows: int,
        max_positions: int,
    ) -> None:
        self.index = index
        self.seed = seed
        self.attempt = attempt
        self.ending: Ending | None = None
        self.reports: list[DecodeReport] = []
        """One per window that did not decode strictly."""
        self.windows: list[tuple[int, ...]] = []
        """AMT ids composed in each window; times are relative to the window."""
        self.events: Events = FIRST.context
        """Every event so far, rests included, times from the start of the piece; complete at the end of a window."""
        self._prompt_ids = prompt_ids
        self.plan = plan
        self.params = params
        """How to draw; budget and seed are set for each window."""
        self._allowed = plan.wishes.ensemble.pick(seed)
        self._bounds = bounds
        self._text_rows = text_rows
        self._budget = max_positions - len(prompt_ids)
        self._target = None if plan.seconds is None else length_ticks(plan.seconds * plan.room)
        self._notes = 0
        self._seconds = 0.0
        self._arrived: list[int] = []
        self._window = FIRST
        self._constraint = self._constrain(FIRST)

    @property
    def is_bound(self) -> bool:
        """Whether the text leaves it some instruments only."""
        return self._allowed is not None

    def request(self) -> Request:
        """The request for the current window; its prompt is the text's ids and the events already known."""
        context = (encode(self._window.context) + self._text_rows).tolist()
        params = replace(self.params, max_tokens=self._constraint.max_tokens, seed=self._window_seed())
        start = self._prompt_ids[-1:]  # a prompt ends in the id that starts a piece; without its text it is that alone
        return Request(
            prompt_ids=self._prompt_ids + context,
            unprompted_ids=start + context,
            params=params,
            constraint=self._constraint,
        )

    def push(self, token_id: int) -> bool:
        """Note an id that the engine has drawn; True when it completes a note."""
        amt_id = token_id - self._text_rows
        slot = len(self._arrived) % TRIPLET
        self._arrived.append(amt_id)
        if slot == 0 and amt_id < MAX_TIME_TICKS:
            ticks = self._window.offset_ticks + amt_id
            self._seconds = min(ticks / TICKS_PER_SECOND, self.plan.seconds or math.inf)
        is_note = slot == 2 and amt_id != REST
        self._notes += is_note
        return is_note

    def progress(self) -> Progress:
        """Where this take stands."""
        note = live_note(last_event(self._arrived, self._window.offset_ticks))
        return Progress(take=self.index, notes=self._notes, seconds=self._seconds, note=note)

    def end_window(self, reason: FinishReason) -> None:
        """Decode the window that the engine has finished; go on to the next one, or set `ending`."""
        self._collect()
        close = self._constraint.close
        if reason == "cancelled" and close in (None, "full"):
            self.ending = "cancelled"
        elif close in ("own", "asked"):
            self.ending = close
        elif self._target is None or self._is_stuck():
            self.ending = "full"
        else:
            self._open(slide(self.events, max_events=self._budget // 3))

    def _collect(self) -> None:
        """Add the window's events to the piece: decoded strictly, or salvaged with a report."""
        ids = self._constraint.amt_ids
        self.windows.append(tuple(ids))
        whole = ids[: len(ids) - len(ids) % 3]
        try:
            fresh = decode(whole)
        except TokenError:
            fresh, report = salvage(whole)
            self.reports.append(report)
        fresh = fresh.copy()
        fresh[:, 0] += self._window.offset_ticks
        self.events = np.concatenate([self.events, fresh])

    def _open(self, window: Window) -> None:
        """Go on in `window`; when not one more note fits before the length asked for, the piece ends there."""
        self._arrived = []
        self._window = window
        try:
            self._constraint = self._constrain(window)
        except RequestError:
            self.ending = "asked"

    def _constrain(self, window: Window) -> WindowConstraint:
        """The grammar of `window`, already past its context."""
        share = 1.0 if self.plan.wishes.bars is not None else MIN_END_SHARE  # bars that are counted are all there
        bounds = limits(window, self._target, min_end_share=share)
        grammar = EventGrammar(
            end_ticks=bounds.end_ticks,
            min_end_ticks=bounds.min_end_ticks,
            max_tokens=self._budget - TRIPLET * len(window.context),
            context=window.context,
            max_polyphony=self._bounds.polyphony(self._allowed),
            min_gap_ticks=self._bounds.min_gap_ticks,
            min_melodic_ticks=min(self._bounds.min_melodic_ticks, bounds.end_ticks),
            pitch_classes=self.plan.wishes.pitch_classes,
            ranges={instrument: (low, high) for instrument, low, high in self.plan.wishes.ranges},
            **self._bounds.instruments(self._allowed, used=_sounding(self.events), here=_sounding(window.context)),
        )
        return WindowConstraint(grammar, bounds, text_rows=self._text_rows)

    def _window_seed(self) -> int:
        """The take's seed for the first window of its first attempt, and one derived from it for every other one."""
        number = len(self.windows)
        if number == self.attempt == 0:
            return self.seed
        again = [self.attempt] if self.attempt else []
        return int(np.random.SeedSequence([self.seed, number, *again]).generate_state(1)[0])

    def _is_stuck(self) -> bool:
        """Whether the take has used more windows than a piece of its length can need."""
        return len(self.windows) >= 4 + math.ceil((self.plan.seconds or 0) / LEAST_SECONDS_PER_WINDOW)


def _sounding(events: Events) -> set[int]:
    return set(remove_rests(events)[:, 2].tolist())


Event = tuple[int, int, int, int]
"""One row of `Events`."""


def last_event(arrived: list[int], offset_ticks: int) -> Event:
    """The event that the last three of the AMT ids `arrived` say, `offset_ticks` later than they say it."""
    time, duration, note = arrived[-TRIPLET:]
    return (offset_ticks + time, duration - DUR_OFFSET, *divmod(note - NOTE_OFFSET, MAX_PITCH))


def live_note(event: Event) -> LiveNote:
    """An event in seconds."""
    time, duration, instrument, pitch = event
    return time / TICKS_PER_SECOND, duration / TICKS_PER_SECOND, instrument, pitch
