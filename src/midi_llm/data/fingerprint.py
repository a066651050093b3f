"""Musical fingerprints: near copies of a piece have similar ones, whatever their key, tempo and instruments.

In: a `Score`. Out: hex digits, or "" where there is too little melody to tell; a similarity 0-1 of two of them.
A track becomes the line of its top notes without repetitions; a gram is `GRAM` steps of it, in semitones, with the
rhythm between them (sooner, alike, later). The set of grams of all tracks stands for the piece, and the fingerprint is
its MinHash (Broder 1997, "On the resemblance and containment of documents"), 16 bits of each hash (Li and König 2010,
"b-bit minwise hashing"). Pieces of drums alone: the drums struck together take the place of intervals.
Knows no titles and no files. It cannot see that a work is played freely or set anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from midi_llm.data.lines import Lines, by_onset, chord_starts, rhythm, top_lines
from midi_llm.errors import DatasetError
from midi_llm.music.score import NoteArray, Score, Track

HASHES = 120
GRAM = 6
"""Steps in a gram; 5 and 8 find copies as well, with more and fewer chance agreements."""
MIN_GRAMS = 16
"""Fewer different grams say too little: two scales would be one piece."""

_BLOCK = 2048
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_RANDOM = np.frombuffer(hashlib.shake_128(b"midi-llm fingerprint 1").digest(8 * HASHES), "<u4").astype(np.uint32)
_FACTORS, _SHIFTS = _RANDOM[:HASHES, None] | np.uint32(1), _RANDOM[HASHES:, None]

Words = npt.NDArray[np.uint64]


def fingerprint(score: Score) -> str:
    """Fingerprint of a piece: `HASHES` numbers of 4 hex digits, or "" with fewer than `MIN_GRAMS` different grams."""
    grams = _grams([track for track in score.tracks if not track.is_drum], drums=False)
    if not len(grams):
        grams = _grams([track for track in score.tracks if track.is_drum], drums=True)
    return _minhash(grams).astype(">u2").tobytes().hex() if len(grams) >= MIN_GRAMS else ""


def similarity(a: str, b: str) -> float:
    """Grams in common over all grams of two pieces (Jaccard, 0-1), estimated from their fingerprints; 0 with "".

    The standard error is sqrt(J (1 - J) / HASHES), at most 0.046.
    """
    if not a or not b:
        return 0.0
    first, second = unpack((a, b))
    return float((first == second).mean())


def unpack(fingerprints: Sequence[str]) -> npt.NDArray[np.uint16]:
    """Fingerprints, none of them empty, as numbers [n, HASHES]. Raises `DatasetError` when one is not of this kind."""
    for text in fingerprints:
        if len(text) != 4 * HASHES:
            raise DatasetError(f"a fingerprint has {len(text)} digits, {4 * HASHES} are needed; index the pieces again")
    return np.frombuffer(bytes.fromhex("".join(fingerprints)), ">u2").reshape(-1, HASHES).astype(np.uint16)


def _grams(tracks: Sequence[Track], *, drums: bool) -> Words:
    """All different grams of the lines of `tracks`, sorted: 48 bits of steps, 10 of rhythm, 1 for drums."""
    parts = [track.notes for track in tracks if len(track.notes) > GRAM]
    if not parts:
        return np.empty(0, np.uint64)
    lines = _struck(parts) if drums else top_lines(parts)
    step = (lines.pitch[1:] if drums else np.diff(lines.pitch) + 128).astype(np.uint64)
    change = rhythm(np.diff(lines.time))
    count = max(len(step) - GRAM + 1, 0)
    grams = np.full(count, int(drums) << 63, np.uint64)
    for i in range(GRAM):
        grams |= step[i : i + count] << np.uint64(8 * i)
    for i in range(GRAM - 1):
        grams |= change[i : i + count].astype(np.uint64) << np.uint64(8 * GRAM + 2 * i)
    return np.unique(grams[lines.part[GRAM:] == lines.part[:count]])


def _struck(parts: Sequence[NoteArray]) -> Lines:
    """The chords of all parts of drums: in the place of a pitch, 8 bits of the set of drums struck together."""
    notes = by_onset(parts)
    starts = chord_starts(notes)
    struck = np.bitwise_or.reduceat(np.uint64(1) << (notes.pitch % 64).astype(np.uint64), starts)
    return Lines(
        part=notes.part[starts], time=notes.time[starts], pitch=((struck * _GOLDEN) >> np.uint64(56)).astype(np.int64)
    )


def _minhash(grams: Words) -> npt.NDArray[np.uint16]:
    """MinHash [HASHES] of a set of grams: h_i(x) = (a_i x + b_i) mod 2^32 on grams mixed to 32 bits."""
    mixed = ((grams * _GOLDEN) ^ (grams >> np.uint64(29))) * _GOLDEN >> np.uint64(32)
    words = mixed.astype(np.uint32)
    least = np.full(HASHES, 0xFFFFFFFF, np.uint32)
    for start in range(0, len(words), _BLOCK):
        hashes = words[start : start + _BLOCK] * _FACTORS  # [HASHES, block]
        hashes += _SHIFTS
        np.minimum(least, hashes.min(axis=1), out=least)
    return ((least * np.uint32(0x9E3779B1)) >> np.uint32(16)).astype(np.uint16)
