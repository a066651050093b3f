"""Words for what is measured: tempo, key, metre, density, length, register, texture, dynamics, touch, form, ending.

In: nothing. Out: `Wording` tables and the limits between which they hold. "Measured" percentiles are those of 250
windows of up to 680 notes from the open corpus, its sources weighted as in training.
"""

from __future__ import annotations

import math

from midi_llm.data.captions.grammar import Wording
from midi_llm.music.features import DENSE_FROM, SPARSE_BELOW

TEMPO = Wording(
    before=("{bpm} bpm", "{bpm}bpm"),
    after=("at {bpm} bpm", "at {bpm} BPM", "at around {near} bpm", "at about {near} bpm", "with a tempo of {bpm} bpm",
           "at a tempo of {bpm} bpm", "at {bpm} beats per minute"),
    tag=("{bpm} bpm", "{bpm} BPM", "{bpm}bpm", "tempo {bpm}", "tempo: {bpm} bpm", "around {near} bpm", "~{near} bpm",
         "bpm {bpm}", "quarter = {bpm}"),
    sentence=("the tempo is {bpm} bpm", "{it} moves at {bpm} bpm", "the tempo is around {near} beats per minute",
              "{it} is played at {bpm} bpm", "the tempo stays at {bpm} bpm"),
    short=("{bpm}bpm", "{bpm} bpm", "{bpm}"),
)  # fmt: skip
"""`near` is the nearest multiple of 5."""

SLOW_BELOW, MODERATE, FAST_ABOVE = 84.0, (88.0, 112.0), 112.0
SLOW = Wording(
    before=("slow", "slow-paced", "slow-tempo", "down-tempo", "unhurried"),
    after=("at a slow tempo", "at a slow pace", "with a slow tempo", "played slowly"),
    tag=("slow", "slow tempo", "downtempo", "take it slow"),
    sentence=("the tempo is slow", "{it} moves slowly", "{it} takes its time"),
    short=("slow",),
)
MODERATE_PACE = Wording(
    before=("mid-tempo", "medium-tempo", "moderately paced"),
    after=("at a moderate tempo", "at a medium tempo", "at a moderate pace"),
    tag=("mid-tempo", "medium tempo", "moderate tempo"),
    sentence=("the tempo is moderate", "{it} keeps a moderate pace"),
    short=("mid tempo", "medium"),
)
FAST = Wording(
    before=("fast", "uptempo", "fast-paced", "up-tempo", "quick"),
    after=("at a fast tempo", "at a quick pace", "with a fast tempo", "played fast"),
    tag=("fast", "uptempo", "fast tempo", "quick tempo"),
    sentence=("the tempo is fast", "{it} moves quickly", "{it} keeps a fast pace"),
    short=("fast", "uptempo"),
)
ITALIAN_PACES: tuple[tuple[str, float, float], ...] = (
    ("largo", 40, 60), ("larghetto", 60, 66), ("adagio", 66, 76), ("andante", 76, 108), ("moderato", 108, 120),
    ("allegro", 120, 168), ("presto", 168, 200),
)  # fmt: skip
"""The ranges printed on metronomes, from the first bpm on, below the second."""
ITALIAN = Wording(
    after=("played {word}", "marked {word}", "{word}"),
    tag=("{word}", "{word} tempo", "tempo: {word}"),
    sentence=("the tempo marking is {word}", "{it} is marked {word}"),
    short=("{word}",),
)

KEY = Wording(
    before=("{key}",),
    after=("in {key}", "in the key of {key}", "in {spelled}"),
    tag=("{key}", "key of {key}", "key: {key}", "in {key}", "{spelled}"),
    sentence=("{it} is in {key}", "the key is {key}", "{it} is written in {spelled}"),
    short=("{symbol}", "{symbol}", "{key}"),
)
MODE = Wording(
    before=("{mode}-key",),
    after=("in a {mode} key",),
    tag=("{mode} key", "{mode}", "{mode} mode"),
    sentence=("{it} is in a {mode} key", "the key is a {mode} one"),
    short=("{mode}", "{mode} key"),
)
USUAL_MINOR = {"Db": "C#", "Gb": "F#", "Ab": "G#"}
OTHER_MAJOR = {"Gb": "F#", "F#": "Gb", "Db": "C#"}

METRE = Wording(
    before=("{metre}",),
    after=("in {metre}", "in {metre} time", "with a {metre} time signature", "in {words} time"),
    tag=("{metre}", "{metre} time", "time signature {metre}", "{words} time", "metre {metre}"),
    sentence=("the time signature is {metre}", "{it} is in {metre} time", "{it} is in {words}"),
    short=("{metre}",),
)
WALTZ_TIME = Wording(
    before=("waltz-time",), after=("in waltz time", "in triple time"), tag=("waltz time", "triple time"),
    sentence=("{it} is in waltz time", "{it} counts in three"), short=("in 3", "waltz time"),
)  # fmt: skip
NUMBER_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip

DENSITY: tuple[tuple[float, float, Wording], ...] = (
    (0.0, 3.0, Wording(
        before=("very sparse", "minimal", "very simple and sparse", "extremely sparse"),
        after=("with very few notes", "that is almost empty", "with hardly any notes"),
        tag=("very sparse", "with very few notes", "minimal", "very simple and sparse", "almost empty"),
        sentence=("the texture is very sparse", "there are very few notes", "{it} is almost empty"),
    )),
    (0.0, SPARSE_BELOW, Wording(
        before=("sparse", "simple and sparse", "minimalist", "uncluttered"),
        after=("with few notes", "with a lot of space", "with a sparse texture", "with lots of room between the notes"),
        tag=("sparse", "few notes", "simple and sparse", "minimalist", "with a lot of space", "lots of space"),
        sentence=("the texture is sparse", "there are few notes and a lot of space", "{it} uses few notes"),
    )),
    (5.5, 9.0, Wording(
        before=("moderately busy", "medium-density"),
        after=("with a moderate number of notes", "with a medium density"),
        tag=("moderately busy", "with a moderate number of notes", "medium density", "not too busy"),
        sentence=("the texture is moderately busy", "there is a moderate number of notes"),
    )),
    (DENSE_FROM, math.inf, Wording(
        before=("dense", "busy", "busy and full", "densely scored"),
        after=("with many notes", "with a busy arrangement", "with lots of notes", "with a dense texture"),
        tag=("dense", "with many notes", "busy", "busy and full", "a busy arrangement", "many notes", "lots of notes"),
        sentence=("the arrangement is busy", "the texture is dense", "there are many notes"),
    )),
    (13.0, math.inf, Wording(
        before=("very dense", "extremely busy", "very busy"),
        after=("with very many notes", "packed with notes", "with a very dense texture"),
        tag=("very dense", "with very many notes", "extremely busy", "packed with notes", "virtuosic and dense"),
        sentence=("the texture is very dense", "{it} is packed with notes", "the arrangement is extremely busy"),
    )),
)  # fmt: skip
"""What may be said from and below which `relative_density` (measured over training windows, docs/log.md 2026-11-24:
the 20th percentile is 4.5, the median 7.3, the 80th percentile 10.8)."""

SECONDS = Wording(
    before=("{n}-second",),
    after=("lasting around {n} seconds", "that lasts about {n} seconds", "about {n} seconds long"),
    tag=("{n} seconds", "about {n} seconds", "around {n} seconds long", "{n} sec", "length: {n} seconds"),
    sentence=("{it} lasts about {n} seconds", "{it} is roughly {n} seconds long"),
    short=("{n}s", "~{n} sec"),
)
"""`n` is the nearest multiple of 5."""
ROUND_LENGTHS: tuple[tuple[float, float, str], ...] = (
    (27, 33, "half a minute"), (56, 65, "a minute"), (85, 95, "a minute and a half"), (112, 128, "two minutes"),
)  # fmt: skip
ROUND_LENGTH = Wording(
    after=("lasting about {text}", "that lasts about {text}"), tag=("about {text}", "around {text} long"),
    sentence=("{it} lasts about {text}",),
)  # fmt: skip
BARS = Wording(
    before=("{n}-bar",), after=("over {n} bars", "{n} bars long", "that is {n} bars long"),
    tag=("{n} bars", "{n} bars long"),
    sentence=("{it} is {n} bars long", "{it} runs for {n} bars"), short=("{n} bars",),
)  # fmt: skip

LOW_BELOW, HIGH_ABOVE = 53.0, 66.0
"""Mean MIDI pitch; measured: the 10th percentile is 52.8, the 90th 66.0."""
LOW = Wording(
    before=("low-pitched", "low-register"), after=("in a low register", "in the low register", "played low"),
    tag=("low register", "low-pitched", "low notes"), sentence=("{it} stays in a low register",),
)  # fmt: skip
HIGH = Wording(
    before=("high-pitched", "high-register"), after=("in a high register", "in the high register", "played high up"),
    tag=("high register", "high-pitched", "high notes"), sentence=("{it} stays in a high register",),
)  # fmt: skip

MONOPHONIC_BELOW, FULL_ABOVE, CHORDAL_ABOVE = 1.05, 7.2, 3.5
"""Mean number of melodic notes at once; measured: 2nd percentile 1.7, median 5.0, 80th percentile 7.3."""
MONOPHONIC = Wording(
    before=("monophonic", "single-line"), after=("with a single melodic line", "with one note at a time"),
    tag=("monophonic", "single line", "one note at a time", "no chords"),
    sentence=("there is only a single melodic line", "the melody is monophonic"),
)  # fmt: skip
CHORDAL = Wording(
    before=("chordal",), after=("in full chords", "played in chords"),
    tag=("chordal", "full chords", "block of chords"),
    sentence=("the texture is chordal", "{it} is played in chords"),
)  # fmt: skip
FULL = Wording(
    before=("full-sounding", "richly layered"), after=("with thick harmonies", "with a full, layered sound"),
    tag=("thick harmonies", "layered", "full sound"), sentence=("many notes sound together", "the harmonies are thick"),
)  # fmt: skip

QUIET_BELOW, LOUD_ABOVE, CHANGE = 65.0, 92.0, 15.0
"""Mean MIDI velocity; measured over pieces: the 10th percentile is 65, the 90th 92. Change: one dynamic mark (p to
mp) is about 16 steps of velocity."""
QUIET = Wording(
    before=("quiet", "soft"), after=("played softly", "played quietly"), tag=("quiet", "soft", "played softly"),
    sentence=("{it} is played softly", "the dynamics stay soft"),
)  # fmt: skip
LOUD = Wording(
    before=("loud",), after=("played loudly", "at a loud volume"), tag=("loud", "played loudly", "forte"),
    sentence=("{it} is played loudly", "the dynamics are loud"),
)  # fmt: skip
GROWING = Wording(
    after=("that gets louder", "with a crescendo", "that grows in volume"),
    tag=("crescendo", "getting louder", "growing louder"),
    sentence=("{it} grows louder towards the end", "{it} gets louder as it goes"),
)  # fmt: skip
FADING = Wording(
    after=("that gets quieter", "with a diminuendo"), tag=("diminuendo", "getting quieter"),
    sentence=("{it} gets quieter as it goes", "{it} grows softer towards the end"),
)  # fmt: skip

SHORT_BELOW, BOUND = 0.5, (0.95, 1.1)
"""Duration over time to the next onset (`Facts.staccato`)."""
STACCATO = Wording(
    before=("staccato",), after=("with short notes", "played staccato"), tag=("staccato", "short notes", "detached"),
    sentence=("the notes are short and detached", "{it} is played staccato"),
)  # fmt: skip
LEGATO = Wording(
    before=("legato",), after=("played legato", "with notes that flow into each other"), tag=("legato",),
    sentence=("{it} is played legato", "the notes flow into each other"),
)  # fmt: skip

REPETITIVE_ABOVE = 0.6
REPETITIVE = Wording(
    before=("repetitive", "loop-based", "looping"), after=("with a lot of repetition", "built on a repeating pattern"),
    tag=("repetitive", "loop", "looping", "repeating pattern"),
    sentence=("{it} repeats its patterns", "most bars repeat", "{it} is built on repetition"),
)  # fmt: skip

SWUNG_ABOVE, STRAIGHT_BELOW = 1.5, 1.1
SWUNG = Wording(
    before=("swung", "swinging"), after=("with a swing feel", "with swung eighths", "with a shuffle feel"),
    tag=("swing feel", "swung", "swung eighths", "shuffle feel"),
    sentence=("the eighth notes are swung", "{it} has a swing feel"),
    short=("swung 8ths", "swing"),
)  # fmt: skip
STRAIGHT = Wording(
    before=("straight-eighth",), after=("with a straight feel", "with straight eighths"),
    tag=("straight feel", "straight eighths", "no swing"),
    sentence=("the eighth notes are straight", "{it} has a straight feel"), short=("straight 8ths", "straight"),
)  # fmt: skip

WHOLE = Wording(
    before=("complete",), after=("from beginning to end", "with a beginning and an ending"),
    tag=("complete piece", "start to finish"),
    sentence=("{it} is complete, from beginning to end",),
)  # fmt: skip
OPENING = Wording(
    after=("that starts from the top", "starting from the very beginning", "from the start of the piece"),
    tag=("intro", "opening", "the beginning"),
    sentence=("{it} starts from the very beginning", "these are the opening bars"), short=("intro",),
)  # fmt: skip
ENDING = Wording(
    after=("with an ending", "that comes to an end", "with a proper ending", "that ends properly"),
    tag=("with an ending", "ending", "outro", "has an ending"),
    sentence=("{it} comes to an end", "{it} has a proper ending"),
    short=("outro", "w/ ending"),
)  # fmt: skip

NO_DRUMS = Wording(
    before=("drumless",), after=("without drums", "with no drums"),
    tag=("no drums", "without drums", "drumless", "no percussion"),
    sentence=("there are no drums", "{it} has no drums"), short=("no drums",),
)  # fmt: skip
COUNT = Wording(
    after=("for {words} instruments", "with {words} different instruments"),
    tag=("{words} instruments", "{n} instruments"),
    sentence=("{words} instruments play", "there are {words} instruments"),
    short=("{n} instruments",),
)  # fmt: skip
LOOP_CHORDS = Wording(
    after=("based on {listed}", "over a loop of {listed}", "over {plain}"),
    tag=("{dashed}", "chords: {plain}", "chords {dashed}", "{plain} loop"),
    sentence=("the chords {listed} repeat throughout", "the chord progression is {listed}",
    "{it} loops the chords {listed}"),
    short=("{dashed}",),
)  # fmt: skip
PASSING_CHORDS = Wording(
    after=("with the chords {listed}", "that moves through {listed}", "with the progression {plain}"),
    tag=("with {dashed} in it", "chords like {plain}", "progression: {dashed}"),
    sentence=("the chords {listed} follow each other", "{it} moves through the chords {listed}",
              "the progression includes {listed}"),
    short=("w/ {dashed}",),
)  # fmt: skip
"""Somewhere in the window, in this order."""
ONE_CHORD = Wording(
    after=("on a single chord, {plain}",), tag=("one chord: {plain}", "{plain} vamp"),
    sentence=("{it} stays on a {plain} chord",),
)  # fmt: skip
FORM = Wording(
    after=("in {form} form", "with the form {form}"), tag=("{form} form", "form: {form}"),
    sentence=("the form is {form}",),
    short=("{form}",),
)  # fmt: skip
PERIOD = Wording(
    before=("{period}-era",), after=("from the {period} era", "in {period} style"),
    tag=("{period} era", "{period} period"),
    sentence=("{it} belongs to the {period} era",),
)  # fmt: skip
CENTURY = Wording(
    before=("{period}",), after=("from the {period}", "in a {period} style"), tag=("{period}",),
    sentence=("{it} is {period} music",),
)  # fmt: skip
SURNAME_STYLE = ("{name}-like", "{name}-style")
"""Before a noun; for composers known by one name."""
COMPOSER = Wording(
    after=("in the style of {name}", "like {name}", "in the manner of {name}"),
    tag=("in the style of {name}", "{name} style", "à la {name}", "style: {name}"),
    sentence=("the style is that of {name}", "{it} is in the style of {name}"), short=("{name}", "{name} style"),
)  # fmt: skip
