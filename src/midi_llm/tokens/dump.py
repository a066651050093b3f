"""AMT ids as text for people, one line per triplet, and the exact way back.

A line is `time  duration  instrument  note`: seconds with two decimals, a General MIDI name, a note name (C4 = 60) or,
for drums, the key number; `REST` stands for instrument and note, ` control` at the end marks a given note.
SEPARATOR, AUTOREGRESS and ANTICIPATE stand alone. Blank lines and lines that begin with # say nothing. Knows no files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from midi_llm.errors import TokenError
from midi_llm.music.instruments import find_instrument, instrument_name
from midi_llm.music.pitch import find_pitch, note_name
from midi_llm.music.score import DRUMS
from midi_llm.tokens.codec import SLOTS, AmtIds
from midi_llm.tokens.vocab import (
    ANTICIPATE,
    AUTOREGRESS,
    CONTROL_OFFSET,
    DUR_OFFSET,
    MAX_DURATION_TICKS,
    MAX_PITCH,
    MAX_TIME_TICKS,
    NOTE_OFFSET,
    REST,
    SEPARATOR,
    SPECIAL_OFFSET,
    TICKS_PER_SECOND,
    TIME_OFFSET,
)

_SPECIALS = {SEPARATOR: "SEPARATOR", AUTOREGRESS: "AUTOREGRESS", ANTICIPATE: "ANTICIPATE"}
_SPECIAL_IDS = {name: amt_id for amt_id, name in _SPECIALS.items()}
_LINE = re.compile(
    r"(?P<time>\S+)\s+(?P<duration>\S+)\s+(?:REST|(?P<name>.+?)\s+(?P<note>\S+))(?P<control>\s+control)?"
)


def dump(amt_ids: Sequence[int] | npt.NDArray[np.integer]) -> str:
    """Write each triplet or special id as a line; "" for no ids. Raises `TokenError` for ids that are neither."""
    ids = np.asarray(amt_ids).reshape(-1).tolist()
    lines: list[str] = []
    at = 0
    while at < len(ids):
        if ids[at] in _SPECIALS:
            lines.append(_SPECIALS[ids[at]])
            at += 1
            continue
        lines.append(_line(ids[at : at + 3], at))
        at += 3
    return "".join(f"{line}\n" for line in lines)


def parse_dump(text: str) -> AmtIds:
    """Ids of a text in the format of `dump`. Raises `TokenError` naming the line, what was found, what is allowed."""
    ids: list[int] = []
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line in _SPECIAL_IDS:
            ids.append(_SPECIAL_IDS[line])
            continue
        try:
            ids += _triplet(line)
        except ValueError as error:
            raise TokenError(f"line {number}, {line!r}: {error}") from error
    return np.array(ids, np.int32)


def _line(triplet: list[int], at: int) -> str:
    control = CONTROL_OFFSET <= triplet[0] < SPECIAL_OFFSET
    values = [amt_id - CONTROL_OFFSET * control for amt_id in triplet]
    for slot, (value, (name, low, high)) in enumerate(zip(values, SLOTS, strict=False)):
        if not low <= value < high:
            raise TokenError(
                f"id {triplet[slot]} at position {at + slot}; a {name} belongs here: salvage the ids first"
            )
    if len(values) < 3:
        raise TokenError(f"the last triplet, at position {at}, has {len(values)} of 3 ids; salvage the ids first")
    time, duration = (values[0] - TIME_OFFSET) / TICKS_PER_SECOND, (values[1] - DUR_OFFSET) / TICKS_PER_SECOND
    if values[2] == REST:
        return f"{time:6.2f}  {duration:5.2f}  REST"
    instrument, pitch = divmod(values[2] - NOTE_OFFSET, MAX_PITCH)
    note = str(pitch) if instrument == DRUMS else note_name(pitch)
    return f"{time:6.2f}  {duration:5.2f}  {instrument_name(instrument):<24}  {note}{'  control' if control else ''}"


def _triplet(line: str) -> list[int]:
    """Ids of one line; raises `ValueError` with the reason."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError("a line is `time  duration  instrument  note`, `time  duration  REST`, or a special id's name")
    time = _ticks(match["time"], "time", MAX_TIME_TICKS)
    duration = _ticks(match["duration"], "duration", MAX_DURATION_TICKS)
    if match["name"] is None:
        if match["control"]:
            raise ValueError("a rest cannot be a control")
        return [TIME_OFFSET + time, DUR_OFFSET + duration, REST]
    note = NOTE_OFFSET + MAX_PITCH * find_instrument(match["name"]) + find_pitch(match["note"])
    offset = CONTROL_OFFSET if match["control"] else 0
    return [offset + TIME_OFFSET + time, offset + DUR_OFFSET + duration, offset + note]


def _ticks(word: str, name: str, stop: int) -> int:
    try:
        ticks = Decimal(word) * TICKS_PER_SECOND
    except ArithmeticError as error:
        raise ValueError(f"the {name} {word!r} is not a number of seconds") from error
    if not ticks.is_finite() or ticks != ticks.to_integral_value() or not 0 <= ticks < stop:
        highest = (stop - 1) / TICKS_PER_SECOND
        raise ValueError(f"the {name} {word} is not allowed: 0.00 to {highest:.2f} s in steps of 0.01 s")
    return int(ticks)
