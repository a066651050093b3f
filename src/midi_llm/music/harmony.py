"""Chords: the triad or seventh chord of each bar.

In: a `NoteTable` whose second 0 is a bar line, and the length of a bar. Out: names ("Am", "Cmaj7", "G7", "E5") and a
confidence 0-1 a bar. It names one chord a bar: where harmony moves faster, the confidence drops. Inversions are named
by their root.

Each bar's pitch classes, weighted by the square root of the time they sound in it, are compared with the chords by
cosine; a chord whose root is the lowest note gets a bonus. The confidence is the share of the weight that lies on
tones of the chord (measured against chords known by construction, docs/log.md 2026-11-24).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from midi_llm.music.features import NoteTable
from midi_llm.music.key import PITCH_CLASSES

CHORDS: dict[str, tuple[int, ...]] = {
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "m7": (0, 3, 7, 10),
    "dim": (0, 3, 6),
    "m7b5": (0, 3, 6, 10),
    "sus4": (0, 5, 7),
    "5": (0, 7),
}
"""Suffix and semitones above the root."""

BASS_BONUS = 0.1
BASS_SHARE = 0.1
"""The bass is the lowest note that sounds for at least this share of the bar."""
CHORD_CONFIDENCE = 0.85
"""From this confidence on 96 to 98 % of the chords are right where they are known (docs/log.md 2026-11-24)."""

Floats = npt.NDArray[np.float64]


def bar_chords(notes: NoteTable, bar_seconds: float, bars: int) -> tuple[tuple[str, ...], Floats]:
    """Name the chord of each of the first `bars` bars, "" where there is none, and its confidence [bars].

    A chord needs three pitch classes, or two for a bare fifth ("5").
    """
    notes = notes.pitched()
    if not len(notes) or not bars:
        return ("",) * bars, np.zeros(bars)
    shares = _shares(notes, bar_seconds, bars)
    weights = np.sqrt(shares) @ np.eye(12)[notes.pitch % 12]  # [bars, 12]
    total = np.maximum(weights.sum(axis=1), 1e-9)
    lowest = np.where(shares >= BASS_SHARE, notes.pitch, 128).min(axis=1)
    scores = weights @ _UNIT_TONES.T / np.maximum(np.linalg.norm(weights, axis=1, keepdims=True), 1e-9)
    scores += BASS_BONUS * ((lowest < 128)[:, None] & (lowest[:, None] % 12 == _ROOTS))
    best = scores.argmax(axis=1)
    confidence = (weights * _TONES[best]).sum(axis=1) / total
    present = ((weights > 0.02 * total[:, None]) & (_TONES[best] > 0)).sum(axis=1)
    found = present >= np.minimum(_TONES[best].sum(axis=1), 3)
    return tuple(_NAMES[i] if ok else "" for i, ok in zip(best, found, strict=True)), np.where(found, confidence, 0.0)


def _shares(notes: NoteTable, bar_seconds: float, bars: int) -> Floats:
    """Share [bars, n] of each bar during which each note sounds; below 2 % (a late release) counts as nothing."""
    edges = np.arange(bars)[:, None] * bar_seconds
    starts = np.maximum(notes.start, edges)
    ends = np.minimum(notes.start + notes.duration, edges + bar_seconds)
    shares = np.maximum(ends - starts, 0.0) / bar_seconds
    return np.where(shares < 0.02, 0.0, shares)


def _tones() -> Floats:
    """Tones [chords, 12] as 0 or 1, all roots of a chord type before the next type."""
    rows = np.zeros((len(CHORDS), 12, 12))
    for kind, intervals in enumerate(CHORDS.values()):
        for root in range(12):
            rows[kind, root, (root + np.array(intervals)) % 12] = 1.0
    return rows.reshape(-1, 12)


_TONES = _tones()
_UNIT_TONES = _TONES / np.linalg.norm(_TONES, axis=1, keepdims=True)
_NAMES = tuple(root + kind for kind in CHORDS for root in PITCH_CLASSES)
_ROOTS = np.tile(np.arange(12), len(CHORDS))
