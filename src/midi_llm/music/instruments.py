"""General MIDI names: the 128 programs, the 16 families of eight, and drums (instrument 128).

Source: General MIDI System Level 1, MIDI Manufacturers Association. Numbers are 0-127 as in the file, not 1-128.
"""

from __future__ import annotations

import re

from midi_llm.music.score import DRUMS

DRUMS_NAME = "Drums"

_NAMES_BY_FAMILY: dict[str, str] = {
    "Piano": "Acoustic Grand Piano|Bright Acoustic Piano|Electric Grand Piano|Honky-tonk Piano|Electric Piano 1"
    "|Electric Piano 2|Harpsichord|Clavinet",
    "Chromatic Percussion": "Celesta|Glockenspiel|Music Box|Vibraphone|Marimba|Xylophone|Tubular Bells|Dulcimer",
    "Organ": "Drawbar Organ|Percussive Organ|Rock Organ|Church Organ|Reed Organ|Accordion|Harmonica|Tango Accordion",
    "Guitar": "Acoustic Guitar (nylon)|Acoustic Guitar (steel)|Electric Guitar (jazz)|Electric Guitar (clean)"
    "|Electric Guitar (muted)|Overdriven Guitar|Distortion Guitar|Guitar Harmonics",
    "Bass": "Acoustic Bass|Electric Bass (finger)|Electric Bass (pick)|Fretless Bass|Slap Bass 1|Slap Bass 2"
    "|Synth Bass 1|Synth Bass 2",
    "Strings": "Violin|Viola|Cello|Contrabass|Tremolo Strings|Pizzicato Strings|Orchestral Harp|Timpani",
    "Ensemble": "String Ensemble 1|String Ensemble 2|Synth Strings 1|Synth Strings 2|Choir Aahs|Voice Oohs"
    "|Synth Voice|Orchestra Hit",
    "Brass": "Trumpet|Trombone|Tuba|Muted Trumpet|French Horn|Brass Section|Synth Brass 1|Synth Brass 2",
    "Reed": "Soprano Sax|Alto Sax|Tenor Sax|Baritone Sax|Oboe|English Horn|Bassoon|Clarinet",
    "Pipe": "Piccolo|Flute|Recorder|Pan Flute|Blown Bottle|Shakuhachi|Whistle|Ocarina",
    "Synth Lead": "Lead 1 (square)|Lead 2 (sawtooth)|Lead 3 (calliope)|Lead 4 (chiff)|Lead 5 (charang)"
    "|Lead 6 (voice)|Lead 7 (fifths)|Lead 8 (bass + lead)",
    "Synth Pad": "Pad 1 (new age)|Pad 2 (warm)|Pad 3 (polysynth)|Pad 4 (choir)|Pad 5 (bowed)|Pad 6 (metallic)"
    "|Pad 7 (halo)|Pad 8 (sweep)",
    "Synth Effects": "FX 1 (rain)|FX 2 (soundtrack)|FX 3 (crystal)|FX 4 (atmosphere)|FX 5 (brightness)"
    "|FX 6 (goblins)|FX 7 (echoes)|FX 8 (sci-fi)",
    "Ethnic": "Sitar|Banjo|Shamisen|Koto|Kalimba|Bagpipe|Fiddle|Shanai",
    "Percussive": "Tinkle Bell|Agogo|Steel Drums|Woodblock|Taiko Drum|Melodic Tom|Synth Drum|Reverse Cymbal",
    "Sound Effects": "Guitar Fret Noise|Breath Noise|Seashore|Bird Tweet|Telephone Ring|Helicopter|Applause|Gunshot",
}

FAMILIES: tuple[str, ...] = tuple(_NAMES_BY_FAMILY)
"""The 16 General MIDI families; family f holds programs 8f to 8f + 7."""

PROGRAM_NAMES: tuple[str, ...] = tuple(name for names in _NAMES_BY_FAMILY.values() for name in names.split("|"))
"""The 128 General MIDI program names."""


def instrument_name(instrument: int) -> str:
    """Name of instrument 0-128 ("Drums" for 128); raises `ValueError` outside."""
    _check(instrument)
    return DRUMS_NAME if instrument == DRUMS else PROGRAM_NAMES[instrument]


def family_name(instrument: int) -> str:
    """General MIDI family of instrument 0-128 ("Drums" for 128); raises `ValueError` outside."""
    _check(instrument)
    return DRUMS_NAME if instrument == DRUMS else FAMILIES[instrument // 8]


def find_instrument(name: str) -> int:
    """Instrument 0-128 of a General MIDI name, whatever its case and punctuation; raises `ValueError` if unknown."""
    key = _key(name)
    if key not in _BY_KEY:
        raise ValueError(
            f"no General MIDI instrument is called {name!r}; names are like 'Violin', 'Synth Bass 1', 'Drums'"
        )
    return _BY_KEY[key]


def family_instruments(family: str) -> range:
    """Instruments of a family name (of `FAMILIES`, or "Drums"), any case; raises `ValueError` if unknown."""
    key = _key(family)
    if key == _key(DRUMS_NAME):
        return range(DRUMS, DRUMS + 1)
    for number, known in enumerate(FAMILIES):
        if key == _key(known):
            return range(8 * number, 8 * number + 8)
    raise ValueError(f"no General MIDI family is called {family!r}; families are: {', '.join(FAMILIES)}, {DRUMS_NAME}")


def _check(instrument: int) -> None:
    if not 0 <= instrument <= DRUMS:
        raise ValueError(f"instrument {instrument} does not exist; instruments are 0-127 and {DRUMS} for drums")


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", name.lower())


_BY_KEY = {_key(name): number for number, name in enumerate((*PROGRAM_NAMES, DRUMS_NAME))}
