"""Which AMT ids may come next: slot order, time, length, instruments, polyphony, rests and the ending of a piece.

`EventGrammar` reads the AMT ids one by one (`accept`) and answers `allowed()`, never empty before `finished`. What it
lets through decodes strictly. Rules not in AMT's own sampler:
1. Onsets lie before `end_ticks` and notes end by it; a piece closes with one SEPARATOR at a time slot.
2. No note twice at one onset; at most `max_polyphony` notes sound at an onset, so time must move on when they do.
3. A REST stands one second after the event before it, as ops.pad (af37397) puts it; as the first event also earlier.
4. When nothing else fits (tokens, notes or time are used up), only SEPARATOR is left, even before `min_end_ticks`.
5. At most 15 melodic instruments: the sixteenth MIDI channel belongs to drums (sample.py keeps it free as well).
6. Onsets may be kept apart (`min_gap_ticks`) and melodic notes from being as short as drums (`min_melodic_ticks`).
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from midi_llm.errors import RequestError, TokenError
from midi_llm.music.score import DRUMS
from midi_llm.tokens.allowed import AllowedIds
from midi_llm.tokens.codec import REST_INSTRUMENT, Events, check_events
from midi_llm.tokens.grammar_settings import TRIPLET as TRIPLET
from midi_llm.tokens.grammar_settings import check_settings, usable_notes
from midi_llm.tokens.vocab import (
    DUR_OFFSET,
    MAX_DURATION_TICKS,
    MAX_INSTRUMENT,
    MAX_INSTRUMENTS,
    MAX_NOTE,
    MAX_PITCH,
    MAX_TIME_TICKS,
    NOTE_OFFSET,
    REST,
    REST_INTERVAL_TICKS,
    SEPARATOR,
    TIME_OFFSET,
)

MAX_MELODIC = MAX_INSTRUMENTS - 1
_FIRST_DRUM = DRUMS * MAX_PITCH
SLOT_NAMES = ("time", "duration", "note")
_NOTHING = AllowedIds(start=TIME_OFFSET, stop=TIME_OFFSET)
_ONLY_CLOSE = AllowedIds(start=TIME_OFFSET, stop=TIME_OFFSET, extra=(SEPARATOR,))
_ONLY_REST = AllowedIds(start=REST, stop=REST + 1)


@dataclass(kw_only=True, eq=False)
class EventGrammar:
    """The state of one piece (or window) while it is being composed; times are ticks of the window.

    Raises `RequestError` for settings that contradict each other or leave no room for a single note.
    """

    end_ticks: int = MAX_TIME_TICKS
    """Nothing starts at or sounds after it; at most 10,000."""
    min_end_ticks: int = 0
    """SEPARATOR is allowed once a note ends here or later."""
    max_tokens: int = 2046
    """Budget of accepted ids, SEPARATOR included (formats.md: 2,046 music ids in the 2,048 positions of MIDI-LLM)."""
    max_notes: int | None = None
    instruments: frozenset[int] | None = None
    """The instruments that may be used, 0-128; None = all."""
    max_instruments: int = MAX_INSTRUMENTS
    max_polyphony: int | None = 64
    """Notes that sound at an onset, the new one included; None = no bound."""
    min_gap_ticks: int = 1
    """Two onsets are equal or at least this far apart."""
    min_duration_ticks: int = 1
    min_melodic_ticks: int = 1
    """Shortest duration of all but drums, where it is more than `min_duration_ticks`."""
    max_duration_ticks: int = MAX_DURATION_TICKS - 1
    min_pitch: int = 0
    """Lowest pitch of melodic instruments; drums keep all theirs."""
    max_pitch: int = MAX_PITCH - 1
    """Highest pitch of melodic instruments."""
    pitch_classes: frozenset[int] | None = None
    """Pitch classes of melodic instruments, 0 (C) to 11 (B); None = all."""
    ranges: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """Lowest and highest pitch of single instruments, beside what holds for all."""
    allow_rests: bool = True
    max_consecutive_rests: int = 8
    start_ticks: int = 0
    """No onset before it."""
    context: Events | None = None
    """Events already there: they set the time, the sounding notes and the instruments, and cost no budget."""

    finished: bool = field(default=False, init=False)
    """True when SEPARATOR has closed the piece."""

    def __post_init__(self) -> None:
        check_settings(self)
        self._usable = usable_notes(self)
        self._latest = self.end_ticks - max(self.min_duration_ticks, self.min_melodic_ticks)
        self._shortest = self.min_duration_ticks
        self._slot = 0
        self._used = 0
        self._notes = 0
        self._rests = 0
        self._reached = 0
        self._now = self._before = self.start_ticks
        self._duration = 0
        self._may_rest = False
        self._is_first = True
        self._ends: list[int] = []
        self._here: list[int] = []
        self._instruments: set[int] = set()
        if self.context is not None and len(self.context):
            self._adopt(self.context)
        self._restrict()
        self._next = self._time_slot()
        if self._next.start >= self._next.stop:
            raise RequestError(
                f"no note of {self.min_duration_ticks} ticks fits between tick {self._now} and end_ticks"
                f" {self.end_ticks} with max_polyphony {self.max_polyphony}: raise end_ticks, or shorten the context"
            )

    def allowed(self) -> AllowedIds:
        """Return the ids that may come next; nothing when `finished`, else never nothing."""
        return self._next

    def accept(self, amt_id: int) -> None:
        """Advance by one id. Raises `TokenError`, and changes nothing, when it was not allowed."""
        if amt_id not in self._next:
            raise TokenError(self._refusal(amt_id))
        self._used += 1
        if amt_id == SEPARATOR:
            self.finished = True
            self._next = _NOTHING
        elif self._slot == 0:
            self._move_to(int(amt_id) - TIME_OFFSET)
            self._slot, self._next = 1, self._duration_slot()
        elif self._slot == 1:
            self._duration = int(amt_id) - DUR_OFFSET
            self._slot, self._next = 2, self._note_slot()
        else:
            self._add(int(amt_id) - NOTE_OFFSET)
            self._slot, self._next = 0, self._time_slot()

    @property
    def left(self) -> int:
        """How many further ids the budget holds."""
        return self.max_tokens - self._used

    def give(self, time: int, duration: int, instrument: int, pitch: int) -> None:
        """Take over an event that is given at a time slot: it counts like one that was accepted, and is not checked."""
        assert self._slot == 0
        self._used += TRIPLET
        self._move_to(max(time, self._now))
        self._duration = duration
        self._add(MAX_PITCH * instrument + pitch)
        self._next = self._time_slot()

    def _time_slot(self) -> AllowedIds:
        """From the first time at which a note fits, to the last, without the gap; SEPARATOR when the piece may end."""
        if self.left <= TRIPLET or (self.max_notes is not None and self._notes >= self.max_notes):
            return _ONLY_CLOSE
        earliest = self._now + (len(self._here) >= self._choices)
        if self.max_polyphony is not None and len(self._ends) >= self.max_polyphony:
            earliest = max(earliest, self._ends[len(self._ends) - self.max_polyphony])
        later = self._now + (self.min_gap_ticks if self._here else 0)
        earliest = max(earliest, later) if earliest > self._now else earliest
        if earliest > self._latest:
            return _ONLY_CLOSE
        mask = None
        if earliest < later - 1:  # now, or after the gap
            mask = np.ones(self._latest + 1 - earliest, np.bool_)
            mask[1 : later - earliest] = False
        may_close = self._notes > 0 and self._reached >= self.min_end_ticks
        return AllowedIds(
            start=TIME_OFFSET + earliest,
            stop=TIME_OFFSET + self._latest + 1,
            mask=mask,
            extra=(SEPARATOR,) if may_close else (),
        )

    def _duration_slot(self) -> AllowedIds:
        """Contiguous; a duration of 0 where a rest may follow (as an extra id when 1 is not allowed)."""
        self._shortest = self.min_duration_ticks
        if not self._mask[_FIRST_DRUM:].any():
            self._shortest = max(self._shortest, self.min_melodic_ticks)
        self._may_rest = self._can_rest()
        longest = min(self.max_duration_ticks, self.end_ticks - self._now)
        if self._may_rest and self._shortest > 1:
            return AllowedIds(start=DUR_OFFSET + self._shortest, stop=DUR_OFFSET + longest + 1, extra=(DUR_OFFSET,))
        shortest = 0 if self._may_rest else self._shortest
        return AllowedIds(start=DUR_OFFSET + shortest, stop=DUR_OFFSET + longest + 1)

    def _note_slot(self) -> AllowedIds:
        """The allowed notes that do not start here already; REST after a duration of 0 where it may stand."""
        may_rest = self._may_rest and self._duration == 0
        if may_rest and self._shortest > 0:
            return _ONLY_REST
        low = max(self._low, _FIRST_DRUM) if self._duration < self.min_melodic_ticks else self._low
        is_free = not self._here and self._choices == self._high - self._low
        return AllowedIds(
            start=NOTE_OFFSET + low,
            stop=NOTE_OFFSET + self._high,
            mask=None if is_free else self._mask[low : self._high],
            extra=(REST,) if may_rest else (),
        )

    def _can_rest(self) -> bool:
        """Whether the event at the time just accepted may be a rest; called before its duration."""
        if not self.allow_rests or self._rests >= self.max_consecutive_rests:
            return False
        left_after = self.max_tokens - self._used - (TRIPLET - 1)
        if self._notes == 0 and left_after <= TRIPLET:
            return False
        gap = self._now - self._before
        return gap == REST_INTERVAL_TICKS or (self._is_first and gap < REST_INTERVAL_TICKS)

    def _move_to(self, time: int) -> None:
        self._before = self._now
        if time > self._now:
            self._mask[self._here] = True
            self._here.clear()
            del self._ends[: bisect_right(self._ends, time)]
            self._now = time

    def _add(self, note: int) -> None:
        """Count a note (128 * instrument + pitch) or a rest at the current time."""
        self._is_first = False
        if note == MAX_NOTE:
            self._rests += 1
            return
        self._rests = 0
        self._notes += 1
        if self._mask[note]:  # a note that is given may be none that may be drawn
            self._here.append(note)
            self._mask[note] = False
        end = self._now + self._duration
        self._reached = max(self._reached, end)
        if self._duration and self.max_polyphony is not None:
            insort(self._ends, end)
        instrument = note // MAX_PITCH
        if instrument not in self._instruments:
            self._instruments.add(instrument)
            self._restrict()

    def _restrict(self) -> None:
        """Recompute the notes that may be used; needed only when an instrument is used for the first time."""
        used = np.zeros(MAX_INSTRUMENT, np.bool_)
        used[list(self._instruments)] = True
        open_ = used.copy()
        if used.sum() < self.max_instruments:
            open_[DRUMS] = True
            if used[:DRUMS].sum() < MAX_MELODIC:
                open_[:DRUMS] = True
        self._mask = (self._usable & open_[:, None]).reshape(-1)
        where = np.flatnonzero(self._mask)
        if not len(where):
            raise RequestError(
                f"the context uses {len(self._instruments)} instruments of at most {self.max_instruments}, none of them"
                " in `instruments`: allow one of them, or raise max_instruments"
            )
        self._low, self._high, self._choices = int(where[0]), int(where[-1]) + 1, len(where)
        self._here = [note for note in self._here if self._mask[note]]
        self._mask[self._here] = False

    def _adopt(self, context: Events) -> None:
        """Take over the state that `context` leaves behind."""
        check_events(context)
        notes = context[context[:, 2] != REST_INSTRUMENT]
        self._before = self._now = max(self.start_ticks, int(context[-1, 0]))
        self._is_first = False
        self._rests = int(np.argmax(np.append(context[::-1, 2] != REST_INSTRUMENT, True)))
        ends = notes[:, 0] + notes[:, 1]
        self._reached = int(ends.max(initial=0))
        if self.max_polyphony is not None:
            self._ends = sorted(ends[ends > self._now].tolist())
        here = notes[notes[:, 0] == self._now]
        self._here = np.unique(here[:, 2] * MAX_PITCH + here[:, 3]).tolist()
        self._instruments = set(notes[:, 2].tolist())

    def _refusal(self, amt_id: int) -> str:
        if self.finished:
            return f"id {amt_id} after the closing SEPARATOR; the piece is finished, nothing may follow"
        allowed = self._next
        ids = [f"{allowed.start}..{allowed.stop - 1}"] if allowed.start < allowed.stop else []
        ids += [str(extra) for extra in allowed.extra]
        masked = " (of these, those not masked)" if allowed.mask is not None else ""
        slot = SLOT_NAMES[self._slot]
        return f"id {amt_id} at position {self._used}, a {slot} slot; allowed is {', '.join(ids)}{masked}"
