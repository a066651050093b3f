"""How a stretch of time is written: note values, dots, triplets and ties. `write_bar(chords, bar, ...)`.

In: the chords of one voice and a bar. Out: `Symbol`s that fill the bar exactly, notes and rests, cut where the beats
want to be seen, with the ties between the pieces.
"""

from __future__ import annotations

from dataclasses import dataclass

from midi_llm.notation.bars import QUARTER, Bar
from midi_llm.notation.voices import Chord

_TYPES = {
    8 * QUARTER: "breve",
    4 * QUARTER: "whole",
    2 * QUARTER: "half",
    QUARTER: "quarter",
    QUARTER // 2: "eighth",
    QUARTER // 4: "16th",
    QUARTER // 8: "32nd",
}
FLAGS = {"eighth": 1, "16th": 2, "32nd": 3}
"""Note values with flags or beams, and how many."""

_PLAIN = {(ticks, 0): name for ticks, name in _TYPES.items()}
_DOTTED = {(ticks * 3 // 2, 1): name for ticks, name in _TYPES.items() if ticks > QUARTER // 8}
_STRAIGHT = {ticks: (name, dots) for (ticks, dots), name in (_PLAIN | _DOTTED).items()}
_TRIPLET = {ticks * 2 // 3: value for ticks, value in _STRAIGHT.items() if ticks * 2 % 3 == 0 and ticks <= 30}
"""Length in ticks to value and dots, outside and inside triplets."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Symbol:
    """A note, chord or rest (no `pitches`) on paper. `start` and `length` in ticks, from the beginning of the bar."""

    start: int
    length: int
    kind: str
    dots: int = 0
    pitches: tuple[int, ...] = ()
    tied_before: bool = False
    tied_after: bool = False
    triplet: bool = False
    whole_bar: bool = False


def write_bar(chords: list[Chord], bar: Bar) -> list[Symbol]:
    """The symbols of one voice in `bar`; `chords` are those that sound in it, in order."""
    if not chords:
        return [Symbol(start=0, length=bar.length, kind="whole", whole_bar=True)]
    spans: list[tuple[int, int, Chord | None]] = []
    now = 0
    for chord in chords:
        start, end = max(chord.start - bar.start, 0), min(chord.end - bar.start, bar.length)
        if start > now:
            spans.append((now, start, None))
        spans.append((start, end, chord))
        now = end
    if now < bar.length:
        spans.append((now, bar.length, None))
    triplets = {
        edge // bar.beat for start, end, _ in spans for edge in (start, end) if (edge % bar.beat) % (QUARTER // 8)
    }
    return [symbol for span in spans for symbol in _symbols(*span, bar, triplets)]


def _symbols(start: int, end: int, chord: Chord | None, bar: Bar, triplets: set[int]) -> list[Symbol]:
    pieces = _pieces(start, end, bar, triplets, sounds=chord is not None)
    symbols = []
    for number, (begin, length, triplet) in enumerate(pieces):
        kind, dots = (_TRIPLET if triplet else _STRAIGHT)[length]
        symbols.append(
            Symbol(
                start=begin,
                length=length,
                kind=kind,
                dots=dots,
                pitches=chord.pitches if chord else (),
                tied_before=chord is not None and (number > 0 or chord.start < bar.start),
                tied_after=chord is not None and (number + 1 < len(pieces) or chord.end > bar.start + bar.length),
                triplet=triplet,
            )
        )
    return symbols


def _pieces(start: int, end: int, bar: Bar, triplets: set[int], *, sounds: bool) -> list[tuple[int, int, bool]]:
    """Cut start..end into (start, length, in a triplet) of lengths that have a symbol."""
    pieces = []
    while start < end:
        beat = start // bar.beat
        if beat in triplets:
            length = _longest(_TRIPLET, min(end, (beat + 1) * bar.beat) - start)
        else:
            stop = next((at * bar.beat for at in range(beat, -(-end // bar.beat)) if at in triplets), end)
            length = _longest(_STRAIGHT, _reach(start, stop, bar, sounds=sounds))
        pieces.append((start, length, beat in triplets))
        start += length
    return pieces


def _reach(start: int, end: int, bar: Bar, *, sounds: bool) -> int:
    """How long a straight value from `start` may be: beats stay visible, and so does the middle of the bar."""
    within, beats, half = start % bar.beat, bar.length // bar.beat, bar.length // 2
    if within == 0:
        next_half = (start // half + 1) * half
        crosses = beats > 2 and beats % 2 == 0 and start < next_half < end
        room = next_half - start if crosses and (start % half or not sounds) and end % half else end - start
        if not sounds and bar.beat == QUARTER and room > QUARTER:  # rests are dotted only within a beat
            room = next(length for length in (4 * QUARTER, 2 * QUARTER, QUARTER) if length <= room)
        return room
    syncope = within * 2 == bar.beat == QUARTER and end - start in {bar.beat, bar.beat * 3 // 2}
    return end - start if sounds and syncope else min(end, (start // bar.beat + 1) * bar.beat) - start


def _longest(values: dict[int, tuple[str, int]], ticks: int) -> int:
    if ticks in values:
        return ticks
    return max(length for length in values if length <= ticks)


def beams(symbols: list[Symbol], beat: int) -> list[tuple[str, ...]]:
    """For each symbol its beams from the first level on: begin, continue, end, forward hook or backward hook."""
    result: list[tuple[str, ...]] = [() for _ in symbols]
    group: list[int] = []
    for index in range(len(symbols) + 1):
        symbol = symbols[index] if index < len(symbols) else None
        joins = symbol is not None and bool(symbol.pitches) and symbol.kind in FLAGS
        if group and (symbol is None or not joins or symbol.start // beat != symbols[group[0]].start // beat):
            if len(group) > 1:
                for place, found in zip(group, _group_beams([FLAGS[symbols[i].kind] for i in group]), strict=True):
                    result[place] = found
            group = []
        if joins:
            group.append(index)
    return result


def _group_beams(flags: list[int]) -> list[tuple[str, ...]]:
    result = []
    for index, own in enumerate(flags):
        names = []
        for level in range(1, own + 1):
            before = index > 0 and flags[index - 1] >= level
            after = index + 1 < len(flags) and flags[index + 1] >= level
            if before and after:
                names.append("continue")
            elif before or after:
                names.append("end" if before else "begin")
            else:
                names.append("backward hook" if index else "forward hook")
        result.append(tuple(names))
    return result
