"""The key of a finished piece, brought to the one asked for.

In: a `Score` and a key ("Bb minor"). Out: the same music, its pitched parts moved by at most half an octave, with the
key written where one is clear. A piece in the other mode is moved to the relative key, which has the same notes; drums
stay. Where no key is clear nothing moves.
"""

from __future__ import annotations

from dataclasses import replace

from midi_llm.errors import RequestError
from midi_llm.music.compass import HIGHEST_PITCH
from midi_llm.music.features import note_table
from midi_llm.music.key import KEY_CONFIDENCE, estimate_key, key_number
from midi_llm.music.score import KeySignature, Score

LEAST_CONFIDENCE = 0.4
"""Of the key heard (music/key.py): at 0.4 it is right in about half of the pieces (docs/log.md 2026-11-24)."""
_HALF_OCTAVE = 6


def in_key(score: Score, key: str | None) -> Score:
    """`score` in `key`; in its own key where none is asked for, as it is where none can be heard."""
    notes = note_table(score)
    if not len(notes.pitched()):
        return score
    heard, confidence = estimate_key(notes)
    if confidence >= KEY_CONFIDENCE:
        score = _signed(score, heard)
    if key is None or confidence < LEAST_CONFIDENCE:
        return score
    semitones = interval(heard, key)
    pitch = notes.pitched().pitch.astype(int) + semitones
    if pitch.min() < 0 or pitch.max() > HIGHEST_PITCH:
        return score
    return _signed(_moved(score, semitones), key)


def _signed(score: Score, key: str) -> Score:
    return replace(score, key_signatures=(KeySignature(time=0.0, key=key),))


def _moved(score: Score, semitones: int) -> Score:
    tracks = []
    for track in score.tracks:
        moved = track.notes.copy()
        if not track.is_drum:
            moved["pitch"] = moved["pitch"].astype(int) + semitones
        tracks.append(replace(track, notes=moved))
    return replace(score, tracks=tuple(tracks))


def interval(heard: str, asked: str) -> int:
    """Semitones, -5 to 6, from the key `heard` to the one `asked` for, or to its relative in the mode heard."""
    here, there = key_number(heard), key_number(asked)
    if here is None or there is None:
        raise RequestError(f"from {heard!r} to {asked!r}: keys are named as in 'Bb minor'")
    tonic = there % 12
    if here // 12 != there // 12:
        tonic += 3 if there >= 12 else -3  # the relative major of a minor key, the relative minor of a major one
    return (tonic - here + _HALF_OCTAVE - 1) % 12 - _HALF_OCTAVE + 1
