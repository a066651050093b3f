"""One MIDI file for each track: `split_stems(content)`, from the bytes of a MIDI file.

Out: a `Stem` for every track of `parse_midi(content)`: type 1 files with the whole tempo map, all signatures and
markers, and the channel's own controllers, bends and program changes, at the ticks of the original. Played together
they are the original, but for messages to the whole synthesizer (system exclusive), which are left out. SMPTE time and
type 2 are rewritten first.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from midi_llm.music.instruments import instrument_name
from midi_llm.music.read import parse_midi
from midi_llm.music.score import Track
from midi_llm.music.smf import (
    META,
    META_END_OF_TRACK,
    META_TRACK_NAME,
    IntArray,
    Messages,
    MidiBytes,
    meta_payload,
    split_chunks,
    write_number,
)
from midi_llm.music.smf_scan import read_messages
from midi_llm.music.write import to_midi_bytes

_DRUM_CHANNEL = 9


@dataclass(frozen=True, kw_only=True, slots=True)
class Stem:
    """A `track` of the piece, its `name` (that of the instrument where it has none), and a MIDI file of it alone."""

    name: str
    track: Track
    content: bytes


def split_stems(content: bytes, name: str = "<bytes>") -> list[Stem]:
    """The stems of the MIDI file `content`, in the order of its tracks; `name` is what errors call it.

    Raises `MidiReadError` when it cannot be read, and as `to_midi_bytes` when it must be rewritten.
    """
    score = parse_midi(content, name)
    midi = split_chunks(content, name)
    if midi.format == 2 or midi.division < 0:
        content = to_midi_bytes(score)
        score, midi = parse_midi(content, name), split_chunks(content, name)
    messages = read_messages(midi, name)
    programs = _programs(messages)
    conductor = _conductor(midi, messages)
    header = struct.pack(">4sIHHh", b"MThd", 6, 1, 2, midi.division)
    stems = []
    for track, (chunk, channel, program) in zip(score.tracks, _voices(messages, programs), strict=True):
        title = track.name or instrument_name(track.instrument)
        is_own = messages.track == chunk
        if program is not None:
            is_own &= programs == program
        own = _track_chunk(messages, is_own, channel, title)
        stems.append(Stem(name=title, track=track, content=header + conductor + own))
    return stems


def _voices(messages: Messages, programs: IntArray) -> list[tuple[int, int, int | None]]:
    """(chunk, channel, program) of every track, in the order in which `parse_midi` gives them; None for drums."""
    ons = np.flatnonzero(((messages.status & 0xF0) == 0x90) & (messages.data2 > 0))
    ons = ons[np.argsort(messages.tick[ons], kind="stable")]
    chunks, channels = messages.track[ons].tolist(), (messages.status[ons] & 0x0F).tolist()
    first: dict[tuple[int, int, int | None], int] = {}
    for order, (chunk, channel, program) in enumerate(zip(chunks, channels, programs[ons].tolist(), strict=True)):
        first.setdefault((chunk, channel, None if channel == _DRUM_CHANNEL else program), order)
    return sorted(first, key=lambda voice: (voice[0], first[voice]))


def _programs(messages: Messages) -> IntArray:
    """The program in force at every message [n]: that of the last change on its channel in any chunk, else 0."""
    result = np.zeros(len(messages.tick), np.int64)
    order = np.argsort(messages.tick, kind="stable")
    channel = messages.status & 0x0F
    spoken = messages.status < 0xF0
    for number in range(16):
        mine = order[spoken[order] & (channel[order] == number)]
        changes = np.flatnonzero((messages.status[mine] & 0xF0) == 0xC0)
        if len(changes):
            last = np.searchsorted(changes, np.arange(len(mine)), side="right") - 1
            values = messages.data1[mine][changes].astype(np.int64)
            result[mine] = np.where(last >= 0, values[np.maximum(last, 0)], 0)
    return result


def _conductor(midi: MidiBytes, messages: Messages) -> bytes:
    """The first chunk: every meta message of all chunks but names and ends, in order of time."""
    chosen = np.flatnonzero(messages.status == META)
    kinds = messages.data1[chosen]
    chosen = chosen[(kinds != META_END_OF_TRACK) & (kinds != META_TRACK_NAME)]
    chosen = chosen[np.argsort(messages.tick[chosen], kind="stable")]
    events = []
    for index in chosen.tolist():
        payload = meta_payload(midi, int(messages.body[index]))
        events.append((int(messages.tick[index]), _meta(int(messages.data1[index]), payload)))
    return _chunk(events)


def _track_chunk(messages: Messages, is_own: npt.NDArray[np.bool_], channel: int, title: str) -> bytes:
    """The second chunk: the notes of `channel` that are `is_own` [n], and all else that is said to the channel."""
    status = messages.status
    mine = (status < 0xF0) & (status & 0x0F == channel)
    is_note = (status & 0xE0) == 0x80
    chosen = np.flatnonzero(mine & (is_own | ~is_note))
    chosen = chosen[np.argsort(messages.tick[chosen], kind="stable")]
    events = [(0, _meta(META_TRACK_NAME, title.encode("utf-8", "replace")))]
    rows = zip(*(values[chosen].tolist() for values in _columns(messages)), strict=True)
    for tick, kind, first, second in rows:
        short = kind & 0xE0 == 0xC0  # program change and channel pressure have one data byte
        events.append((tick, bytes((kind, first)) if short else bytes((kind, first, second))))
    return _chunk(events)


def _columns(messages: Messages) -> tuple[npt.NDArray[np.integer], ...]:
    return messages.tick, messages.status, messages.data1, messages.data2


def _chunk(events: list[tuple[int, bytes]]) -> bytes:
    body, now = bytearray(), 0
    for tick, message in events:
        body += write_number(tick - now) + message
        now = tick
    body += b"\x00" + _meta(META_END_OF_TRACK, b"")
    return b"MTrk" + len(body).to_bytes(4, "big") + bytes(body)


def _meta(kind: int, payload: bytes) -> bytes:
    return bytes((META, kind)) + write_number(len(payload)) + payload
