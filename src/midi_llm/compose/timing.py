"""The beats of a finished piece: heard, brought to the tempo asked for, and written into the score.

In: a `Score` in seconds, as composed, and the tempo and metre that the text asked for. Out: the same music with a tempo
and a time signature, played faster or slower where the tempo heard is near the one asked for. Pieces begin with a bar,
as the training windows do, so bar lines fall on the music's bars from the beginning on.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from midi_llm.compose.wishes import Wishes
from midi_llm.music.align import NEAR_SECONDS, keeps_to_grid, quantised
from midi_llm.music.beats import FASTEST_BPM, SLOWEST_BPM, BeatGrid, estimate_beats, tempos
from midi_llm.music.features import note_table
from midi_llm.music.metre import beat_quarters, beats_in_bar
from midi_llm.music.quantise import STRAIGHT
from midi_llm.music.score import Score, Tempo, TimeSignature
from midi_llm.music.tempo_map import TempoMap
from midi_llm.music.write import DEFAULT_BPM

MOST_STRETCH = 1.2
"""A piece is played at most this much slower or faster than it was composed."""
LEVELS = (1.0, 0.5, 2.0)
"""The tempo asked for may be the one heard, its half or its double: both count the same notes."""
RELATED = (2.0, 0.5, 1.5, 2 / 3, 4 / 3, 0.75)
"""Tempi that an ear takes for each other, as multiples of the one heard; the first that holds is taken."""
SHORTEST_SECONDS = 0.02
"""A note that would be cut shorter is left out."""
COMMON_TIME = (4, 4)
"""The metre of what says none (Standard MIDI Files 1.0)."""
WHOLE_BAR = 0.02
"""A loop that lacks no more than this share of a bar has the bar."""
QUARTERS_PER_WHOLE, SECONDS_PER_MINUTE = 4, 60.0
LEAST_CONFIDENCE = 0.5
"""Of the ear (music/beats.py), for a tempo that nobody asked for to be written, unless the notes keep to its grid."""


def with_beats(score: Score, wishes: Wishes, *, seconds: float | None, quantise: float = 0.0) -> Score:
    """`score` at the tempo asked for, with tempo and metre written, drawn to their grid, and cut at its length.

    The length is the number of bars asked for; of a loop as many whole bars as fit into `seconds`; else `seconds`, or
    as long as it gets (None). The last notes of a piece with a number of bars ring to its end. Without a tempo in
    `wishes` the one heard is written if it is clear. Where none is, the file has the tempo asked for; bars that are
    counted are then those of that tempo, or of 120 bpm. `quantise` is the strength with which notes are drawn to the
    grid of a tempo that was heard.
    """
    grid = _beats(score, wishes)
    timed = _timed(score, wishes, grid)
    in_bars = wishes.bars is not None or wishes.loop
    if in_bars and not timed.tempos:
        timed = _written(timed, grid.bpm if grid is not None else DEFAULT_BPM, _metre(wishes, grid))
    if timed.tempos:
        timed = quantised(timed, strength=quantise)
    if not in_bars:
        return _cut(timed, seconds)
    bar, clock = bar_quarters(timed), TempoMap.of(timed)
    heard = float(clock.position(timed.seconds)) / bar
    length = heard if seconds is None else min(float(clock.position(seconds)) / bar, heard + 1)
    end = float(clock.times(bar * (wishes.bars or max(1, int(length + WHOLE_BAR)))))
    cut = replace(_cut(timed, end), end=end)
    return cut if wishes.loop else _closed(cut, last_bar=float(clock.times(clock.position(end) - bar)))


def written_beats(score: Score) -> BeatGrid | None:
    """The beats that the tempo map and the metre of `score` say; None where it says nothing."""
    if not score.tempos:
        return None
    signs = score.time_signatures
    metre = (signs[0].numerator, signs[0].denominator) if signs else COMMON_TIME
    clock, beat = TempoMap.of(score), beat_quarters(metre)
    count = int(np.ceil(float(clock.position(score.seconds)) / beat)) + 2
    return BeatGrid(
        beats=clock.times(np.arange(count, dtype=np.float64) * beat),
        downbeats=np.arange(0, count, beats_in_bar(metre)),
        metre=metre,
        bpm=score.tempos[0].bpm,
        steady=len(score.tempos) == 1,
        confidence=1.0,
    )


def _beats(score: Score, wishes: Wishes) -> BeatGrid | None:
    """The beats heard, if they are clear and the notes keep to their grid.

    Else those of the tempo asked for, if the notes keep to these, or of the one heard, or of one that is related to it:
    other tempi than the one heard only where they are steady, since a beat that bends fits anything.
    """
    notes, metre = note_table(score), wishes.metre
    heard = estimate_beats(notes, metre=metre)
    holds = heard is not None and _holds(score, heard)
    if wishes.bpm is not None and heard is not None and not (holds and heard.confidence >= LEAST_CONFIDENCE):
        told = estimate_beats(notes, bpm=wishes.bpm, metre=metre)
        if told is not None and told.steady and _holds(score, told):
            return told
    if heard is None or holds:
        return heard
    bpm = heard.bpm if metre is not None else heard.bpm / heard.quarters_per_beat
    for tempo in (bpm * level for level in RELATED if SLOWEST_BPM < bpm * level < FASTEST_BPM):
        other = estimate_beats(notes, bpm=tempo, metre=metre)
        if other is not None and other.steady and _holds(score, other):
            return other
    return heard


def _holds(score: Score, grid: BeatGrid) -> bool:
    """Whether the notes keep to the lines of `grid`."""
    return keeps_to_grid(_heard(score, grid, 1.0, grid.bpm))


def _timed(score: Score, wishes: Wishes, grid: BeatGrid | None) -> Score:
    """`score` with a tempo and metre if one is heard or asked for, played at the tempo asked for if that is near."""
    if grid is not None:
        found = None if wishes.bpm is None else nearest(grid, wishes.bpm)
        if found is not None:
            factor, bpm = found
            return _heard(score, grid, factor, bpm)
        heard = _heard(score, grid, 1.0, grid.bpm)
        if grid.confidence >= LEAST_CONFIDENCE or (grid.steady and keeps_to_grid(heard)):
            return heard
    return score if wishes.bpm is None else _written(score, wishes.bpm, _metre(wishes, grid))


def _heard(score: Score, grid: BeatGrid, factor: float, bpm: float) -> Score:
    """`score` with the beats of `grid` as they come when it is played `factor` times as slow: at `bpm` if steady.

    A bar begins at second 0: silence before the first bar is left out, a pick-up comes after a rest.
    """
    first = _first_bar(score, grid)
    written = [(max(tempo.time - first, 0.0) * factor, tempo.bpm * bpm / grid.bpm) for tempo in tempos(grid)]
    written[0] = (0.0, written[0][1])
    timed = _written(_played(score, first, factor), bpm, grid.metre)
    return replace(timed, tempos=tuple(Tempo(time=time, bpm=rate) for time, rate in written))


def _first_bar(score: Score, grid: BeatGrid) -> float:
    """Where the bar begins in which the first note is, in seconds, to the millisecond.

    Pieces are composed from a bar line at second 0 on. That line is believed before the ear where a beat is near it;
    of a piece that begins at it, it is the sixteenth that is nearest, since an ear may take off-beats for beats.
    """
    beat = float(grid.beats[1] - grid.beats[0])
    onset = min(float(track.notes["time"].min()) for track in score.tracks if len(track.notes))
    begins = onset <= NEAR_SECONDS
    step = beat / STRAIGHT if begins else beat
    line = float(grid.beats[0] - step * np.rint(grid.beats[0] / step))
    if begins or abs(line) <= NEAR_SECONDS:
        return round(line, 3)
    bar = beat * beats_in_bar(grid.metre)
    down = float(grid.beats[grid.downbeats[0] if len(grid.downbeats) else 0])
    return round(down + bar * float(np.floor((onset + NEAR_SECONDS - down) / bar)), 3)


def nearest(grid: BeatGrid, asked: float) -> tuple[float, float] | None:
    """How much slower the beats of `grid` are to be played at the tempo `asked`, and that tempo in quarter notes.

    A tempo named for a compound metre may count quarters or felt beats. None where both are too far away.
    """
    tempi = {asked, asked * grid.quarters_per_beat} if grid.quarters_per_beat > 1 else {asked}
    found = [(factor, bpm) for bpm in sorted(tempi) if (factor := stretch(grid.bpm, bpm)) is not None]
    return min(found, key=lambda one: max(one[0], 1 / one[0]), default=None)


def bar_quarters(score: Score) -> float:
    """Quarter notes in a bar of `score`, whose metre does not change; 4 where it says nothing."""
    signs = score.time_signatures
    return QUARTERS_PER_WHOLE * signs[0].numerator / signs[0].denominator if signs else float(QUARTERS_PER_WHOLE)


def bar_seconds(bpm: float, metre: tuple[int, int]) -> float:
    """How long a bar of `metre` lasts at `bpm` quarter notes a minute."""
    return metre[0] * QUARTERS_PER_WHOLE / metre[1] * SECONDS_PER_MINUTE / bpm


def stretch(heard: float, asked: float) -> float | None:
    """By what times are multiplied to bring tempo `heard` to `asked` (bpm); None where that is too much."""
    factor = min((heard * level / asked for level in LEVELS), key=lambda found: max(found, 1 / found))
    return factor if max(factor, 1 / factor) <= MOST_STRETCH else None


def _metre(wishes: Wishes, grid: BeatGrid | None) -> tuple[int, int]:
    return wishes.metre or (grid.metre if grid is not None else COMMON_TIME)


def _written(score: Score, bpm: float, metre: tuple[int, int]) -> Score:
    signature = TimeSignature(time=0.0, numerator=metre[0], denominator=metre[1])
    return replace(score, tempos=(Tempo(time=0.0, bpm=bpm),), time_signatures=(signature,))


def _played(score: Score, first: float, factor: float) -> Score:
    """`score` from second `first` on, `factor` times as slow; a note a little before it begins with it."""
    tracks = []
    for track in score.tracks:
        notes = track.notes.copy()
        notes["time"] = np.maximum(notes["time"] - first, 0.0) * factor
        notes["duration"] *= factor
        tracks.append(replace(track, notes=notes))
    return replace(score, tracks=tuple(tracks))


def _closed(score: Score, *, last_bar: float) -> Score:
    """The last notes of every melodic instrument, where they begin in the last bar, ring to the end of it."""
    tracks = []
    for track in score.tracks:
        notes = track.notes.copy()
        last = notes["time"].max()
        if not track.is_drum and last >= last_bar:
            notes["duration"][notes["time"] == last] = score.end - last
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
