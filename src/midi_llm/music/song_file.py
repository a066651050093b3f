"""A MIDI file that is worked on: its notes with their places in the file, and the same file with notes taken and added.

In: the bytes of a file. Out: `SongFile`, and new bytes. Tracks without a change keep every byte; of the others every
message but the notes taken away stays, at its tick. Times are ticks of the file; bars follow its metres. Reading is
that of `read` (same notes, same programs). Knows no model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from midi_llm.errors import MidiReadError, RequestError
from midi_llm.music.clock import Clock, make_clock, metre_ticks
from midi_llm.music.pairing import NO_MESSAGE, FoundNotes, find_notes
from midi_llm.music.smf import IntArray, Messages, MidiBytes, metas_by_type, split_chunks
from midi_llm.music.smf_scan import read_messages

BoolArray = npt.NDArray[np.bool_]

QUARTERS_PER_WHOLE = 4


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SongFile:
    """A parsed file; `notes` are all its notes, `start` and `end` [n] their ticks on the time line of the file."""

    name: str
    content: bytes
    midi: MidiBytes
    messages: Messages
    clock: Clock
    notes: FoundNotes
    start: IntArray
    end: IntArray
    bars: IntArray
    """Ticks of the bar lines, ascending, from 0 to the first one at or after the end of the last note."""

    @property
    def ticks_per_quarter(self) -> int:
        """Ticks of a quarter note."""
        return self.midi.division

    def bar_range(self, first: int, last: int) -> tuple[int, int]:
        """Ticks at which bar `first` begins and bar `last` ends, counted from 1. Raises `RequestError`."""
        count = len(self.bars) - 1
        if not 1 <= first <= last <= count:
            raise RequestError(f"bars {first}-{last}; {self.name} has bars 1 to {count}: name some of these")
        return int(self.bars[first - 1]), int(self.bars[last])


def open_song(path: Path) -> SongFile:
    """Read the file at `path`. Raises `MidiReadError` as `read_midi`, and `RequestError` as `parse_song`."""
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise MidiReadError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return parse_song(content, name=str(path))


def parse_song(content: bytes, *, name: str) -> SongFile:
    """Read a file from its bytes. `RequestError` for one without notes or that counts no beats (SMPTE, type 2)."""
    midi = split_chunks(content, name)
    if midi.division < 0 or midi.format == 2:
        how = "counts frames (SMPTE)" if midi.division < 0 else "holds separate patterns (type 2)"
        raise RequestError(f"{name} {how} and has no bars; save it as type 0 or 1 with ticks per quarter note")
    messages = read_messages(midi, name)
    metas = metas_by_type(messages)
    clock = make_clock(midi, messages, metas)
    notes = find_notes(messages, clock)
    if not len(notes.time):
        raise RequestError(f"{name} has no notes; a file with at least one note is needed")
    start = clock.tick[notes.on]
    silent = notes.off == NO_MESSAGE
    end = np.where(silent, start + midi.division // 2, clock.tick[np.where(silent, 0, notes.off)])
    return SongFile(
        name=name,
        content=content,
        midi=midi,
        messages=messages,
        clock=clock,
        notes=notes,
        start=start,
        end=end,
        bars=_bar_lines(metre_ticks(midi, messages, metas, clock), midi.division, int(end.max())),
    )


def _bar_lines(metres: list[tuple[int, int, int]], division: int, end: int) -> IntArray:
    """Bar lines from `metres` (tick, numerator, denominator); a new metre begins a bar wherever it stands."""
    if not metres or metres[0][0] > 0:
        metres = [(0, QUARTERS_PER_WHOLE, QUARTERS_PER_WHOLE), *metres]
    lines: list[IntArray] = []
    for (tick, numerator, denominator), (until, _, _) in zip(metres, [*metres[1:], (end + 1, 0, 0)], strict=True):
        bar = max(division * QUARTERS_PER_WHOLE * numerator // denominator, 1)
        lines.append(np.arange(tick, max(until, tick + 1), bar, dtype=np.int64))
    found = np.concatenate(lines)
    found = found[: int(np.searchsorted(found, end, side="left")) + 1]
    return found if found[-1] >= end else np.append(found, found[-1] + bar)
