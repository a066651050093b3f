"""Which beats begin a bar: hypotheses of so many beats a bar from such a beat on, and what speaks for each.

In: accents and beats. Out: feature rows, which `beats` weighs. Knows no file and no tempo.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from midi_llm.music.features import NoteTable
from midi_llm.music.pulse import KINDS, Accents
from midi_llm.music.quantise import grid_lines
from midi_llm.music.score import DRUMS

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BEATS_PER_BAR = (2, 3, 4)
APART = (1, 2, 3, 4, 6, 8, 12, 16)
"""Beats between those that are compared."""
IN_THREE = 0.7
"""A metre is compound when so large a share of the onsets between beats lies on thirds."""


def bar_hypotheses(beats_per_bar: int | None = None) -> tuple[Integers, Integers]:
    """Beats in a bar [h] and the first downbeat [h]: every bar length of `BEATS_PER_BAR`, or the one given."""
    lengths = BEATS_PER_BAR if beats_per_bar is None else (beats_per_bar,)
    pairs = [(length, first) for length in lengths for first in range(length)]
    return np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])


def bar_features(notes: NoteTable, found: Accents, beats: Floats, per_bar: Integers, first: Integers) -> Floats:
    """What speaks for each hypothesis [h, features]: a block for each bar length, 0 in the other blocks.

    A block has a constant, the tempo, whether the first beat is a downbeat, how alike the beats are that lie so many
    apart, and for every kind of accent how much stronger than the average each of the first beats of a bar is.
    """
    heard = np.concatenate([beat_accents(found, beats), _crashes(notes, beats)[None]])
    average = heard.mean(axis=1)
    alike = [_likeness(notes, beats, apart) for apart in APART]
    octaves = np.log2(60 / float(np.median(np.diff(beats))) / 110)
    blocks = []
    for length, start in zip(per_bar.tolist(), first.tolist(), strict=True):
        block = [1.0, octaves, octaves**2, float(start == 0), *alike]
        for beat in range(max(BEATS_PER_BAR) - 1):
            block += list(_excess(heard[:, (start + beat) % length :: length], average) * (beat < length))
        blocks.append(np.concatenate([np.multiply(length == each, block) for each in BEATS_PER_BAR]))
    return np.array(blocks, np.float64)


def beat_accents(found: Accents, beats: Floats) -> Floats:
    """Strength of every kind of accent on each beat: [kinds, beats]; onsets within a sixth of a beat count."""
    if not len(beats):
        return np.zeros((len(KINDS), 0))
    near = np.clip(np.rint(np.interp(found.times, beats, np.arange(len(beats)))), 0, len(beats) - 1).astype(np.int64)
    width = float(np.median(np.diff(beats))) / 6
    close = np.abs(found.times - beats[near]) <= width
    heard = np.zeros((len(KINDS), len(beats)))
    for row, strength in zip(heard, found.strength, strict=True):
        np.maximum.at(row, near[close], strength[close])
    return heard


def compound(found: Accents, beats: Floats) -> bool:
    """Beats divide in three (6/8 rather than 2/4): most of those that have onsets between the beats."""
    if found.strength[KINDS.index("kick")].any() or found.strength[KINDS.index("snare")].any():
        return False  # with a drum kit it is a shuffle, which is written in four
    at = np.interp(found.times, beats, np.arange(len(beats)))
    line = grid_lines(at)
    inner = np.abs(line - np.rint(line)) > 0.05
    if np.count_nonzero(inner) < 4:
        return False
    third = np.abs(line * 3 - np.rint(line * 3)) < 1e-6
    return bool(third[inner].mean() >= IN_THREE)


def _excess(heard: Floats, average: Floats) -> Floats:
    """Mean over the chosen beats relative to the average of all, less 1; 0 where there is no accent of a kind."""
    mean = heard.mean(axis=1) if heard.shape[1] else average
    return np.asarray(np.divide(mean, average, out=np.ones_like(average), where=average > 0) - 1)


def _crashes(notes: NoteTable, beats: Floats) -> Floats:
    """Count crash cymbals (keys 49, 55, 57) at each beat."""
    times = notes.start[(notes.instrument == DRUMS) & np.isin(notes.pitch, (49, 55, 57))]
    near = np.clip(np.rint(np.interp(times, beats, np.arange(len(beats)))), 0, len(beats) - 1).astype(np.int64)
    return np.bincount(near, minlength=len(beats)).astype(np.float64)


def _likeness(notes: NoteTable, beats: Floats, length: int) -> float:
    """Mean cosine likeness of what is played on beats `length` apart: sixteenth of the beat by kind of sound."""
    at = np.interp(notes.start, beats, np.arange(len(beats)))
    cell = np.clip(np.rint(at * 4).astype(np.int64), 0, 4 * len(beats) - 1)
    voice = np.where(notes.instrument == DRUMS, 12 + notes.pitch % 12, notes.pitch % 12)
    table = np.zeros((len(beats), 4 * 24))
    np.add.at(table, (cell // 4, cell % 4 * 24 + voice), 1.0)
    if length >= len(beats):
        return 0.0
    norms = np.linalg.norm(table, axis=1)
    both = (norms[:-length] > 0) & (norms[length:] > 0)
    if not both.any():
        return 0.0
    products = (table[:-length] * table[length:]).sum(axis=1)[both]
    return float((products / (norms[:-length] * norms[length:])[both]).mean())


def beats_in_bar(metre: tuple[int, int]) -> int:
    """Felt beats in a bar: 2 in 6/8, 3 in 9/8, 4 in 12/8, else the numerator."""
    return metre[0] // 3 if is_compound(metre) else metre[0]


def beat_quarters(metre: tuple[int, int]) -> float:
    """Length of a felt beat in quarter notes: 1 in 4/4, 1.5 in 6/8, 2 in 2/2."""
    return 4 / metre[1] * (3 if is_compound(metre) else 1)


def is_compound(metre: tuple[int, int]) -> bool:
    """Beats divide in three: 6/8, 9/8, 12/8 and their like in sixteenths."""
    return metre[0] in (6, 9, 12) and metre[1] >= 8
