"""Facts that a text states: tempo, metre, key, length, density, a loop, instruments. English, and the usual signs.

In: a prompt. Out: `Wishes`. Precision counts before recall: what is read binds the piece, what is missed stays with the
model, which sees the text as well. How often it is right: docs/musicianship.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from midi_llm.compose.ensemble import find_ensemble
from midi_llm.compose.sections import find_sections
from midi_llm.compose.wishes import METRE_UNITS, MOST_BARS, MOST_BEATS, Density, Wishes
from midi_llm.music.beats import FASTEST_BPM, SLOWEST_BPM
from midi_llm.music.key import pitch_class

_NUMBER = r"(\d{2,3}(?:\.\d+)?)"
_END = r"(?=\s*(?:[,;:!?)\]|]|\.(?!\d)|$))"
_TEMPO = re.compile(
    rf"\b{_NUMBER}(?:ish)?\s*-?\s*(?:bpm\b|beats?\s+(?:per|a|to\s+the)\s+min)"
    r"|(?:\b(?:bpm|tempo|crotchet|quarter(?:[ -]note)?)|♩)\s*(?:of|at|is|=|:)?\s*(?:about|around|circa|ca?\.)?"
    rf"\s*{_NUMBER}\b"
    rf"|\bat {_NUMBER}{_END}",
    re.IGNORECASE,
)

_SHARP, _FLAT = r"#|♯|[ -]?sharp", r"b|♭|[ -]?flat"
_TONIC = rf"(?P<name>[A-G])(?P<sharp>{_SHARP})?(?P<flat>{_FLAT})?"
_SMALL_TONIC = r"(?P<name>[a-g])(?P<sharp>#|♯|[ -]sharp)?(?P<flat>♭|[ -]flat)?"
_MODE = r"(?P<mode>[Mm]ajor|[Mm]inor|maj|min|m)\b"
_NO_KEY = r"(?!\s+(?:key|keys|mode|mood|moods|chord|chords|third|thirds|scale|feel|tonality)\b)"
_NO_PART = (
    r"(?!\s+(?:flat|sharp|part|section|string|tuning|clef|clarinet|trumpet|cornet|horn|sax\w*|tenor|alto|tuba|and"
    r"|dorian|phrygian|lydian|mixolydian|aeolian|locrian|pentatonic|blues|modal|whole|harmonic|melodic)\b)"
)
_KEYS = (
    re.compile(rf"\b{_TONIC}[ -]?{_MODE}{_NO_KEY}"),
    re.compile(rf"\b(?:in|of) {_SMALL_TONIC} (?P<mode>major|minor)\b{_NO_KEY}"),
    re.compile(r"\b(?P<name>[a-g])(?:(?P<sharp>#|♯|[ -]sharp)|(?P<flat>♭|[ -]flat)) (?P<mode>major|minor)\b"),
    re.compile(r"\b(?P<name>do|r[eé]|mi|fa|sol|la|si) (?P<mode>major|minor)\b", re.IGNORECASE),
    re.compile(rf"\bkey of {_TONIC}\b(?![#'])"),
    re.compile(rf"\bin (?!A\b){_TONIC}(?![#\w'-]){_NO_PART}"),
    re.compile(rf"\bin A{_END}".replace("A", "(?P<name>A)", 1)),
    re.compile(rf"(?:^|[,;(] ?)(?P<name>[A-G])(?:(?P<sharp>[ -]sharp|#|♯)|(?P<flat>[ -]flat|♭|b)){_END}"),
)
"""The first of them that finds a key counts; one without a mode is major."""
_SYLLABLES = {"do": "C", "re": "D", "ré": "D", "mi": "E", "fa": "F", "sol": "G", "la": "A", "si": "B"}
_SAID_TO_BE_ONE = re.compile(r"\b(?:in|key(?: of)?:?)\s+$")

_METRE = re.compile(r"(?<![\d./])(\d{1,2})\s?/\s?(2|4|8|16)(?![\d./])")
_METRE_WORDS = (
    (r"slip[ -]jigs?", (9, 8)),
    (r"six[ -]eight|jigs?|tarantellas?|gigues?|barcarolles?|sicilian[ao]s?", (6, 8)),
    (
        r"waltz(?:es)?|minuets?|mazurkas?|sarabandes?|polonaises?|l[aä]e?ndlers?|three[ -]four|in three"
        r"|triple (?:time|metre|meter)",
        (3, 4),
    ),
    (r"four[ -]four|common time|four[ -](?:on|to)[ -]the[ -]floor", (4, 4)),
    (r"polkas?|two[ -]four", (2, 4)),
)

_UNITS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "ninety"]
_NUMBER_WORDS = (
    dict(zip(_UNITS, range(1, 13), strict=True))
    | dict(zip(_TENS, (20, 30, 40, 50, 60, 90), strict=True))
    | {"sixteen": 16, "thirty-two": 32}
)
_COUNT = rf"(\d{{1,3}}(?:\.\d)?|{'|'.join([*_NUMBER_WORDS])})"
_SECONDS = re.compile(rf"\b(?:{_COUNT}\s*-?\s*(?:seconds?|secs?)|(?<!the )(?<!')(\d{{1,3}}) ?s)\b", re.IGNORECASE)
_MINUTES = re.compile(rf"\b(?:{_COUNT}|(a|half a))\s*-?\s*(?:minutes?|mins?)\b(?!\w)( and a half)?", re.IGNORECASE)
_CLOCK = re.compile(r"(?<![\d:])(\d):([0-5]\d)(?![\d:])(?=\s*(?:min|long|in length|$|[,.;)]))", re.IGNORECASE)
_BARS = re.compile(rf"\b{_COUNT}\s*-?\s*(?:bars?|measures?)\b(?!\s+(?:of rest|loops? of|chart|chord|piano))", re.I)
_SOME_BARS = re.compile(r"\b(?:every|each|first|last|per|for|after)\s+$", re.IGNORECASE)
_SOME_MINUTES = re.compile(r"\b(?:per|to the|every|each|in|within|after|times|beats?)\s+(?:a\s+)?$", re.IGNORECASE)
_LOOP = re.compile(r"\bloop(?:s|able|ing|ed)?\b(?! pedal)", re.IGNORECASE)
_DENSITIES: tuple[tuple[str, Density], ...] = (
    (r"sparse|few notes|hardly any notes|minimalist|(?:lots|a lot) of space|lots of silence", "sparse"),
    (r"dense|busy|(?:lots of|many|very many) notes|notes everywhere|packed with|a wall of notes|crowded", "dense"),
)


def find_wishes(text: str) -> Wishes:
    """The first tempo, metre, key, length and density that `text` states, its instruments, and whether it is to loop.

    A metre in figures counts before one in words ("waltz"), sections before a number of bars.
    """
    sections = find_sections(text)
    return Wishes(
        bpm=_tempo(text),
        metre=_metre(text),
        key=find_key(text),
        seconds=_seconds(text),
        bars=None if sections else _bars(text),
        sections=sections,
        loop=bool(_LOOP.search(text)),
        density=_density(text),
        ensemble=find_ensemble(text),
    )


def restate(text: str, tags: Sequence[str]) -> str:
    """`text` with `tags` at the end, as the captions say them that a model was trained on.

    Free texts say facts in more ways than a small model has seen (docs/data.md).
    """
    return f"{text.rstrip(' .;,')}. {', '.join(tags)}." if tags else text


def _tempo(text: str) -> float | None:
    for match in _TEMPO.finditer(text):
        bpm = float(match[1] or match[2] or match[3])
        if SLOWEST_BPM <= bpm <= FASTEST_BPM:
            return bpm
    return None


def _metre(text: str) -> tuple[int, int] | None:
    for match in _METRE.finditer(text):
        beats, unit = int(match[1]), int(match[2])
        if 2 <= beats <= MOST_BEATS and unit in METRE_UNITS:
            return beats, unit
    return next((metre for words, metre in _METRE_WORDS if re.search(rf"\b(?:{words})\b", text, re.I)), None)


def find_key(text: str) -> str | None:
    """The first key that `text` states, such as "Bb minor"; one without a mode is major."""
    for pattern in _KEYS:
        match = pattern.search(text)
        if match is not None and (found := _key_of(match, text)) is not None:
            return found
    return None


def _key_of(match: re.Match[str], text: str) -> str | None:
    found = match.groupdict()
    mode = found.get("mode") or "major"
    if mode == "m" and not _SAID_TO_BE_ONE.search(text[: match.start()]):
        return None  # "Am" is a key only where it is said to be one
    name = _SYLLABLES.get(found["name"].lower(), found["name"].upper())
    tonic = name + ("#" if found.get("sharp") else "b" if found.get("flat") else "")
    if pitch_class(tonic) is None:
        return None
    return f"{tonic} {'major' if mode.lower().startswith('maj') else 'minor'}"


def _seconds(text: str) -> float | None:
    if match := _SECONDS.search(text):
        return _count(match[1] or match[2])
    if match := _CLOCK.search(text):
        return 60.0 * int(match[1]) + int(match[2])
    for match in _MINUTES.finditer(text):
        if _SOME_MINUTES.search(text[: match.start()]):
            continue
        minutes = _count(match[1]) if match[1] else 0.5 if match[2].lower().startswith("half") else 1.0
        return 60.0 * (minutes + (0.5 if match[3] else 0.0))
    return None


def _bars(text: str) -> int | None:
    for match in _BARS.finditer(text):
        bars = _count(match[1])
        if bars == int(bars) and 2 <= bars <= MOST_BARS and not _SOME_BARS.search(text[: match.start()]):
            return int(bars)
    return None


def _count(words: str) -> float:
    lowered = words.lower()
    return float(_NUMBER_WORDS[lowered]) if lowered in _NUMBER_WORDS else float(lowered)


def _density(text: str) -> Density | None:
    found = {level for words, level in _DENSITIES if re.search(rf"\b(?:{words})\b", text, re.IGNORECASE)}
    return found.pop() if len(found) == 1 else None
