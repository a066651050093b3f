"""Notes among the messages of a MIDI file: which note-off ends which note-on, and the program in force.

In: `Messages` and their `Clock`. Out: `FoundNotes`, in merged order. The rules are those of read.py's list.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from midi_llm.music.clock import Clock
from midi_llm.music.score import DRUMS
from midi_llm.music.smf import ByteArray, IntArray, Messages

UNKNOWN_DURATION = 0.25
"""Seconds given to a note without note-off (anticipation/convert.py at af37397: TIME_RESOLUTION // 4 ticks)."""

DRUM_CHANNEL = 9
NO_MESSAGE = -1

BoolArray = npt.NDArray[np.bool_]

_CHANNEL_BITS = np.uint8(0x0F)


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundNotes:
    """Notes in merged order, arrays [n]; `time` and `duration` in seconds, `instrument` is `DRUMS` for channel 10.

    `on` and `off` are the messages that begin and end a note, as indices; `off` is `NO_MESSAGE` where none does.
    """

    time: npt.NDArray[np.float64]
    duration: npt.NDArray[np.float64]
    track: IntArray
    channel: ByteArray
    program: ByteArray
    instrument: ByteArray
    pitch: ByteArray
    velocity: ByteArray
    on: IntArray
    off: IntArray


def find_notes(messages: Messages, clock: Clock) -> FoundNotes:
    """Find the notes among the messages: each note-on, with what ends it."""
    status = messages.status[clock.merged]
    events = np.flatnonzero((status & 0xE0) == 0x80)
    changes = np.flatnonzero((status & 0xF0) == 0xC0)
    source, changed, time = clock.merged[events], clock.merged[changes], clock.times[events]
    pitch, velocity = messages.data1[source], messages.data2[source]
    channel = status[events] & _CHANNEL_BITS
    program = _programs_in_force(
        np.searchsorted(events, changes), status[changes] & _CHANNEL_BITS, messages.data1[changed], channel
    )
    instrument = program.copy()
    instrument[np.flatnonzero(channel == DRUM_CHANNEL)] = DRUMS
    is_on = (status[events] >= 0x90) & (velocity > 0)
    on, off = _pair(channel, instrument, pitch, is_on)
    duration = np.full(len(source), UNKNOWN_DURATION)
    duration[on] = time[off] - time[on]
    ended_by = np.full(len(source), NO_MESSAGE)
    ended_by[on] = source[off]
    ons = np.flatnonzero(is_on)
    return FoundNotes(
        time=time[ons],
        duration=duration[ons],
        track=messages.track[source[ons]],
        channel=channel[ons],
        program=program[ons],
        instrument=instrument[ons],
        pitch=pitch[ons],
        velocity=velocity[ons],
        on=source[ons],
        off=ended_by[ons],
    )


def _programs_in_force(
    change_at: IntArray, change_channel: ByteArray, change_value: ByteArray, channel: ByteArray
) -> ByteArray:
    """Program of its channel at each event [n]: that of the last change before it, else 0.

    `change_at` [m] is how many events come before each change. After the last change of all, which most files have
    near their head, a table of 16 programs is enough.
    """
    final = np.zeros(16, np.uint8)
    final[change_channel] = change_value  # of equal indices the last one counts
    program = final[channel]
    head = int(change_at[-1]) if len(change_at) else 0
    if head:
        order = np.argsort(change_channel, kind="stable")  # and by time in each channel
        changes = np.concatenate(([-1], (change_channel.astype(np.int64) * (head + 1) + change_at)[order]))
        values = np.concatenate(([0], change_value[order]))
        keys = channel[:head].astype(np.int64) * (head + 1) + np.arange(head)
        last = np.searchsorted(changes, keys, side="right") - 1
        program[:head] = np.where(changes[last] // (head + 1) == channel[:head], values[last], 0)
    return program


def _pair(channel: ByteArray, instrument: ByteArray, pitch: ByteArray, is_on: BoolArray) -> tuple[IntArray, IntArray]:
    """Match events: indices (note-on, note-off), first in first out per channel, instrument and pitch; in time order.

    Where every note has its note-off and no note-off is void, the k-th of the one ends the k-th of the other, and so
    it is over all channels and pitches laid end to end. If that pairs like instruments, it is the answer.
    """
    kind = channel * np.uint16(128) + pitch
    order = np.argsort(kind, kind="stable")  # 16 bits: numpy sorts by radix
    kind, starts = kind[order], is_on[order]
    on, off = order[np.flatnonzero(starts)], order[np.flatnonzero(~starts)]
    sounding = np.cumsum(starts.view(np.int8) * np.int8(2) - np.int8(1), dtype=np.int32)
    last = np.flatnonzero(kind[1:] != kind[:-1])
    balanced = len(on) == len(off) and not sounding[last].any() and sounding.min(initial=0) == 0
    if balanced and (instrument[on] == instrument[off]).all():
        return on, off
    voices = (channel * np.int32(DRUMS + 1) + instrument) * np.int32(128) + pitch
    order = np.argsort(voices, kind="stable")
    on, off = _pair_unbalanced(voices[order], is_on[order])
    return order[on], order[off]


def _pair_unbalanced(kind: npt.NDArray[np.int32], on: BoolArray) -> tuple[IntArray, IntArray]:
    """Match events [n] sorted by kind, some of them alone.

    A note-off is void when nothing of its kind sounds, that is when the running sum of +1 (on) and -1 (off) reaches
    a new low; the k-th other note-off of a kind then ends its k-th note.
    """
    fresh = np.diff(kind.astype(np.int64), prepend=-1) != 0
    group = np.cumsum(fresh) - 1
    step = np.where(on, 1, -1)
    total = np.cumsum(step)
    base = (total - step)[fresh][group]
    fall = group * (2 * len(kind) + 2)  # each group lies below all lows of the groups before it
    level = total - base - fall
    low = np.minimum.accumulate(np.minimum(level, -fall))
    low_before = np.concatenate(([0], low[:-1]))
    matched_off = ~on & (level >= np.minimum(low_before, -fall))
    ons, offs = np.flatnonzero(on), np.flatnonzero(matched_off)
    groups = int(group[-1]) + 1
    on_counts, off_counts = np.bincount(group[ons], minlength=groups), np.bincount(group[offs], minlength=groups)
    first_on, first_off = np.cumsum(on_counts) - on_counts, np.cumsum(off_counts) - off_counts
    partner = first_on[group[offs]] + np.arange(len(offs)) - first_off[group[offs]]
    return ons[partner], offs
