"""Time in a MIDI file: its tempo map and metres, and seconds for ticks.

In: the `Messages` of a file. Out: a `Clock`, equal bit for bit to adding up the seconds of mido's merged messages (as
AMT does): one float64 addition per distinct tick at which any message but end-of-track stands.
SMPTE divisions have seconds without tempo; type 2 patterns follow each other. A tempo of 0 is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from midi_llm.music.score import Tempo, TimeSignature
from midi_llm.music.smf import (
    META,
    META_END_OF_TRACK,
    META_TEMPO,
    META_TIME_SIGNATURE,
    IntArray,
    Messages,
    MidiBytes,
)

_DEFAULT_MICROSECONDS = 500_000
_NTSC_FRAMES = 29
_NTSC_RATE = 30_000 / 1_001
_MAX_METRE_POWER = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """Ticks to seconds. `tick` [n] is when each message of the file stands on one time line.

    `knots` are the distinct ticks of messages and `at` their seconds; `tempo_ticks`/`micros` is the tempo map
    (microseconds per quarter note).
    """

    tick: IntArray
    knots: IntArray
    at: npt.NDArray[np.float64]
    tempo_ticks: IntArray
    micros: IntArray

    def seconds(self, tick: IntArray) -> npt.NDArray[np.float64]:
        """Return seconds at `tick` [n], which must be ticks of messages; anything where it is negative."""
        if not len(self.knots):
            return np.zeros(len(tick))
        return self.at[np.minimum(np.searchsorted(self.knots, tick), len(self.knots) - 1)]


def make_clock(midi: MidiBytes, messages: Messages) -> Clock:
    """Build the clock of a file; of several tempos at one tick the last one counts."""
    tick = _timeline(midi, messages)
    counted = tick[~((messages.status == META) & (messages.data1 == META_END_OF_TRACK))]
    knots = np.sort(counted, kind="stable")  # merges the sorted runs of the tracks
    knots = knots[np.diff(knots, prepend=-1) != 0]
    steps = np.diff(knots, prepend=0)
    tempo_ticks, micros = _tempos(midi, messages, tick)
    if midi.division < 0:
        frames = -(midi.division >> 8)
        rate = _NTSC_RATE if frames == _NTSC_FRAMES else float(frames)
        at = np.cumsum(steps / (rate * (midi.division & 0xFF)))
    else:
        scale = np.concatenate(([_DEFAULT_MICROSECONDS], micros)) * 1e-6 / midi.division
        at = np.cumsum(steps * scale[np.searchsorted(tempo_ticks, knots, side="left")])
    return Clock(tick=tick, knots=knots, at=at, tempo_ticks=tempo_ticks, micros=micros)


def tempo_map(clock: Clock) -> tuple[Tempo, ...]:
    """List the tempos in seconds; the last one at a tick counts, repetitions are left out."""
    last = np.diff(clock.tempo_ticks, append=-1) != 0
    micros = clock.micros[last]
    new = np.diff(micros, prepend=0) != 0
    times = clock.seconds(clock.tempo_ticks[last][new])
    return tuple(
        Tempo(time=time, bpm=60e6 / value) for time, value in zip(times.tolist(), micros[new].tolist(), strict=True)
    )


def metre_map(midi: MidiBytes, messages: Messages, clock: Clock) -> tuple[TimeSignature, ...]:
    """List the metres in seconds; the last one at a tick counts, repetitions and impossible ones are left out."""
    ticks, payload = _payloads(midi, messages, clock.tick, kind=META_TIME_SIGNATURE, length=4)
    legal = (payload[:, 0] > 0) & (payload[:, 1] <= _MAX_METRE_POWER)
    ticks, payload = ticks[legal], payload[legal]
    last = np.diff(ticks, append=-1) != 0
    ticks, payload = ticks[last], payload[last, :2]
    new = np.diff(payload, axis=0, prepend=0).any(axis=1)
    times = clock.seconds(ticks[new]).tolist()
    return tuple(
        TimeSignature(time=time, numerator=numerator, denominator=1 << power)
        for time, (numerator, power) in zip(times, payload[new].tolist(), strict=True)
    )


def _timeline(midi: MidiBytes, messages: Messages) -> IntArray:
    """Ticks on one time line [n]: type 2 patterns follow each other, other tracks run side by side."""
    if midi.format != 2 or not len(messages.tick):
        return messages.tick
    length = np.zeros(len(midi.starts), np.int64)
    np.maximum.at(length, messages.track, messages.tick)
    return messages.tick + (np.cumsum(length) - length)[messages.track]


def _tempos(midi: MidiBytes, messages: Messages, tick: IntArray) -> tuple[IntArray, IntArray]:
    ticks, payload = _payloads(midi, messages, tick, kind=META_TEMPO, length=3)
    micros = payload @ np.array([65_536, 256, 1])
    return ticks[micros > 0], micros[micros > 0]


def _payloads(
    midi: MidiBytes, messages: Messages, tick: IntArray, *, kind: int, length: int
) -> tuple[IntArray, IntArray]:
    """Ticks [n] and payloads [n, length] of all meta messages of a kind in merged order; other lengths are ignored."""
    chosen = np.flatnonzero((messages.status == META) & (messages.data1 == kind) & (messages.data2 == length))
    chosen = chosen[np.argsort(tick[chosen], kind="stable")]
    payload = midi.data[messages.body[chosen][:, None] + 2 + np.arange(length)]
    return tick[chosen], payload.astype(np.int64)
