"""What may be asked for: defaults and limits of a composition, in one place for Python, the command line and docs.

In: the wishes of a caller. Out: a checked `Settings`, or a `RequestError` that says what is allowed.
Loads neither numpy nor an engine, so that the command line starts fast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from midi_llm.errors import RequestError
from midi_llm.model.catalog import DEFAULT_MODEL as DEFAULT_MODEL

if TYPE_CHECKING:
    from midi_llm.compose.wishes import Wishes

DEFAULT_SECONDS = 30.0
MIN_SECONDS = 1.0
MAX_SECONDS = 600.0
DEFAULT_TEMPERATURE = 1.0
"""Recommended by the published checkpoint (its model card); for a model that recommends nothing else."""
DEFAULT_TOP_P = 0.98
"""Likewise."""
DEFAULT_GUIDANCE = 1.0
"""Off; for a model that recommends nothing else."""
MAX_GUIDANCE = 20.0
DEFAULT_DYNAMICS = 0.5
"""Half as unequal as real music: nearer to real velocities than none or all of it (docs/musicianship.md)."""
DEFAULT_ENGINE = "auto"
MAX_TAKES = 64
MAX_SEED = 2**32 - 1
DEFAULT_STRENGTH = 0.5
"""The share of a piece that is composed anew where it is varied."""
DEFAULT_RETRIES = 1
MAX_RETRIES = 10
DEFAULT_QUANTISE = 1.0
"""Takes keep to their lines but for the 10 ms of the vocabulary, or are left as played (docs/musicianship.md)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a prompt is composed. `seconds` None: as long as the prompt says, else 30 s; "auto": the model decides.

    "auto" lies within one window of the model's context. `temperature`, `top_p` and `guidance` None take what the model
    recommends. `parse`: what the prompt says about instruments, tempo, metre, key and length binds the piece as if it
    were among the `wishes`; these come first. `dynamics`: how unequal the velocities are, from 0 (all 72) to 1 (as in
    real music).
    """

    seconds: float | Literal["auto"] | None = None
    takes: int = 1
    seed: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    guidance: float | None = None
    parse: bool = True
    dynamics: float = DEFAULT_DYNAMICS
    wishes: Wishes | None = None
    best: int | None = None
    """Only so many of the takes are kept, the highest ranked first; None keeps all, in the order of their seeds."""
    retries: int = DEFAULT_RETRIES
    """How often a take that is stuck, silent or a copy is composed again."""
    quantise: float = DEFAULT_QUANTISE
    """How far notes are drawn to the grid that the file draws: 0 leaves them as played, 1 puts them on its lines."""

    def __post_init__(self) -> None:
        if self.seconds is not None and self.seconds != "auto" and not MIN_SECONDS <= self.seconds <= MAX_SECONDS:
            raise RequestError(
                f"seconds is {self.seconds:g}; allowed is {MIN_SECONDS:g} to {MAX_SECONDS:g},"
                f" {DEFAULT_SECONDS:g} is usual"
            )
        if self.seconds is not None and self.wishes is not None and self.wishes.bars is not None:
            raise RequestError("a length in seconds and one in bars are both asked for; leave one of them away")
        if self.seconds is not None and self.wishes is not None and self.wishes.sections:
            raise RequestError("a length in seconds and sections are both asked for; leave one of them away")
        if not 1 <= self.takes <= MAX_TAKES:
            raise RequestError(f"takes is {self.takes}; allowed is 1 to {MAX_TAKES}")
        if self.best is not None and not 1 <= self.best <= self.takes:
            raise RequestError(f"best is {self.best}; allowed is 1 to the number of takes, {self.takes}")
        if not 0 <= self.retries <= MAX_RETRIES:
            raise RequestError(f"retries is {self.retries}; allowed is 0 to {MAX_RETRIES}")
        if not 0.0 <= self.quantise <= 1.0:
            raise RequestError(f"quantise is {self.quantise:g}; allowed is 0 (as played) to 1 (on the grid)")
        if self.seed is not None and not 0 <= self.seed <= MAX_SEED:
            raise RequestError(f"seed is {self.seed}; allowed is 0 to {MAX_SEED}")
        if self.temperature is not None and not 0.0 <= self.temperature <= 10.0:
            raise RequestError(f"temperature is {self.temperature:g}; allowed is 0 (greedy) to 10, 1.0 is usual")
        if self.top_p is not None and (math.isnan(self.top_p) or not 0.0 < self.top_p <= 1.0):
            raise RequestError(f"top-p is {self.top_p:g}; allowed is above 0 and at most 1, 0.98 is usual")

        if self.guidance is not None and not 0.0 <= self.guidance <= MAX_GUIDANCE:
            raise RequestError(
                f"guidance is {self.guidance:g}; allowed is 0 (the text does not count) to {MAX_GUIDANCE:g}, 1 is off,"
                " 1.5 to 3 is usual"
            )
        if not 0.0 <= self.dynamics <= 1.0:
            raise RequestError(
                f"dynamics is {self.dynamics:g}; allowed is 0 (all notes alike) to 1 (as in real music),"
                f" {DEFAULT_DYNAMICS:g} is usual"
            )

    def seeds(self) -> list[int]:
        """One seed per take: `seed`, `seed + 1`, …; drawn when no seed was given. Wraps around at `MAX_SEED`."""
        import secrets  # here, because it slows down importing the package

        first = secrets.randbelow(10**6) if self.seed is None else self.seed
        return [(first + take) % (MAX_SEED + 1) for take in range(self.takes)]
