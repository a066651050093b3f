"""Write the golden files of this folder with the reference tokenizer; run by hand, never by the tests.

Usage: ANTICIPATION=/path/to/checkout python tests/golden/amt/write.py
`ANTICIPATION` is a checkout of jthickstun/anticipation at af37397 (not needed when the package is installed); mido is
needed as well. The music is made here, byte by byte and from a fixed seed, so it has no owner but this project.
Each case gives NAME.mid and NAME.json: what the reference makes of the whole piece, of its first ten seconds, with
rests, with one instrument as controls, and the messages it writes back (tick, type, channel, program, pitch, velocity).
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path

import mido

HERE = Path(__file__).parent
CLIP_SECONDS = 10

Message = mido.Message | mido.MetaMessage


def file_of(tracks: list[list[tuple[int, Message]]], *, ticks_per_beat: int = 480, kind: int = 1) -> mido.MidiFile:
    """A MIDI file from (absolute tick, message) lists, one per track; order at a tick is kept."""
    midi = mido.MidiFile(type=kind, ticks_per_beat=ticks_per_beat)
    for timed in tracks:
        track, now = mido.MidiTrack(), 0
        for tick, message in sorted(timed, key=lambda pair: pair[0]):
            track.append(message.copy(time=tick - now))
            now = tick
        midi.tracks.append(track)
    return midi


def on(channel: int, pitch: int, velocity: int = 80) -> Message:
    return mido.Message("note_on", channel=channel, note=pitch, velocity=velocity)


def off(channel: int, pitch: int) -> Message:
    return mido.Message("note_off", channel=channel, note=pitch)


def program(channel: int, number: int) -> Message:
    return mido.Message("program_change", channel=channel, program=number)


def tempo(bpm: float) -> Message:
    return mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm))


def note(start: int, length: int, channel: int, pitch: int) -> list[tuple[int, Message]]:
    return [(start, on(channel, pitch)), (start + length, off(channel, pitch))]


def band() -> mido.MidiFile:
    """Four instruments, swung and humanised, with tempo changes: rounding of halves and of summed seconds."""
    rng = random.Random(1)
    conductor: list[tuple[int, Message]] = [(480 * 4 * bar, tempo(rng.uniform(70, 150))) for bar in range(8)]
    parts = []
    for channel, number, low, step in ((0, 4, 60, 160), (1, 33, 36, 480), (2, 48, 55, 960), (9, 0, 35, 240)):
        part: list[tuple[int, Message]] = [(0, program(channel, number))]
        for start in range(0, 480 * 32, step):
            if rng.random() < 0.8:
                jitter = rng.choice([0, 0, 3, 7, 12])
                part += note(start + jitter, rng.choice([step // 2, step, step * 2]), channel, low + rng.randrange(12))
        parts.append(part)
    return file_of([conductor, *parts])


def one_track() -> mido.MidiFile:
    """Type 0: channels interleaved in one track, chords at one tick, a program change in the middle."""
    rng = random.Random(2)
    track: list[tuple[int, Message]] = [(0, program(3, 40)), (0, program(5, 71))]
    for beat in range(24):
        for channel in rng.sample([5, 3, 9, 3, 5], 4):
            track += note(beat * 96, rng.choice([24, 48, 96, 200]), channel, 48 + rng.randrange(24))
    track.append((12 * 96, program(3, 42)))
    return file_of([track], ticks_per_beat=96, kind=0)


def edges() -> mido.MidiFile:
    """Re-struck overlapping notes, zero lengths, note-ons without end, ends without note, 12 s notes, long silence."""
    track: list[tuple[int, Message]] = [(0, program(0, 19))]
    track += [(0, on(0, 60)), (240, on(0, 60)), (480, off(0, 60)), (960, off(0, 60))]
    track += [(960, on(0, 62)), (960, off(0, 62)), (1000, on(0, 62, 0)), (1000, off(0, 50))]
    track += note(1100, 480 * 24, 0, 64) + note(480 * 60, 120, 0, 65) + [(480 * 61, on(0, 67))]
    drums = note(480 * 3, 1, 9, 38) + note(480 * 3, 1, 9, 36) + [(480 * 3, program(9, 25))] + note(480 * 5, 30, 9, 42)
    return file_of([track, drums])


def halves() -> mido.MidiFile:
    """Every onset falls on half a tick of 10 ms: 100 ticks per beat at 120 bpm are 5 ms each."""
    track: list[tuple[int, Message]] = []
    for index in range(60):
        track += note(7 * index, 3 + 2 * (index % 5), index % 2, 40 + index % 40)
    return file_of([track], ticks_per_beat=100)


CASES = {"band": band, "one_track": one_track, "edges": edges, "halves": halves}


def main() -> None:
    if checkout := os.environ.get("ANTICIPATION"):
        sys.path.insert(0, checkout)
    from anticipation import convert, ops

    for name, make in CASES.items():
        path = HERE / f"{name}.mid"
        make().save(path)
        events = convert.midi_to_events(str(path))
        clipped = ops.clip(events, 0, CLIP_SECONDS)
        instruments = sorted(ops.get_instruments(clipped))
        result = {
            "reference": "jthickstun/anticipation af37397",
            "events": events,
            "clip_seconds": CLIP_SECONDS,
            "clip": clipped,
            "clip_rests": ops.pad(clipped, 100 * CLIP_SECONDS),
            "messages": messages(convert.events_to_midi(clipped)),
        }
        if len(instruments) > 1:
            given = instruments[0]
            rest = [row for row in triplets(clipped) if (row[2] - 11_000) // 128 != given]
            controls = [[27_513 + i for i in row] for row in triplets(clipped) if (row[2] - 11_000) // 128 == given]
            padded = ops.pad([i for row in rest for i in row], 100 * CLIP_SECONDS)
            interleaved, unconsumed = ops.anticipate(padded, [i for row in controls for i in row])
            assert not unconsumed
            result["accompaniment"] = {"control_instrument": given, "ids": interleaved}
        (HERE / f"{name}.json").write_text(json.dumps(result, separators=(",", ":")) + "\n", encoding="utf-8")
        print(name, len(events) // 3, "events")


def triplets(ids: list[int]) -> list[list[int]]:
    return [ids[at : at + 3] for at in range(0, len(ids), 3)]


def messages(midi: mido.MidiFile) -> list[list[int | str]]:
    """Note messages of a file as (absolute tick, type, channel, program, pitch, velocity), track by track."""
    rows: list[list[int | str]] = []
    for track in midi.tracks:
        now, number = 0, 0
        for message in track:
            now += message.time
            if message.type == "program_change":
                number = message.program
            elif message.type in ("note_on", "note_off"):
                rows.append([now, message.type, message.channel, number, message.note, message.velocity])
    return rows


if __name__ == "__main__":
    main()
