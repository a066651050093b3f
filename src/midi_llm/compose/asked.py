"""Wishes asked for in so many words: the texts of options and form fields, read strictly.

In: texts such as "A minor", "3/4", "piano, bass", "bass: E1-C3". Out: `Wishes`. Unlike a prompt, which is read for what
it surely says (reading.py), a text that cannot be understood here is a `RequestError` that says what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from midi_llm.compose.ensemble import Ensemble, Group, find_ensemble
from midi_llm.compose.reading import find_key
from midi_llm.compose.sections import read_sections
from midi_llm.compose.wishes import Density, PitchRange, Wishes
from midi_llm.errors import RequestError
from midi_llm.music.instruments import find_instrument, instrument_name
from midi_llm.music.key import pitch_class
from midi_llm.music.pitch import find_pitch
from midi_llm.music.score import DRUMS

SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11),
    "melodic minor": (0, 2, 3, 5, 7, 9, 11),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "major pentatonic": (0, 2, 4, 7, 9),
    "minor pentatonic": (0, 3, 5, 7, 10),
    "blues": (0, 3, 5, 6, 7, 10),
    "whole tone": (0, 2, 4, 6, 8, 10),
}
"""Semitones above the tonic."""

_SEPARATORS = re.compile(r"\s*(?:,|;|\band\b|\+|&)\s*")
_METRE = re.compile(r"\s*(\d{1,2})\s*/\s*(\d{1,2})\s*")
_RANGE = re.compile(r"\s*(?P<names>[^:]+):\s*(?P<low>[A-Ga-g][#b]?-?\d{1,2}|\d+)\s*(?:-|\.\.|to)\s*(?P<high>\S+)\s*")


def asked_for(
    *,
    tempo: float | None = None,
    key: str | None = None,
    metre: str | None = None,
    bars: int | None = None,
    loop: bool = False,
    sections: str | None = None,
    density: Density | None = None,
    only: str | None = None,
    also: str | None = None,
    without: str | None = None,
    scale: str | None = None,
    ranges: Sequence[str] = (),
) -> Wishes:
    """The wishes that the texts of options make. Raises `RequestError` for a text that cannot be read or contradicts.

    `sections` lists names with their bars: "intro 4, verse 8". `only`, `also` and `without` list instruments: nothing
    but these, these at least, none of these. `scale` is a tonic and a scale or a list of notes; `ranges` are
    "INSTRUMENT: LOWEST-HIGHEST".
    """
    if only is not None and also is not None:
        raise RequestError("'only' and 'with' are both given; 'only' names all instruments, so leave 'with' out")
    return Wishes(
        bpm=tempo,
        key=None if key is None else _key(key),
        metre=None if metre is None else _metre(metre),
        bars=bars,
        loop=loop,
        sections=() if sections is None else read_sections(sections),
        density=density,
        ensemble=_ensemble(only, also, without),
        pitch_classes=None if scale is None else read_scale(scale),
        ranges=tuple(found for text in ranges for found in _range(text)),
    )


def read_instruments(text: str) -> tuple[Group, ...]:
    """One group of programs (0-128) for each instrument in a list such as "piano, double bass, 33"."""
    groups: list[Group] = []
    for name in filter(None, _SEPARATORS.split(text.strip())):
        found = _programs(name)
        if not found:
            raise RequestError(
                f"no instrument is called {name!r}; write names like 'piano', 'drums', 'Synth Bass 1', or General MIDI"
                f" numbers 0 to {DRUMS} ({DRUMS} for drums), separated by commas"
            )
        groups += [group for group in found if group not in groups]
    if not groups:
        raise RequestError("the list of instruments is empty; write names such as 'piano, bass, drums'")
    return tuple(groups)


def read_programs(text: str) -> frozenset[int]:
    """All programs that a list of instruments may mean: "guitar" is any of them."""
    return frozenset(program for group in read_instruments(text) for program in group)


def first_programs(text: str) -> frozenset[int]:
    """The most usual program of each instrument in a list."""
    return frozenset(group[0] for group in read_instruments(text))


def read_scale(text: str) -> frozenset[int]:
    """Pitch classes 0-11 of "A minor pentatonic" or "C D E G A"."""
    words = text.replace(",", " ").split()
    tonic = pitch_class(_capital(words[0])) if words else None
    steps = SCALES.get(" ".join(words[1:]).lower())
    if tonic is not None and steps is not None:
        return frozenset((tonic + step) % 12 for step in steps)
    notes = [pitch_class(_capital(word)) for word in words]
    found = frozenset(note for note in notes if note is not None)
    if not words or None in notes:
        raise RequestError(
            f"no scale is called {text!r}; write notes like 'C D Eb G', or a tonic and one of {', '.join(SCALES)}"
        )
    return found


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]


def _programs(name: str) -> tuple[Group, ...]:
    """The groups that one name stands for; none where it is unknown."""
    if name.isdecimal():
        return ((int(name),),) if int(name) <= DRUMS else ()
    try:
        return ((find_instrument(name),),)
    except ValueError:
        return find_ensemble(name).named


def _ensemble(only: str | None, also: str | None, without: str | None) -> Ensemble:
    named = () if only is None and also is None else read_instruments(only or also or "")
    ruled_out = frozenset() if without is None else find_ensemble(f"no {without}").ruled_out | read_programs(without)
    for group in named:
        if set(group) <= ruled_out:
            raise RequestError(f"{instrument_name(group[0])} is asked for and ruled out; leave one of the two away")
    return Ensemble(named=named, ruled_out=ruled_out, open=also is not None)


def _key(text: str) -> str:
    found = find_key(f"in {_capital(text.strip())}")
    if found is None:
        raise RequestError(f"no key is called {text!r}; keys are named as in 'A minor', 'Bb major', 'F# minor'")
    return found


def _metre(text: str) -> tuple[int, int]:
    match = _METRE.fullmatch(text)
    if match is None:
        raise RequestError(f"no metre is called {text!r}; metres are written as in 4/4, 3/4 and 6/8")
    return int(match[1]), int(match[2])


def _range(text: str) -> list[PitchRange]:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise RequestError(
            f"{text!r} is no range; write INSTRUMENT:LOWEST-HIGHEST, such as 'bass:E1-C3' or 'piano:48-72'"
        )
    try:
        low, high = find_pitch(match["low"]), find_pitch(match["high"])
    except ValueError as error:
        raise RequestError(f"in the range {text!r}: {error}") from error
    return [(program, low, high) for group in read_instruments(match["names"]) for program in group]
