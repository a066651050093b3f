"""Mend what a player stumbles over: `repair(score)` returns a new score and a `RepairReport` of what was changed.

Repairs, by name, in the order in which they are applied (`REPAIRS`):
1. velocity: 0 becomes 1, above 127 becomes 127.
2. short: a note shorter than `min_seconds` is made that long.
3. restruck: a note struck again on its pitch while it sounds ends where the next one begins; of notes of one pitch that
   begin together the longest stays. This can leave a note shorter than `min_seconds`: two strikes are kept as they are.
Notes are never moved in time. Within a track, notes come out in order of time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from midi_llm.errors import RequestError
from midi_llm.music.score import NoteArray, Score

MIN_SECONDS = 0.01
"""One tick of the arrival-time vocabulary."""
FLOAT_ERROR = 1e-9
"""Seconds by which differences of times may be off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RepairReport:
    """Notes `changed` by each repair that was asked for, and doubles `removed`."""

    changed: MappingProxyType[str, int] = field(default_factory=lambda: MappingProxyType({}))
    removed: int = 0

    @property
    def clean(self) -> bool:
        """True when nothing had to be repaired."""
        return not self.removed and not any(self.changed.values())


def _velocity(notes: NoteArray, _: float) -> tuple[NoteArray, int, int]:
    wrong = (notes["velocity"] < 1) | (notes["velocity"] > 127)
    notes["velocity"] = np.clip(notes["velocity"], 1, 127)
    return notes, int(wrong.sum()), 0


def _short(notes: NoteArray, min_seconds: float) -> tuple[NoteArray, int, int]:
    short = notes["duration"] < min_seconds - FLOAT_ERROR
    notes["duration"][short] = min_seconds
    return notes, int(short.sum()), 0


def _restruck(notes: NoteArray, _: float) -> tuple[NoteArray, int, int]:
    order = np.lexsort((-notes["duration"], notes["time"], notes["pitch"]))  # doubles: the longest first
    rows = notes[order]
    double = np.zeros(len(rows), np.bool_)
    double[1:] = (np.diff(rows["time"]) == 0) & (np.diff(rows["pitch"].astype(np.int16)) == 0)
    rows, order = rows[~double], order[~double]
    room = np.full(len(rows), np.inf)
    same = np.diff(rows["pitch"].astype(np.int16)) == 0
    room[:-1][same] = np.diff(rows["time"])[same]
    long = rows["duration"] > room + FLOAT_ERROR  # an end that touches the next onset may miss it by so much
    rows["duration"][long] = room[long]
    return rows[np.argsort(order)], int(long.sum()), int(double.sum())


REPAIRS: MappingProxyType[str, Callable[[NoteArray, float], tuple[NoteArray, int, int]]] = MappingProxyType(
    {"velocity": _velocity, "short": _short, "restruck": _restruck}
)
"""Every repair by name; each takes (notes, min_seconds) of a track and returns (notes, changed, removed)."""


def repair(
    score: Score, *, only: Collection[str] = tuple(REPAIRS), min_seconds: float = MIN_SECONDS
) -> tuple[Score, RepairReport]:
    """Apply the repairs named in `only` (default all) to each track of `score`, which is not changed.

    Raises `RequestError` for an unknown repair or a `min_seconds` that is not above 0.
    """
    unknown = sorted(set(only) - set(REPAIRS))
    if unknown:
        raise RequestError(f"there is no repair called {unknown[0]!r}; known are {', '.join(REPAIRS)}")
    if not 0 < min_seconds < float("inf"):
        raise RequestError(f"min_seconds is {min_seconds}; it must be above 0, {MIN_SECONDS} is usual")
    chosen = [name for name in REPAIRS if name in only]
    changed = dict.fromkeys(chosen, 0)
    removed = 0
    tracks = []
    for track in score.tracks:
        notes = track.notes[np.argsort(track.notes["time"], kind="stable")]
        for name in chosen:
            notes, now_changed, now_removed = REPAIRS[name](notes, min_seconds)
            changed[name] += now_changed
            removed += now_removed
        tracks.append(replace(track, notes=notes))
    report = RepairReport(changed=MappingProxyType(changed), removed=removed)
    return replace(score, tracks=tuple(tracks), note_order=None), report
