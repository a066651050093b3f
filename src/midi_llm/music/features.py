"""Plain facts about notes: density, who sounds how long, how many sound together, register, articulation, swing.

In: a `Score`, or a `NoteTable`: its notes laid flat. Out: numbers; times in seconds. Vectorised. Key, chords and
repetition are in their own modules; captions are elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from midi_llm.music.score import NOTE_DTYPE, NoteArray, Score

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

STEEL_DRUMS = 114
LAST_PITCHED = 112
"""General MIDI 113-128 are percussion, effects and the drum kit, steel drums excepted."""

MIN_INTERVALS = 8
"""Articulation is judged from at least so many onsets that are followed by another one of the same instrument ..."""
LONGEST_INTERVAL_SECONDS = 1.0
"""... within this time: a longer gap is a rest, not the end of a short note."""

ON_BEAT = 0.12
"""An onset within this share of a beat from the beat belongs to the beat."""
OFFBEAT = (0.42, 0.72)
"""Where the second eighth of a beat may lie: 0.5 is straight, 2/3 is triplet swing; 3/4 is a dotted rhythm."""
MIN_OFFBEATS = 12
MIN_OFFBEAT_SHARE = 0.6
MAX_OFFBEAT_SPREAD = 0.06
"""Swing is stated for at least 12 beats split in two, which are 60 % of all split beats, and whose offbeats agree
(interquartile range in beats)."""


SPARSE_BELOW, DENSE_FROM = 4.5, 10.0
"""Of `relative_density`: the 20th and about the 75th percentile of training windows (docs/log.md 2026-11-24)."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NoteTable:
    """Notes of all instruments laid flat: parallel arrays [n], by onset. `start` and `duration` are seconds."""

    start: Floats
    duration: Floats
    instrument: Integers
    pitch: Integers
    velocity: Integers

    def __len__(self) -> int:
        return len(self.start)

    def where(self, chosen: npt.NDArray[np.bool_ | np.integer] | slice) -> NoteTable:
        """The notes at which the mask [n] is true, those at some indices, or those of a slice."""
        return NoteTable(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    def pitched(self) -> NoteTable:
        """The notes whose pitch is heard as one: no drums, no percussion, no sound effects."""
        return self.where((self.instrument <= LAST_PITCHED) | (self.instrument == STEEL_DRUMS))


def note_table(score: Score) -> NoteTable:
    """All notes of `score` laid flat, in order of onset (stable)."""
    notes = np.concatenate([np.empty(0, NOTE_DTYPE), *(track.notes for track in score.tracks)])
    counts = [len(track.notes) for track in score.tracks]
    instrument = np.repeat(np.array([track.instrument for track in score.tracks], np.int64), counts)
    order = np.argsort(notes["time"], kind="stable")
    notes = notes[order]
    return NoteTable(
        start=notes["time"],
        duration=notes["duration"],
        instrument=instrument[order],
        pitch=notes["pitch"].astype(np.int64),
        velocity=notes["velocity"].astype(np.int64),
    )


def note_density(score: Score) -> float:
    """Count notes per second from the first onset to the end of the last note; 0.0 for a score without length."""
    if not score.note_count:
        return 0.0
    start = min(float(track.notes["time"].min()) for track in score.tracks if len(track.notes))
    length = score.seconds - start
    return score.note_count / length if length > 0 else 0.0


def relative_density(notes_per_second: float, instruments: int) -> float:
    """Notes a second over the root of the number of instruments: a duo of 9 is as busy as a solo of 6.4.

    Over training windows the median of notes a second grows about so: 6.3 alone, 10.7 for 3, 19.6 for 6 instruments
    (docs/log.md 2026-11-24).
    """
    return float(notes_per_second / np.sqrt(max(instruments, 1)))


def sounding_time(notes: NoteArray) -> float:
    """Measure the seconds during which at least one of `notes` sounds (overlaps count once)."""
    return covered_seconds(notes["time"], notes["duration"])


def covered_seconds(start: Floats, duration: Floats) -> float:
    """Measure the seconds that spans [n] cover together (overlaps count once); 0.0 for none."""
    if not len(start):
        return 0.0
    order = np.argsort(start, kind="stable")
    start = start[order]
    reach = np.maximum.accumulate(start + duration[order])
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


def mean_polyphony(notes: NoteTable) -> float:
    """Count the notes that sound together on average, over the time in which any sounds; 0.0 where none does."""
    covered = covered_seconds(notes.start, notes.duration)
    return float(notes.duration.sum()) / covered if covered > 0 else 0.0


def mean_pitch(notes: NoteTable) -> float | None:
    """Average MIDI pitch, weighted by duration; None where nothing sounds."""
    total = float(notes.duration.sum())
    return float((notes.pitch * notes.duration).sum()) / total if total > 0 else None


def articulation(notes: NoteTable) -> float | None:
    """Median of duration / time to the next onset of the same instrument: below 0.5 is short, about 1 is bound.

    Notes that begin together (within 20 ms) wait for the same next onset. None when there are too few intervals.
    """
    order = np.lexsort((notes.start, notes.instrument))
    start, duration, instrument = notes.start[order], notes.duration[order], notes.instrument[order]
    begins = np.r_[True, (np.diff(start) > 0.02) | (np.diff(instrument) != 0)][: len(start)]
    group = np.cumsum(begins) - 1
    first = np.flatnonzero(begins)
    gaps = np.append(np.where(np.diff(instrument[first]) == 0, np.diff(start[first]), np.inf), np.inf)[group]
    counted = gaps <= LONGEST_INTERVAL_SECONDS
    if np.count_nonzero(gaps[first] <= LONGEST_INTERVAL_SECONDS) < MIN_INTERVALS:
        return None
    return float(np.median(duration[counted] / gaps[counted]))


def swing_ratio(notes: NoteTable, beat_seconds: float) -> float | None:
    """Length of the first eighth of a beat over that of the second: 1 is straight, 2 triplet swing.

    Beats (from second 0 on) are looked at per instrument; one with a single onset between its beats tells, one with
    several (triplets, sixteenths) speaks against. None when there is no clear evidence.
    """
    position = notes.start / beat_seconds
    beat = np.floor(position + ON_BEAT)
    phase = position - beat
    inner = phase > ON_BEAT
    group = (notes.instrument * (int(beat.max(initial=0)) + 1) + beat.astype(np.int64))[inner]
    onsets, first = np.unique(group * 32 + np.rint(phase[inner] * 24).astype(np.int64), return_index=True)
    _, at, counts = np.unique(onsets // 32, return_index=True, return_counts=True)
    lone = phase[inner][first[at[counts == 1]]]
    offbeats = lone[(lone >= OFFBEAT[0]) & (lone <= OFFBEAT[1])]
    if len(offbeats) < MIN_OFFBEATS or len(offbeats) < MIN_OFFBEAT_SHARE * len(counts):
        return None
    low, middle, high = np.percentile(offbeats, (25, 50, 75))
    return float(middle / (1 - middle)) if high - low <= MAX_OFFBEAT_SPREAD else None


def dynamics(notes: NoteTable) -> tuple[float, float] | None:
    """Mean velocity, and that of the last third of the time less that of the first; None where all are equal."""
    if not len(notes) or np.ptp(notes.velocity) == 0:
        return None
    third = np.ptp(notes.start) / 3
    early = notes.velocity[notes.start <= notes.start.min() + third]
    late = notes.velocity[notes.start >= notes.start.max() - third]
    return float(notes.velocity.mean()), float(late.mean() - early.mean())
