"""Texture: how many notes, how many at once, how long, how far apart, by how many instruments.

Conventions: seconds and notes as they stand in the take, no beats needed. Polyphony, lengths and leaps are of notes
heard as pitches (`NoteTable.pitched`); densities count drums too. In: `Analysis`es. Out: a value a take.
No metric here has a better direction: music may be thin or thick. They are for `distribution`, which asks whether a set
of takes is as varied as real music, and for finding takes that pile up notes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from midi_llm.evaluate.analysis import Analysis, check_coverage, measure
from midi_llm.evaluate.metric import Measured, Metric
from midi_llm.music.features import NoteTable, covered_seconds
from midi_llm.music.features import mean_polyphony as notes_at_once
from midi_llm.music.features import relative_density as density_of_player

NOTE_DENSITY = Metric(
    name="texture.note_density",
    unit="notes/s",
    better=None,
    about="Notes a second from the first onset to the end of the last note.",
)
RELATIVE_DENSITY = Metric(
    name="texture.relative_density",
    unit="notes/s",
    better=None,
    about="Notes a second over the root of the number of instruments.",
)
MEAN_POLYPHONY = Metric(
    name="texture.mean_polyphony",
    unit="",
    better=None,
    about="Pitched notes that sound together, on average over the time in which any sounds.",
)
POLYPHONY_RATE = Metric(
    name="texture.polyphony_rate",
    unit="share",
    better=None,
    about="Share of the time with pitched notes in which two or more pitches sound.",
)
INSTRUMENTS = Metric(
    name="texture.instruments",
    unit="",
    better=None,
    about="Instruments that play at least one note; all drums are one.",
)
NOTE_SECONDS = Metric(
    name="texture.note_seconds",
    unit="s",
    better=None,
    about="Mean length of the pitched notes.",
)
MELODIC_LEAP = Metric(
    name="texture.melodic_leap",
    unit="",
    better=None,
    about="Mean size in semitones of the steps of each instrument's top line.",
)


def validate(analyses: Sequence[Analysis]) -> tuple[str, ...]:
    """Warnings about takes without notes. Raises `RequestError` when there is no take."""
    return check_coverage(analyses, lambda one: len(one.notes) > 0, "no notes (no texture metric)")


def evaluate(analyses: Sequence[Analysis]) -> list[Measured]:
    """All metrics of the family, a value a take."""
    validate(analyses)
    return [
        measure(NOTE_DENSITY, analyses, lambda one: note_density(one.notes)),
        measure(RELATIVE_DENSITY, analyses, lambda one: relative_density(one.notes)),
        measure(MEAN_POLYPHONY, analyses, lambda one: mean_polyphony(one.notes)),
        measure(POLYPHONY_RATE, analyses, lambda one: polyphony_rate(one.notes)),
        measure(INSTRUMENTS, analyses, lambda one: instruments(one.notes)),
        measure(NOTE_SECONDS, analyses, lambda one: note_seconds(one.notes)),
        measure(MELODIC_LEAP, analyses, lambda one: melodic_leap(one.notes)),
    ]


def note_density(notes: NoteTable) -> float:
    """Notes a second, as `music.features.note_density` counts them; nan without notes or without length."""
    if not len(notes):
        return float("nan")
    seconds = float((notes.start + notes.duration).max() - notes.start.min())
    return len(notes) / seconds if seconds > 0 else float("nan")


def relative_density(notes: NoteTable) -> float:
    """`note_density` over the root of the number of instruments: what the captions call density (`data.facts`)."""
    return density_of_player(note_density(notes), len(np.unique(notes.instrument)))


def mean_polyphony(notes: NoteTable) -> float:
    """Pitched notes that sound at once while any does (1 or more); nan where none has a length."""
    return notes_at_once(notes.pitched()) or float("nan")


def polyphony_rate(notes: NoteTable) -> float:
    """Share (0 to 1) of the time with pitched notes in which at least two different pitches sound; nan without them.

    1. MusPy divides by the length of the file, rests and all; with a threshold of 2 it asks for more than two pitches.
    2. Time is continuous here, MusPy's comes in ticks. Two instruments in unison are one pitch in both.
    """
    pitched = notes.pitched()
    lines = [pitched.where(pitched.pitch == pitch) for pitch in np.unique(pitched.pitch)]
    merged = [_merged(line) for line in lines]
    if not merged:
        return float("nan")
    start = np.concatenate([spans[0] for spans in merged])
    end = np.concatenate([spans[1] for spans in merged])
    total = covered_seconds(start, end - start)
    if total <= 0:
        return float("nan")
    times = np.concatenate((end, start))
    order = np.argsort(times, kind="stable")  # ends come first at an equal time
    sounding = np.cumsum(np.repeat((-1, 1), len(start))[order])[:-1]
    return float(np.diff(times[order])[sounding >= 2].sum()) / total


def _merged(line: NoteTable) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends of the spans in which the notes of one pitch sound; touching spans may stay apart."""
    end = np.maximum.accumulate(line.start + line.duration)
    begins = np.r_[True, line.start[1:] >= end[:-1]]
    return line.start[begins], end[np.r_[np.flatnonzero(begins)[1:] - 1, len(end) - 1]]


def instruments(notes: NoteTable) -> float:
    """Number of different instruments (0-127, and 128 for all drums) with at least one note; nan without notes."""
    return float(len(np.unique(notes.instrument))) if len(notes) else float("nan")


def note_seconds(notes: NoteTable) -> float:
    """Mean duration of the pitched notes in seconds; nan without them."""
    pitched = notes.pitched()
    return float(pitched.duration.mean()) if len(pitched) else float("nan")


def melodic_leap(notes: NoteTable) -> float:
    """Mean size (semitones) of the steps from top note to top note of each instrument; nan without a step.

    The top note is the highest of those that begin within 20 ms. Differences from `avg_pitch_shift` of mgeval:

    1. There each two consecutive notes of a track count, tones of a chord among each other too.
    2. There one track is looked at; here all instruments, each for itself.
    """
    pitched = notes.pitched()
    order = np.lexsort((pitched.start, pitched.instrument))
    start, instrument, pitch = pitched.start[order], pitched.instrument[order], pitched.pitch[order]
    if len(start) < 2:
        return float("nan")
    begins = np.flatnonzero(np.r_[True, (np.diff(start) > 0.02) | (np.diff(instrument) != 0)])
    top = np.maximum.reduceat(pitch, begins)
    steps = np.abs(np.diff(top))[np.diff(instrument[begins]) == 0]
    return float(steps.mean()) if len(steps) else float("nan")
