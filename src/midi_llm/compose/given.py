"""A passage of a piece composed around notes that are given: what may come next, and when it is over.

Given events stand in the sequence at their time, as if the model had drawn them, and are not part of the result. Where
one is ahead, every time from its onset on counts as that onset (`Allowed.ceiling`): so the chance that nothing comes
before it is the model's own, and the notes between given ones are drawn as they would be without them. Given notes to
come are not seen. Times are ticks of the window. Knows no engine.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from midi_llm.engines.base import Allowed
from midi_llm.errors import TokenError
from midi_llm.tokens.codec import Events
from midi_llm.tokens.grammar import TRIPLET, EventGrammar
from midi_llm.tokens.vocab import DUR_OFFSET, MAX_DURATION_TICKS, MAX_PITCH, MAX_TIME_TICKS, NOTE_OFFSET, SEPARATOR

Close = Literal["own", "asked", "full"]
"""`own`: the model ended the piece; `asked`: the end of the passage is reached; `full`: the window holds no more."""


class PassageConstraint:
    """The constraint of one window; `close` says why it is finished, `events` are the composed ones, rests included.

    `given` [m, 4]: in time order, none before the grammar's time or at or after `end_ticks`. `may_end`: the model may
    close the piece once all of them are there.
    """

    def __init__(self, grammar: EventGrammar, given: Events, *, end_ticks: int, may_end: bool, text_rows: int) -> None:
        self.max_tokens = grammar.max_tokens
        self.close: Close | None = None
        self.amt_ids: list[int] = []
        """All ids of the window, those of given events among them."""
        self._grammar = grammar
        self._given = [tuple(row) for row in given.tolist()]
        self._end = end_ticks
        self._may_end = may_end
        self._text_rows = text_rows
        self._own: list[list[int]] = []
        self._forced: list[int] = []

    @property
    def finished(self) -> bool:
        """True when the window is closed."""
        return self.close is not None

    @property
    def events(self) -> Events:
        """What was composed, [n, 4]: whole events, durations cut at the end of the passage."""
        whole = [row for row in self._own if len(row) == TRIPLET]
        rows = [(time, duration, *divmod(note, MAX_PITCH)) for time, duration, note in whole]
        return np.array(rows, np.int32).reshape(-1, 4)

    def allowed(self) -> Allowed:
        """The token ids that may come next."""
        rows = self._text_rows
        if self._forced:
            return Allowed(start=self._forced[0] + rows, stop=self._forced[0] + rows + 1)
        ids = self._grammar.allowed()
        slot = len(self.amt_ids) % TRIPLET
        if slot == 0:
            return self._times()
        stop = DUR_OFFSET + MAX_DURATION_TICKS if slot == 1 else ids.stop
        extra = tuple(i + rows for i in ids.extra)
        return Allowed(start=ids.start + rows, stop=stop + rows, mask=ids.mask, extra=extra)

    def accept(self, token_id: int) -> None:
        """Advance by one id; raises `TokenError` when it was not allowed."""
        amt_id = token_id - self._text_rows
        slot = len(self.amt_ids) % TRIPLET
        if self._forced:
            self._force(amt_id)
        elif slot == 0:
            self._begin(amt_id)
        else:
            if slot == 1 and DUR_OFFSET <= amt_id < DUR_OFFSET + MAX_DURATION_TICKS:
                amt_id = min(amt_id, self._grammar.allowed().stop - 1)
            self._grammar.accept(amt_id)
            self._own[-1].append(amt_id - (DUR_OFFSET if slot == 1 else NOTE_OFFSET))
            self.amt_ids.append(amt_id)
        if self.close is None and len(self.amt_ids) % TRIPLET == 0 and self._grammar.left < 2 * TRIPLET:
            self.close = "full"

    def _times(self) -> Allowed:
        """Times of own notes, and those that bring the next given event or the end."""
        ids, rows = self._grammar.allowed(), self._text_rows
        horizon = self._given[0][0] if self._given else self._end
        if ids.start >= ids.stop or ids.start > horizon:
            return Allowed(start=horizon + rows, stop=horizon + rows + 1)
        mask = None
        if ids.mask is not None or (self._given and horizon > ids.stop):
            mask = np.ones(MAX_TIME_TICKS - ids.start, np.bool_)
            mask[: ids.stop - ids.start] = True if ids.mask is None else ids.mask
            mask[ids.stop - ids.start : horizon - ids.start] = not self._given  # too late for a note, and not yet there
            mask[horizon - ids.start :] = True
        if self._given:
            return Allowed(start=ids.start + rows, stop=MAX_TIME_TICKS + rows, mask=mask, ceiling=horizon + rows)
        extra = tuple(i + rows for i in ids.extra) if self._may_end else ()
        return Allowed(start=ids.start + rows, stop=MAX_TIME_TICKS + rows, mask=mask, extra=extra)

    def _begin(self, amt_id: int) -> None:
        """A time: of an own note, of the next given event, or past the end."""
        if self._given and amt_id == self._given[0][0]:
            time, duration, instrument, pitch = self._given[0]
            self._forced = [time, DUR_OFFSET + duration, NOTE_OFFSET + MAX_PITCH * instrument + pitch]
            self._force(amt_id)
        elif not self._given and self._grammar.allowed().stop <= amt_id < MAX_TIME_TICKS:
            self.close = "asked"
        elif not self._given and amt_id == SEPARATOR and self._may_end:
            self._grammar.accept(amt_id)
            self.close = "own"
        else:
            self._grammar.accept(amt_id)
            self._own.append([amt_id])
            self.amt_ids.append(amt_id)

    def _force(self, amt_id: int) -> None:
        if amt_id != self._forced[0]:
            raise TokenError(f"id {amt_id} where {self._forced[0]} of a given event stands")
        self.amt_ids.append(self._forced.pop(0))
        if not self._forced:
            self._grammar.give(*self._given.pop(0))
