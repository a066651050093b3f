"""Read a standard MIDI file into a `Score`: `read_midi(path)`, `parse_midi(bytes)`.

Out: one `Track` per (track chunk, channel, instrument) that has notes, in file order, times in float64 seconds; notes
as the file has them (`repair` mends them). Any failure is one `MidiReadError`. Semantics are those of AMT's walk
over mido's merged messages (anticipation/convert.py at af37397), bit for bit in seconds:
1. Channel 10 is drums whatever its program; the program in force at note-on is the instrument, and program changes
   count for a channel across all tracks.
2. A note-off ends the oldest sounding note of equal channel, pitch and instrument; others are ignored.
3. A note without note-off lasts `UNKNOWN_DURATION`; zero-length notes stay.
Unlike AMT: SMPTE time and type 2 (patterns one after the other) are read; a tempo of 0 is ignored.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from midi_llm.errors import MidiReadError
from midi_llm.music.clock import Clock, make_clock, metre_map, tempo_map
from midi_llm.music.names import decode_name
from midi_llm.music.score import DRUMS, NOTE_DTYPE, Score, Track
from midi_llm.music.smf import (
    MAX_FILE_BYTES,
    META_TRACK_NAME,
    ByteArray,
    IntArray,
    Messages,
    MidiBytes,
    meta_payload,
    metas_by_type,
    split_chunks,
)
from midi_llm.music.smf_scan import read_messages

UNKNOWN_DURATION = 0.25
"""Seconds given to a note without note-off (anticipation/convert.py at af37397: TIME_RESOLUTION // 4 ticks)."""

MAX_SECONDS = 86_400.0
"""Notes later than a day are refused: the file is broken or hostile."""

BoolArray = npt.NDArray[np.bool_]

_DRUM_CHANNEL = 9
_CHANNEL_BITS = np.uint8(0x0F)
_USUAL_BYTES = 1 << 16
_TABLE_SIZE = 1 << 16


def read_midi(path: str | Path) -> Score:
    """Read the standard MIDI file at `path` (type 0, 1 or 2, at most `MAX_FILE_BYTES`).

    Raises `MidiReadError` when the file is missing, unreadable, too large, truncated, corrupt or not MIDI.
    """
    return parse_midi(midi_content(path), name=str(path))


def midi_content(path: str | Path) -> bytes:
    """The bytes of the file at `path`, for `parse_midi`, as far as they are ever read.

    Raises `MidiReadError` when it is missing or unreadable; whether it is MIDI is not looked at.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(_USUAL_BYTES)  # asking for the maximum costs as much as parsing a short file
            if len(content) == _USUAL_BYTES:
                content += file.read(MAX_FILE_BYTES + 1 - _USUAL_BYTES)
    except OSError as error:
        raise MidiReadError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a NUL byte in the path
        raise MidiReadError(f"{str(path)!r} is not a path: {error}") from error
    return content


def parse_midi(content: bytes, name: str = "<bytes>") -> Score:
    """Read a standard MIDI file from `content`; `name` is what errors call it. See `read_midi`."""
    midi = split_chunks(content, name)
    messages = read_messages(midi, name)
    metas = metas_by_type(messages)
    clock = make_clock(midi, messages, metas)
    notes = _notes(messages, clock)
    if len(notes.time) and notes.time[-1] > MAX_SECONDS:
        raise MidiReadError(
            f"{name} has a note at {notes.time[-1]:,.0f} s; at most {MAX_SECONDS:,.0f} s (a day) are read: it is broken"
        )
    tracks, order = _tracks(notes, _names(midi, messages, metas.get(META_TRACK_NAME, [])))
    metres = metre_map(midi, messages, metas, clock)
    return Score(tracks=tracks, tempos=tempo_map(clock), time_signatures=metres, note_order=order)


def _names(midi: MidiBytes, messages: Messages, metas: list[int]) -> dict[int, str]:
    """Read the first name of each track chunk that has one."""
    bodies = dict(zip(messages.track[metas[::-1]].tolist(), messages.body[metas[::-1]].tolist(), strict=True))
    return {track: decode_name(meta_payload(midi, body)) for track, body in bodies.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Notes:
    """Notes in merged order, arrays [n]; `time` and `duration` in seconds, `instrument` is `DRUMS` for channel 10."""

    time: npt.NDArray[np.float64]
    duration: npt.NDArray[np.float64]
    track: IntArray
    channel: ByteArray
    program: ByteArray
    instrument: ByteArray
    pitch: ByteArray
    velocity: ByteArray


def _notes(messages: Messages, clock: Clock) -> _Notes:
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
    instrument[np.flatnonzero(channel == _DRUM_CHANNEL)] = DRUMS
    is_on = (status[events] >= 0x90) & (velocity > 0)
    on, off = _pair(channel, instrument, pitch, is_on)
    duration = np.full(len(source), UNKNOWN_DURATION)
    duration[on] = time[off] - time[on]
    ons = np.flatnonzero(is_on)
    return _Notes(
        time=time[ons],
        duration=duration[ons],
        track=messages.track[source[ons]],
        channel=channel[ons],
        program=program[ons],
        instrument=instrument[ons],
        pitch=pitch[ons],
        velocity=velocity[ons],
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


def _tracks(notes: _Notes, names: dict[int, str]) -> tuple[tuple[Track, ...], IntArray]:
    """Tracks ordered by chunk, then by first note; and for each note of the file its place in their concatenation.

    A chunk's name goes to its tracks unless it holds several channels (type 0): then it is the title of the piece.
    """
    keys, first, label = _labels((notes.track * 16 + notes.channel) * (DRUMS + 1) + notes.instrument)
    sources = notes.track[first]
    by_source = np.lexsort((first, sources))
    rank = np.empty(len(keys), np.uint16 if len(keys) < 65_536 else np.int64)
    rank[by_source] = np.arange(len(keys))
    rank_of_note = rank[label]
    order = np.argsort(rank_of_note, kind="stable")
    rows = np.empty(len(order), NOTE_DTYPE)
    rows["time"], rows["duration"] = notes.time[order], notes.duration[order]
    rows["pitch"], rows["velocity"] = notes.pitch[order], notes.velocity[order]
    rows.flags.writeable = False
    ends = np.cumsum(np.bincount(rank_of_note, minlength=len(keys))).tolist()
    channels = Counter(voice // 16 for voice in set((keys // (DRUMS + 1)).tolist()))
    tracks = tuple(
        Track(
            program=int(notes.program[note]),
            is_drum=bool(notes.channel[note] == _DRUM_CHANNEL),
            name=names.get(source, "") if channels[source] == 1 else "",
            notes=rows[start:end],
        )
        for note, source, start, end in zip(
            first[by_source].tolist(), sources[by_source].tolist(), [0, *ends], ends, strict=False
        )
    )
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return tracks, place


def _labels(key: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """`np.unique` of `key` [n] >= 0 with first indices and inverse; by a table, unless that would be large."""
    size = int(key.max(initial=0)) + 1
    if size > _TABLE_SIZE:
        return np.unique(key, return_index=True, return_inverse=True)
    used = np.zeros(size, np.bool_)
    used[key] = True
    keys = np.flatnonzero(used)
    number = np.empty(size, np.int64)
    number[keys] = np.arange(len(keys))
    label = number[key]
    first = np.empty(len(keys), np.int64)
    first[label[::-1]] = np.arange(len(key) - 1, -1, -1)  # of equal indices the last one counts
    return keys, first, label
