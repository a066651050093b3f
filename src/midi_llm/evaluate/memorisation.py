"""Memorisation: how much of a take stands note for note in the training pieces, in any key and at any tempo.

Conventions: a run is consecutive top notes of one instrument that a training piece has too (`data.runs`); lengths are
in notes. In: takes, and an index of the training pieces. Out: a value a take, nan without a pitched line.
No metric has a better direction: new music shares short runs with old, and real held-out music of the same length is
the yardstick. A take copies where it lies above that, and `longest` says what. What is shared with pieces that the
system was not trained on, or freely varied, is not seen; nothing here proves that music is new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from midi_llm.data.runs import GRAM, LONG_RUN, Run, RunIndex, SharedRuns, shared_runs
from midi_llm.errors import RequestError
from midi_llm.evaluate.metric import Measured, Metric
from midi_llm.evaluate.take import Take
from midi_llm.music.health import COPY_SHARE

LONGEST_RUN = Metric(
    name="memorisation.longest_run",
    unit="",
    better=None,
    about="Notes of the longest run that a training piece has too; arpeggios and other patterns count in full.",
)
LONGEST_VARIED_RUN = Metric(
    name="memorisation.longest_varied_run",
    unit="",
    better=None,
    about="Notes of the longest run that a training piece has too, where what repeats within the run counts once.",
)
COPIED_SHARE = Metric(
    name="memorisation.copied_share",
    unit="share",
    better=None,
    about=f"Share of the melodic notes in runs of {LONG_RUN} varied notes or more that a training piece has too.",
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Copied:
    """A take and the longest varied run in it that a training piece has too."""

    take: Take
    run: Run


def validate(takes: Sequence[Take], index: RunIndex) -> tuple[str, ...]:
    """Warnings about takes without a pitched line, and about copies. Raises `RequestError` when there is no take."""
    shared = _shared(takes, index)
    silent = sum(not one.notes for one in shared)
    copies = sum(one.copied >= COPY_SHARE * max(one.notes, 1) for one in shared)
    counts = (
        (silent, "have no pitched line: what they share with the training pieces is not counted"),
        (copies, f"share {COPY_SHARE:.0%} or more of their melodic notes with training pieces, in long runs: copies"),
    )
    return tuple(f"{count} of {len(takes)} takes {what}" for count, what in counts if count)


def evaluate(takes: Sequence[Take], index: RunIndex) -> list[Measured]:
    """All metrics of the family, a value a take. Some milliseconds a take.

    1. Carlini et al. 2023 ("Quantifying Memorization Across Neural Language Models") call a text memorised when the
       model, given what comes before, repeats its next 50 tokens. Here nothing is given, and notes are compared and not
       tokens, by interval and rhythm: models are trained on moved and stretched music, whose copies have other tokens.
    2. `longest_run` finds patterns: in music, an alternation of two notes for a minute is no copy. What repeats
       within a run therefore counts once in the other two metrics: a run has as many varied notes as it has different
       grams of 4 steps, + 4. Broken chords that change with the harmony still count.
    """
    shared = _shared(takes, index)
    columns = {
        LONGEST_RUN: [one.longest.notes if one.longest else 0 for one in shared],
        LONGEST_VARIED_RUN: [one.most_varied.varied if one.most_varied else 0 for one in shared],
        COPIED_SHARE: [one.copied / max(one.notes, 1) for one in shared],
    }
    applies = np.array([one.notes > 0 for one in shared])
    return [
        Measured(metric=metric, values=np.where(applies, np.array(values, np.float64), np.nan))
        for metric, values in columns.items()
    ]


def longest(takes: Sequence[Take], index: RunIndex, *, count: int = 10) -> list[Copied]:
    """The `count` takes with the longest varied runs, longest first, for a person to compare by ear."""
    runs = [one.most_varied for one in _shared(takes, index)]
    found = [Copied(take=take, run=run) for take, run in zip(takes, runs, strict=True) if run is not None]
    return sorted(found, key=lambda one: (-one.run.varied, -one.run.notes))[:count]


def index_facts(index: RunIndex) -> dict[str, str | float]:
    """What the figures depend on: the training pieces, by digest and number."""
    return {
        "index": index.sha256,
        "manifest": index.info["manifest_sha256"],
        "pieces": index.info["pieces"],
        "melodic notes": index.info["notes"],
        "long run": LONG_RUN,
        "gram": GRAM,
    }


def _shared(takes: Sequence[Take], index: RunIndex) -> list[SharedRuns]:
    if not takes:
        raise RequestError("there are no takes to judge; at least one is needed")
    return [shared_runs(take.score, index) for take in takes]
