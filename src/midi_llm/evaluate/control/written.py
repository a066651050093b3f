"""What a file says of its tempo and metre, and whether its notes keep to the grid that it draws.

Conventions: tempos are quarter notes a minute; a file that says nothing is at 120 bpm in 4/4 (Standard MIDI Files 1.0).
In: a `Score`. Out: one tempo, one metre, positions in quarter notes. Whether the notes sound like that tempo is not
known here.
"""

from __future__ import annotations

import numpy as np

from midi_llm.evaluate.metric import Floats
from midi_llm.music.features import note_table
from midi_llm.music.quantise import grid_lines
from midi_llm.music.score import Score

DEFAULT_BPM = 120.0
DEFAULT_METRE = (4, 4)
ON_GRID_SECONDS = 0.015
"""Notes come in ticks of 10 ms, so that an onset on the grid is up to 5 ms off."""
_NEAR = 1e-6


def written_bpm(score: Score) -> float:
    """Mean tempo (quarter notes a minute) over the time from second 0 to the end of the last note."""
    times, bpm = _tempo_map(score)
    spans = np.diff(np.minimum(np.append(times, np.inf), score.seconds))
    return float((spans * bpm).sum() / spans.sum()) if spans.sum() > 0 else float(bpm[0])


def written_metre(score: Score) -> tuple[int, int]:
    """The metre (numerator, denominator) in force for the longest time until the end of the last note."""
    if not score.time_signatures:
        return DEFAULT_METRE
    metres = [(sign.numerator, sign.denominator) for sign in score.time_signatures]
    times = np.array([max(sign.time, 0.0) for sign in score.time_signatures])
    if times[0] > 0:
        metres, times = [DEFAULT_METRE, *metres], np.r_[0.0, times]
    spans = np.diff(np.minimum(np.append(times, np.inf), score.seconds))
    lengths: dict[tuple[int, int], float] = {}
    for metre, span in zip(metres, spans.tolist(), strict=True):
        lengths[metre] = lengths.get(metre, 0.0) + span
    return max(lengths, key=lambda metre: lengths[metre])


def on_written_grid(score: Score) -> float:
    """Share (0 to 1) of the onsets within `ON_GRID_SECONDS` of a sixteenth or triplet of the written tempo map.

    nan without notes. Each quarter note is divided as fits it better (`music.quantise`). Chance for onsets drawn
    uniformly is 120 ms over the length of a quarter note (0.24 at 120 bpm) and somewhat more: the division is chosen.

    1. `rhythm.on_grid` looks at the beats heard, wherever the file draws its grid; this is what an editor shows.
    """
    onsets = note_table(score).start
    if not len(onsets):
        return float("nan")
    times, bpm = _tempo_map(score)
    quarters = np.r_[0.0, np.cumsum(np.diff(times) * bpm[:-1] / 60.0)]
    span = np.searchsorted(times, onsets, side="right") - 1
    position = quarters[span] + (onsets - times[span]) * bpm[span] / 60.0
    off_seconds = (position - grid_lines(position)) * 60.0 / bpm[span]
    return float((np.abs(off_seconds) <= ON_GRID_SECONDS + _NEAR).mean())


def _tempo_map(score: Score) -> tuple[Floats, Floats]:
    """Times [m] in seconds, from 0 on, and the tempo [m] from each of them on."""
    times = np.array([max(tempo.time, 0.0) for tempo in score.tempos])
    bpm = np.array([tempo.bpm for tempo in score.tempos])
    if not len(times) or times[0] > 0:
        times, bpm = np.r_[0.0, times], np.r_[DEFAULT_BPM, bpm]
    return times, bpm
