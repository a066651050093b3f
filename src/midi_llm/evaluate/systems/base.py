"""The contract between the harness and whoever composes.

In: `Job`s (a prompt, the number of the take, a seed, a length). Out: one `Delivery` for each, in the same order.
A system that fails on one job delivers the reason in `error`; it raises only where no job can be done at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from midi_llm.evaluate.prompts import Prompt

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """Take `number` (from 0) of `prompt`."""

    prompt: Prompt
    number: int
    seed: int
    """0 to 2^32 - 1."""
    seconds: float | None
    """Length asked for beside the prompt; None: left to the system."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What came of a job. None: not known; a system that hands over files only knows `midi` and nothing else."""

    midi: bytes = b""
    """A MIDI file as it was delivered, whether it parses or not; empty when there is none."""
    strict: bool | None = None
    """The model's ids decoded without repair."""
    repairs: Mapping[str, int] = field(default_factory=dict)
    """Count by kind of what the tolerant decoder mended."""
    ending: str | None = None
    """ "own", "asked" or "full", as in `take.Take`."""
    tokens: int | None = None
    """Tokens drawn by the model."""
    wall_seconds: float | None = None
    """Wall clock from the request to the finished take; of a batch, the whole batch's divided by its takes."""
    seed: int | None = None
    """The seed that repeats this take, where there is one."""
    error: str | None = None
    """Why there is no music."""


class System(Protocol):
    """Whoever composes. Close it when done."""

    @property
    def name(self) -> str:
        """Names it in reports and file names: letters, digits, `_`, `.`, `-`."""
        ...

    def describe(self) -> dict[str, JSON]:
        """What the report records: enough to repeat the run."""
        ...

    def compose(self, jobs: Sequence[Job]) -> Iterator[Delivery]:
        """One delivery a job, in order; lazily, so that a run can stop and go on. May batch."""
        ...

    def close(self) -> None:
        """Give back what it holds. Harmless when called twice."""
        ...
