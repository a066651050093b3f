"""Messages of a standard MIDI file, all at once: `read_messages(midi, name)`, many times faster than `walk`.

A byte is high (>= 0x80) when it is a status byte, or belongs to a long delta time and is not its last. While messages
have two data bytes, the low bytes up to the next high one tell, modulo 3, what the two are: 2 from a status byte to a
long delta time, 1 from a long delta time to a status byte, 0 between two of one sort; every three more are a message
under running status. Other messages (meta, system, one data byte: "special") end such a stretch; a loop hops over
them. A file that does not fit, broken or with rarer running status, is left to `walk`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from midi_llm.music.smf import META, SYSEX, SYSEX_ESCAPE, ByteArray, IntArray, Messages, MidiBytes, read_number
from midi_llm.music.smf_walk import walk

_DELTA, _STATUS, _OUTSIDE = 0, 1, 2
"""Sorts of high bytes. 2 and 3 are those outside of stretches: payloads of special messages, chunk headers."""


def read_messages(midi: MidiBytes, name: str) -> Messages:
    """Decode every message of every track of `midi`; `name` is used in errors only. Raises `MidiReadError`."""
    return scan(midi) or walk(midi, name)


def scan(midi: MidiBytes) -> Messages | None:
    """Return what `walk` returns, or None; always None where `walk` raises."""
    at = np.flatnonzero(midi.data[: midi.size] >= 0x80)
    byte = midi.data[at]
    low = np.empty(len(at), np.int64)
    low[-1:] = 0
    np.subtract(at[1:], at[:-1], out=low[:-1])
    low[:-1] -= 1
    triples = low // 3
    low -= 3 * triples
    turns = (low != 0).view(np.uint8)
    turned = np.bitwise_xor.accumulate(turns) ^ turns  # whether the sort has turned before each byte
    stretches = _stretches(midi, at, byte, turned)
    if stretches is None:
        return None
    last = np.array(stretches.last, np.int64)
    triples[last], low[last] = 0, 2  # what follows a special status byte was measured by the loop
    sort = np.repeat(np.array(stretches.sort, np.uint8), np.diff(stretches.bounds)) ^ turned
    highs = _Highs(at=at, byte=byte, sort=sort, triples=triples, low=low)
    return _messages(midi, highs, last, stretches.count)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stretches:
    """Stretches of high bytes. `last` are their last ones, special status bytes, as indices.

    `bounds` [2n + 2] are the indices at which what lies before, in and after stretches begins and ends; `sort`
    [2n + 1] is added to `turned` there. `count` is how many stretches there are up to the end of each track.
    """

    last: list[int]
    bounds: list[int]
    sort: list[int]
    count: list[int]


def _stretches(midi: MidiBytes, at: IntArray, byte: ByteArray, turned: ByteArray) -> _Stretches | None:
    candidates = iter(np.flatnonzero(_is_special(byte)).tolist())  # or high bytes of long delta times
    content, places, turns = midi.data.data, at.data, turned.data
    found = _Stretches(last=[], bounds=[0], sort=[_OUTSIDE], count=[])
    index = 0
    for position, end in zip(midi.starts, midi.ends, strict=True):
        while position < end:
            while index < len(places) and places[index] < position:
                index += 1
            if index == len(places) or places[index] > position + 1:
                return None
            first, sort = index, (places[index] - position) ^ turns[index]
            for index in candidates:
                if index >= first and sort ^ turns[index] == _STATUS:
                    break
            else:
                return None
            position = _end_of_special(content, places[index])
            if not places[first] < position <= end:
                return None
            found.last.append(index)
            index += 1
            found.bounds.extend((first, index))
            found.sort.extend((sort, _OUTSIDE))
        found.count.append(len(found.last))
    found.bounds.append(len(at))
    return found


def _is_special(status: ByteArray) -> npt.NDArray[np.bool_]:
    """Tell program changes, channel pressures, meta and system messages from messages with two data bytes."""
    result: npt.NDArray[np.bool_] = (status >= 0xC0) & (status & 0xF0 != 0xE0)
    return result


def _end_of_special(content: memoryview, at: int) -> int:
    """Position after the special message whose status byte is at `at`, or -1 if it is illegal."""
    status = content[at]
    if status < 0xE0:
        return at + 2 if content[at + 1] < 0x80 else -1
    if status not in (META, SYSEX, SYSEX_ESCAPE):
        return -1
    length, position = read_number(content, at + 1 + (status == META))
    return position + length if length >= 0 else -1


@dataclass(frozen=True, kw_only=True, slots=True)
class _Highs:
    """The high bytes: position, value, sort, and how many low bytes follow, divided by 3 with rest."""

    at: IntArray
    byte: ByteArray
    sort: ByteArray
    triples: IntArray
    low: IntArray


def _messages(midi: MidiBytes, highs: _Highs, special: IntArray, stretches: list[int]) -> Messages | None:
    """Count the messages after each high byte, and decode them. `special` are the last bytes of the stretches."""
    data, is_status = midi.data, highs.sort == _STATUS
    count = highs.triples + (highs.low == 2)
    count *= highs.sort < _OUTSIDE
    explicit = np.flatnonzero(is_status)
    running = np.flatnonzero((count != 0) & ~is_status)
    status = highs.byte.copy()
    status[running] = highs.byte[explicit[np.searchsorted(explicit, running) - 1]]
    illegal = (highs.low + is_status == 2) & (highs.sort < _OUTSIDE)
    if illegal.any() or not count[explicit].all() or _is_special(status[running]).any():
        return None
    first = np.cumsum(count)
    first -= count
    owner = np.repeat(np.arange(len(count)), count)
    body = (highs.at + 2 - is_status - 3 * first)[owner]
    body += np.arange(0, 3 * len(owner), 3)
    before_data = body - 1
    before_data[first[explicit]] -= 1
    delta = data[before_data].astype(np.int64)
    if not _add_long_deltas(delta, highs, first):
        return None
    tick = np.cumsum(delta)
    bounds = np.concatenate(([0], first[special] + 1))[[0, *stretches]]
    lengths = np.diff(bounds)
    tick -= np.repeat(np.concatenate(([0], tick))[bounds[:-1]], lengths)
    return Messages(
        track=np.repeat(np.arange(len(lengths)), lengths),
        tick=tick,
        status=status[owner],
        body=body,
        data1=data[body],
        data2=data[1:][body],
    )


def _add_long_deltas(delta: IntArray, highs: _Highs, first: IntArray) -> bool:
    """Add what all but the last bytes of delta times are worth; False if one has more than 4 bytes."""
    longs = np.flatnonzero(highs.sort == _DELTA)
    goes_on = np.zeros(len(longs) + 2, np.bool_)
    goes_on[:-2] = highs.triples[longs] + highs.low[longs] == 0
    twice = goes_on[:-2] & goes_on[1:-1]
    shift = 7 * (1 + goes_on[:-2].astype(np.int64) + twice)
    np.add.at(delta, first[longs], (highs.byte[longs].astype(np.int64) & 0x7F) << shift)
    return not bool((twice & goes_on[2:]).any())
