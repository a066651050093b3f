"""Key: which of the 24 major and minor keys notes are in, and how sure that is.

In: a `NoteTable`. Out: a name ("Bb minor") and a confidence 0-1, or the probability of every key. One key is given for
all the notes: a passage that modulates gets the key that fits best, with less confidence.

The pitch classes, weighted by the square root of the duration, are correlated with a profile of each key; the key of
the lowest first note gets a bonus; a softmax makes probabilities of it. Profile, bonus and sharpness are chosen by
accuracy on pieces whose key is known (docs/log.md 2026-11-24).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from midi_llm.music.features import NoteTable

PITCH_CLASSES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
MODES = ("major", "minor")
KEYS = tuple(f"{tonic} {mode}" for mode in MODES for tonic in PITCH_CLASSES)
"""The 24 keys, in the order of `key_probabilities`."""

_OTHER_SPELLINGS = {"C#": 1, "D#": 3, "E#": 5, "Fb": 4, "F#": 6, "G#": 8, "A#": 10, "B#": 0, "Cb": 11}
_PITCH_CLASS = {name: number for number, name in enumerate(PITCH_CLASSES)} | _OTHER_SPELLINGS

MAJOR_PROFILE = (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081)
MINOR_PROFILE = (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052)
"""Share of each pitch class from the tonic up: Albrecht and Shanahan 2013, "The Use of Large Corpora to Train a New
Type of Key-Finding Algorithm", Music Perception 31(1)."""

_MOST_FLATS = 6
"""Of the signatures used here; six flats sound as six sharps."""

FIRST_BASS_BONUS = 0.05
SHARPNESS = 10.0
KEY_CONFIDENCE = 0.8
"""From this confidence on an estimate may be stated. On 30 s from the beginning of pieces that were not used for tuning
96 % are then exact: 98 to 99 % of generated pieces, 93 % of old scores (docs/log.md 2026-11-24)."""

Floats = npt.NDArray[np.float64]


def pitch_class(name: str) -> int | None:
    """0-11 from C up, of a name with at most one accidental ("F#", "Gb"); None for anything else."""
    return _PITCH_CLASS.get(name)


def key_number(key: str) -> int | None:
    """The place in `KEYS` of "C# minor", however its tonic is spelled; None for what is no key."""
    tonic, _, mode = key.partition(" ")
    number = _PITCH_CLASS.get(tonic)
    return None if number is None or mode not in MODES else number + len(PITCH_CLASSES) * MODES.index(mode)


def sharps(key: str) -> int | None:
    """Accidentals of a key's signature, -6 (flats) to 6 (sharps), the fewest; None for what is no key."""
    number = key_number(key)
    if number is None:
        return None
    relative_major = number % 12 if number < len(PITCH_CLASSES) else number % 12 + 3
    fifths = (relative_major * 7 + _MOST_FLATS) % 12 - _MOST_FLATS
    return -fifths if fifths == -_MOST_FLATS and "#" in key else fifths


def signature_key(accidentals: int, *, minor: bool) -> str:
    """The key that a signature of -7 to 7 `accidentals` says."""
    tonic = (7 * accidentals + (9 if minor else 0)) % 12
    return KEYS[tonic + (len(PITCH_CLASSES) if minor else 0)]


def estimate_key(notes: NoteTable) -> tuple[str, float]:
    """The likeliest key and its probability; 1/24 and no meaning when no note has a pitch."""
    probabilities = key_probabilities(notes)
    best = int(np.argmax(probabilities))
    return KEYS[best], float(probabilities[best])


def key_probabilities(notes: NoteTable) -> Floats:
    """Probability [24] of each of `KEYS`; all equal when no note has a pitch."""
    notes = notes.pitched()
    weights = np.bincount(notes.pitch % 12, np.sqrt(notes.duration), 12).astype(np.float64)
    scores = correlate(weights)
    if len(notes):
        opening = notes.start <= notes.start.min() + 0.02
        tonic = int(notes.pitch[opening].min()) % 12
        scores[[tonic, tonic + 12]] += FIRST_BASS_BONUS
    powers = np.exp(SHARPNESS * (scores - scores.max()))
    return np.asarray(powers / powers.sum())


def correlate(weights: Floats) -> Floats:
    """Pearson correlation [24] of pitch-class `weights` [12] with the profile of each of `KEYS`; 0 for flat weights."""
    centred = weights - weights.mean()
    length = float(np.linalg.norm(centred))
    return _TEMPLATES @ centred / length if length > 1e-9 else np.zeros(len(KEYS))


def _templates() -> Floats:
    """The profiles [24, 12] moved to every tonic, centred and of length 1."""
    rows = np.array([np.roll(profile, k) for profile in (MAJOR_PROFILE, MINOR_PROFILE) for k in range(12)])
    rows -= rows.mean(axis=1, keepdims=True)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


_TEMPLATES = _templates()
