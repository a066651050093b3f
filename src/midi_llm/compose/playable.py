"""Notes that their instrument cannot play are left out of a piece.

In and out: a `Score`. A take that is bound to some instruments gives them now and then a note that was meant for
another one: a double bass at the pitch of a guitar's chord. Drums keep all their notes.
"""

from __future__ import annotations

from dataclasses import replace

from midi_llm.music.compass import HIGHEST, LOWEST
from midi_llm.music.score import Score


def playable(score: Score) -> Score:
    """`score` without melodic notes outside their instrument's usual compass, and without tracks that had no others.

    A score in which nothing would be left stays as it is.
    """
    tracks = []
    for track in score.tracks:
        pitch = track.notes["pitch"]
        if not track.is_drum:
            kept = track.notes[(pitch >= LOWEST[track.program]) & (pitch <= HIGHEST[track.program])]
            track = replace(track, notes=kept)
        if len(track.notes):
            tracks.append(track)
    return replace(score, tracks=tuple(tracks)) if tracks else score
