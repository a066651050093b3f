"""What is wrong with a piece by any taste: it is stuck, its density drifts, its notes are faulty.

In: notes. Out: plain answers and counts. Not stuck is not beautiful: music drawn uniformly is seldom stuck.
"""

from __future__ import annotations

from itertools import groupby

import numpy as np
import numpy.typing as npt

from midi_llm.music.features import LAST_PITCHED, STEEL_DRUMS, NoteTable
from midi_llm.music.score import NoteArray, Score

Bools = npt.NDArray[np.bool_]

SILENCE_SECONDS = 5.0
"""A take that is silent so long, at its beginning too, is stuck."""
REPEAT_SECONDS = 10.0
REPEAT_ONSETS = 24
"""A take in which one note or chord is struck again and again, nothing else between, for so long is stuck."""
CROWD_SECONDS = 0.5
CROWD_NOTES = 80
"""A take in which so many notes begin within that time is stuck: it piles up notes and does not go on.

All of these are our choice: of 273 real pieces none is stuck in its first 30 s, and 3, by silences, in its first 680
notes (benchmarks/estimators.py).
"""

SHORT_SECONDS = 0.015
"""A pitched note that is shorter is not heard as a pitch: it holds a period and a half of 100 Hz."""
OVERLAP_SECONDS = 0.015
"""Notes that overlap by no more do so by rounding: to ticks of 10 ms, and then to those of a MIDI file."""
DRIFT_NOTES = 12
"""Drift is measured from so many notes on."""
COPY_SHARE = 0.9
"""A piece of whose notes this share stands in long runs of others is a copy."""
TOGETHER_SECONDS = 0.01
"""Notes whose onsets round to the same multiple are struck together."""

_NEAR = 1e-6


def is_stuck(notes: NoteTable) -> bool:
    """Whether a piece falls silent, strikes one chord again and again, or piles up notes."""
    return is_silent(notes) or is_repeating(notes) or is_crowded(notes)


def is_silent(notes: NoteTable) -> bool:
    """Whether nothing sounds for `SILENCE_SECONDS` before some onset, the time before the first one included."""
    reach = np.maximum.accumulate(np.r_[0.0, notes.start + notes.duration])
    return bool((notes.start - reach[:-1] >= SILENCE_SECONDS - _NEAR).any())


def is_repeating(notes: NoteTable) -> bool:
    """Whether the same notes are struck `REPEAT_ONSETS` times or more over `REPEAT_SECONDS`, with no other between.

    Notes whose onsets round to the same 10 ms are struck together; they are the same when instruments and pitches are.
    """
    ticks = np.rint(notes.start / TOGETHER_SECONDS).astype(np.int64)
    struck: dict[int, set[tuple[int, int]]] = {}
    for tick, instrument, pitch in np.stack([ticks, notes.instrument, notes.pitch], axis=1).tolist():
        struck.setdefault(tick, set()).add((instrument, pitch))
    for _, run in groupby(struck, key=lambda tick: struck[tick]):
        onsets = list(run)
        if len(onsets) >= REPEAT_ONSETS and (onsets[-1] - onsets[0]) * TOGETHER_SECONDS >= REPEAT_SECONDS - _NEAR:
            return True
    return False


def is_crowded(notes: NoteTable) -> bool:
    """Whether `CROWD_NOTES` notes begin within `CROWD_SECONDS` somewhere."""
    return bool((notes.start[CROWD_NOTES - 1 :] - notes.start[: 1 - CROWD_NOTES] < CROWD_SECONDS - _NEAR).any())


def growth(notes: NoteTable) -> float:
    """ln(notes that begin in the last third / in the first third) of the time from the first onset to the last.

    0 is steady, 0.69 twice as many notes at the end; nan with fewer than `DRIFT_NOTES` notes or without length. Real
    music changes too, and notes drawn uniformly hardly do: it describes.
    """
    span = float(np.ptp(notes.start)) if len(notes) >= DRIFT_NOTES else 0.0
    if span <= 0:
        return float("nan")
    early = np.count_nonzero(notes.start <= notes.start[0] + span / 3 + _NEAR)
    late = np.count_nonzero(notes.start >= notes.start[-1] - span / 3 - _NEAR)
    return float(np.log(late / early))


def faults(score: Score) -> tuple[Bools, Bools]:
    """Of the pitched notes [n], track by track: which are too short, and which strike a pitch that still sounds.

    Drums and effects have no meaningful length and are left out. Two tracks of one instrument may play in unison.
    """
    tracks = [
        track.notes for track in score.tracks if track.instrument <= LAST_PITCHED or track.instrument == STEEL_DRUMS
    ]
    short = [notes["duration"] < SHORT_SECONDS - _NEAR for notes in tracks]
    overlapping = [_overlapping(notes) for notes in tracks]
    nothing = np.zeros(0, np.bool_)
    return np.concatenate([nothing, *short]), np.concatenate([nothing, *overlapping])


def _overlapping(notes: NoteArray) -> Bools:
    """Whether an earlier note of the same pitch sounds on for more than `OVERLAP_SECONDS` when each note [n] begins.

    Of notes of one pitch that begin together all but one overlap.
    """
    found = np.zeros(len(notes), np.bool_)
    by_time = np.argsort(notes["time"], kind="stable")
    for pitch in np.unique(notes["pitch"]):
        own = by_time[notes["pitch"][by_time] == pitch]
        start = notes["time"][own]
        reach = np.maximum.accumulate(start + notes["duration"][own])
        found[own[1:]] = reach[:-1] - start[1:] > OVERLAP_SECONDS + _NEAR
    return found
