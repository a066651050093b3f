"""The bytes of a standard MIDI file: its chunks, and flat numpy arrays for the messages of all tracks.

In: the whole file as bytes. Out: `MidiBytes` (header fields, bounds of tracks); `smf_scan` decodes their messages to
`Messages`. Any defect is a `MidiReadError` that names the track and the byte. Knows nothing of notes, tempo or seconds.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from midi_llm.errors import MidiReadError

MAX_FILE_BYTES = 8_000_000
"""Larger files are refused: reading needs up to 130 bytes of memory per byte of the file."""

META, SYSEX, SYSEX_ESCAPE = 0xFF, 0xF0, 0xF7
META_TRACK_NAME, META_MARKER, META_END_OF_TRACK = 0x03, 0x06, 0x2F
META_TEMPO, META_TIME_SIGNATURE, META_KEY_SIGNATURE = 0x51, 0x58, 0x59

_PADDING = 16

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


def read_number(content: bytes | memoryview, position: int) -> tuple[int, int]:
    """Read a number of variable length at `position`: its value, -1 if it has more than 4 bytes, and what follows."""
    value = 0
    for after in range(position + 1, position + 5):
        byte = content[after - 1]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, after
    return -1, position + 4


def write_number(value: int) -> bytes:
    """`value` >= 0 as a number of variable length, what `read_number` reads."""
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F | 0x80)
    return bytes(reversed(groups))


def meta_payload(midi: MidiBytes, body: int) -> bytes:
    """Return the payload of the meta message whose type byte is at `body`."""
    length, position = read_number(midi.data.data, body + 1)
    return midi.data[position : position + length].tobytes()


def metas_by_type(messages: Messages) -> dict[int, list[int]]:
    """Indices of the meta messages of each type, in file order."""
    metas = np.flatnonzero(messages.status == META)
    result: dict[int, list[int]] = {}
    for index, kind in zip(metas.tolist(), messages.data1[metas].tolist(), strict=True):
        result.setdefault(kind, []).append(index)
    return result
