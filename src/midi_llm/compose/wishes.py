"""What a piece is wished to be, beside the words of its prompt: tempo, metre, key, length, instruments, pitches.

A `Wishes` holds what was read in a text (reading.py) or asked for in so many words (asked.py); the latter come first.
What the grammar can hold a take to, it does (instruments, pitches, length); the rest is said to the model as captions
say it, brought about afterwards where that is possible, and measured (verdict.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, replace
from typing import Literal, get_args

from midi_llm.compose.ensemble import NOBODY, Ensemble
from midi_llm.compose.sections import Section, total_bars
from midi_llm.errors import RequestError
from midi_llm.music.beats import FASTEST_BPM, SLOWEST_BPM
from midi_llm.music.compass import HIGHEST_PITCH
from midi_llm.music.instruments import instrument_name
from midi_llm.music.key import key_number

Density = Literal["sparse", "medium", "dense"]
PitchRange = tuple[int, int, int]
"""Instrument (0-128), lowest and highest pitch."""

_BRACKETS = re.compile(r" \(.*\)")
METRE_UNITS = (2, 4, 8, 16)
MOST_BEATS = 15
MOST_BARS = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """None, or nothing, where no wish was made. Raises `RequestError` for a value that no piece can have."""

    bpm: float | None = None
    """Quarter notes a minute; in a compound metre also taken for its felt beats."""
    metre: tuple[int, int] | None = None
    key: str | None = None
    """Such as "Bb minor"."""
    seconds: float | None = None
    bars: int | None = None
    """Exactly so many; counts before `seconds`."""
    loop: bool = False
    """The last bar leads to the first: whole bars, and nothing sounds on after the end."""
    sections: tuple[Section, ...] = ()
    """The parts of the piece in order; count before `bars` and `seconds`."""
    density: Density | None = None
    ensemble: Ensemble = field(default=NOBODY)
    pitch_classes: frozenset[int] | None = None
    """0-11 from C: melodic instruments play no others."""
    ranges: tuple[PitchRange, ...] = ()

    def __post_init__(self) -> None:
        if self.bpm is not None and not SLOWEST_BPM <= self.bpm <= FASTEST_BPM:
            raise RequestError(f"a tempo of {self.bpm:g} bpm; allowed is {SLOWEST_BPM:g} to {FASTEST_BPM:g}")
        if self.metre is not None and not (2 <= self.metre[0] <= MOST_BEATS and self.metre[1] in METRE_UNITS):
            raise RequestError(
                f"a metre of {self.metre[0]}/{self.metre[1]}; allowed are 2 to {MOST_BEATS} beats of"
                f" {', '.join(f'1/{unit}' for unit in METRE_UNITS)}"
            )
        if self.key is not None and key_number(self.key) is None:
            raise RequestError(f"no key is called {self.key!r}; keys are named as in 'Bb minor' and 'F# major'")
        if self.bars is not None and not 1 <= self.bars <= MOST_BARS:
            raise RequestError(f"{self.bars} bars; allowed are 1 to {MOST_BARS}")
        self._check_sections()
        if self.density is not None and self.density not in get_args(Density):
            raise RequestError(f"density {self.density!r} is not known; allowed are {', '.join(get_args(Density))}")
        if self.pitch_classes is not None and not self.pitch_classes:
            raise RequestError("no pitch is allowed; name at least one, such as 'C D E G A'")
        for instrument, low, high in self.ranges:
            if not 0 <= low <= high <= HIGHEST_PITCH:
                raise RequestError(
                    f"a range of {low} to {high} for {instrument_name(instrument)}; allowed is 0 to {HIGHEST_PITCH},"
                    " the lowest pitch first"
                )

    def _check_sections(self) -> None:
        if self.sections and self.bars is not None:
            raise RequestError("a number of bars and sections are both asked for; leave one of them away")
        for section in self.sections:
            if section.bars < 1:
                raise RequestError(f"the section {section.name!r} has {section.bars} bars; allowed are 1 and more")
        if total_bars(self.sections) > MOST_BARS:
            raise RequestError(f"the sections have {total_bars(self.sections)} bars; allowed are 1 to {MOST_BARS}")

    def over(self, read: Wishes) -> Wishes:
        """These wishes, and those of `read` where there are none of these."""
        kept = {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) != one.default}
        if self.seconds is not None and self.bars is None:
            kept["bars"] = None
        if self.sections:
            kept["bars"] = None
        elif self.bars is not None or self.seconds is not None:
            kept["sections"] = ()
        return replace(read, **{**kept, "ensemble": self.ensemble.over(read.ensemble)})

    def facts(self) -> tuple[str, ...]:
        """Tempo, key and metre as a caption's tags, such as ("90 bpm", "key of A minor")."""
        tags = (
            f"{self.bpm:g} bpm" if self.bpm else "",
            f"key of {self.key}" if self.key else "",
            f"{self.metre[0]}/{self.metre[1]} time" if self.metre else "",
        )
        return tuple(tag for tag in tags if tag)

    def parts(self) -> tuple[str, ...]:
        """Instruments and density as tags."""
        names = (_BRACKETS.sub("", instrument_name(group[0])).lower() for group in self.ensemble.named)
        return (*names, *((self.density,) if self.density else ()))


NO_WISHES = Wishes()
