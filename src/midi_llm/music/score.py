"""The musical data model: a `Score` holds `Track`s, a `Track` holds notes, all times in seconds.

In: arrays or `Note`s. Out: immutable values that every other floor shares.
Notes of a track live in one structured numpy array (`NOTE_DTYPE`), so that codecs and metrics stay vectorised;
`Note` is the same row as a Python value. This module knows nothing of files, ticks or tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

DRUMS = 128
"""`instrument` of the drum kit; 0-127 are General MIDI programs."""

DEFAULT_VELOCITY = 72
"""The velocity AMT writes (anticipation/convert.py at af37397)."""

NOTE_DTYPE = np.dtype([("time", "<f8"), ("duration", "<f8"), ("pitch", "u1"), ("velocity", "u1")])
"""One note: onset and duration in seconds, MIDI pitch 0-127, velocity 1-127."""

NoteArray = npt.NDArray[np.void]
"""1-D array of dtype `NOTE_DTYPE`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """One note: `time` and `duration` in seconds, MIDI `pitch` 0-127, `velocity` 1-127."""

    time: float
    duration: float
    pitch: int
    velocity: int = DEFAULT_VELOCITY


def note_array(notes: Iterable[Note]) -> NoteArray:
    """Pack `notes` into a structured array [n] of dtype `NOTE_DTYPE`, in the order given."""
    return np.array([(n.time, n.duration, n.pitch, n.velocity) for n in notes], dtype=NOTE_DTYPE)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Track:
    """Notes of one instrument. `program` is General MIDI 0-127; for drums (`is_drum`) it is kept but not heard."""

    program: int = 0
    is_drum: bool = False
    name: str = ""
    notes: NoteArray = field(default_factory=lambda: np.empty(0, NOTE_DTYPE))

    @property
    def instrument(self) -> int:
        """0-127 = General MIDI program, 128 = drums."""
        return DRUMS if self.is_drum else self.program

    def to_notes(self) -> list[Note]:
        """Return the notes as Python values, in array order."""
        return [
            Note(time=float(t), duration=float(d), pitch=int(p), velocity=int(v)) for t, d, p, v in self.notes.tolist()
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tempo:
    """A tempo of `bpm` quarter notes a minute from `time` (seconds) on."""

    time: float
    bpm: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeSignature:
    """A metre of `numerator`/`denominator` from `time` (seconds) on."""

    time: float
    numerator: int
    denominator: int


@dataclass(frozen=True, kw_only=True, slots=True)
class KeySignature:
    """A key, such as "Bb minor", from `time` (seconds) on."""

    time: float
    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Marker:
    """A name for a place, such as "chorus" at `time` (seconds)."""

    time: float
    text: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Score:
    """A piece: tracks plus its tempo map, metres and keys, in seconds. No `tempos` means 120 bpm, no metres 4/4."""

    tracks: tuple[Track, ...] = ()
    tempos: tuple[Tempo, ...] = ()
    time_signatures: tuple[TimeSignature, ...] = ()
    key_signatures: tuple[KeySignature, ...] = ()
    markers: tuple[Marker, ...] = ()
    """Not read from files."""
    end: float = 0.0
    """The piece lasts at least so many seconds: its last bar may close with a rest. Not read from files."""
    note_order: npt.NDArray[np.int64] | None = None
    """Only from `read`: the notes in the order of the file, as indices into all tracks' notes laid end to end.

    None means by time, then by track. It matters where notes of several tracks begin together (type 0 files).
    """

    @property
    def note_count(self) -> int:
        """Number of notes over all tracks."""
        return sum(len(track.notes) for track in self.tracks)

    @property
    def seconds(self) -> float:
        """End of the last note in seconds, or `end` where that is later; 0.0 for nothing."""
        ends = [float((t.notes["time"] + t.notes["duration"]).max()) for t in self.tracks if len(t.notes)]
        return max(ends, default=0.0) if not self.end else max(*ends, self.end, 0.0)
