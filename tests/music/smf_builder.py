"""Standard MIDI files byte by byte, so that broken ones can be built on purpose."""

from __future__ import annotations

import struct

QUARTER = 480


def varint(value: int) -> bytes:
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(value & 0x7F | 0x80)
    return bytes(reversed(out))


def event(delta: int, *data: int) -> bytes:
    return varint(delta) + bytes(data)


def on(delta: int, pitch: int, channel: int = 0, velocity: int = 64) -> bytes:
    return event(delta, 0x90 | channel, pitch, velocity)


def off(delta: int, pitch: int, channel: int = 0) -> bytes:
    return event(delta, 0x80 | channel, pitch, 0)


def program(delta: int, number: int, channel: int = 0) -> bytes:
    return event(delta, 0xC0 | channel, number)


def meta(delta: int, kind: int, payload: bytes) -> bytes:
    return varint(delta) + bytes((0xFF, kind)) + varint(len(payload)) + payload


def tempo(delta: int, microseconds: int) -> bytes:
    return meta(delta, 0x51, microseconds.to_bytes(3, "big"))


def name(text: bytes) -> bytes:
    return meta(0, 0x03, text)


END = meta(0, 0x2F, b"")


def chunk(body: bytes, kind: bytes = b"MTrk") -> bytes:
    return kind + struct.pack(">I", len(body)) + body


def header(tracks: int, *, kind: int = 1, division: int = QUARTER) -> bytes:
    return b"MThd" + struct.pack(">IHHh", 6, kind, tracks, division)


def midi(*tracks: bytes, kind: int = 1, division: int = QUARTER) -> bytes:
    """A file of track bodies; the end of each track is added."""
    return header(len(tracks), kind=kind, division=division) + b"".join(chunk(body + END) for body in tracks)
