"""The bytes of a song with some notes taken away and others added.

In: a `SongFile`, a mask of notes to take away, and new notes in ticks. Out: the bytes of a file. A new note goes to the
track and channel on which its instrument plays, next to the nearest note of it, or else to a new track on a free
channel. What is not a note stays, byte for byte; so does a track in which nothing changes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from midi_llm.errors import RequestError
from midi_llm.music.instruments import instrument_name
from midi_llm.music.pairing import DRUM_CHANNEL, NO_MESSAGE
from midi_llm.music.score import DRUMS
from midi_llm.music.smf import META, META_END_OF_TRACK, META_TRACK_NAME, SYSEX, SYSEX_ESCAPE, read_number, write_number
from midi_llm.music.song_file import BoolArray, SongFile

NEW_NOTE_DTYPE = np.dtype(
    [("start", np.int64), ("end", np.int64), ("instrument", np.int64), ("pitch", np.int64), ("velocity", np.int64)]
)
NewNotes = npt.NDArray[np.void]
"""Structured array [n] of `NEW_NOTE_DTYPE`: ticks, instrument 0-128, pitch, velocity 1-127."""

CHANNELS = 16
_NOTE_ON, _NOTE_OFF, _PROGRAM = 0x90, 0x80, 0xC0
_OFF, _KEPT, _ON, _CLOSE = range(4)
"""The order at one tick."""

_Event = tuple[int, int, int, bytes]
"""Tick, order at the tick, number, and the bytes from the status byte on."""


def edited(song: SongFile, *, removed: BoolArray, added: NewNotes) -> tuple[bytes, NewNotes]:
    """The file without the notes that `removed` [n] marks and with those `added`, and which of these it has.

    No new note begins while another one of its channel and pitch sounds, and none sounds on into the next: an end would
    be taken for that of the other. Raises `RequestError` when an instrument is new and no channel is free for it.
    """
    places = _places(song, added)
    added, places = _apart(song, removed, added, places)
    changed = set(song.notes.track[removed].tolist())
    own = [number for number, place in enumerate(places) if place.track is not None]
    changed |= {places[number].track for number in own}
    chunks = _chunks(song.content)
    tracks = iter(range(len(song.midi.starts)))
    written: list[bytes] = []
    for kind, body in chunks:
        track = next(tracks, None) if kind == b"MTrk" else None
        if track is not None and track in changed:
            mine = [number for number in own if places[number].track == track]
            body = _body(_kept_events(song, track, removed) + _new_events(added, mine, places))
        written.append(kind + struct.pack(">I", len(body)) + body)
    fresh = sorted({place.channel for place in places if place.track is None})
    for channel in fresh:
        mine = [number for number, place in enumerate(places) if place.track is None and place.channel == channel]
        body = _new_track(int(added["instrument"][mine[0]]), channel, _new_events(added, mine, places))
        written.append(b"MTrk" + struct.pack(">I", len(body)) + body)
    header = struct.pack(
        ">HHh", max(song.midi.format, int(bool(fresh))), len(song.midi.starts) + len(fresh), song.midi.division
    )
    return b"MThd" + struct.pack(">I", len(header)) + header + b"".join(written), added


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where a new note goes; `track` None is a new one."""

    track: int | None
    channel: int


def _apart(song: SongFile, removed: BoolArray, added: NewNotes, places: list[_Place]) -> tuple[NewNotes, list[_Place]]:
    """The new notes that begin in silence, cut where the next one of their pitch begins, and their places."""
    sounding: dict[tuple[int, int], list[tuple[int, int]]] = {}
    kept = ~removed
    voices = zip(song.notes.channel[kept].tolist(), song.notes.pitch[kept].tolist(), strict=True)
    for voice, start, end in zip(voices, song.start[kept].tolist(), song.end[kept].tolist(), strict=True):
        sounding.setdefault(voice, []).append((start, end))
    chosen: list[int] = []
    added = added.copy()
    for number in np.argsort(added["start"], kind="stable").tolist():
        start, end = int(added["start"][number]), int(added["end"][number])
        others = sounding.setdefault((places[number].channel, int(added["pitch"][number])), [])
        if any(begins <= start < max(ends, begins + 1) for begins, ends in others):
            continue
        end = min([end, *(begins for begins, _ in others if begins > start)])
        added["end"][number] = end
        others.append((start, end))
        chosen.append(number)
    chosen.sort()
    return added[chosen], [places[number] for number in chosen]


def _places(song: SongFile, added: NewNotes) -> list[_Place]:
    """The place of each new note. Notes taken away count as well: what replaces them goes where they were."""
    places: list[_Place] = []
    free = [channel for channel in range(CHANNELS) if channel not in set(_used_channels(song)) | {DRUM_CHANNEL}]
    fresh: dict[int, int] = {}
    for start, instrument in zip(added["start"].tolist(), added["instrument"].tolist(), strict=True):
        same = np.flatnonzero(song.notes.instrument == instrument)
        if len(same):
            near = same[int(np.argmin(np.abs(song.start[same] - start)))]
            places.append(_Place(track=int(song.notes.track[near]), channel=int(song.notes.channel[near])))
            continue
        if instrument not in fresh:
            if instrument != DRUMS and not free:
                raise RequestError(
                    f"{song.name} uses all {CHANNELS - 1} channels, so {instrument_name(instrument)} has none: ask for"
                    " instruments that the file has"
                )
            fresh[instrument] = DRUM_CHANNEL if instrument == DRUMS else free.pop(0)
        places.append(_Place(track=None, channel=fresh[instrument]))
    return places


def _used_channels(song: SongFile) -> list[int]:
    """Channels of which any message speaks."""
    status = song.messages.status
    channels: list[int] = np.unique(status[status < SYSEX] & 0x0F).tolist()
    return channels


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """All chunks after the header, as kind and body; what follows the last whole one is left out."""
    at = 20 if content[:4] == b"RIFF" else 0
    at += 8 + int.from_bytes(content[at + 4 : at + 8], "big")
    chunks = []
    while at + 8 <= len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "big")
        chunks.append((content[at : at + 4], content[at + 8 : at + 8 + size]))
        at += 8 + size
    return chunks


def _kept_events(song: SongFile, track: int, removed: BoolArray) -> list[_Event]:
    """The messages of a track without those that begin and end the notes taken away."""
    gone = set(song.notes.on[removed].tolist()) | set(song.notes.off[removed].tolist()) - {NO_MESSAGE}
    events: list[_Event] = []
    for number in np.flatnonzero(song.messages.track == track).tolist():
        if number in gone:
            continue
        status, body = int(song.messages.status[number]), int(song.messages.body[number])
        is_end = status == META and song.midi.data[body] == META_END_OF_TRACK
        payload = song.midi.data[body : _after(song, status, body)].tobytes()
        tick = int(song.clock.tick[number])
        events.append((tick, _CLOSE if is_end else _KEPT, number, bytes((status,)) + payload))
    return events


def _after(song: SongFile, status: int, body: int) -> int:
    """Where a message that begins with its data at `body` ends."""
    if status in (META, SYSEX, SYSEX_ESCAPE):
        length, position = read_number(song.midi.data.data, body + (status == META))
        return position + length
    return body + (1 if status & 0xE0 == _PROGRAM else 2)


def _new_events(added: NewNotes, mine: list[int], places: list[_Place]) -> list[_Event]:
    events: list[_Event] = []
    for number in mine:
        note, channel = added[number], places[number].channel
        pitch, start = int(note["pitch"]), int(note["start"])
        end = max(int(note["end"]), start + 1)
        events.append((end, _OFF, number, bytes((_NOTE_OFF | channel, pitch, 64))))
        events.append((start, _ON, number, bytes((_NOTE_ON | channel, pitch, int(note["velocity"])))))
    return events


def _new_track(instrument: int, channel: int, events: list[_Event]) -> bytes:
    name = instrument_name(instrument).encode()
    head = [(0, _OFF, -2, bytes((META, META_TRACK_NAME, len(name))) + name)]
    if instrument != DRUMS:
        head.append((0, _OFF, -1, bytes((_PROGRAM | channel, instrument))))
    return _body([*head, *events])


def _body(events: list[_Event]) -> bytes:
    """The bytes of a track; its end comes last, and no sooner than it did."""
    ends = [event for event in events if event[1] == _CLOSE]
    rest = sorted(event for event in events if event[1] != _CLOSE)
    last = max([event[0] for event in events], default=0)
    end = ends[-1][3] if ends else bytes((META, META_END_OF_TRACK, 0))
    written, now = bytearray(), 0
    for tick, message in [*((tick, message) for tick, _, _, message in rest), (last, end)]:
        written += write_number(tick - now) + message
        now = tick
    return bytes(written)
