"""Write a `Score` as a standard MIDI file that sequencers open: `to_midi_bytes(score)`, `write_midi(score, path)`.

Type 1, 480 ticks per quarter note. The first track holds tempo map, metres, keys (120 bpm, 4/4 and no key unless the
score says otherwise) and markers, and lasts until the score's `end`; then one track per `Track` with notes: its name
(the General MIDI name when empty), program and notes. Drums are on channel 10; 16 channels at most: see `channels`.
At one tick the order is note-off, program change, note-on. A note lasts at least one tick; velocity is 1-127.
Nothing else is repaired: where a pitch is struck again while it sounds, a reader pairs first in, first out.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from midi_llm.errors import OutputError
from midi_llm.music.channels import DRUM_CHANNEL, Line, Voice, plan_channels
from midi_llm.music.instruments import instrument_name
from midi_llm.music.key import sharps
from midi_llm.music.score import Score, TimeSignature, Track
from midi_llm.music.smf import (
    META,
    META_END_OF_TRACK,
    META_KEY_SIGNATURE,
    META_MARKER,
    META_TEMPO,
    META_TIME_SIGNATURE,
    META_TRACK_NAME,
    IntArray,
    write_number,
)
from midi_llm.whole_file import check_target, write_file

TICKS_PER_QUARTER = 480
DEFAULT_BPM = 120.0
MAX_TICK = (1 << 28) - 1
"""The longest delta time of the format; 77 hours at 120 bpm."""

_MAX_TEMPO = (1 << 24) - 1


def write_midi(score: Score, path: str | Path, *, title: str = "", overwrite: bool = False) -> None:
    """Write `score` to `path`, completely or not at all (a temporary file beside it, then a rename).

    Raises `OutputError` for an existing file (unless `overwrite`), a missing or unwritable folder, and as
    `to_midi_bytes`.
    """
    path = Path(path)
    check_target(path, overwrite=overwrite)
    write_file(to_midi_bytes(score, title=title), path)


def to_midi_bytes(score: Score, *, title: str = "") -> bytes:
    """Return the bytes of a type 1 file; `title` names the first track. Tracks without notes are left out.

    Raises `OutputError` for times that are negative, not finite or beyond `MAX_TICK`, pitches above 127, programs
    outside 0-127, tempos outside 3.6 to 60,000,000 bpm, and metres that MIDI cannot say.
    """
    ruler = _Ruler.build(score)
    sounding = [track for track in score.tracks if len(track.notes)]
    lines = [_line(track, ruler) for track in sounding]
    voices = plan_channels(lines)
    chunks = [_conductor(score, ruler, title)]
    drum_kit_said = False
    for track, line, voice in zip(sounding, lines, voices, strict=True):
        changes = voice.changes
        if track.is_drum and not drum_kit_said:
            changes, drum_kit_said = ((0, track.program),), True
        chunks.append(_track_chunk(track, line, voice, changes))
    header = struct.pack(">4sIHHH", b"MThd", 6, 1, len(chunks), TICKS_PER_QUARTER)
    return header + b"".join(chunks)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ruler:
    """Seconds to ticks: tempo k, `micros` per quarter, holds from `tick[k]`, which is `time[k]` seconds in the file."""

    tick: IntArray
    time: npt.NDArray[np.float64]
    micros: IntArray

    @classmethod
    def build(cls, score: Score) -> _Ruler:
        """Make the tempo map as written, whole microseconds at whole ticks; the last of the tempos at a tick counts."""
        ticks, times, micros = [0], [0.0], [round(60e6 / DEFAULT_BPM)]
        for tempo in sorted(score.tempos, key=lambda tempo: tempo.time):
            if not 60e6 / _MAX_TEMPO <= tempo.bpm <= 60e6 or not 0 <= tempo.time < float("inf"):
                raise OutputError(
                    f"a tempo of {tempo.bpm} bpm at {tempo.time} s cannot be written; allowed is 3.6 to 60,000,000 bpm"
                    " from 0 s on"
                )
            step = round((tempo.time - times[-1]) * 1e6 / micros[-1] * TICKS_PER_QUARTER)
            value = round(60e6 / tempo.bpm)
            if step <= 0:
                micros[-1] = value
                continue
            times.append(times[-1] + step * micros[-1] / (1e6 * TICKS_PER_QUARTER))
            ticks.append(ticks[-1] + step)
            micros.append(value)
        return cls(tick=np.array(ticks, np.int64), time=np.array(times), micros=np.array(micros, np.int64))

    def ticks(self, seconds: npt.NDArray[np.float64]) -> IntArray:
        """Find the nearest tick of each of `seconds` [n]; raises `OutputError` where there is none."""
        if not np.isfinite(seconds).all() or (len(seconds) and seconds.min() < 0):
            raise OutputError("a time is negative or not a number; times in a file start at 0 s: shift the score")
        index = np.maximum(np.searchsorted(self.time, seconds, side="right") - 1, 0)
        rate = 1e6 * TICKS_PER_QUARTER / self.micros[index]
        ticks = self.tick[index] + np.rint((seconds - self.time[index]) * rate)
        if len(ticks) and ticks.max() > MAX_TICK:
            raise OutputError(f"a time of {seconds.max():,.0f} s is too late to be written; shorten the score")
        return ticks.astype(np.int64)


def _line(track: Track, ruler: _Ruler) -> Line:
    if not 0 <= track.program <= 127:
        raise OutputError(f"program {track.program} of track {track.name!r} cannot be written; allowed is 0-127")
    if track.notes["pitch"].max() > 127:
        raise OutputError(
            f"pitch {track.notes['pitch'].max()} in track {track.name!r} cannot be written; allowed is 0-127"
        )
    start = ruler.ticks(track.notes["time"])
    end = np.maximum(ruler.ticks(track.notes["time"] + track.notes["duration"]), start + 1)
    return Line(instrument=track.instrument, start=start, end=end)


def _conductor(score: Score, ruler: _Ruler, title: str) -> bytes:
    """Make the first track: title, tempo map, metres, keys, markers."""
    events: list[tuple[int, bytes]] = []
    if title:
        events.append((0, _meta(META_TRACK_NAME, title.encode("utf-8", "replace"))))
    metres = sorted(score.time_signatures, key=lambda metre: metre.time)
    if not metres or metres[0].time > 0:
        metres.insert(0, TimeSignature(time=0.0, numerator=4, denominator=4))
    metre_ticks = ruler.ticks(np.array([metre.time for metre in metres])).tolist()
    at_tick = dict(zip(metre_ticks, metres, strict=True))
    events += [(tick, _metre(metre)) for tick, metre in at_tick.items()]
    events += [
        (tick, _meta(META_TEMPO, micros.to_bytes(3, "big")))
        for tick, micros in zip(ruler.tick.tolist(), ruler.micros.tolist(), strict=True)
    ]
    key_ticks = ruler.ticks(np.array([one.time for one in score.key_signatures])).tolist()
    events += [(tick, _key(one.key)) for tick, one in zip(key_ticks, score.key_signatures, strict=True)]
    marker_ticks = ruler.ticks(np.array([one.time for one in score.markers])).tolist()
    events += [
        (tick, _meta(META_MARKER, one.text.encode("utf-8", "replace")))
        for tick, one in zip(marker_ticks, score.markers, strict=True)
    ]
    events.sort(key=lambda event: event[0])
    body, now = b"", 0
    for tick, message in events:
        body += write_number(tick - now) + message
        now = tick
    return _chunk(body, rest=max(0, int(ruler.ticks(np.array([score.end]))[0]) - now))


def _metre(metre: TimeSignature) -> bytes:
    power = metre.denominator.bit_length() - 1
    if not (1 <= metre.numerator <= 255 and metre.denominator >= 1 and metre.denominator == 1 << power and power <= 6):
        raise OutputError(
            f"a metre of {metre.numerator}/{metre.denominator} cannot be written;"
            " allowed is 1-255 over 1, 2, 4, 8, 16, 32 or 64"
        )
    return _meta(META_TIME_SIGNATURE, bytes((metre.numerator, power, 24, 8)))


def _key(key: str) -> bytes:
    accidentals = sharps(key)
    if accidentals is None:
        raise OutputError(f"a key called {key!r} cannot be written; keys are named as in 'Bb minor' and 'F# major'")
    return _meta(META_KEY_SIGNATURE, accidentals.to_bytes(1, signed=True) + bytes((key.endswith("minor"),)))


def _track_chunk(track: Track, line: Line, voice: Voice, changes: tuple[tuple[int, int], ...]) -> bytes:
    name = track.name or ("Drums" if voice.channel == DRUM_CHANNEL else instrument_name(track.instrument))
    count = len(track.notes)
    change = np.array(changes, np.int64).reshape(-1, 2)
    tick = np.concatenate((line.end, change[:, 0], line.start))  # in the order that holds at one tick
    order = np.argsort(tick, kind="stable")
    velocity = np.clip(track.notes["velocity"], 1, 127)
    zeros = np.zeros(len(change), np.uint8)
    status = np.repeat((0x80, 0xC0, 0x90), (count, len(change), count)).astype(np.uint8) | np.uint8(voice.channel)
    first = np.concatenate((track.notes["pitch"], change[:, 1].astype(np.uint8), track.notes["pitch"]))
    second = np.concatenate((np.full(count, 64, np.uint8), zeros, velocity))
    messages = np.stack((status, first, second), axis=1)[order]
    head = write_number(0) + _meta(META_TRACK_NAME, name.encode("utf-8", "replace"))
    return _chunk(head + _encode(np.diff(tick[order], prepend=0), messages))


def _encode(delta: IntArray, messages: npt.NDArray[np.uint8]) -> bytes:
    """Bytes of channel messages [n, 3] after delta times [n]; program changes drop their third byte."""
    rows = np.empty((len(delta), 7), np.uint8)
    used = np.ones((len(delta), 7), np.bool_)
    for column, shift in enumerate((21, 14, 7)):
        rows[:, column] = (delta >> shift) & 0x7F | 0x80
        used[:, column] = delta >= 1 << shift
    rows[:, 3] = delta & 0x7F
    rows[:, 4:] = messages
    used[:, 6] = messages[:, 0] & 0xF0 != 0xC0
    return rows[used].tobytes()


def _meta(kind: int, payload: bytes) -> bytes:
    return bytes((META, kind)) + write_number(len(payload)) + payload


def _chunk(body: bytes, *, rest: int = 0) -> bytes:
    """A track that ends `rest` ticks after its last event."""
    body += write_number(rest) + _meta(META_END_OF_TRACK, b"")
    return b"MTrk" + len(body).to_bytes(4, "big") + body
