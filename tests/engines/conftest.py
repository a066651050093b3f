"""A small grammar over token ids, so that engines are tested without the music floors."""

from __future__ import annotations

import pytest

from midi_llm.engines.base import Allowed
from midi_llm.engines.decoding import permits
from midi_llm.errors import TokenError

TEXT_ROWS = 320
VOCAB_SIZE = TEXT_ROWS + 55_030
SLOTS = ((0, 10_000), (10_000, 11_000), (11_000, 27_513))
SEPARATOR = 55_025


class SlotCycle:
    """Time, duration, note, over and over; times never fall; after `closes_after` triplets SEPARATOR may close."""

    def __init__(self, *, closes_after: int | None = None, must_close: bool = False) -> None:
        self.closes_after = closes_after
        self.must_close = must_close
        self.ids: list[int] = []
        self.finished = False

    def allowed(self) -> Allowed:
        slot = len(self.ids) % 3
        start, stop = SLOTS[slot]
        extra: tuple[int, ...] = ()
        if slot == 0:
            start = self.ids[-3] - TEXT_ROWS if self.ids else 0
            if self.closes_after is not None and len(self.ids) >= 3 * self.closes_after:
                extra = (SEPARATOR + TEXT_ROWS,)
                stop = start if self.must_close else stop
        return Allowed(start=start + TEXT_ROWS, stop=stop + TEXT_ROWS, extra=extra)

    def accept(self, token_id: int) -> None:
        if self.finished or not permits(self.allowed(), token_id):
            raise TokenError(f"{token_id} is not allowed here")
        self.ids.append(token_id)
        self.finished = token_id == SEPARATOR + TEXT_ROWS


class Free:
    """Any id from `start` to `stop`, never finished: a slice that no head block holds."""

    finished = False

    def __init__(self, start: int = 0, stop: int = TEXT_ROWS) -> None:
        self.slice = Allowed(start=start, stop=stop)

    def allowed(self) -> Allowed:
        return self.slice

    def accept(self, token_id: int) -> None:
        if not permits(self.slice, token_id):
            raise TokenError(f"{token_id} is not allowed here")


@pytest.fixture
def slot_cycle() -> type[SlotCycle]:
    return SlotCycle


@pytest.fixture
def free() -> type[Free]:
    return Free
