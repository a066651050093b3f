"""How loud the new notes of an edited piece are: as loud as their part in the file, and as unequal as it is.

In: a `SongFile`, which of its notes stay, new notes. Out: a velocity for each of these. What is louder than what comes
from `music.dynamics`, heard in the whole piece; how much, from the file: a part written all alike stays alike.
"""

from __future__ import annotations

import numpy as np

from midi_llm.compose.timing import written_beats
from midi_llm.music.dynamics import velocities, weights
from midi_llm.music.features import NoteTable
from midi_llm.music.read import parse_midi
from midi_llm.music.smf import IntArray
from midi_llm.music.song_edit import NewNotes
from midi_llm.music.song_file import BoolArray, SongFile
from midi_llm.music.tempo_map import TempoMap

_MOST_UNEQUAL = 2.0
"""Times as unequal as in real music: a file that is more so has jumps, not accents."""


def new_velocities(song: SongFile, kept: BoolArray, new: NewNotes, *, seed: int) -> IntArray:
    """Velocities 1-127 of the notes `new` [m], beside the notes of `song` [n] that are `kept`."""
    if not len(new):
        return np.empty(0, np.int64)
    score = parse_midi(song.content)
    table = _together(song, kept, new, TempoMap.of(score))
    order = np.lexsort((table.duration, table.pitch, table.instrument, table.start))
    heard = np.empty(len(order), np.int64)
    heard[order] = velocities(table.where(order), written_beats(score), weights(), amount=1.0, seed=seed)
    old, fresh = heard[: int(kept.sum())], heard[int(kept.sum()) :]
    found = np.empty(len(new), np.float64)
    for instrument in np.unique(new["instrument"]).tolist():
        mine = new["instrument"] == instrument
        own = song.notes.instrument == instrument
        own = own if own.any() else np.ones_like(own)  # a new instrument: as loud and unequal as the piece
        level = old[own[kept]] if own[kept].any() else fresh[mine]
        share = _ratio(song.notes.velocity[own], level)
        found[mine] = np.median(song.notes.velocity[own]) + share * (fresh[mine] - np.median(level))
    return np.clip(np.rint(found), 1, 127).astype(np.int64)


def _ratio(written: IntArray, heard: IntArray) -> float:
    """How unequal a part is in the file, beside what dynamics would make of it."""
    return min(float(written.std()) / max(float(heard.std()), 1.0), _MOST_UNEQUAL)


def _together(song: SongFile, kept: BoolArray, new: NewNotes, clock: TempoMap) -> NoteTable:
    """The notes that stay, then the new ones, with times in seconds."""

    def seconds(old: IntArray, fresh: IntArray) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return clock.times(np.concatenate([old[kept], fresh]) / song.ticks_per_quarter)

    start = seconds(song.start, new["start"])
    return NoteTable(
        start=start,
        duration=seconds(song.end, new["end"]) - start,
        instrument=np.concatenate([song.notes.instrument[kept], new["instrument"]]).astype(np.int64),
        pitch=np.concatenate([song.notes.pitch[kept], new["pitch"]]).astype(np.int64),
        velocity=np.zeros(len(start), np.int64),
    )
