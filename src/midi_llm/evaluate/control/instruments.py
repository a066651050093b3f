"""Instruments: whether those asked for play, whether others do, whether those ruled out keep silent.

Conventions: a prompt states groups of instruments, any member of which fulfils the group (`PromptFacts.instruments`).
Instruments are 0-127 and 128 for all drums. Nothing is estimated: programs are read from the file.
An instrument (or the members of a group together) *sounds* with at least 8 notes or at least 2 % of the take's notes:
one stray note in a long take is no instrument, eight notes of a triangle are.
In: `Wish`es. Out: a value a take. How well the instruments play is not judged.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from midi_llm.evaluate.control.wish import Wish, control_metric, judge
from midi_llm.evaluate.metric import Integers, Measured
from midi_llm.music.score import DRUMS

Groups = tuple[tuple[int, ...], ...]
"""Instruments asked for: one tuple of equivalent instruments for each."""

LEAST_NOTES = 8
LEAST_SHARE = 0.02
"""Our choice: it leaves out 9 of the 836 instruments in 30 s openings of 273 real pieces (benchmarks/estimators.py)."""
PROGRAMS_PER_FAMILY = 8
"""General MIDI families; drums (128) come out as a family of their own, 16."""

RECALL = control_metric("instruments_recall", "Share of the instruments asked for that sound.")
PRECISION = control_metric(
    "instruments_precision", "Share of the sounding instruments that were asked for, where no others were wanted."
)
F1 = control_metric("instruments_f1", "Harmonic mean of recall and precision, where no others were wanted.")
SHARE = control_metric(
    "instruments_share", "Share of the notes that the instruments asked for play, where no others were wanted."
)
FAMILY_RECALL = control_metric(
    "families_recall", "Share of the instruments asked for of whose General MIDI family one sounds."
)
FAMILY_F1 = control_metric(
    "families_f1", "The same as instruments_f1 with General MIDI families in place of instruments."
)
WITHOUT = control_metric("without", "Takes in which instruments that were ruled out play not a single note.")
DRUMS_ASKED = control_metric("drums_asked", "Takes in which drums sound, where they were asked for.")
DRUMS_UNWANTED = control_metric("drums_unwanted", "Takes without a note of drums, where drums were ruled out.")


def evaluate(asked: Sequence[Wish]) -> list[Measured]:
    """All metrics of instruments, a value a take."""
    return [
        judge(RECALL, asked, lambda wish: recall(wish.facts.instruments, wish.notes.instrument)),
        judge(PRECISION, asked, lambda wish: precision(_scored(wish), wish.notes.instrument)),
        judge(F1, asked, lambda wish: f1(_scored(wish), wish.notes.instrument)),
        judge(SHARE, asked, lambda wish: share(_scored(wish), wish.notes.instrument)),
        judge(FAMILY_RECALL, asked, lambda wish: recall(families(wish.facts.instruments), _families_of(wish))),
        judge(FAMILY_F1, asked, lambda wish: f1(families(_scored(wish)), _families_of(wish))),
        judge(WITHOUT, asked, lambda wish: without(wish.facts.without, wish.notes.instrument)),
        judge(DRUMS_ASKED, asked, _drums_asked),
        judge(DRUMS_UNWANTED, asked, lambda wish: without(_no_drums(wish), wish.notes.instrument)),
    ]


def sounds(members: Collection[int], instruments: Integers) -> bool:
    """Whether `members` together have enough of the notes, given the instrument [n] of each note."""
    count = int(np.isin(instruments, tuple(members)).sum())
    return count >= LEAST_NOTES or count >= LEAST_SHARE * len(instruments) > 0


def recall(groups: Groups, instruments: Integers) -> float | None:
    """Share (0 to 1) of `groups` that sound in notes [n] of `instruments`; None without groups.

    1. MuseCoco (Lu et al. 2023) asks for 28 classes of instruments and judges each as present or absent; here a prompt
       has groups of its own, narrow ("bassoon") or wide ("brass").
    2. One instrument fulfils every group that it is in: "two guitars" are two equal groups, fulfilled by one guitar.
    """
    return float(np.mean([sounds(group, instruments) for group in groups])) if groups else None


def precision(groups: Groups, instruments: Integers) -> float | None:
    """Share (0 to 1) of the sounding instruments that are in any of `groups`; 0 where none sounds, None without groups.

    Only meaningful where the prompt excludes others ("solo piano"): a prompt that names a flute does not forbid a harp.
    `f1` and `share` are counted there alone as well.
    """
    if not groups:
        return None
    wanted = {number for group in groups for number in group}
    heard = [number for number in np.unique(instruments).tolist() if sounds((number,), instruments)]
    return sum(number in wanted for number in heard) / len(heard) if heard else 0.0


def f1(groups: Groups, instruments: Integers) -> float | None:
    """Harmonic mean (0 to 1) of `recall` and `precision` of one take; None without groups.

    1. The mean over takes is reported (macro); the F1 of summed counts would weigh takes by their instruments.
    """
    found, right = recall(groups, instruments), precision(groups, instruments)
    if found is None or right is None:
        return None
    return 2 * found * right / (found + right) if found + right > 0 else 0.0


def share(groups: Groups, instruments: Integers) -> float | None:
    """Share (0 to 1) of the notes [n] that any of `groups` plays; None without groups."""
    wanted = [number for group in groups for number in group]
    return float(np.isin(instruments, wanted).mean()) if groups else None


def without(excluded: Collection[int], instruments: Integers) -> float | None:
    """1 when none of the notes [n] is of an `excluded` instrument, else 0; None where nothing is excluded.

    Stricter than "sounds": a single beat of a drum is heard by who wanted none.
    """
    return float(not np.isin(instruments, tuple(excluded)).any()) if excluded else None


def families(groups: Groups) -> Groups:
    """The General MIDI families (0-15, 16 for drums) of each group; ascending, each once."""
    return tuple(tuple(sorted({number // PROGRAMS_PER_FAMILY for number in group})) for group in groups)


def _families_of(wish: Wish) -> Integers:
    return wish.notes.instrument // PROGRAMS_PER_FAMILY


def _scored(wish: Wish) -> Groups:
    """The groups where no other instruments are wanted, none otherwise."""
    return wish.facts.instruments if wish.facts.only else ()


def _drums_asked(wish: Wish) -> float | None:
    """Where a tabla or percussion may stand for the drum kit, drums are not asked for."""
    return float(sounds((DRUMS,), wish.notes.instrument)) if (DRUMS,) in wish.facts.instruments else None


def _no_drums(wish: Wish) -> tuple[int, ...]:
    return (DRUMS,) if wish.facts.drums is False else ()
