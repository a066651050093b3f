"""Facts: all that may be said of one training window, and nothing that is not true of it.

In: a `Window` and its piece's `Metadata`. Out: `Facts`. Counted or measured in the window itself; what only the source
can know (genres, moods, composer, form) comes from the metadata. Words are chosen elsewhere (data/captions).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from midi_llm.data.ensembles import ensemble_holds
from midi_llm.data.sources.base import Metadata
from midi_llm.data.windows import Window
from midi_llm.music.features import (
    NoteTable,
    articulation,
    covered_seconds,
    dynamics,
    mean_pitch,
    mean_polyphony,
    relative_density,
    swing_ratio,
)
from midi_llm.music.form import bar_labels, repeated_share
from midi_llm.music.harmony import CHORD_CONFIDENCE, bar_chords
from midi_llm.music.key import KEY_CONFIDENCE, KEYS, key_probabilities
from midi_llm.tokens.vocab import TICKS_PER_SECOND

MIN_CHORDS = 4
"""A progression is stated from so many bars on."""
CONTRADICTION = 0.6
"""A known key is dropped when another one is estimated with at least this probability: the passage has modulated, or
the source's key is no more than a key signature (measured, docs/log.md 2026-11-24)."""

_ON_LINE = 1e-6
"""Bars; an onset this close before a bar line is on it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What is true of a window. None or empty where nothing is known; a caption must then be silent."""

    instruments: tuple[int, ...]
    """0-128, by sounding time, longest first; all that sound."""
    shares: tuple[float, ...]
    """Share of the window's notes per instrument, parallel to `instruments`."""
    seconds: float
    notes: int
    relative_density: float
    polyphony: float
    """Mean number of melodic notes sounding together while any sounds; 0 for drums alone."""
    mean_pitch: float | None
    """Over melodic notes, weighted by duration; None for drums alone."""
    bpm: float | None = None
    metre: tuple[int, int] | None = None
    key: str | None = None
    """ "Bb minor": known from the source and not contradicted here, or estimated with at least `KEY_CONFIDENCE`."""
    chords: tuple[str, ...] = ()
    """One a bar ("Am", "F", "Cmaj7"): the longest run of bars with confidently found chords; 4 or more, or none."""
    bars: int | None = None
    """Whole bars, where tempo and metre are constant and known."""
    mean_velocity: float | None = None
    """1-127; None where the file's velocities say nothing (all equal)."""
    velocity_change: float | None = None
    """Mean velocity of the last third minus that of the first third; None as above."""
    staccato: float | None = None
    """Median of duration / time to the instrument's next onset, melodic notes: below 0.5 is short, about 1 is bound."""
    repeats: float | None = None
    """Share of bars that literally repeat an earlier bar of the window (0-1)."""
    swing: float | None = None
    """Ratio of first to second eighth of a beat (1 straight, 2 triplet swing); None when there is no evidence."""
    is_opening: bool = False
    is_ending: bool = False
    genres: tuple[str, ...] = ()
    moods: tuple[str, ...] = ()
    composer: str = ""
    period: str = ""
    ensemble: str = ""
    form: tuple[str, ...] = ()
    """Sections of the piece; only where the window is the whole piece."""


def window_facts(window: Window, metadata: Metadata) -> Facts:
    """Collect what is true of `window`: measured in it, or known of its piece and not contradicted by it."""
    notes = window_notes(window)
    pitched = notes.pitched()
    sounding = frozenset(np.unique(notes.instrument).tolist())
    instruments = sorted(sounding, key=lambda number: (-_sounding_seconds(notes, number), number))
    loudness = dynamics(notes)
    return Facts(
        instruments=tuple(instruments),
        shares=tuple(float((notes.instrument == number).mean()) for number in instruments),
        seconds=window.seconds,
        notes=len(notes),
        relative_density=relative_density(len(notes) / max(window.seconds, 1.0), len(instruments)),
        polyphony=mean_polyphony(pitched),
        mean_pitch=mean_pitch(pitched),
        bpm=window.bpm,
        metre=window.metre,
        key=_key(window.key, pitched),
        mean_velocity=loudness[0] if loudness else None,
        velocity_change=loudness[1] if loudness else None,
        staccato=articulation(pitched),
        is_opening=window.is_opening,
        is_ending=window.is_ending,
        genres=tuple(genre for genre in metadata.genres if ensemble_holds(genre, sounding) is not False),
        moods=metadata.moods,
        composer=metadata.composer,
        period=metadata.period,
        ensemble=metadata.ensemble if ensemble_holds(metadata.ensemble, sounding) else "",
        form=metadata.form if window.is_opening and window.is_ending else (),
        **_bar_facts(window, notes),
    )


class _BarFacts(TypedDict, total=False):
    """The facts that need a grid of bars."""

    bars: int
    chords: tuple[str, ...]
    repeats: float | None
    swing: float | None


def _bar_facts(window: Window, notes: NoteTable) -> _BarFacts:
    """Bars, chords, repetition and swing, where tempo and metre are constant and known; else nothing."""
    if window.bpm is None or window.metre is None:
        return {}
    beat_seconds = 60.0 / window.bpm
    bar_seconds = beat_seconds * 4 * window.metre[0] / window.metre[1]
    reached = float(notes.start[-1]) / bar_seconds
    bars = math.floor(reached + _ON_LINE) + window.is_ending  # a bar that is cut off does not count
    if bars < 1:
        return {}
    facts = _BarFacts(
        bars=bars,
        chords=_progression(notes, bar_seconds, bars),
        repeats=repeated_share(bar_labels(notes, bar_seconds, bars)),
    )
    if window.metre[1] in (2, 4):  # elsewhere the quarter note is not the beat
        facts["swing"] = swing_ratio(notes, beat_seconds)
    return facts


def _progression(notes: NoteTable, bar_seconds: float, bars: int) -> tuple[str, ...]:
    """The longest run of bars with a confident chord, the first of equals; empty when shorter than `MIN_CHORDS`."""
    names, confidence = bar_chords(notes, bar_seconds, bars)
    unsure = np.flatnonzero(confidence < CHORD_CONFIDENCE)
    edges = np.concatenate([[-1], unsure, [bars]])
    longest = int(np.argmax(np.diff(edges)))
    run = names[edges[longest] + 1 : edges[longest + 1]]
    return run if len(run) >= MIN_CHORDS else ()


def _key(known: str | None, pitched: NoteTable) -> str | None:
    """The known key unless the notes contradict it, or else the estimated one if it is sure."""
    if not len(pitched):
        return None
    probabilities = key_probabilities(pitched)
    best = int(np.argmax(probabilities))
    if known is None:
        return KEYS[best] if probabilities[best] >= KEY_CONFIDENCE else None
    return known if KEYS[best] == known or probabilities[best] < CONTRADICTION else None


def window_notes(window: Window) -> NoteTable:
    """The window's events as seconds from its first bar line on."""
    events = window.events.astype(np.int64)
    return NoteTable(
        start=events[:, 0] / TICKS_PER_SECOND,
        duration=events[:, 1] / TICKS_PER_SECOND,
        instrument=events[:, 2],
        pitch=events[:, 3],
        velocity=window.velocities.astype(np.int64),
    )


def _sounding_seconds(notes: NoteTable, instrument: int) -> float:
    """Seconds during which `instrument` sounds."""
    own = notes.instrument == instrument
    return covered_seconds(notes.start[own], notes.duration[own])
