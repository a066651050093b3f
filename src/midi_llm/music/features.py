"""Plain facts about a score: density, who sounds how long, how many notes sound together.

In: a `Score`. Out: numbers; times in seconds. Vectorised. Key, metre and captions are elsewhere.
"""

from __future__ import annotations

import numpy as np

from midi_llm.music.score import NoteArray, Score


def note_density(score: Score) -> float:
    """Count notes per second from the first onset to the end of the last note; 0.0 for a score without length."""
    if not score.note_count:
        return 0.0
    start = min(float(track.notes["time"].min()) for track in score.tracks if len(track.notes))
    length = score.seconds - start
    return score.note_count / length if length > 0 else 0.0


def sounding_time(notes: NoteArray) -> float:
    """Measure the seconds during which at least one of `notes` sounds (overlaps count once)."""
    if not len(notes):
        return 0.0
    order = np.argsort(notes["time"], kind="stable")
    start = notes["time"][order]
    reach = np.maximum.accumulate(start + notes["duration"][order])
    silence = np.maximum(start[1:] - reach[:-1], 0.0).sum()
    return float(reach[-1] - start[0] - silence)


def instruments_by_sounding_time(score: Score) -> list[tuple[int, float]]:
    """List (instrument 0-128, seconds it sounds), longest first, ties by number; only instruments with notes."""
    notes: dict[int, list[NoteArray]] = {}
    for track in score.tracks:
        if len(track.notes):
            notes.setdefault(track.instrument, []).append(track.notes)
    times = [(instrument, sounding_time(np.concatenate(parts))) for instrument, parts in notes.items()]
    return sorted(times, key=lambda item: (-item[1], item[0]))


def max_polyphony(score: Score) -> int:
    """Count the most notes sounding at one moment, over all tracks; where a note ends another may begin.

    Notes of zero length do not sound, but a score with notes counts at least 1.
    """
    if not score.note_count:
        return 0
    start = np.concatenate([track.notes["time"] for track in score.tracks])
    end = start + np.concatenate([track.notes["duration"] for track in score.tracks])
    times = np.concatenate((end, start))
    change = np.repeat((-1, 1), len(start))
    order = np.argsort(times, kind="stable")  # ends come first at an equal time
    return max(int(np.cumsum(change[order]).max()), 1)
