"""Velocities for a piece that has none: balance of the parts, accents, arcs, ghost notes, and a little human variation.

In: a `Score`, its beats, an amount and a seed. Out: the same notes with velocities round `DEFAULT_VELOCITY`. A note's
velocity is linear in what `expression` finds in the piece; the weights are fitted by benchmarks/dynamics.py to music
that people played or wrote (dynamics.json names the sources). Such a fit is flatter than playing: its quantiles are
moved to those of playing, which brings back accents and ghost notes. The same piece and seed give the same velocities,
in whatever order tracks and notes come.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from midi_llm.errors import RequestError
from midi_llm.music.beats import BeatGrid
from midi_llm.music.expression import FEATURES, Described, Floats, Integers, describe
from midi_llm.music.features import NoteTable
from midi_llm.music.parts import GROUPS, PITCHED, part_means
from midi_llm.music.score import DEFAULT_VELOCITY, NOTE_DTYPE, Score

WEIGHTS_VERSION = 1
BALANCE = ("chord size", "highest of all", "length", "gap before")
"""The features whose mean over a pitched part tells how loud it is beside the others."""
_BALANCE_COLUMNS = [FEATURES.index(name) for name in BALANCE]
_SOFTEST, _LOUDEST = 1, 127


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Weights:
    """What a fit found, in steps of velocity; the first axis is `GROUPS`."""

    level: Floats
    """[groups]: of a part beside the others."""
    balance: Floats
    """[len(BALANCE)]: the same, by what the part plays."""
    shape: Floats
    """[groups, len(FEATURES)]: of a note beside the others of its part."""
    flat: Floats
    """[groups, quantiles]: of the shape, ascending ..."""
    played: Floats
    """[groups, quantiles]: ... and what they are in playing."""
    variation: Floats
    """[groups]: standard deviation among repeats of one note at one place of the bar."""


def with_dynamics(score: Score, grid: BeatGrid | None, *, amount: float, seed: int) -> Score:
    """`score` with velocities: all `DEFAULT_VELOCITY` at `amount` 0, as unequal as in real music at 1.

    `grid` are its beats (`beats.estimate_beats`); without them accents do not follow the metre. Raises `RequestError`
    for an amount outside 0 to 1.
    """
    if not 0.0 <= amount <= 1.0:
        raise RequestError(f"dynamics is {amount:g}; allowed is 0 (all notes alike) to 1 (as in real music)")
    counts = [len(track.notes) for track in score.tracks]
    rows = np.concatenate([np.empty(0, NOTE_DTYPE), *(track.notes for track in score.tracks)])
    instrument = np.repeat(np.array([track.instrument for track in score.tracks], np.int64), counts)
    order = np.lexsort((rows["duration"], rows["pitch"], instrument, rows["time"]))
    notes = NoteTable(
        start=rows["time"][order],
        duration=rows["duration"][order],
        instrument=instrument[order],
        pitch=rows["pitch"][order].astype(np.int64),
        velocity=np.full(len(rows), DEFAULT_VELOCITY, np.int64),
    )
    rows["velocity"][order] = velocities(notes, grid, weights(), amount=amount, seed=seed)
    parts = np.split(rows, np.cumsum(counts)[:-1]) if counts else []
    tracks = (replace(track, notes=notes) for track, notes in zip(score.tracks, parts, strict=True))
    return replace(score, tracks=tuple(tracks))


def velocities(notes: NoteTable, grid: BeatGrid | None, fitted: Weights, *, amount: float, seed: int) -> Integers:
    """Velocity 1-127 of each of `notes` [n], ordered by onset; their mean is `DEFAULT_VELOCITY` unless clipped."""
    if not len(notes):
        return np.empty(0, np.int64)
    found = describe(notes, grid)
    level = fitted.level[found.group] + np.where(
        found.group < len(PITCHED), part_means(found.features[:, _BALANCE_COLUMNS], found.part) @ fitted.balance, 0.0
    )
    wanted = level + _shape(found, fitted) + fitted.variation[found.group] * _chance(notes, seed)
    away = amount * (wanted - wanted.mean())
    return np.asarray(np.clip(np.rint(DEFAULT_VELOCITY + away), _SOFTEST, _LOUDEST), np.int64)


def _shape(found: Described, fitted: Weights) -> Floats:
    """By how much each note [n] is louder than its part, without variation."""
    told = (found.features * fitted.shape[found.group]).sum(axis=1)
    told -= part_means(told, found.part)
    for group in np.unique(found.group):
        own = found.group == group
        told[own] = np.interp(told[own], fitted.flat[group], fitted.played[group])
    return np.asarray(told - part_means(told, found.part))


@functools.cache
def weights() -> Weights:
    """The weights that come with the package."""
    text = importlib.resources.files("midi_llm.music").joinpath("dynamics.json").read_text(encoding="utf-8")
    return parse_weights(text)


def parse_weights(text: str) -> Weights:
    """Read weights as benchmarks/dynamics.py writes them, for the groups and features of this version."""
    stored = json.loads(text)
    assert stored["version"] == WEIGHTS_VERSION
    assert (stored["features"], stored["balance features"]) == (list(FEATURES), list(BALANCE)), "fit the weights again"
    columns = {
        name: np.array([stored["groups"][group][name] for group in GROUPS], np.float64)
        for name in ("level", "shape", "flat", "played", "variation")
    }
    return Weights(balance=np.array(stored["balance"], np.float64), **columns)


def _chance(notes: NoteTable, seed: int) -> Floats:
    """A number for each note with mean 0 and deviation 1, within 3.5: hashed from the note and `seed`.

    The sum of four uniform numbers, near enough to a normal one.
    """
    mixed = np.full(len(notes), seed, np.uint64)
    for column in (np.rint(notes.start * 1000), np.rint(notes.duration * 1000), notes.instrument, notes.pitch):
        mixed = _mix(mixed ^ column.astype(np.int64).astype(np.uint64))
    quarters: npt.NDArray[np.uint64] = mixed[:, None] >> np.array([0, 16, 32, 48], np.uint64) & np.uint64(0xFFFF)
    return np.asarray(((quarters.astype(np.float64) + 0.5) / 65536 - 0.5).sum(axis=1) * np.sqrt(3))


def _mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """One step of SplitMix64 (Steele, Lea and Flood 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return values ^ values >> np.uint64(31)
