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

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from midi_llm.errors import MidiReadError
from midi_llm.music.clock import make_clock, metre_map, tempo_map
from midi_llm.music.names import decode_name
from midi_llm.music.score import DRUMS, NOTE_DTYPE, Score, Track
from midi_llm.music.smf import (
    MAX_FILE_BYTES,
    META,
    META_TRACK_NAME,
    IntArray,
    Messages,
    MidiBytes,
    meta_payload,
    read_messages,
    split_chunks,
)

UNKNOWN_DURATION = 0.25
"""Seconds given to a note without note-off (anticipation/convert.py at af37397: TIME_RESOLUTION // 4 ticks)."""

MAX_SECONDS = 86_400.0
"""Notes later than a day are refused: the file is broken or hostile."""

_DRUM_CHANNEL = 9


def read_midi(path: str | Path) -> Score:
    """Read the standard MIDI file at `path` (type 0, 1 or 2, at most `MAX_FILE_BYTES`).

    Raises `MidiReadError` when the file is missing, unreadable, too large, truncated, corrupt or not MIDI.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise MidiReadError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a NUL byte in the path
        raise MidiReadError(f"{str(path)!r} is not a path: {error}") from error
    return parse_midi(content, name=str(path))


def parse_midi(content: bytes, name: str = "<bytes>") -> Score:
    """Read a standard MIDI file from `content`; `name` is what errors call it. See `read_midi`."""
    midi = split_chunks(content, name)
    messages = read_messages(midi, name)
    clock = make_clock(midi, messages)
    notes = _notes(messages, clock.tick)
    times = clock.seconds(notes.on_tick)
    if len(times) and times.max() > MAX_SECONDS:
        raise MidiReadError(
            f"{name} has a note at {times.max():,.0f} s; at most {MAX_SECONDS:,.0f} s (a day) are read: it is broken"
        )
    durations = np.where(notes.off_tick >= 0, clock.seconds(notes.off_tick) - times, UNKNOWN_DURATION)
    tracks, order = _tracks(notes, times, durations, _names(midi, messages))
    metres = metre_map(midi, messages, clock)
    return Score(tracks=tracks, tempos=tempo_map(clock), time_signatures=metres, note_order=order)


def _names(midi: MidiBytes, messages: Messages) -> dict[int, str]:
    """Read the first name of each track chunk that has one."""
    named = np.flatnonzero((messages.status == META) & (messages.data1 == META_TRACK_NAME))
    tracks, first = np.unique(messages.track[named], return_index=True)
    return {
        track: decode_name(meta_payload(midi, body))
        for track, body in zip(tracks.tolist(), messages.body[named[first]].tolist(), strict=True)
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class _Notes:
    """Notes in merged order, arrays [n]; `off_tick` is -1 where no note-off was found."""

    on_tick: IntArray
    off_tick: IntArray
    track: IntArray
    channel: IntArray
    program: IntArray
    pitch: npt.NDArray[np.uint8]
    velocity: npt.NDArray[np.uint8]


def _notes(messages: Messages, tick: IntArray) -> _Notes:
    kind = messages.status & 0xF0
    merged = np.flatnonzero((kind == 0x90) | (kind == 0x80) | (kind == 0xC0))
    if messages.track[-1:].any():  # several tracks
        merged = merged[np.argsort(tick[merged], kind="stable")]
    kind, channel = kind[merged], (messages.status[merged] & 0x0F).astype(np.int64)
    program = _programs_in_force(kind == 0xC0, channel, messages.data1[merged])
    sounding = kind != 0xC0
    merged, channel, program = merged[sounding], channel[sounding], program[sounding]
    pitch, velocity = messages.data1[merged], messages.data2[merged]
    is_on = (kind[sounding] == 0x90) & (velocity > 0)
    instrument = np.where(channel == _DRUM_CHANNEL, DRUMS, program)
    on, off = _pair(channel * (DRUMS + 1) + instrument, pitch, is_on)
    off_tick = np.full(len(merged), -1, np.int64)
    off_tick[on] = tick[merged[off]]
    ons = np.flatnonzero(is_on)
    return _Notes(
        on_tick=tick[merged[ons]],
        off_tick=off_tick[ons],
        track=messages.track[merged[ons]],
        channel=channel[ons],
        program=program[ons],
        pitch=pitch[ons],
        velocity=velocity[ons],
    )


def _programs_in_force(is_change: npt.NDArray[np.bool_], channel: IntArray, value: npt.NDArray[np.uint8]) -> IntArray:
    """Program of its channel at each message [n] in merged order: that of the last change before it, else 0."""
    result = np.zeros(len(channel), np.int64)
    changes = np.flatnonzero(is_change)
    for number in np.unique(channel[changes]).tolist():
        mine = np.flatnonzero(channel == number)
        own_changes = changes[channel[changes] == number]
        programs = np.concatenate(([0], value[own_changes]))
        result[mine] = programs[np.searchsorted(own_changes, mine, side="right")]
    return result


def _pair(voice: IntArray, pitch: npt.NDArray[np.uint8], is_on: npt.NDArray[np.bool_]) -> tuple[IntArray, IntArray]:
    """Match events: indices (note-on, note-off), first in first out per (voice, pitch); arguments in time order.

    A note-off is void when nothing of its kind sounds, that is when the running sum of +1 (on) and -1 (off) reaches
    a new low; the k-th other note-off of a kind then ends its k-th note.
    """
    used = np.bincount(voice, minlength=1) > 0
    compact = (np.cumsum(used) - 1)[voice] * 128 + pitch
    kind = compact.astype(np.uint16) if used.sum() <= 512 else compact  # 16 bits: numpy sorts by radix
    order = np.argsort(kind, kind="stable")
    kind, on = kind[order], is_on[order]
    fresh = np.diff(kind.astype(np.int64), prepend=-1) != 0
    group = np.cumsum(fresh) - 1
    total = np.cumsum(np.where(on, 1, -1))
    base = (total - np.where(on, 1, -1))[fresh][group]
    fall = group * (2 * len(kind) + 2)  # each group lies below all lows of the groups before it
    level = total - base - fall
    low = np.minimum.accumulate(np.minimum(level, -fall))
    low_before = np.concatenate(([0], low[:-1])) if len(low) else low
    matched_off = ~on & (level >= np.minimum(low_before, -fall))
    ons, offs = np.flatnonzero(on), np.flatnonzero(matched_off)
    groups = int(group[-1]) + 1 if len(group) else 0
    on_counts, off_counts = np.bincount(group[ons], minlength=groups), np.bincount(group[offs], minlength=groups)
    first_on, first_off = np.cumsum(on_counts) - on_counts, np.cumsum(off_counts) - off_counts
    partner = first_on[group[offs]] + np.arange(len(offs)) - first_off[group[offs]]
    return order[ons[partner]], order[offs]


def _tracks(
    notes: _Notes, times: npt.NDArray[np.float64], durations: npt.NDArray[np.float64], names: dict[int, str]
) -> tuple[tuple[Track, ...], IntArray]:
    """Tracks ordered by chunk, then by first note; and for each note of the file its place in their concatenation.

    A chunk's name goes to its tracks unless it holds several channels (type 0): then it is the title of the piece.
    """
    instrument = np.where(notes.channel == _DRUM_CHANNEL, DRUMS, notes.program)
    key = (notes.track * 16 + notes.channel) * (DRUMS + 1) + instrument
    keys, first, label = np.unique(key, return_index=True, return_inverse=True)
    sources = notes.track[first]
    rank = np.empty(len(keys), np.int64)
    by_source = np.lexsort((first, sources))
    rank[by_source] = np.arange(len(keys))
    rank_of_note = rank[label]
    order = np.argsort(rank_of_note.astype(np.uint16) if len(keys) < 65_536 else rank_of_note, kind="stable")
    rows = np.empty(len(order), NOTE_DTYPE)
    rows["time"], rows["duration"] = times[order], durations[order]
    rows["pitch"], rows["velocity"] = notes.pitch[order], notes.velocity[order]
    rows.flags.writeable = False
    ends = np.cumsum(np.bincount(rank_of_note, minlength=len(keys))).tolist()
    channels = np.bincount(np.unique(keys // (DRUMS + 1)) // 16, minlength=1)
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
