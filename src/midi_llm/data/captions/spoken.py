"""How people call the 129 instruments. In: an instrument number 0-128. Out: names, true of that instrument alone.

Names are lower case, without an article, ready for a list ("guitar, bass and drums"). What several instruments
together are called ("strings", "brass") is `FAMILY_WORDS`, each with the number of members that must sound.
"""

from __future__ import annotations

from collections.abc import Mapping

from midi_llm.music.score import DRUMS

_NAMES = """
piano|grand piano|acoustic piano
piano|bright piano
electric grand piano|electric piano
honky-tonk piano|saloon piano
electric piano|rhodes|rhodes piano
electric piano|FM piano|dx electric piano
harpsichord|cembalo
clavinet|clav
celesta
glockenspiel
music box
vibraphone|vibes
marimba
xylophone
tubular bells|church bells|chimes
hammered dulcimer|dulcimer
organ|hammond organ|drawbar organ
percussive organ|jazz organ|organ
rock organ|organ
church organ|pipe organ|organ
reed organ|harmonium|organ
accordion
harmonica|mouth harp
bandoneon|tango accordion|accordion
nylon guitar|classical guitar|acoustic guitar|guitar|nylon-string guitar
acoustic guitar|steel-string guitar|folk guitar|guitar
jazz guitar|electric guitar|guitar
clean electric guitar|electric guitar|clean guitar|guitar
muted guitar|palm-muted guitar|electric guitar|guitar
overdriven guitar|electric guitar|crunchy guitar|guitar
distorted guitar|distortion guitar|heavy electric guitar|electric guitar|guitar
guitar harmonics|guitar
acoustic bass|upright bass|double bass|bass
electric bass|bass guitar|bass|fingered bass
electric bass|picked bass|bass guitar|bass
fretless bass|bass
slap bass|bass
slap bass|funky slap bass|bass
synth bass|bass
synth bass|bass
violin
viola
cello
contrabass|double bass|bowed bass
tremolo strings|strings
pizzicato strings|strings|plucked strings
harp|concert harp
timpani|kettledrums
strings|string ensemble|string section
strings|slow strings|string ensemble
synth strings|strings
synth strings|strings
choir|voices|singers
voices|vocal oohs|choir
synth voice|synth vocals
orchestra hits|orchestral stabs
trumpet
trombone
tuba
muted trumpet|trumpet
french horn|horn
brass|brass section|horn section
synth brass|brass
synth brass|brass
soprano sax|saxophone|soprano saxophone
alto sax|saxophone|sax|alto saxophone
tenor sax|saxophone|sax|tenor saxophone
baritone sax|bari sax|saxophone
oboe
english horn|cor anglais
bassoon
clarinet
piccolo
flute
recorder
pan flute|panpipes
blown bottle|bottle
shakuhachi|bamboo flute
whistle|tin whistle
ocarina
square lead|synth lead|chiptune lead|square wave
saw lead|synth lead|sawtooth lead
calliope lead|synth lead
chiff lead|synth lead
charang lead|synth lead
voice lead|synth lead
fifths lead|synth lead
bass and lead synth|synth lead
new age pad|synth pad|pad
warm pad|synth pad|pad
polysynth|polysynth pad|synth pad
choir pad|synth pad|pad
bowed pad|synth pad|pad
metallic pad|synth pad|pad
halo pad|synth pad|pad
sweep pad|synth pad|pad
rain synth|synth effects
soundtrack synth|synth effects
crystal synth|synth effects
atmosphere synth|atmospheric synth
brightness synth|synth effects
goblins synth|synth effects
echo synth|synth effects
sci-fi synth|synth effects
sitar
banjo
shamisen
koto
kalimba|thumb piano
bagpipes
fiddle
shehnai|shanai
tinkle bell|bells
agogo|agogo bells
steel drums|steel pan
woodblock
taiko drums|taiko
toms|melodic toms
synth drums|electronic toms
reverse cymbal
fret noise|guitar fret noise
breath noise
ocean waves|seashore sounds
birdsong|bird tweets
telephone ring
helicopter sounds
applause
gunshots
drums|drum kit|drum set|percussion
"""

SPOKEN: tuple[tuple[str, ...], ...] = tuple(tuple(line.split("|")) for line in _NAMES.strip().splitlines())
"""SPOKEN[instrument] = its names, the most usual first."""

FAMILY_WORDS: Mapping[str, tuple[frozenset[int], int]] = {
    "strings": (frozenset({40, 41, 42, 43, 44, 45, 48, 49}), 2),
    "orchestral strings": (frozenset({40, 41, 42, 43, 44, 45, 48, 49}), 3),
    "woodwinds": (frozenset(range(68, 76)), 2),
    "brass": (frozenset(range(56, 62)), 2),
    "saxophones": (frozenset(range(64, 68)), 2),
    "guitars": (frozenset(range(24, 31)), 2),
    "electric guitars": (frozenset(range(26, 31)), 2),
    "synths": (frozenset({38, 39, 50, 51, 62, 63, *range(80, 104)}), 2),
    "mallets": (frozenset({9, 11, 12, 13}), 2),
}
"""Family word -> its members and how many of them must sound."""

SECTIONS = frozenset({44, 45, *range(48, 56), 61, 62, 63, *range(88, 104), *range(119, 128)})
"""Many players, or no player at all: not counted as one member of a duo or a quartet."""

SINGLE_LINE = frozenset({*range(40, 44), *range(56, 61), *range(64, 80), 22, 110, 111})
"""Instruments of one line: alone and in chords, more than one of them plays."""

PERCUSSION = frozenset({47, *range(112, 120), DRUMS})
"""Where one of these sounds, "no drums" is not said."""

_MASS = frozenset({"brass", "percussion", "timpani", "applause", "birdsong", "taiko", "breath noise", "fret noise"})

ABBREVIATED: Mapping[str, str] = {
    "piano": "pno", "guitar": "gtr", "electric guitar": "e-gtr", "acoustic guitar": "ac gtr", "violin": "vln",
    "viola": "vla", "cello": "vc", "flute": "fl", "clarinet": "cl", "oboe": "ob", "bassoon": "bsn", "trumpet": "tpt",
    "trombone": "tbn", "french horn": "hn", "percussion": "perc", "drums": "drs", "strings": "str", "organ": "org",
    "vibraphone": "vibes", "harpsichord": "hpsd",
}  # fmt: skip
"""What musicians write in a hurry."""


def is_plural(name: str) -> bool:
    """Whether `name` takes a plural verb and no article: "strings", "drums", not "bass" and not "brass"."""
    return name.endswith("s") and not name.endswith(("bass", "brass"))


def takes_article(name: str) -> bool:
    """Whether "a" may stand before `name`."""
    return not (is_plural(name) or name in _MASS or name.endswith("brass"))


def attributive(name: str) -> str:
    """`name` before a noun: "drum" of "drums" in "drum groove"."""
    return name[:-1] if is_plural(name) and name not in {"vibes", "rhodes"} else name
