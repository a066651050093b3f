"""Messages of a standard MIDI file, one after the other: `walk(midi, name)`; complete, and the rule for `smf_scan`.

In: the chunks of a file. Out: its `Messages`, in file order. Any defect is a `MidiReadError` that names the track and
the byte. Running status goes on after meta and system messages (the standard cancels it; many writers rely on it).
About 1 us per message.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable

import numpy as np

from midi_llm.errors import MidiReadError
from midi_llm.music.smf import META, SYSEX, SYSEX_ESCAPE, Messages, MidiBytes, read_number

_MIDDLE = "ends in the middle of a message"


def walk(midi: MidiBytes, name: str) -> Messages:
    """Decode every message of every track of `midi`; `name` is used in errors only. Raises `MidiReadError`."""
    content = midi.data.tobytes()
    ticks, bodies, statuses, counts = array("q"), array("q"), bytearray(), []
    for number, (start, end) in enumerate(zip(midi.starts, midi.ends, strict=True), start=1):
        before = len(statuses)

        def defect(what: str, position: int, number: int = number) -> MidiReadError:
            return MidiReadError(
                f"{name}: track {number} {what} (byte {position} of {midi.size}): the file is truncated or corrupt"
            )

        _walk_track(content, start, end, ticks, bodies, statuses, defect)
        counts.append(len(statuses) - before)
    body = np.array(bodies, np.int64)
    return Messages(
        track=np.repeat(np.arange(len(counts)), np.array(counts, np.int64)),
        tick=np.array(ticks, np.int64),
        status=np.array(statuses, np.uint8),
        body=body,
        data1=midi.data[body],
        data2=midi.data[body + 1],
    )


def _walk_track(
    content: bytes,
    position: int,
    end: int,
    ticks: array[int],
    bodies: array[int],
    statuses: bytearray,
    defect: Callable[[str, int], MidiReadError],
) -> None:
    tick, running = 0, 0
    while position < end:
        start = position
        delta, position = read_number(content, position)
        status = content[position]
        if status < 0x80:
            status = running
        else:
            position += 1
            running = status if status < 0xF0 else running
        if delta < 0:
            raise defect("has a number of more than 4 bytes", start)
        body = position
        if status >= 0xF0:
            if status not in (META, SYSEX, SYSEX_ESCAPE):
                raise defect("has a status byte that files may not hold", start)
            length, position = read_number(content, body + (status == META))
            if length < 0:
                raise defect("has a number of more than 4 bytes", start)
            position += length
        elif not status:
            raise defect("begins with running status, so no status byte is known", start)
        else:
            position += 1 if status & 0xE0 == 0xC0 else 2  # program change and channel pressure have one data byte
        if position > end:
            raise defect(_MIDDLE, start)
        if status < 0xF0 and (content[body] >= 0x80 or content[position - 1] >= 0x80):
            raise defect("has a data byte above 127", start)
        tick += delta
        ticks.append(tick)
        bodies.append(body)
        statuses.append(status)
