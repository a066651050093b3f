"""The bytes of a standard MIDI file as flat numpy arrays: chunks, then every message of every track at once.

In: the whole file as bytes. Out: `MidiBytes` (header fields) and `Messages` (tick, status, data, track; file order).
Vectorised: where a message ends is computed for *every* byte, then the chain of real message starts is walked in
strides of 16. Any defect is a `MidiReadError` that names the track and the byte. Knows nothing of notes, tempo
or seconds.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from midi_llm.errors import MidiReadError

MAX_FILE_BYTES = 8_000_000
"""Larger files are refused: reading needs up to 130 bytes of memory per byte of the file."""

META = 0xFF
META_TRACK_NAME, META_END_OF_TRACK, META_TEMPO, META_TIME_SIGNATURE = 0x03, 0x2F, 0x51, 0x58

_PADDING = 16
_STRIDE_DOUBLINGS = 4
_STRIDE = 1 << _STRIDE_DOUBLINGS

IntArray = npt.NDArray[np.int64]
ByteArray = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class MidiBytes:
    """The chunks of a file: `data` is the file padded with zeros, `starts`/`ends` bound the bodies of its tracks.

    `division` > 0 is ticks per quarter note; < 0 is SMPTE: minus frames per second in the high byte, ticks per
    frame in the low byte.
    """

    data: ByteArray
    size: int
    format: int
    division: int
    starts: list[int]
    ends: list[int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Messages:
    """All messages in file order (track by track). `tick` is absolute within the track; arrays are [n].

    `status` has running status filled in; `body` is the position of the first data byte in the file (for a meta
    message its type byte); `data1`/`data2` are the first two bytes there, valid for channel messages.
    """

    track: IntArray
    tick: IntArray
    status: ByteArray
    body: IntArray
    data1: ByteArray
    data2: ByteArray


def split_chunks(content: bytes, name: str) -> MidiBytes:
    """Find header and tracks of `content`; unknown chunks and bytes after the last announced track are skipped."""
    if not content:
        raise MidiReadError(f"{name} is empty (0 bytes); a standard MIDI file is needed")
    if len(content) > MAX_FILE_BYTES:
        raise MidiReadError(
            f"{name} has {len(content):,} bytes; at most {MAX_FILE_BYTES:,} are read: split it into shorter pieces"
        )
    offset = 20 if content[:4] == b"RIFF" and content[8:12] == b"RMID" else 0
    if content[offset : offset + 4] != b"MThd":
        raise MidiReadError(
            f"{name} is not a standard MIDI file: it begins with {content[offset : offset + 4]!r} instead of b'MThd'"
        )
    if len(content) < offset + 14:
        raise MidiReadError(f"{name} ends inside its header ({len(content)} bytes): the file is truncated")
    header_length, file_format, track_count, division = struct.unpack(">IHHh", content[offset + 4 : offset + 14])
    if header_length < 6 or file_format > 2:
        raise MidiReadError(f"{name} has a broken header (length {header_length}, type {file_format}; allowed 0, 1, 2)")
    if division == 0 or (division < 0 and division & 0xFF == 0):
        raise MidiReadError(f"{name} has a time division of 0 ticks; the file is broken")
    starts, ends = _track_bounds(content, offset + 8 + header_length, track_count, name)
    return MidiBytes(
        data=np.frombuffer(content + bytes(_PADDING), np.uint8),
        size=len(content),
        format=file_format,
        division=division,
        starts=starts,
        ends=ends,
    )


def _track_bounds(content: bytes, position: int, track_count: int, name: str) -> tuple[list[int], list[int]]:
    starts: list[int] = []
    ends: list[int] = []
    while len(starts) < track_count:
        if position + 8 > len(content):
            raise MidiReadError(
                f"{name} announces {track_count} tracks and ends after {len(starts)}: the file is truncated"
            )
        kind = content[position : position + 4]
        end = position + 8 + int.from_bytes(content[position + 4 : position + 8], "big")
        if end > len(content):
            raise MidiReadError(
                f"{name}: track {len(starts) + 1} should end at byte {end}, the file has {len(content)} bytes:"
                " it is truncated or corrupt"
            )
        if kind == b"MTrk":
            starts.append(position + 8)
            ends.append(end)
        position = end
    return starts, ends


def read_messages(midi: MidiBytes, name: str) -> Messages:
    """Decode every message of every track of `midi`; `name` is used in errors only."""
    starts = np.array(midi.starts, np.int64)
    if not len(starts):
        empty, none = np.empty(0, np.int64), np.empty(0, np.uint8)
        return Messages(track=empty, tick=empty, status=none, body=empty, data1=none, data2=none)
    delta_lengths = _varint_lengths(midi.data)
    position, track = _message_starts(midi, delta_lengths, classes=1)
    status, running = _fill_status(midi, delta_lengths, position, track)
    if bool(np.any(running & _one_data_byte(status))):  # a run of program changes or channel pressures
        position, track = _message_starts(midi, delta_lengths, classes=2)
        status, running = _fill_status(midi, delta_lengths, position, track)
    delta_length = delta_lengths[position]
    body = position + delta_length + ~running
    data1, data2 = midi.data[body], midi.data[body + 1]
    _check(midi, name, position, track, delta_lengths, status, body)
    tick = np.cumsum(_varint(midi.data, position, delta_length))
    first = np.searchsorted(track, np.arange(len(starts)))
    before = np.where(first > 0, tick[first - 1], 0) if len(tick) else np.zeros(len(starts), np.int64)
    return Messages(track=track, tick=tick - before[track], status=status, body=body, data1=data1, data2=data2)


def meta_payload(midi: MidiBytes, body: int) -> bytes:
    """Return the payload of the meta message whose type byte is at `body`."""
    length, position, high = 0, body + 1, True
    while high:
        byte = int(midi.data[position])
        length, high, position = length << 7 | byte & 0x7F, byte >= 0x80, position + 1
    return midi.data[position : position + length].tobytes()


def _varint_lengths(data: ByteArray) -> ByteArray:
    """For each byte the length 1-4 of a variable-length number that begins there; 5 = longer than the standard allows.

    The result has one entry less than `data` per look-ahead byte (4).
    """
    high = data >> 7
    two = high[:-4] & high[1:-3]
    three = two & high[2:-2]
    result: ByteArray = 1 + high[:-4] + two + three + (three & high[3:-1])
    return result


def _varint(data: ByteArray, position: IntArray, length: npt.NDArray[np.integer]) -> IntArray:
    value = (data[position] & 0x7F).astype(np.int64)
    for index in range(1, 4):
        longer = np.flatnonzero(length > index)
        if not len(longer):
            break
        value[longer] = value[longer] << 7 | (data[position[longer] + index] & 0x7F)
    return value


def _one_data_byte(status: ByteArray) -> npt.NDArray[np.bool_]:
    """Tell program changes (C) and channel pressures (D) from messages with two data bytes."""
    result: npt.NDArray[np.bool_] = (status & 0xE0) == 0xC0
    return result


def _ends(midi: MidiBytes, delta_lengths: ByteArray, one_byte_class: int) -> IntArray:
    """For each byte, read as a status byte (or as running data), the position after the message; [len(data)]."""
    data = midi.data
    width = (data >> 7) + (2 - one_byte_class)  # running status: one byte less than with its status
    explicit = data >= 0x80
    np.copyto(width, np.uint8(3), where=explicit)
    width -= _one_data_byte(data)
    end = np.arange(len(data), dtype=np.int64)
    end += width
    special = np.flatnonzero(data[: midi.size] >= 0xF0)
    if len(special):
        length_at = special + 1 + (data[special] == META)
        length_bytes = delta_lengths[np.minimum(length_at, len(delta_lengths) - 1)]
        payload = _varint(data, np.minimum(length_at, midi.size), length_bytes)
        end[special] = np.minimum(length_at + length_bytes + payload, midi.size + 1)
    return end


def _message_starts(midi: MidiBytes, delta_lengths: ByteArray, classes: int) -> tuple[IntArray, IntArray]:
    """Walk the chain of messages of every track: positions of their delta times, and the track of each.

    A chain state is a byte position, plus (with `classes` = 2) whether running status has one data byte; the state
    number is position + class * states.
    """
    states = midi.size + 1
    at_status = np.arange(states, dtype=np.int64)
    at_status += delta_lengths[:states]
    jumps = []
    for one_byte_class in range(classes):
        following = _ends(midi, delta_lengths, one_byte_class)[at_status]
        np.minimum(following, midi.size, out=following)
        if classes == 2:
            status = midi.data[at_status]
            channel = (status >= 0x80) & (status < 0xF0)
            following += states * np.where(channel, _one_data_byte(status), one_byte_class)
        jumps.append(following)
    jump = np.concatenate(jumps) if classes == 2 else jumps[0]
    far = jump
    for _ in range(_STRIDE_DOUBLINGS):
        far = far[far]
    return _walk(midi, jump, far, states)


def _walk(midi: MidiBytes, jump: IntArray, far: IntArray, states: int) -> tuple[IntArray, IntArray]:
    anchors: list[int] = []
    counts: list[int] = []
    far_at = far.data
    for start, end in zip(midi.starts, midi.ends, strict=True):
        state, before = start, len(anchors)
        while state % states < end:
            anchors.append(state)
            state = far_at[state]
        counts.append(len(anchors) - before)
    steps = np.empty((len(anchors), _STRIDE), np.int64)
    state_now = np.array(anchors, np.int64)
    for column in range(_STRIDE):
        steps[:, column] = state_now
        state_now = jump[state_now]
    position = steps.ravel() % states
    track = np.repeat(np.arange(len(counts)), np.array(counts) * _STRIDE)
    inside = position < np.array(midi.ends)[track]
    return position[inside], track[inside]


def _fill_status(
    midi: MidiBytes, delta_lengths: ByteArray, position: IntArray, track: IntArray
) -> tuple[ByteArray, npt.NDArray[np.bool_]]:
    """Status byte of each message and whether it is a running one; 0 where a track begins with running status.

    Meta and system messages leave running status as it was (the standard cancels it; many writers rely on it).
    """
    status = midi.data[position + delta_lengths[position]]
    running = status < 0x80
    if running.any():
        last = np.where((status >= 0x80) & (status < 0xF0), np.arange(len(status)), -1)
        np.maximum.accumulate(last, out=last)
        known = running & (last >= 0)
        known[known] = track[last[known]] == track[known]
        filled = np.where(known, status[last], status)
        filled[running & ~known] = 0
        status = filled
    return status, running


def _check(
    midi: MidiBytes,
    name: str,
    position: IntArray,
    track: IntArray,
    delta_lengths: ByteArray,
    status: ByteArray,
    body: IntArray,
) -> None:
    """Raise `MidiReadError` for the first message that is not legal."""
    data = midi.data
    end = body + 2 - _one_data_byte(status)
    special = np.flatnonzero(status >= 0xF0)
    length_at = np.minimum(body[special] + (status[special] == META), midi.size)
    length_bytes = delta_lengths[length_at]
    end[special] = length_at + length_bytes + _varint(data, length_at, length_bytes)
    channel = (status >= 0x80) & (status < 0xF0)
    overlong = delta_lengths[position] > 4
    overlong[special] |= length_bytes > 4
    wide = (data[body] >= 0x80) | ((data[body + 1] >= 0x80) & ~_one_data_byte(status))
    defects = (
        (overlong, "has a number of more than 4 bytes"),
        (status == 0, "begins with running status, so no status byte is known"),
        ((status > 0xF0) & (status != 0xF7) & (status != META), "has a status byte that files may not hold"),
        (end > np.array(midi.ends)[track], "ends in the middle of a message"),
        (channel & wide, "has a data byte above 127"),
    )
    bad = np.zeros(len(status), np.bool_)
    for mask, _ in defects:
        bad |= mask
    if bad.any():
        first = int(np.argmax(bad))
        what = next(text for mask, text in defects if mask[first])
        raise MidiReadError(
            f"{name}: track {int(track[first]) + 1} {what} (byte {int(position[first])} of {midi.size}):"
            " the file is truncated or corrupt"
        )
