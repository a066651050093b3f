"""Facts that a text states about time and key: a tempo, a metre, a key. English, and the usual signs.

In: a prompt. Out: `Wishes`, and the text with those facts said again as the captions say them that a model was trained
on (docs/data.md): free texts say them in more ways than a small model has seen. Knows no instruments (ensemble.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SLOWEST_BPM, FASTEST_BPM = 30.0, 260.0
"""Tempi outside are not taken for one."""

_NUMBER = r"(\d{2,3}(?:\.\d+)?)"
_TEMPO = re.compile(
    rf"\b{_NUMBER}\s*-?\s*(?:bpm\b|beats?\s+(?:per|a|to\s+the)\s+min)"
    r"|(?:\b(?:bpm|tempo|crotchet|quarter(?:[ -]note)?)|♩)\s*(?:of|at|is|=|:)?\s*(?:about|around|circa|ca?\.)?"
    rf"\s*{_NUMBER}\b",
    re.IGNORECASE,
)
_SHARP, _FLAT = r"#|♯|[ -]?sharp", r"b|♭|[ -]?flat"
_NO_KEY = r"(?!\s+(?:key|keys|mode|mood|moods|chord|chords|third|thirds|scale|feel|tonality)\b)"
_KEY = re.compile(
    rf"\b(?P<name>[A-G])(?P<sharp>{_SHARP})?(?P<flat>{_FLAT})?[ -]?(?P<mode>[Mm]ajor|[Mm]inor|maj|min|m)\b{_NO_KEY}"
)
_METRE = re.compile(r"(?<![\d./])(\d{1,2})\s?/\s?(2|4|8|16)(?![\d./])")
_METRE_WORDS = (
    (re.compile(r"\b(?:waltz(?:es)?|minuets?|mazurkas?|three[ -]four|triple (?:time|metre|meter))\b", re.I), (3, 4)),
    (re.compile(r"\b(?:six[ -]eight|jigs?)\b", re.I), (6, 8)),
    (re.compile(r"\b(?:four[ -]four|common time)\b", re.I), (4, 4)),
    (re.compile(r"\b(?:polkas?|two[ -]four)\b", re.I), (2, 4)),
)
_MOST_BEATS = 15


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What a text asks for; None where it says nothing."""

    bpm: float | None = None
    """Quarter notes a minute."""
    metre: tuple[int, int] | None = None
    key: str | None = None
    """Such as "Bb minor"."""

    def restated(self) -> str:
        """These facts as a caption's tags, "" where there are none: "90 bpm, key of A minor, 3/4 time"."""
        parts = [
            f"{self.bpm:g} bpm" if self.bpm else "",
            f"key of {self.key}" if self.key else "",
            f"{self.metre[0]}/{self.metre[1]} time" if self.metre else "",
        ]
        return ", ".join(part for part in parts if part)


NO_WISHES = Wishes()


def find_wishes(text: str) -> Wishes:
    """The first tempo, metre and key that `text` states. A metre in figures counts before one in words ("waltz")."""
    return Wishes(bpm=_tempo(text), metre=_metre(text), key=_key(text))


def restate(text: str, wishes: Wishes) -> str:
    """`text` with its facts said again at the end."""
    facts = wishes.restated()
    return f"{text.rstrip(' .;,')}. {facts}." if facts else text


def _tempo(text: str) -> float | None:
    for match in _TEMPO.finditer(text):
        bpm = float(match[1] or match[2])
        if SLOWEST_BPM <= bpm <= FASTEST_BPM:
            return bpm
    return None


def _metre(text: str) -> tuple[int, int] | None:
    for match in _METRE.finditer(text):
        beats, unit = int(match[1]), int(match[2])
        if 2 <= beats <= _MOST_BEATS:
            return beats, unit
    return next((metre for words, metre in _METRE_WORDS if words.search(text)), None)


def _key(text: str) -> str | None:
    match = _KEY.search(text)
    if match is None or (match["mode"] == "m" and not re.search(r"\b(?:in|key(?: of)?:?)\s+$", text[: match.start()])):
        return None  # "Am" is a key only where it is said to be one
    accidental = "#" if match["sharp"] else "b" if match["flat"] else ""
    return f"{match['name']}{accidental} {'major' if match['mode'].lower().startswith('maj') else 'minor'}"
