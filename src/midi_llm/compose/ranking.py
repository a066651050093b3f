"""How good a take is, as far as that can be counted: does it do what was asked, is it sound, is it new.

In: a finished score with its findings, and optionally what tells copies. Out: a `Ranking`, its parts from 0 to 1. It
sorts takes of one prompt; it knows nothing of beauty. With what copies are told is the caller's knowledge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from midi_llm.compose.take import Ending
from midi_llm.compose.verdict import Finding, adherence
from midi_llm.music.features import note_table
from midi_llm.music.health import COPY_SHARE, faults, growth, is_stuck
from midi_llm.music.score import Score

CopiedShare = Callable[[Score], float]
"""The share of a score's notes (0 to 1) that stand in long runs of a piece that it was trained on."""

STEADY_GROWTH = float(np.log(2))
"""The last third may have half or twice as many notes as the first."""
FAULTY_SHARE = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """`adherence`: share of the wishes that are met; `health`: share of the checks of `checks` that pass.

    `novelty`: share of the notes that are not copied; None where nothing tells.
    """

    adherence: float
    health: float
    novelty: float | None
    stuck: bool

    @property
    def total(self) -> float:
        """The mean of what is known; 0 for a take that is stuck or silent."""
        if self.stuck:
            return 0.0
        known = [part for part in (self.adherence, self.health, self.novelty) if part is not None]
        return sum(known) / len(known)

    @property
    def is_sound(self) -> bool:
        """Whether there is no reason to compose the take again."""
        return not self.stuck and (self.novelty is None or self.novelty > 1 - COPY_SHARE)


def rank(
    score: Score, findings: tuple[Finding, ...], *, ending: Ending, repaired: bool, copied_share: CopiedShare | None
) -> Ranking:
    """Judge one take. `ending` and `repaired` are how it was composed."""
    checks = checked(score, ending=ending, repaired=repaired)
    return Ranking(
        adherence=adherence(findings),
        health=sum(checks.values()) / len(checks),
        novelty=None if copied_share is None else 1.0 - copied_share(score),
        stuck=not score.note_count or is_stuck(note_table(score)),
    )


def checked(score: Score, *, ending: Ending, repaired: bool) -> dict[str, bool]:
    """What makes a take healthy, by name."""
    notes = note_table(score)
    short, overlapping = faults(score)
    grown = growth(notes) if len(notes) else float("nan")
    return {
        "not stuck": len(notes) > 0 and not is_stuck(notes),
        "steady": np.isnan(grown) or abs(grown) <= STEADY_GROWTH,
        "clean notes": not len(short) or float((short | overlapping).mean()) <= FAULTY_SHARE,
        "ended": ending in ("own", "asked"),
        "not repaired": not repaired,
    }
