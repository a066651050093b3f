"""Tempo and pace: whether a take goes as fast as its prompt says, as heard in the notes and as written in the file.

Conventions: "heard" is the tempo that `music.beats` finds in the notes, never told what was asked for; how often it
errs is known (`evaluate.estimators`). "Written" is what the file says, whatever its notes do. Where the metre asked for
or found has another beat than quarters (6/8, 2/2), a prompt may count either: the reading that serves the take counts.
A take in which no beat is heard has no tempo: 0, and nan for the relative error.
Sources: Text2midi (Bhandari et al. 2025, AAAI) reports TB and TBT, which Mustango (Melechovsky et al. 2024) defines;
its utils/evaluate_control_testB.py at 5f615ef shows how. Text2midi's own code for them is not public. In: `Wish`es.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from midi_llm.data.captions.measured import FAST_ABOVE, SLOW_BELOW
from midi_llm.evaluate.control.wish import Wish, control_metric, judge
from midi_llm.evaluate.control.written import written_bpm, written_metre
from midi_llm.evaluate.metric import Better, Measured, Metric
from midi_llm.evaluate.prompts import Pace
from midi_llm.music.metre import beat_quarters

BIN_BORDERS = (40.0, 60.0, 70.0, 90.0, 110.0, 140.0, 160.0, 210.0)
"""They divide Grave, Largo, Adagio, Andante, Moderato, Allegro, Vivace, Presto, Prestissimo in Mustango."""
TOLERANCE = 0.05
OCTAVES = (0.5, 1.0, 2.0)
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The tempo of a take, in beats a minute."""

    felt: float
    """Beats as they are felt: dotted quarters in 6/8, halves in 2/2."""
    readings: tuple[float, ...]
    """What a prompt may mean by a tempo: those beats, or quarters."""


def heard(wish: Wish) -> Found | None:
    """The tempo of the beats heard, be they beats of the metre heard or of the one asked for; None without beats."""
    grid = wish.analysis.grid
    if grid is None:
        return None
    felt = grid.bpm / grid.quarters_per_beat
    return Found(felt=felt, readings=tuple(felt * unit for unit in _units(grid.metre, wish.facts.metre)))


def written(wish: Wish) -> Found:
    """The mean tempo that the file says (120 bpm where it says none), in quarters, beats of its metre or that asked."""
    bpm, metre = written_bpm(wish.score), written_metre(wish.score)
    readings = tuple(bpm / unit for unit in _units(metre, wish.facts.metre))
    return Found(felt=bpm / beat_quarters(metre), readings=readings)


def _units(*metres: tuple[int, int] | None) -> list[float]:
    """Quarter notes in whatever a tempo may count."""
    return sorted({1.0, *(beat_quarters(metre) for metre in metres if metre is not None)})


Ear = Callable[[Wish], Found | None]

EARS: tuple[tuple[str, Ear], ...] = (("heard", heard), ("written", written))


def tempo_bin(bpm: float) -> int:
    """Number of the bin, 0 to 8, of a tempo rounded to a whole number; a border belongs to the bin below it.

    1. Mustango does not round. Many prompts name a border, and a MIDI file says 140.0001 for 140: the bin above.
    """
    return int(np.searchsorted(BIN_BORDERS, round(bpm), side="left"))


def same_bin(asked: float, found: float) -> float:
    """TB: 1 where both tempos are in one bin, else 0.

    1. Text2midi and Mustango compare with the tempo of a reference piece, here with the number that the prompt states.
    2. Mustango hears the tempo in sound (BeatNet); here it is heard in the notes, or read from the file.
    3. Where no tempo was asked for Mustango compares with 1,000 bpm; here the take is not counted.
    4. Tempos are rounded (`tempo_bin`).
    """
    return float(tempo_bin(asked) == tempo_bin(found))


def near_bin(asked: float, found: float) -> float:
    """TBT: 1 where both tempos are in one bin or in neighbouring ones, else 0. Differences as in `same_bin`."""
    return float(abs(tempo_bin(asked) - tempo_bin(found)) <= 1)


def relative_error(asked: float, found: float) -> float:
    """|found - asked| / asked."""
    return abs(found - asked) / asked


def within_tolerance(asked: float, found: float) -> float:
    """1 where the relative error is at most `TOLERANCE`, else 0.

    1. "Accuracy 1" of Gouyon et al. 2006 allows 4 %.
    """
    return float(relative_error(asked, found) <= TOLERANCE + _ROUNDING)


def within_tolerance_or_octave(asked: float, found: float) -> float:
    """1 where the tempo, its half or its double is within `TOLERANCE`, else 0.

    1. "Accuracy 2" of Gouyon et al. 2006 also allows a third and the triple, and 4 %.
    """
    return max(within_tolerance(asked, found * octave) for octave in OCTAVES)


def pace_of(beats_a_minute: float) -> Pace:
    """The word for a tempo: "slow" below 84 felt beats a minute, "fast" above 112, else "medium", as in the captions.

    1. Captions say no word between 84 and 88; here that is medium, so that every tempo has one pace.
    """
    if beats_a_minute < SLOW_BELOW:
        return "slow"
    return "fast" if beats_a_minute > FAST_ABOVE else "medium"


Compare = Callable[[float, float], float]

COMPARISONS: tuple[tuple[str, str, Compare], ...] = (
    ("tempo_bin", "TB: takes whose tempo is in the same of nine bins as the one asked for", same_bin),
    ("tempo_bin_or_next", "TBT: takes whose tempo is in the same bin or the next one", near_bin),
    ("tempo_error", "Difference from the tempo asked for, as a share of it", relative_error),
    ("tempo_within_5", "Takes within 5 % of the tempo asked for", within_tolerance),
    (
        "tempo_within_5_or_octave",
        "Takes within 5 % of the tempo asked for, its half or its double",
        within_tolerance_or_octave,
    ),
)
"""Names of metrics, what they say, and how they compare the tempo asked for with the one found."""
PACE = ("pace", "Takes that are slow, medium or fast as the prompt says")


def by_ear(name: str, about: str, ear: str) -> Metric:
    """The metric `name` of what is "heard" in the notes or "written" in the file."""
    where = "as heard in the notes" if ear == "heard" else "as written in the file"
    better: Better = "lower" if name == "tempo_error" else "higher"
    return control_metric(f"{name}_{ear}", f"{about}, {where}.", better=better)


HEARD: tuple[Metric, ...] = (
    *(by_ear(name, about, "heard") for name, about, _ in COMPARISONS),
    by_ear(*PACE, "heard"),
)
"""The metrics that rest on the beats heard."""


def evaluate(asked: Sequence[Wish]) -> list[Measured]:
    """All metrics of tempo and pace, a value a take."""
    measured = []
    for ear, find in EARS:
        for name, about, compare in COMPARISONS:
            measured.append(judge(by_ear(name, about, ear), asked, _tempo_value(find, compare)))
        measured.append(judge(by_ear(*PACE, ear), asked, _pace_value(find)))
    return measured


def _tempo_value(find: Ear, compare: Compare) -> Callable[[Wish], float | None]:
    """`compare` with the tempo that `find` finds, in the reading that serves the take best."""

    def value(wish: Wish) -> float | None:
        bpm = wish.facts.bpm
        if bpm is None:
            return None
        found = find(wish)
        if found is None:
            return None if compare is relative_error else 0.0
        best = min if compare is relative_error else max
        return best(compare(bpm, reading) for reading in found.readings)

    return value


def _pace_value(find: Ear) -> Callable[[Wish], float | None]:
    """Whether the felt beats have the pace that was asked for."""

    def value(wish: Wish) -> float | None:
        if wish.facts.pace is None:
            return None
        found = find(wish)
        return float(found is not None and pace_of(found.felt) == wish.facts.pace)

    return value
