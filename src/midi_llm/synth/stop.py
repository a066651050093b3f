"""Make a MIDI file end in silence at a given second: `add_stop(content, seconds)`.

In and out: bytes of standard MIDI files. A track is added that turns all sound off on all channels at that second, so
that a player goes on until then (many stop at the last event) and no longer (a note without end would sound for ever).
Time is that of the file's own tempo map. SMPTE time and type 2, which few players understand, are rewritten.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from midi_llm.music.clock import Clock, make_clock
from midi_llm.music.read import parse_midi
from midi_llm.music.smf import MidiBytes, metas_by_type, split_chunks, write_number
from midi_llm.music.smf_scan import read_messages
from midi_llm.music.write import to_midi_bytes

_ALL_SOUND_OFF = 120
_USUAL_MICROSECONDS = 500_000
_MAX_DELTA = (1 << 28) - 1


def add_stop(content: bytes, seconds: float) -> bytes:
    """Return the file `content` as type 1 with one more track, which silences all channels at `seconds`.

    Raises `MidiReadError` when `content` cannot be read, and as `to_midi_bytes` when it must be rewritten.
    """
    midi = split_chunks(content, "the MIDI file")
    if midi.format == 2 or midi.division < 0:
        content = to_midi_bytes(parse_midi(content))
        midi = split_chunks(content, "the MIDI file")
    messages = read_messages(midi, "the MIDI file")
    clock = make_clock(midi, messages, metas_by_type(messages))
    tracks = [midi.data[start:end].tobytes() for start, end in zip(midi.starts, midi.ends, strict=True)]
    tracks.append(_stop_track(_tick_at(seconds, clock, midi)))
    header = struct.pack(">4sIHHh", b"MThd", 6, 1, len(tracks), midi.division)
    return header + b"".join(b"MTrk" + len(track).to_bytes(4, "big") + track for track in tracks)


def _tick_at(seconds: float, clock: Clock, midi: MidiBytes) -> int:
    """The first tick at or after `seconds`. All changes of tempo are knots of the clock, so between them it is even."""
    if len(clock.at) and seconds <= clock.at[-1]:
        return math.ceil(float(np.interp(seconds, np.append(0.0, clock.at), np.append(0, clock.knots))))
    micros = int(clock.micros[-1]) if len(clock.micros) else _USUAL_MICROSECONDS
    last, at = (int(clock.knots[-1]), float(clock.at[-1])) if len(clock.at) else (0, 0.0)
    return last + math.ceil((seconds - at) * 1e6 * midi.division / micros)


def _stop_track(tick: int) -> bytes:
    waits, rest = divmod(tick, _MAX_DELTA)
    body = (write_number(_MAX_DELTA) + b"\xff\x01\x00") * waits + write_number(
        rest
    )  # empty texts, where one delta is too short
    body += b"\x00".join(bytes((0xB0 | channel, _ALL_SOUND_OFF, 0)) for channel in range(16))
    return body + b"\x00\xff\x2f\x00"
