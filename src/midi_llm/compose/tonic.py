"""The key of a finished piece, brought to the one asked for.

In: a `Score` and a key ("Bb minor"). Out: the same music, its pitched parts moved by at most half an octave. A piece in
the other mode is moved to the relative key, which has the same notes; drums stay. Where no key is clear nothing moves.
"""

from __future__ import annotations

from dataclasses import replace

from midi_llm.music.features import note_table
from midi_llm.music.key import KEYS, estimate_key
from midi_llm.music.score import Score

LEAST_CONFIDENCE = 0.4
"""Of the key heard (music/key.py): at 0.4 it is right in about half of the pieces (docs/log.md 2026-11-24)."""
_ENHARMONIC = {"C#": "Db", "D#": "Eb", "F#": "Gb", "G#": "Ab", "A#": "Bb", "Cb": "B", "Fb": "E", "E#": "F", "B#": "C"}
_HALF_OCTAVE = 6


def in_key(score: Score, key: str | None) -> Score:
    """`score` in `key`, or as it is where none is asked for or none can be heard."""
    notes = note_table(score)
    if key is None or not len(notes.pitched()):
        return score
    heard, confidence = estimate_key(notes)
    semitones = interval(heard, key)
    pitch = notes.pitched().pitch.astype(int) + semitones
    if confidence < LEAST_CONFIDENCE or pitch.min() < 0 or pitch.max() > 127:
        return score
    tracks = []
    for track in score.tracks:
        moved = track.notes.copy()
        if not track.is_drum:
            moved["pitch"] = moved["pitch"].astype(int) + semitones
        tracks.append(replace(track, notes=moved))
    return replace(score, tracks=tuple(tracks))


def interval(heard: str, asked: str) -> int:
    """Semitones, -5 to 6, from the key `heard` to the one `asked` for, or to its relative in the mode heard."""
    here, there = _number(heard), _number(asked)
    tonic = there % 12
    if here // 12 != there // 12:
        tonic += 3 if there >= 12 else -3  # the relative major of a minor key, the relative minor of a major one
    return (tonic - here + _HALF_OCTAVE - 1) % 12 - _HALF_OCTAVE + 1


def _number(key: str) -> int:
    """Its place in `KEYS`."""
    tonic, mode = key.split()
    return KEYS.index(f"{_ENHARMONIC.get(tonic, tonic)} {mode}")
