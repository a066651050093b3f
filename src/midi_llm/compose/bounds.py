"""What a checkpoint asks of the grammar when it composes: bounds that its record (`midi_llm.json`) may recommend.

In: the record's "sampling" numbers. Out: `Bounds`. A large model needs none of them; a small one drifts without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self, TypedDict

from midi_llm.music.score import DRUMS
from midi_llm.tokens.grammar import MAX_MELODIC
from midi_llm.tokens.vocab import MAX_INSTRUMENTS


class InstrumentBounds(TypedDict, total=False):
    """Settings of `EventGrammar`."""

    instruments: frozenset[int] | None
    max_instruments: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """How many instruments, how many notes at once, how close onsets may be and how short notes."""

    max_instruments: int = MAX_INSTRUMENTS
    max_polyphony: int = 64
    """Notes that sound at an onset, before `polyphony_per_instrument` is added."""
    polyphony_per_instrument: int = 0
    """Added for each instrument that the take may use."""
    min_gap_ticks: int = 1
    """Two onsets are equal or at least so many ticks of 10 ms apart."""
    min_melodic_ticks: int = 1
    """Shortest note of all but drums."""

    @classmethod
    def recommended(cls, sampling: Mapping[str, float]) -> Self:
        """The bounds that a record's "sampling" names, the others as they are; other names are not looked at."""
        return cls(**{field.name: int(sampling[field.name]) for field in fields(cls) if field.name in sampling})

    def polyphony(self, instruments: frozenset[int] | None) -> int:
        """Notes that may sound at once in a take that is bound to `instruments` (None: to `max_instruments`)."""
        count = self.max_instruments if instruments is None else min(len(instruments), self.max_instruments)
        return self.max_polyphony + self.polyphony_per_instrument * count

    def instruments(self, allowed: frozenset[int] | None, *, used: set[int], here: set[int]) -> InstrumentBounds:
        """How many instruments, or which ones of those `allowed` (None: all), a window may use.

        The grammar counts those of one window, which begins with some `here`; this keeps the whole piece, which has
        `used` some, within the bounds and 15 melodic ones.
        """
        room = min(MAX_MELODIC - len(used - {DRUMS}), self.max_instruments - len(used))
        if room <= 0:
            more = {DRUMS} if len(used) < self.max_instruments else set()
            return {"instruments": frozenset(used | (more if allowed is None else more & allowed))}
        bounds = InstrumentBounds(max_instruments=len(here) + room)
        if allowed is not None:
            bounds["instruments"] = allowed
        return bounds


DEFAULT_BOUNDS = Bounds()
