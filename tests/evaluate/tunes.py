"""Tunes with a key, a beat and a form, written by the tests, and the same notes in disorder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from midi_llm.evaluate.analysis import Analysis, lay_in_bars
from midi_llm.evaluate.metric import Measured
from midi_llm.music.features import NoteTable, note_table
from midi_llm.music.score import NOTE_DTYPE, Score, Track

BEAT_SECONDS = 0.5
BARS = 16
FORM = "AABAAABACCBAAABA"
CHORDS = ((0, 4, 7), (5, 9, 12), (7, 11, 14), (9, 12, 16))
SCALE = (60, 62, 64, 65, 67, 69, 71, 72)

Row = tuple[float, float, int, int]


def track(rows: Sequence[Row], program: int = 0, *, drums: bool = False) -> Track:
    """A track of (time, duration, pitch, velocity), times in seconds."""
    return Track(program=program, is_drum=drums, notes=np.array(sorted(rows), NOTE_DTYPE))


def tune(seed: int) -> Score:
    """16 bars of 4/4 at 120 bpm: a melody in C in three kinds of bars, chords, and drums."""
    rng = np.random.default_rng(seed)
    bars = {kind: _melody(rng) for kind in "ABC"}
    chords = {kind: CHORDS[int(rng.integers(len(CHORDS)))] for kind in "ABC"}
    melody, accompaniment, drums = [], [], []
    for index, kind in enumerate(FORM):
        at = index * 4 * BEAT_SECONDS
        melody += [(at + beat * BEAT_SECONDS, 0.2, pitch, 90) for beat, pitch in bars[kind]]
        accompaniment += [(at + 1.0 * half, 0.9, 48 + tone, 60) for half in (0, 1) for tone in chords[kind]]
        drums += [(at + beat * BEAT_SECONDS, 0.1, 36 if beat % 2 == 0 else 38, 100) for beat in range(4)]
    return Score(tracks=(track(melody, 73), track(accompaniment), track(drums, drums=True)))


def _melody(rng: np.random.Generator) -> list[tuple[float, int]]:
    """Eight eighths at most, on steps of the scale."""
    beats = np.flatnonzero(rng.random(8) < 0.75) / 2
    steps = np.clip(3 + np.cumsum(rng.integers(-2, 3, len(beats))), 0, 7)
    return [(float(beat), SCALE[int(step)]) for beat, step in zip(beats, steps, strict=True)]


def changed(score: Score, change: Callable[[Any, Track], None]) -> Score:
    """`score` with `change` made to a copy of each track's notes."""
    tracks = []
    for one in score.tracks:
        notes = one.notes.copy()
        change(notes, one)
        order = np.argsort(notes["time"], kind="stable")
        tracks.append(Track(program=one.program, is_drum=one.is_drum, notes=notes[order]))
    return Score(tracks=tuple(tracks))


def scattered(score: Score, seed: int) -> Score:
    """The same notes at times drawn uniformly, their pitches exchanged."""
    rng = np.random.default_rng(seed)

    def change(notes: Any, one: Track) -> None:
        notes["time"] = np.round(rng.uniform(0.0, BARS * 4 * BEAT_SECONDS, len(notes)), 2)
        notes["pitch"] = rng.permutation(notes["pitch"])

    return changed(score, change)


def noise(score: Score, seed: int) -> Score:
    """As many notes of uniform time, length and pitch."""
    rng = np.random.default_rng(seed)

    def change(notes: Any, one: Track) -> None:
        notes["time"] = np.round(rng.uniform(0.0, BARS * 4 * BEAT_SECONDS, len(notes)), 2)
        notes["duration"] = rng.uniform(0.05, 2.0, len(notes))
        notes["pitch"] = rng.integers(35, 82, len(notes)) if one.is_drum else rng.integers(0, 128, len(notes))

    return changed(score, change)


def laid(score: Score) -> Analysis:
    """`score` on the beats that `tune` was written on."""
    return on_beats(note_table(score))


def on_beats(notes: NoteTable, *, beat_seconds: float = BEAT_SECONDS, metre: tuple[int, int] = (4, 4)) -> Analysis:
    """`notes` on beats from second 0 on, as many to a bar as the metre has (two in 6/8)."""
    last = float(notes.start.max()) if len(notes) else 0.0
    beats = np.arange(int(last / beat_seconds) + 3) * beat_seconds
    per_bar = 2 if metre == (6, 8) else metre[0]
    bars = lay_in_bars(notes, beats=beats, downbeats=np.arange(0, len(beats), per_bar), metre=metre)
    return Analysis(notes=notes, bars=bars)


def table(rows: Sequence[Row], program: int = 0, *, drums: bool = False) -> NoteTable:
    """A table of one track's notes."""
    return note_table(Score(tracks=(track(rows, program, drums=drums),)))


EMPTY = Analysis(notes=note_table(Score()))


def means(measured: Sequence[Measured]) -> dict[str, float]:
    """The mean of each metric that has a better direction, higher being better."""
    signs = {"higher": 1.0, "lower": -1.0}
    return {
        one.metric.name: signs[one.metric.better] * float(np.nanmean(one.values))
        for one in measured
        if one.metric.better is not None
    }
