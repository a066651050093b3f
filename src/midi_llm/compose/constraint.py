"""`EventGrammar` (AMT ids) as an engine's `TokenConstraint` (token ids), and how a window came to its close.

Token id = AMT id + `text_rows`. One thing is added to the grammar: where the piece may end, all later times stay
allowed as well, and a time at or after the end closes the window (that id is not kept). So the last notes are drawn
from the model's own distribution, cut at the length asked for, instead of being squeezed in before it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from midi_llm.compose.windows import SLIDE_TICKS, Limits
from midi_llm.engines.base import Allowed
from midi_llm.tokens.grammar import TRIPLET, EventGrammar
from midi_llm.tokens.vocab import MAX_TIME_TICKS, SEPARATOR

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

    def allowed(self) -> Allowed:
        """The token ids that may come next."""
        ids = self._grammar.allowed()
        start, stop, rows = ids.start, ids.stop, self._text_rows
        self._may_start = start < stop
        mask = ids.mask
        if SEPARATOR in ids.extra and self._may_start and stop == self._limits.end_ticks:
            stop = MAX_TIME_TICKS
            if mask is not None:
                mask = np.append(mask, np.ones(stop - ids.stop, np.bool_))
        return Allowed(start=start + rows, stop=stop + rows, mask=mask, extra=tuple(i + rows for i in ids.extra))

    def accept(self, token_id: int) -> None:
        """Advance by one id; raises `TokenError` when it was not allowed."""
        amt_id = token_id - self._text_rows
        at_time_slot = len(self.amt_ids) % 3 == 0
        if at_time_slot and self._limits.end_ticks <= amt_id < MAX_TIME_TICKS and self._offered_later_times():
            self.close = "asked"
            return
        self._grammar.accept(amt_id)
        self.amt_ids.append(amt_id)
        if amt_id == SEPARATOR:
            self.close = self._why_closed()
        elif at_time_slot:
            self._now = amt_id
        elif len(self.amt_ids) % 3 == 0 and not self._limits.is_last and self._now >= SLIDE_TICKS:
            self.close = "full"

    def _offered_later_times(self) -> bool:
        """Whether times at or after the end are allowed now."""
        return self.allowed().stop == MAX_TIME_TICKS + self._text_rows

    def _why_closed(self) -> Close:
        """After a SEPARATOR: the model's choice, or the only id that was left."""
        if self._may_start:
            return "own"
        return "full" if self.max_tokens - len(self.amt_ids) < TRIPLET else "asked"
