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
from pathlib import Path

import numpy as np

from midi_llm.errors import MidiReadError
from midi_llm.music.clock import key_map, make_clock, metre_map, tempo_map
from midi_llm.music.names import decode_name
from midi_llm.music.pairing import DRUM_CHANNEL, FoundNotes, find_notes
from midi_llm.music.score import DRUMS, NOTE_DTYPE, Score, Track
from midi_llm.music.smf import (
    MAX_FILE_BYTES,
    META_TRACK_NAME,
    IntArray,
    Messages,
    MidiBytes,
    meta_payload,
    metas_by_type,
    split_chunks,
)
from midi_llm.music.smf_scan import read_messages

MAX_SECONDS = 86_400.0
"""Notes later than a day are refused: the file is broken or hostile."""

_USUAL_BYTES = 1 << 16
_TABLE_SIZE = 1 << 16


def read_midi(path: str | Path) -> Score:
    """Read the standard MIDI file at `path` (type 0, 1 or 2, at most `MAX_FILE_BYTES`).

    Raises `MidiReadError` when the file is missing, unreadable, too large, truncated, corrupt or not MIDI.
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
    return parse_midi(content, name=str(path))


def parse_midi(content: bytes, name: str = "<bytes>") -> Score:
    """Read a standard MIDI file from `content`; `name` is what errors call it. See `read_midi`."""
    midi = split_chunks(content, name)
    messages = read_messages(midi, name)
    metas = metas_by_type(messages)
    clock = make_clock(midi, messages, metas)
    notes = find_notes(messages, clock)
    if len(notes.time) and notes.time[-1] > MAX_SECONDS:
        raise MidiReadError(
            f"{name} has a note at {notes.time[-1]:,.0f} s; at most {MAX_SECONDS:,.0f} s (a day) are read: it is broken"
        )
    tracks, order = _tracks(notes, _names(midi, messages, metas.get(META_TRACK_NAME, [])))
    metres = metre_map(midi, messages, metas, clock)
    keys = key_map(midi, messages, metas, clock)
    return Score(tracks=tracks, tempos=tempo_map(clock), time_signatures=metres, key_signatures=keys, note_order=order)


def _names(midi: MidiBytes, messages: Messages, metas: list[int]) -> dict[int, str]:
    """Read the first name of each track chunk that has one."""
    bodies = dict(zip(messages.track[metas[::-1]].tolist(), messages.body[metas[::-1]].tolist(), strict=True))
    return {track: decode_name(meta_payload(midi, body)) for track, body in bodies.items()}


def _tracks(notes: FoundNotes, names: dict[int, str]) -> tuple[tuple[Track, ...], IntArray]:
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
            is_drum=bool(notes.channel[note] == DRUM_CHANNEL),
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
