"""A triplet grammar as plain numbers, for engines that decode in another process or many requests at once.

A constraint that can say what it allows in these numbers (`RuledConstraint`) reaches an engine as a dictionary of
integers instead of as an object. `tensor_grammar` carries the rules out; a constraint's own `allowed` stays the
reference. In: integers. Out: the same integers, checked. Knows no music: times, durations and notes are id ranges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, Self, runtime_checkable

from midi_llm.engines.base import TokenConstraint
from midi_llm.errors import EngineError

LISTS = ("instruments", "lowest", "highest")
"""The rules that are lists of numbers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Where the ids of a triplet lie: `times`, then `durations`, then `instruments * pitches` notes, then one rest."""

    first_id: int
    """The token id of time 0."""
    times: int
    durations: int
    instruments: int
    """The last of them is the drums."""
    pitches: int
    separator: int
    """The token id that closes a piece."""

    @property
    def notes(self) -> int:
        """How many note ids there are; the rest is the next one."""
        return self.instruments * self.pitches

    @property
    def width(self) -> int:
        """Ids from time 0 to the rest."""
        return self.times + self.durations + self.notes + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TripletRules:
    """The settings of one request, ticks and counts, with the names and the meaning of `EventGrammar`."""

    layout: Layout
    given_events: int
    """Triplets at the end of the prompt that are context: they set the time and what sounds, and cost no budget."""
    end_ticks: int
    min_end_ticks: int
    max_tokens: int
    max_notes: int
    instruments: tuple[int, ...]
    max_instruments: int
    max_melodic: int
    """Of the instruments, how many may be other than drums."""
    max_polyphony: int
    min_gap_ticks: int
    min_duration_ticks: int
    min_melodic_ticks: int
    max_duration_ticks: int
    lowest: tuple[int, ...]
    """The lowest pitch that each instrument may play."""
    highest: tuple[int, ...]
    """The highest pitch of each; below the lowest where it may play none."""
    pitch_classes: int
    """Bit c: a melodic instrument may play the pitch class c, 0 to 11 from C up."""
    max_consecutive_rests: int
    """0: no rests."""
    rest_interval_ticks: int
    """A rest stands so long after the event before it."""
    start_ticks: int
    opens_past_end: int
    """1: durations may reach past the end (what counts is cut there), and where the piece may end all later times are
    open too, and one too late for a note closes it. 0: neither."""
    pace_events: int
    """The onset of event n (from 0) lies before (n + 1) / pace_events of all times, or at the first one that fits.
    0: at no pace."""

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, Any]) -> Self:
        """Read what a constraint states (or JSON); `EngineError` names what is missing, unknown or no whole number."""
        _require_integers(cls, numbers, others={"layout", *LISTS})
        layout = numbers["layout"]
        if not isinstance(layout, Mapping):
            raise EngineError("the rules' layout must be a mapping")
        _require_integers(Layout, layout)
        made = Layout(**layout)
        lists = {
            "instruments": _whole_numbers(numbers, "instruments", below=made.instruments),
            "lowest": _whole_numbers(numbers, "lowest", below=made.pitches, count=made.instruments),
            "highest": _whole_numbers(numbers, "highest", below=made.pitches, count=made.instruments),
        }
        return cls(**{**numbers, "layout": made, **lists})


@runtime_checkable
class RuledConstraint(TokenConstraint, Protocol):
    """A constraint whose answers follow from numbers."""

    def rules(self) -> Mapping[str, Any]:
        """What `TripletRules.from_numbers` reads, before any id is accepted; the prompt ends in the given events."""


def _whole_numbers(numbers: Mapping[str, Any], name: str, *, below: int, count: int | None = None) -> tuple[int, ...]:
    """A list of the rules, `count` numbers (None: any) from 0 to `below` - 1."""
    values = numbers[name]
    if not isinstance(values, list | tuple) or count not in (None, len(values)):
        raise EngineError(f"the rules' {name} must be a list{'' if count is None else f' of {count}'}")
    if not all(isinstance(one, int) and 0 <= one < below for one in values):
        raise EngineError(f"the rules' {name} are {values}; allowed are 0..{below - 1}")
    return tuple(values)


def _require_integers(kind: Any, numbers: Mapping[str, Any], others: frozenset[str] | set[str] = frozenset()) -> None:
    names = {field.name for field in fields(kind)}
    if names != set(numbers):
        missing, unknown = sorted(names - set(numbers)), sorted(set(numbers) - names)
        raise EngineError(f"the rules lack {missing} and have unknown {unknown}")
    for name in sorted(names - set(others)):
        if type(numbers[name]) is not int or not 0 <= numbers[name] < 2**31:
            raise EngineError(f"the rule {name} is {numbers[name]!r}; allowed is a whole number from 0 to 2^31 - 1")
