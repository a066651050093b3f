"""MusicXML 4.0 of a score: `to_musicxml(score, title=...)`, a text that notation programs open.

In: a `Score`; without key signatures it gets that of the key that is heard, where that is clear.
Out: the text of a partwise document: bars, clefs, keys, tempo marks, voices, ties, triplets, beams, accidentals. It
knows no layout: systems and pages are for whoever opens it. Format: w3.org/2021/06/musicxml40. The same score gives
the same text.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from midi_llm.errors import RequestError
from midi_llm.music.features import note_table
from midi_llm.music.key import KEY_CONFIDENCE, estimate_key, sharps
from midi_llm.music.names import clean_text
from midi_llm.music.score import Score
from midi_llm.notation.bars import QUARTER, Bar, Layout, bar_at, lay_out
from midi_llm.notation.spelling import Accidentals, Spelled, spell
from midi_llm.notation.staves import DRUM_PLACES, OTHER_DRUM, Part, Staff, make_parts
from midi_llm.notation.values import Symbol, beams, write_bar
from midi_llm.notation.voices import Chord

_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0'
    ' Partwise//EN" "http://www.musicxml.org/dtds/partwise.dtd">\n'
)
MARK_CHANGE = 0.05
"""A tempo is marked where it differs by this share from the last mark ..."""
MARK_BARS = 2
"""... and that is so many bars back: a score does not show every breath."""
MOST_BARS = 50_000
"""Bars over all parts: such a file has 100 MB."""
_STAFF_VOICES = 4
"""Numbers of voices go up by this much from staff to staff."""


def to_musicxml(score: Score, *, title: str = "") -> str:
    """The MusicXML text of `score`. Raises `RequestError` for a score without notes, or of more than `MOST_BARS`."""
    if not score.note_count:
        raise RequestError("the piece has no notes: there is nothing to put on staves")
    layout = lay_out(score)
    parts = make_parts(score, layout)
    if len(parts) * len(layout.bars) > MOST_BARS:
        raise RequestError(
            f"{len(layout.bars):,} bars of {len(parts)} parts are too much for a score; {MOST_BARS:,} in all are"
            " allowed: cut the piece into shorter ones, or write its stems"
        )
    root = Element("score-partwise", version="4.0")
    if title:
        _text(SubElement(root, "work"), "work-title", clean_text(title))
    _text(SubElement(SubElement(root, "identification"), "encoding"), "software", "MIDI-LLM")
    names = SubElement(root, "part-list")
    for number, part in enumerate(parts):
        _part_head(names, number, part)
    fifths = _bar_keys(score, layout)
    marks = _tempo_marks(layout)
    for number, part in enumerate(parts):
        _part(SubElement(root, "part", id=f"P{number + 1}"), part, layout, fifths, {} if number else marks)
    indent(root)
    return _HEAD + tostring(root, encoding="unicode") + "\n"


def _bar_keys(score: Score, layout: Layout) -> list[int]:
    """The sharps of each bar [bars]."""
    if not score.key_signatures:
        name, confidence = estimate_key(note_table(score))
        return [(sharps(name) or 0) if confidence >= KEY_CONFIDENCE else 0] * len(layout.bars)
    result = [0] * len(layout.bars)
    for key in score.key_signatures:
        first = bar_at(layout.bars, layout.tick(key.time) + QUARTER // 4)
        result[first:] = [sharps(key.key) or 0] * (len(result) - first)
    return result


def _tempo_marks(layout: Layout) -> dict[int, float]:
    """Tempo in quarter notes a minute by index of the bar before which it is shown."""
    marks: dict[int, float] = {}
    last_bar, last = -MARK_BARS, 0.0
    for tick, bpm in layout.tempos:
        bar = bar_at(layout.bars, tick + QUARTER // 4)
        if bar - last_bar >= MARK_BARS and abs(bpm - last) > MARK_CHANGE * last:
            marks[bar] = bpm
            last_bar, last = bar, bpm
    return marks


def _part_head(names: Element, number: int, part: Part) -> None:
    head = SubElement(names, "score-part", id=f"P{number + 1}")
    _text(head, "part-name", clean_text(part.name))
    track = part.track
    sounds = sorted(set(track.notes["pitch"].tolist())) if track.is_drum else [None]
    for pitch in sounds:
        _text(SubElement(head, "score-instrument", id=_sound_id(number, pitch)), "instrument-name", part.name)
    channels = [channel for channel in range(1, 17) if channel != 10]
    for pitch in sounds:
        midi = SubElement(head, "midi-instrument", id=_sound_id(number, pitch))
        _text(midi, "midi-channel", "10" if track.is_drum else str(channels[number % len(channels)]))
        _text(midi, "midi-program", str(track.program + 1))
        if pitch is not None:
            _text(midi, "midi-unpitched", str(pitch + 1))


def _sound_id(number: int, pitch: int | None) -> str:
    return f"P{number + 1}-I{1 if pitch is None else pitch + 1}"


def _part(parent: Element, part: Part, layout: Layout, fifths: list[int], marks: dict[int, float]) -> None:
    number = int(parent.attrib["id"][1:]) - 1
    starts = [[[chord.start for chord in voice] for voice in staff.voices] for staff in part.staves]
    before: tuple[int, int, int] | None = None
    for index, bar in enumerate(layout.bars):
        measure = SubElement(parent, "measure", number=str(index + 1))
        if bar.length * bar.denominator != 4 * QUARTER * bar.numerator:  # cut short by a change of metre
            measure.set("implicit", "yes")
        state = (fifths[index], bar.numerator, bar.denominator)
        if state != before:
            _attributes(measure, state, before, part)
            before = state
        if index in marks:
            _tempo(measure, marks[index], bar)
        now = 0
        for row, staff in enumerate(part.staves):
            accidentals = Accidentals(fifths[index])
            pairs = zip(staff.voices or [[]], starts[row] or [[]], strict=True)
            sounding = [_sounding(voice, begins, bar) for voice, begins in pairs]
            for place, chords in enumerate(sounding):
                if place and not chords:
                    continue
                if now:
                    _text(SubElement(measure, "backup"), "duration", str(now))
                stem = ("up", "down")[place] if all(sounding[:2]) and len(sounding) > 1 else None
                writer = _Voice(measure, part, number, row, place, stem, fifths[index], accidentals)
                writer.write(write_bar(chords, bar), bar)
                now = bar.length


def _sounding(voice: list[Chord], starts: list[int], bar: Bar) -> list[Chord]:
    """The chords of `voice` that sound in `bar`."""
    first = bisect_left(starts, bar.start)
    if first and voice[first - 1].end > bar.start:
        first -= 1
    return voice[first : bisect_left(starts, bar.start + bar.length)]


def _attributes(measure: Element, state: tuple[int, int, int], before: tuple[int, int, int] | None, part: Part) -> None:
    attributes = SubElement(measure, "attributes")
    fifths, numerator, denominator = state
    if before is None:
        _text(attributes, "divisions", str(QUARTER))
    if before is None or before[0] != fifths:
        _text(SubElement(attributes, "key"), "fifths", "0" if part.track.is_drum else str(fifths))
    if before is None or before[1:] != state[1:]:
        time = SubElement(attributes, "time")
        _text(time, "beats", str(numerator))
        _text(time, "beat-type", str(denominator))
    if before is None:
        if len(part.staves) > 1:
            _text(attributes, "staves", str(len(part.staves)))
        for row, staff in enumerate(part.staves):
            _clef(attributes, staff, row, alone=len(part.staves) == 1)


def _clef(attributes: Element, staff: Staff, row: int, *, alone: bool) -> None:
    clef = SubElement(attributes, "clef", {} if alone else {"number": str(row + 1)})
    _text(clef, "sign", staff.clef.sign)
    if staff.clef.sign != "percussion":
        _text(clef, "line", str(staff.clef.line))
    if staff.clef.octave:
        _text(clef, "clef-octave-change", str(staff.clef.octave))


def _tempo(measure: Element, bpm: float, bar: Bar) -> None:
    """A mark in quarter notes, or in dotted ones where these are the beats."""
    direction = SubElement(measure, "direction", placement="above")
    metronome = SubElement(SubElement(direction, "direction-type"), "metronome")
    dotted = bar.beat * 2 == QUARTER * 3
    _text(metronome, "beat-unit", "quarter")
    if dotted:
        SubElement(metronome, "beat-unit-dot")
    _text(metronome, "per-minute", f"{bpm * 2 / 3 if dotted else bpm:.0f}")
    SubElement(direction, "sound", tempo=f"{bpm:.6g}")


@dataclass(frozen=True, slots=True)
class _Voice:
    """Writes the symbols of one voice into a measure."""

    measure: Element
    part: Part
    number: int
    row: int
    place: int
    stem: str | None
    fifths: int
    accidentals: Accidentals

    def write(self, symbols: list[Symbol], bar: Bar) -> None:
        """Write one bar: rests of a second voice are left blank."""
        beamed = beams(symbols, bar.beat)
        for index, symbol in enumerate(symbols):
            if self.place and not symbol.pitches and not symbol.triplet:
                _text(SubElement(self.measure, "forward"), "duration", str(symbol.length))
                continue
            first, last = _tuplet_edges(symbols, index, bar.beat)
            for order, pitch in enumerate(symbol.pitches or (None,)):
                self._note(
                    symbol, pitch, () if order else beamed[index], first and not order, last and not order, order
                )

    def _note(
        self, symbol: Symbol, pitch: int | None, beamed: tuple[str, ...], first: bool, last: bool, order: int
    ) -> None:
        """One note of a chord, or a rest. The order of the elements is that of the format."""
        note = SubElement(self.measure, "note")
        if order:
            SubElement(note, "chord")
        head, accidental = self._pitch(note, symbol, pitch)
        _text(note, "duration", str(symbol.length))
        ties = [name for name, there in (("stop", symbol.tied_before), ("start", symbol.tied_after)) if there]
        for name in ties:
            SubElement(note, "tie", type=name)
        if self.part.track.is_drum and pitch is not None:
            SubElement(note, "instrument", id=_sound_id(self.number, pitch))
        _text(note, "voice", str(self.row * _STAFF_VOICES + self.place + 1))
        if not symbol.whole_bar:
            _text(note, "type", symbol.kind)
        for _ in range(symbol.dots):
            SubElement(note, "dot")
        if accidental:
            _text(note, "accidental", accidental)
        if symbol.triplet:
            change = SubElement(note, "time-modification")
            _text(change, "actual-notes", "3")
            _text(change, "normal-notes", "2")
        if self.stem and pitch is not None:
            _text(note, "stem", self.stem)
        if head != "normal":
            _text(note, "notehead", head)
        if len(self.part.staves) > 1:
            _text(note, "staff", str(self.row + 1))
        for level, name in enumerate(beamed):
            _text(note, "beam", name).set("number", str(level + 1))
        if ties or first or last:
            notations = SubElement(note, "notations")
            for name in ties:
                SubElement(notations, "tied", type=name)
            for name in [name for name, there in (("start", first), ("stop", last)) if there]:
                SubElement(notations, "tuplet", type=name)

    def _pitch(self, note: Element, symbol: Symbol, pitch: int | None) -> tuple[str, str | None]:
        """Write what sounds; the note head and the accidental are returned."""
        if pitch is None:
            SubElement(note, "rest", {"measure": "yes"} if symbol.whole_bar else {})
            return "normal", None
        if self.part.track.is_drum:
            step, octave, head = DRUM_PLACES.get(pitch, OTHER_DRUM)
            unpitched = SubElement(note, "unpitched")
            _text(unpitched, "display-step", step)
            _text(unpitched, "display-octave", str(octave))
            return head, None
        spelled = spell(pitch, self.fifths)
        _spelled(SubElement(note, "pitch"), spelled)
        return "normal", None if symbol.tied_before else self.accidentals.needed(spelled)


def _spelled(parent: Element, spelled: Spelled) -> None:
    _text(parent, "step", spelled.step)
    if spelled.alter:
        _text(parent, "alter", str(spelled.alter))
    _text(parent, "octave", str(spelled.octave))


def _tuplet_edges(symbols: list[Symbol], index: int, beat: int) -> tuple[bool, bool]:
    """Whether a symbol is the first, and the last, of the triplet of its beat."""
    if not symbols[index].triplet:
        return False, False
    here = symbols[index].start // beat
    first = index == 0 or symbols[index - 1].start // beat != here
    last = index + 1 == len(symbols) or symbols[index + 1].start // beat != here
    return first, last


def _text(parent: Element, name: str, text: str) -> Element:
    child = SubElement(parent, name)
    child.text = text
    return child
