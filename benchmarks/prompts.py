"""Mixed prompts for the benchmarks, each with the instrument families that it names.

A family is a set of instruments (General MIDI programs, 128 = drums). Prompts without a named instrument are kept on
purpose: they count for endings and decoding, not for instruments.
"""

from __future__ import annotations

PIANO = frozenset(range(8))
MALLETS = frozenset(range(8, 16))
ORGAN = frozenset(range(16, 24))
GUITAR = frozenset(range(24, 32))
BASS = frozenset(range(32, 40))
STRINGS = frozenset(range(40, 52)) - {47}
CHOIR = frozenset(range(52, 55))
BRASS = frozenset(range(56, 64))
REED = frozenset(range(64, 72))
FLUTE = frozenset(range(72, 80))
SYNTH = frozenset({50, 51, *range(80, 104)})
HARP = frozenset({46})
DRUMS = frozenset({128})

Family = frozenset[int]

PROMPTS: tuple[tuple[str, tuple[Family, ...]], ...] = (
    ("A cheerful rock song with bright electric guitars", (GUITAR,)),
    ("A calm piano piece", (PIANO,)),
    ("A slow blues with organ and bass", (ORGAN, BASS)),
    ("A string quartet in a minor key", (STRINGS,)),
    ("Fast punk with drums and distorted guitar", (DRUMS, GUITAR)),
    ("A waltz for accordion", (frozenset({21, 23}),)),
    ("A jazz trio: piano, upright bass and drums", (PIANO, BASS, DRUMS)),
    ("Solo violin, sad and slow", (STRINGS,)),
    ("A march for brass band", (BRASS,)),
    ("A lullaby played on a music box", (MALLETS,)),
    ("Funky bass line with drums and clavinet", (BASS, DRUMS, PIANO)),
    ("A church hymn on the pipe organ", (ORGAN,)),
    ("A saxophone ballad with piano", (REED, PIANO)),
    ("A flute melody over acoustic guitar", (FLUTE, GUITAR)),
    ("Techno with a driving beat and synth lead", (DRUMS, SYNTH)),
    ("Ambient pads, very slow, dreamy", (SYNTH,)),
    ("A harp solo", (HARP,)),
    ("A bossa nova with nylon guitar", (GUITAR,)),
    ("Heavy metal with fast drums", (DRUMS,)),
    ("A baroque piece for harpsichord", (PIANO,)),
    ("An orchestral film theme with strings, horns and timpani", (STRINGS, BRASS)),
    ("A clarinet and piano duet", (REED, PIANO)),
    ("Reggae with organ, bass and drums", (ORGAN, BASS, DRUMS)),
    ("A country tune with banjo", (frozenset({105}),)),
    ("A choir singing slowly", (CHOIR,)),
    ("A tango with accordion and violin", (frozenset({21, 23}), STRINGS)),
    ("A video game tune with square wave leads", (SYNTH,)),
    ("A trumpet fanfare", (BRASS,)),
    ("Ragtime piano", (PIANO,)),
    ("A vibraphone solo over a walking bass", (MALLETS, BASS)),
    ("Disco with strings, bass and drums", (STRINGS, BASS, DRUMS)),
    ("A cello melody, melancholic", (STRINGS,)),
    ("Marimba and flute, playful", (MALLETS, FLUTE)),
    ("A pop ballad with electric piano", (PIANO,)),
    ("A drum solo", (DRUMS,)),
    ("An oboe solo with strings", (REED, STRINGS)),
    ("Folk music with acoustic guitar and fiddle", (GUITAR, STRINGS)),
    ("A latin piece with trumpet and percussion", (BRASS,)),
    ("A pan flute over soft pads", (FLUTE, SYNTH)),
    ("Surf rock with clean guitar, bass and drums", (GUITAR, BASS, DRUMS)),
    ("Something happy", ()),
    ("A dark and tense atmosphere", ()),
    ("Music for a rainy afternoon", ()),
    ("A piece in C major at 120 bpm in 4/4", ()),
    ("A waltz in 3/4", ()),
    ("very fast, very dense", ()),
    ("minimal, sparse, only a few notes", ()),
    ("Epic battle music", ()),
    ("Un vals lento y triste para piano", (PIANO,)),
    ("静かなピアノ曲", ()),
    ("x", ()),
    (
        "Play a sonata for piano and flute with a long introduction, a lively middle part and a quiet end",
        (PIANO, FLUTE),
    ),
)
