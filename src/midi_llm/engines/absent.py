"""No engine: a model's sizes without its weights, where requests are read and checked and others compose.

In: sizes. Out: `EngineError` for whatever is to be decoded.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from midi_llm.engines.base import Request, Step
from midi_llm.engines.choice import ENGINES
from midi_llm.errors import EngineError

NO_ENGINE = "none"
"""Asks for this in place of one of `ENGINES`."""


class AbsentEngine:
    """Stands where an engine stands."""

    name = NO_ENGINE
    best_batch = 1
    joins = False

    def __init__(self, *, vocab_size: int, max_positions: int) -> None:
        self.vocab_size = vocab_size
        self.max_positions = max_positions

    def stream(self, requests: Sequence[Request], *, cancel: threading.Event | None = None) -> Iterator[Step]:
        """Raise `EngineError`."""
        raise EngineError(
            f"this model was opened with the engine {NO_ENGINE!r}, which checks requests and composes nothing;"
            f" open it with one of {', '.join(ENGINES)}"
        )

    def close(self) -> None:
        """There is nothing to free."""
