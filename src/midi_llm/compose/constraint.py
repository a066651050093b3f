"""`EventGrammar` (AMT ids) as an engine's `TokenConstraint` (token ids), and how a window came to its close.

Token id = AMT id + `text_rows`. Two things are added to the grammar. Where the piece may end, all later times stay
allowed as well, and one too late for a note closes the window (that id is not kept). And durations may always reach
past the end: what is kept is cut there, while the engine goes on from what it drew. So the last notes come from the
model's own distribution, cut at the length asked for, instead of being squeezed in before it.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from midi_llm.compose.windows import SLIDE_TICKS, Limits
from midi_llm.engines.base import Allowed
from midi_llm.tokens.grammar import TRIPLET, EventGrammar
from midi_llm.tokens.rules import rule_numbers
from midi_llm.tokens.vocab import DUR_OFFSET, MAX_DURATION_TICKS, MAX_TIME_TICKS, SEPARATOR

Close = Literal["own", "asked", "full"]
"""`own`: the model ended the piece; `asked`: the length asked for is reached; `full`: the window can hold no more."""


class WindowConstraint:
    """What may come next in one window; `close` says why it is finished, `amt_ids` holds what was kept."""

    def __init__(self, grammar: EventGrammar, limits: Limits, *, text_rows: int) -> None:
        self.max_tokens = grammar.max_tokens
        self._grammar = grammar
        self._limits = limits
        self._text_rows = text_rows
        self._now = 0
        self._may_start = True
        self.amt_ids: list[int] = []
        self.close: Close | None = None

    @property
    def finished(self) -> bool:
        """True when the window is closed."""
        return self.close is not None

    def rules(self) -> dict[str, Any]:
        """What `allowed` follows from, for an engine that carries it out itself; the prompt ends in the context."""
        return rule_numbers(self._grammar, text_rows=self._text_rows, opens_past_end=True)

    def allowed(self) -> Allowed:
        """The token ids that may come next."""
        ids = self._grammar.allowed()
        start, stop, rows = ids.start, ids.stop, self._text_rows
        self._may_start = start < stop
        mask = ids.mask
        if self._slot == 1:
            stop = DUR_OFFSET + MAX_DURATION_TICKS
        elif self._offers_later_times():
            stop = MAX_TIME_TICKS
            if mask is not None:
                mask = np.append(mask, np.ones(stop - ids.stop, np.bool_))
        return Allowed(start=start + rows, stop=stop + rows, mask=mask, extra=tuple(i + rows for i in ids.extra))

    def accept(self, token_id: int) -> None:
        """Advance by one id; raises `TokenError` when it was not allowed."""
        amt_id = token_id - self._text_rows
        at_time_slot = self._slot == 0
        if self._slot == 1 and DUR_OFFSET <= amt_id < DUR_OFFSET + MAX_DURATION_TICKS:
            amt_id = min(amt_id, self._grammar.allowed().stop - 1)
        elif self._offers_later_times() and self._grammar.allowed().stop <= amt_id < MAX_TIME_TICKS:
            self.close = "asked"
            return
        self._grammar.accept(amt_id)
        self.amt_ids.append(amt_id)
        if amt_id == SEPARATOR:
            self.close = self._why_closed()
        elif at_time_slot:
            self._now = amt_id
        elif self._slot == 0 and not self._limits.is_last and self._now >= SLIDE_TICKS:
            self.close = "full"

    @property
    def _slot(self) -> int:
        """0: a time is next, 1: a duration, 2: a note."""
        return len(self.amt_ids) % TRIPLET

    def _offers_later_times(self) -> bool:
        """Whether times that are too late for a note are allowed now: a note may begin, and the piece may end."""
        if self._slot or self._limits.end_ticks == MAX_TIME_TICKS:
            return False
        ids = self._grammar.allowed()
        return SEPARATOR in ids.extra and ids.start < ids.stop

    def _why_closed(self) -> Close:
        """After a SEPARATOR: the model's choice, or the only id that was left."""
        if self._may_start:
            return "own"
        return "full" if self.max_tokens - len(self.amt_ids) < TRIPLET else "asked"
