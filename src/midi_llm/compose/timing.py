"""The beats of a finished piece: heard, brought to the tempo asked for, and written into the score.

In: a `Score` in seconds, as composed, and the tempo and metre that the text asked for. Out: the same music with a tempo
and a time signature, played faster or slower where the tempo heard is near the one asked for. Pieces begin with a bar,
as the training windows do, so bar lines fall on the music's bars from the beginning on.
"""

from __future__ import annotations

from dataclasses import replace

from midi_llm.compose.wishes import Wishes
from midi_llm.music.beats import BeatGrid, estimate_beats
from midi_llm.music.features import note_table
from midi_llm.music.score import Score, Tempo, TimeSignature

MOST_STRETCH = 1.2
"""A piece is played at most this much slower or faster than it was composed."""
LEVELS = (1.0, 0.5, 2.0)
"""The tempo asked for may be the one heard, its half or its double: both count the same notes."""
SHORTEST_SECONDS = 0.02
"""A note that would be cut shorter is left out."""
LEAST_CONFIDENCE = 0.5
"""Of the ear (music/beats.py), for a tempo that nobody asked for to be written."""


def with_beats(score: Score, wishes: Wishes, *, seconds: float | None) -> tuple[Score, BeatGrid | None]:
    """`score` at the tempo asked for, with tempo and metre written, and cut at `seconds` (None: as long as it gets).

    Without a tempo in `wishes` the one heard is written if it is steady and clear. What is not heard is not written.
    Beside it the beats as they now lie, where any are heard.
    """
    grid = estimate_beats(note_table(score), metre=wishes.metre)
    if wishes.bpm is not None and grid is not None and (factor := stretch(grid.bpm, wishes.bpm)) is not None:
        slower = replace(grid, beats=grid.beats * factor, bpm=grid.bpm / factor)
        return _cut(_written(_played(score, factor), wishes.bpm, grid), seconds), slower
    if grid is not None and grid.steady and grid.confidence >= LEAST_CONFIDENCE:
        score = _written(score, grid.bpm, grid)
    return _cut(score, seconds), grid


def stretch(heard: float, asked: float) -> float | None:
    """By what times are multiplied to bring tempo `heard` to `asked` (bpm); None where that is too much."""
    factor = min((heard * level / asked for level in LEVELS), key=lambda found: max(found, 1 / found))
    return factor if max(factor, 1 / factor) <= MOST_STRETCH else None


def _written(score: Score, bpm: float, grid: BeatGrid) -> Score:
    signature = TimeSignature(time=0.0, numerator=grid.metre[0], denominator=grid.metre[1])
    return replace(score, tempos=(Tempo(time=0.0, bpm=bpm),), time_signatures=(signature,))


def _played(score: Score, factor: float) -> Score:
    tracks = []
    for track in score.tracks:
        notes = track.notes.copy()
        notes["time"] *= factor
        notes["duration"] *= factor
        tracks.append(replace(track, notes=notes))
    return replace(score, tracks=tuple(tracks))


def _cut(score: Score, seconds: float | None) -> Score:
    """No note begins at or just before `seconds`, or sounds after it."""
    if seconds is None or score.seconds <= seconds:
        return score
    tracks = []
    for track in score.tracks:
        notes = track.notes[track.notes["time"] < seconds - SHORTEST_SECONDS].copy()
        notes["duration"] = notes["duration"].clip(max=seconds - notes["time"])
        if len(notes):
            tracks.append(replace(track, notes=notes))
    return replace(score, tracks=tuple(tracks))
