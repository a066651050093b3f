"""Which notes of a staff go together: two hands for a keyboard, voices of chords on each staff.

In: notes as (start, end, pitch) in ticks. Out: `Chord`s that follow each other without overlapping, in at most two
voices a staff. Every note stays and keeps its onset; where more than two voices would be needed, and where a chord's
notes end at nearly one time, ends are moved: a score says when notes begin more exactly than when they end.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, pairwise

from midi_llm.notation.bars import QUARTER

MOST_VOICES = 2
EIGHTH = QUARTER // 2
SLACK = QUARTER // 4
"""Ends and overlaps that differ by this much are nothing: how a player lets go, not what is written."""
HELD_ON = 0.4
"""A single line is legato while its notes overlap by less than this share of their length, and less than a quarter."""
MIDDLE_C = 60
_RIGHT, _LEFT = 67.0, 48.0
"""Where the hands are, in the mean."""
_SPAN = 14
"""Semitones that a hand reaches."""

Row = tuple[int, int, int]
"""A note: start, end, pitch."""


@dataclass(kw_only=True, slots=True)
class Chord:
    """Notes that begin and end together, `pitches` ascending."""

    start: int
    end: int
    pitches: tuple[int, ...]


def split_hands(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Divide keyboard notes into those of the right and of the left hand, each chord by where the hands are."""
    right, left = _RIGHT, _LEFT
    upper: list[Row] = []
    lower: list[Row] = []
    for _, group in groupby(rows, key=lambda row: row[0]):
        chord = sorted(group, key=lambda row: row[2])
        pitches = [pitch for _, _, pitch in chord]
        cut = min(range(len(chord) + 1), key=lambda at: _strain(pitches[:at], pitches[at:], left, right))
        lower += chord[:cut]
        upper += chord[cut:]
        if pitches[cut:]:
            right = 0.5 * right + 0.25 * _RIGHT + 0.25 * sum(pitches[cut:]) / len(pitches[cut:])
        if pitches[:cut]:
            left = 0.5 * left + 0.25 * _LEFT + 0.25 * sum(pitches[:cut]) / len(pitches[:cut])
    return upper, lower


def _strain(low: list[int], high: list[int], left: float, right: float) -> float:
    wide = sum(max(part[-1] - part[0] - _SPAN, 0) for part in (low, high) if part)
    return sum(abs(pitch - left) for pitch in low) + sum(abs(pitch - right) for pitch in high) + 20 * wide


def voices_of(rows: list[Row]) -> list[list[Chord]]:
    """The voices of a staff, the first the upper one where they sound together; rows in order of start."""
    voices: list[list[Chord]] = []
    groups = [_chords(list(group)) for _, group in groupby(rows, key=lambda row: row[0])]
    _let_go(groups)
    for group in groups:
        for chord in group:
            _join(chord, voices)
    for voice in voices:
        _close_gaps(voice)
    return voices


def _chords(rows: list[Row]) -> list[Chord]:
    """Notes that begin together as one chord, or as two where some are held on; the upper one first."""
    start = rows[0][0]
    ends = sorted({end for _, end, _ in rows})
    gaps = [(after - before, after) for before, after in pairwise(ends)]
    widest, parting = max(gaps, default=(0, 0))
    if widest <= SLACK or len(rows) == 1:
        return [Chord(start=start, end=ends[-1], pitches=tuple(sorted(pitch for _, _, pitch in rows)))]
    parts = ([row for row in rows if row[1] < parting], [row for row in rows if row[1] >= parting])
    chords = [
        Chord(start=start, end=max(end for _, end, _ in part), pitches=tuple(sorted(pitch for _, _, pitch in part)))
        for part in parts
    ]
    return sorted(chords, key=lambda chord: -chord.pitches[-1])


def _let_go(groups: list[list[Chord]]) -> None:
    """End a chord of a single line where the next one begins: it was held on by a finger or the pedal."""
    reach = 0
    for group, after in pairwise(groups):
        chord, start = group[0], after[0].start
        alone = len(group) == len(after) == 1 and reach <= chord.start
        if alone and 0 < chord.end - start < min(QUARTER, HELD_ON * (chord.end - chord.start)):
            chord.end = start
        reach = max(reach, *(each.end for each in group))


def _join(chord: Chord, voices: list[list[Chord]]) -> None:
    """Put `chord` into the first voice that is free, a new one, or one that has to let go of its last chord."""
    by_overlap = sorted(voices, key=lambda voice: max(voice[-1].end - chord.start, 0))
    for voice in by_overlap:  # those that are free first
        last = voice[-1]
        if last.start < chord.start and last.end <= chord.start + min(SLACK, (last.end - last.start) // 2):
            last.end = min(last.end, chord.start)
            voice.append(chord)
            return
    if len(voices) < MOST_VOICES:
        voices.append([chord])
        return
    free = [voice for voice in voices if voice[-1].start < chord.start]
    if free:
        voice = min(free, key=lambda voice: (voice[-1].end, abs(voice[-1].pitches[-1] - chord.pitches[-1])))
        voice[-1].end = chord.start
        voice.append(chord)
        return
    last = min((voice[-1] for voice in voices), key=lambda last: abs(last.end - chord.end))
    last.pitches = tuple(sorted({*last.pitches, *chord.pitches}))


def _close_gaps(voice: list[Chord]) -> None:
    """Lengthen what is played short: no rest of a sixteenth, and none of an eighth after a note as long as that."""
    for number, chord in enumerate(voice):
        after = voice[number + 1].start if number + 1 < len(voice) else chord.end + QUARTER
        gap = after - chord.end
        if 0 < gap <= SLACK or (gap <= EIGHTH and gap <= chord.end - chord.start):
            chord.end = after
        elif chord.end % EIGHTH == SLACK and gap >= SLACK:  # a sixteenth short of a plain value
            chord.end += SLACK
