"""Time in a MIDI file: its tempo map and metres, and seconds for ticks.

In: the `Messages` of a file. Out: a `Clock`, equal bit for bit to adding up the seconds of mido's merged messages (as
AMT does): one float64 addition per distinct tick at which any message but end-of-track stands.
SMPTE divisions have seconds without tempo; type 2 patterns follow each other. A tempo of 0 is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from midi_llm.music.key import signature_key
from midi_llm.music.score import KeySignature, Tempo, TimeSignature
from midi_llm.music.smf import (
    META_END_OF_TRACK,
    META_KEY_SIGNATURE,
    META_TEMPO,
    META_TIME_SIGNATURE,
    IntArray,
    Messages,
    MidiBytes,
    meta_payload,
)

_DEFAULT_MICROSECONDS = 500_000
_NTSC_FRAMES = 29
_NTSC_RATE = 30_000 / 1_001
_MAX_METRE_POWER = 6

_Value = TypeVar("_Value", int, str, tuple[int, int])


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """Ticks to seconds. `tick` [n] is when each message of the file stands on one time line.

    `merged` [m] are the messages but end-of-track by tick, then by track, and `times` [m] their seconds. `knots` are
    the distinct ticks of those and `at` their seconds; `tempo_ticks`/`micros` is the tempo map (microseconds per
    quarter note).
    """

    tick: IntArray
    merged: IntArray
    times: npt.NDArray[np.float64]
    knots: IntArray
    at: npt.NDArray[np.float64]
    tempo_ticks: IntArray
    micros: IntArray

    def seconds(self, tick: IntArray) -> npt.NDArray[np.float64]:
        """Return seconds at `tick` [n], which must be ticks of messages; anything where it is negative."""
        if not len(self.knots):
            return np.zeros(len(tick))
        return self.at[np.minimum(np.searchsorted(self.knots, tick), len(self.knots) - 1)]


def make_clock(midi: MidiBytes, messages: Messages, metas: dict[int, list[int]]) -> Clock:
    """Build the clock of a file from its messages and `metas_by_type`; the last of several tempos at a tick counts."""
    tick = _timeline(midi, messages)
    merged = np.argsort(tick, kind="stable")  # merges the sorted runs of the tracks
    counts = np.ones(len(tick), np.bool_)
    counts[metas.get(META_END_OF_TRACK, [])] = False
    merged = merged[np.flatnonzero(counts[merged])]
    ticks = tick[merged]
    is_knot = np.ones(len(ticks), np.bool_)
    np.not_equal(ticks[1:], ticks[:-1], out=is_knot[1:])
    knots = ticks[np.flatnonzero(is_knot)]
    steps = knots.copy()
    steps[1:] -= knots[:-1]
    payloads = _payloads(midi, messages, tick, metas.get(META_TEMPO, []), length=3)
    tempos = [(at_tick, int.from_bytes(payload, "big")) for at_tick, payload in payloads if any(payload)]
    tempo_ticks, micros = np.array(tempos, np.int64).reshape(-1, 2).T
    if midi.division < 0:
        frames = -(midi.division >> 8)
        rate = _NTSC_RATE if frames == _NTSC_FRAMES else float(frames)
        at = np.cumsum(steps / (rate * (midi.division & 0xFF)))
    else:
        scale = np.concatenate(([_DEFAULT_MICROSECONDS], micros)) * 1e-6 / midi.division
        at = np.cumsum(steps * scale[np.searchsorted(tempo_ticks, knots, side="left")])
    times = at[np.cumsum(is_knot) - 1]
    return Clock(tick=tick, merged=merged, times=times, knots=knots, at=at, tempo_ticks=tempo_ticks, micros=micros)


def tempo_map(clock: Clock) -> tuple[Tempo, ...]:
    """List the tempos in seconds; the last one at a tick counts, repetitions are left out."""
    times = clock.seconds(clock.tempo_ticks).tolist()
    values = _changes(dict(zip(times, clock.micros.tolist(), strict=True)))
    return tuple(Tempo(time=time, bpm=60e6 / micros) for time, micros in values)


def metre_map(
    midi: MidiBytes, messages: Messages, metas: dict[int, list[int]], clock: Clock
) -> tuple[TimeSignature, ...]:
    """List the metres in seconds; the last one at a tick counts, repetitions and impossible ones are left out."""
    metres = metre_ticks(midi, messages, metas, clock)
    times = clock.seconds(np.array([tick for tick, _, _ in metres], np.int64)).tolist()
    values = _changes(dict(zip(times, ((beats, unit) for _, beats, unit in metres), strict=True)))
    return tuple(TimeSignature(time=time, numerator=beats, denominator=unit) for time, (beats, unit) in values)


def metre_ticks(
    midi: MidiBytes, messages: Messages, metas: dict[int, list[int]], clock: Clock
) -> list[tuple[int, int, int]]:
    """List the metres as (tick, numerator, denominator), in order; the last one at a tick counts."""
    payloads = _payloads(midi, messages, clock.tick, metas.get(META_TIME_SIGNATURE, []), length=4)
    legal = {at: payload[:2] for at, payload in payloads if payload[0] > 0 and payload[1] <= _MAX_METRE_POWER}
    return [(at, numerator, 1 << power) for at, (numerator, power) in legal.items()]


def key_map(midi: MidiBytes, messages: Messages, metas: dict[int, list[int]], clock: Clock) -> tuple[KeySignature, ...]:
    """List the keys in seconds; the last one at a tick counts, repetitions and impossible ones are left out."""
    payloads = _payloads(midi, messages, clock.tick, metas.get(META_KEY_SIGNATURE, []), length=2)
    signed = [(at, int.from_bytes(payload[:1], signed=True), payload[1]) for at, payload in payloads]
    legal = [(at, accidentals, mode) for at, accidentals, mode in signed if abs(accidentals) <= 7 and mode <= 1]
    times = clock.seconds(np.array([at for at, _, _ in legal], np.int64)).tolist()
    keys = [signature_key(accidentals, minor=mode == 1) for _, accidentals, mode in legal]
    return tuple(KeySignature(time=time, key=key) for time, key in _changes(dict(zip(times, keys, strict=True))))


def _changes(values: dict[float, _Value]) -> list[tuple[float, _Value]]:
    """The items of `values` in which the value differs from that of the item before."""
    items = list(values.items())
    return items[:1] + [item for before, item in pairwise(items) if item[1] != before[1]]


def _timeline(midi: MidiBytes, messages: Messages) -> IntArray:
    """Ticks on one time line [n]: type 2 patterns follow each other, other tracks run side by side."""
    if midi.format != 2 or not len(messages.tick):
        return messages.tick
    length = np.zeros(len(midi.starts), np.int64)
    np.maximum.at(length, messages.track, messages.tick)
    return messages.tick + (np.cumsum(length) - length)[messages.track]


def _payloads(
    midi: MidiBytes, messages: Messages, tick: IntArray, metas: list[int], *, length: int
) -> list[tuple[int, bytes]]:
    """Ticks and payloads of the messages `metas` in merged order; other lengths are ignored."""
    found = [
        (at, payload)
        for at, body in zip(tick[metas].tolist(), messages.body[metas].tolist(), strict=True)
        if len(payload := meta_payload(midi, body)) == length
    ]
    return sorted(found, key=lambda item: item[0])
