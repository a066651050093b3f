"""The voices of the built-in synthesizer: one for each General MIDI program, by family. Knows no samples.

The numbers are ours: register, envelope and role shall be right, not the instrument's own colour, for which there are
sound fonts. Levels are set so that families balance like those of a General MIDI font (docs/hearing-and-seeing.md).
"""

from __future__ import annotations

from dataclasses import replace

from midi_llm.synth.tones import Voice

_BELL = ((1.0, 1.0), (2.76, 0.4), (5.4, 0.2), (8.93, 0.1))
"""Bending modes of a bar: Fletcher and Rossing, The Physics of Musical Instruments, chapter 2."""
_TUBE = ((0.5, 0.5), (1.0, 1.0), (1.5, 0.3), (2.0, 0.6), (2.6, 0.3), (3.9, 0.15))
_MALLET = ((1.0, 1.0), (4.0, 0.25), (10.0, 0.06))
"""Bars of marimba and vibraphone are tuned so that the second mode is two octaves up (same book, chapter 19)."""
_DRUM = ((1.0, 1.0), (1.5, 0.5), (1.98, 0.25))
"""A kettledrum's preferred modes, nearly 1 : 1.5 : 2 (same book, chapter 18)."""

_PIANO = Voice(tilt=1.15, decay=7.0, top=7_000, strike=0.2, chorus=1.2, release=0.18, gain=-5)
_ORGAN = Voice(tilt=0.9, top=5_000, attack=0.015, release=0.08, chorus=2.0, gain=-6, place=-0.2)
_GUITAR = Voice(tilt=1.1, decay=4.0, top=6_000, strike=0.25, release=0.15, gain=-3, place=0.3)
_BASS = Voice(tilt=1.3, decay=4.5, top=2_200, strike=0.12, release=0.07, gain=-2)
_BOWED = Voice(tilt=1.1, top=8_000, attack=0.07, release=0.15, vibrato=14, gain=-3, place=-0.35)
_ENSEMBLE = Voice(tilt=1.2, top=7_000, attack=0.1, release=0.35, vibrato=8, chorus=9, gain=-6, place=-0.15)
_CHOIR = Voice(tilt=1.4, top=3_500, attack=0.12, release=0.35, vibrato=16, chorus=10, breath=0.02, gain=-6, place=0.1)
_BRASS = Voice(tilt=0.75, top=6_500, attack=0.035, release=0.1, vibrato=5, gain=-5, place=0.35)
_REED = Voice(tilt=0.9, top=6_000, attack=0.03, release=0.09, vibrato=10, breath=0.015, gain=-5, place=0.2)
_PIPE = Voice(tilt=2.0, top=6_000, attack=0.05, release=0.12, vibrato=12, breath=0.04, gain=-4, place=-0.25)
_LEAD = Voice(tilt=1.0, top=8_000, attack=0.008, release=0.1, vibrato=6, gain=-6)
_PAD = Voice(tilt=1.5, top=4_500, attack=0.3, release=0.7, chorus=12, gain=-7, place=0.1)
_EFFECT = Voice(tilt=1.4, top=6_000, attack=0.12, release=0.6, chorus=15, gain=-6, place=-0.3)
_PLUCKED = Voice(tilt=0.8, decay=2.5, top=8_000, strike=0.3, release=0.15, gain=-5, place=0.25)
_CHIME = Voice(partials=_BELL, decay=2.5, release=0.6, gain=-6, place=0.3)
_NOISE = Voice(partials=((1.0, 0.3),), decay=1.5, breath=1.0, attack=0.05, gain=-18)

_FAMILIES = (
    _PIANO,
    _CHIME,
    _ORGAN,
    _GUITAR,
    _BASS,
    _BOWED,
    _ENSEMBLE,
    _BRASS,
    _REED,
    _PIPE,
    _LEAD,
    _PAD,
    _EFFECT,
    _PLUCKED,
    _CHIME,
    _NOISE,
)
"""By General MIDI family."""

_OWN: dict[int, Voice] = {
    3: replace(_PIANO, chorus=14),
    4: Voice(partials=((1.0, 1.0), (2.0, 0.2), (14.0, 0.08)), decay=5.0, release=0.15, gain=-1),
    5: Voice(partials=((1.0, 1.0), (3.0, 0.25), (7.0, 0.06)), decay=4.0, release=0.15, gain=-1),
    6: replace(_PLUCKED, tilt=0.7, decay=3.5, strike=0.4),
    7: replace(_PLUCKED, tilt=0.6, decay=2.0, even=0.4, release=0.05),
    11: Voice(partials=_MALLET, decay=4.0, release=0.5, gain=-2),
    12: Voice(partials=_MALLET, decay=1.2, strike=0.15, gain=-7),
    13: Voice(partials=((1.0, 1.0), (3.0, 0.4), (9.0, 0.1)), decay=0.7, strike=0.25, gain=-8),
    14: Voice(partials=_TUBE, decay=5.0, release=1.0, gain=-4),
    15: replace(_PLUCKED, decay=3.0),
    21: replace(_REED, chorus=10),
    22: replace(_REED, vibrato=4),
    23: replace(_REED, chorus=10),
    26: replace(_GUITAR, tilt=1.6, top=3_000),
    28: replace(_GUITAR, decay=0.5, top=3_000),
    29: Voice(tilt=0.7, top=4_500, attack=0.006, decay=14.0, release=0.1, gain=-6),
    30: Voice(tilt=0.5, top=5_000, attack=0.006, chorus=4, release=0.1, gain=-8),
    31: Voice(partials=((2.0, 1.0), (4.0, 0.3)), decay=3.0, gain=-4),
    36: replace(_BASS, tilt=0.9, top=4_000, strike=0.4),
    37: replace(_BASS, tilt=0.9, top=4_000, strike=0.4),
    38: Voice(tilt=0.9, top=1_800, attack=0.006, release=0.06, gain=-3),
    39: Voice(tilt=1.0, even=0.2, top=1_500, attack=0.006, release=0.06, gain=-3),
    45: replace(_PLUCKED, tilt=1.4, decay=0.8, gain=-4),
    46: replace(_PLUCKED, tilt=1.7, decay=4.5, strike=0.1, release=0.6, gain=-2),
    47: Voice(partials=_DRUM, decay=1.6, strike=0.3, release=0.5, gain=-1),
    52: _CHOIR,
    53: replace(_CHOIR, tilt=2.0),
    54: replace(_CHOIR, chorus=14),
    55: replace(_BRASS, decay=1.2, strike=0.8, gain=0),
    71: replace(_REED, even=0.12, vibrato=3, tilt=1.0),
    80: replace(_LEAD, even=0.0),
    91: replace(_PAD, tilt=1.7, top=3_500, vibrato=12),
    108: Voice(partials=((1.0, 1.0), (5.5, 0.1)), decay=1.5, strike=0.1, gain=-2),
    109: replace(_REED, tilt=0.6, vibrato=0),
    110: _BOWED,
    111: replace(_REED, tilt=0.7),
    114: Voice(partials=((1.0, 1.0), (2.0, 0.6), (3.0, 0.2), (4.2, 0.1)), decay=1.8, gain=-3),
    115: Voice(partials=((1.0, 1.0), (2.7, 0.3)), decay=0.25, strike=0.4, gain=-6),
    116: Voice(partials=_DRUM, decay=0.9, strike=0.4, gain=-1),
    117: Voice(partials=_DRUM, decay=0.8, strike=0.25, gain=-4),
    118: Voice(partials=((1.0, 1.0), (1.6, 0.4)), decay=0.5, strike=0.3, gain=1),
}
"""Programs that differ from their family."""

VOICES: tuple[Voice, ...] = tuple(_OWN.get(program, _FAMILIES[program // 8]) for program in range(128))
"""By General MIDI program."""
