"""A second, plain reader of MusicXML: the notes of each part, its bars, and what is wrong with them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@dataclass
class ReadPart:
    """`notes` as (onset, length, pitch or instrument id) in quarter notes, ties joined; bars, clefs, faults."""

    name: str
    notes: list[tuple[float, float, int | str]] = field(default_factory=list)
    bars: int = 0
    clefs: list[str] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    staves: int = 1
    faults: list[str] = field(default_factory=list)
    tuplets: int = 0


def read_parts(text: str) -> list[ReadPart]:
    root = ElementTree.fromstring(text)
    names = {head.attrib["id"]: head.findtext("part-name") or "" for head in root.iter("score-part")}
    return [_part(part, names[part.attrib["id"]]) for part in root.findall("part")]


def _part(part: Element, name: str) -> ReadPart:
    result, start, divisions, bar = ReadPart(name=name), 0.0, 1.0, 4.0
    open_ties: dict[object, int] = {}
    for measure in part.findall("measure"):
        now = longest = chord_at = 0.0
        filled: Counter[str] = Counter()
        for element in measure:
            length = float(element.findtext("duration") or 0) / divisions
            if element.tag == "attributes":
                divisions = float(element.findtext("divisions") or divisions)
                if element.find("time") is not None:
                    bar = 4 * float(element.findtext("time/beats")) / float(element.findtext("time/beat-type"))
                result.keys += [int(key.text or 0) for key in element.findall("key/fifths")]
                result.staves = int(element.findtext("staves") or result.staves)
                result.clefs += [clef.findtext("sign") or "" for clef in element.findall("clef")]
            elif element.tag == "backup":
                now -= length
            elif element.tag == "forward":
                now += length
            elif element.tag == "note":
                if element.find("chord") is None:
                    chord_at, now = now, now + length
                    filled[element.findtext("voice") or ""] += length
                result.tuplets += len(element.findall("notations/tuplet[@type='start']"))
                if element.find("rest") is None:
                    _add(result, element, start + chord_at, length, open_ties)
            longest = max(longest, now)
        if abs(longest - bar) > 1e-9:
            result.faults.append(f"bar {measure.attrib['number']} has {longest} of {bar} quarters")
        start += longest
        result.bars += 1
    result.faults += [f"a tie from {what} has no end" for what in open_ties]
    return result


def _add(result: ReadPart, note: Element, at: float, length: float, open_ties: dict[object, int]) -> None:
    pitch: int | str
    if note.find("pitch") is not None:
        step, octave = note.findtext("pitch/step") or "C", int(note.findtext("pitch/octave") or 0)
        pitch = 12 * (octave + 1) + STEPS[step] + int(note.findtext("pitch/alter") or 0)
    else:
        pitch = note.find("instrument").attrib["id"]  # type: ignore[union-attr]
    ties = {tie.attrib["type"] for tie in note.findall("tie")}
    key = (note.findtext("staff"), note.findtext("voice"), pitch)
    if "stop" in ties:
        if key not in open_ties:
            result.faults.append(f"a tie to {key} at {at} has no beginning")
            return
        index = open_ties.pop(key)
        onset, before, _ = result.notes[index]
        if abs(onset + before - at) > 1e-9:
            result.faults.append(f"a tie to {key} at {at} leaves a gap")
        result.notes[index] = (onset, before + length, pitch)
    else:
        index = len(result.notes)
        result.notes.append((at, length, pitch))
    if "start" in ties:
        open_ties[key] = index
