"""Reads a caption back: what does it claim, and is that true of the facts? Independent of the writer's tables.

Every claim that is understood is blanked out of the text, longest wording first, so that "no drums" is not read as
"drums" and "very dense" not as "dense". Numbers that nothing explains must be the tempo.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from midi_llm.data.facts import Facts

PITCH = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
BOWED, WINDS, BRASS = {40, 41, 42, 43, 44, 45, 48, 49}, set(range(68, 76)), set(range(56, 62))
SYNTH = {38, 39, 50, 51, 62, 63, *range(80, 104)}

INSTRUMENTS: dict[str, set[int]] = {
    r"(?:honky-tonk|saloon) piano": {3}, r"electric grand piano": {2},
    r"electric piano|rhodes(?: piano)?|fm piano": {2, 4, 5},
    r"(?:grand |acoustic |bright )?piano|pno": {0, 1}, r"harpsichord|cembalo|hpsd": {6}, r"clavinet|clav": {7},
    r"celesta": {8},
    r"glockenspiel": {9}, r"music box": {10}, r"vibraphone|vibes": {11}, r"marimba": {12}, r"xylophone": {13},
    r"tubular bells?|church bells?|chimes?": {14}, r"(?:hammered )?dulcimer": {15}, r"(?:church|pipe) organ": {19},
    r"(?:hammond |drawbar |percussive |jazz |rock |reed )?organ|org": {16, 17, 18, 19, 20}, r"harmonium": {20},
    r"tango accordion|bandoneon": {23}, r"accordion": {21, 23}, r"harmonica|mouth harp": {22},
    r"(?:nylon|classical|nylon-string) guitar": {24}, r"acoustic guitar|ac gtr": {24, 25},
    r"(?:steel-string|folk) guitar": {25}, r"jazz guitar": {26}, r"clean (?:electric )?guitar": {27},
    r"(?:palm-)?muted guitar": {28}, r"(?:overdriven|crunchy) guitar": {29},
    r"(?:distorted|distortion|heavy electric) guitar": {30}, r"electric guitars?|e-gtr": set(range(26, 31)),
    r"guitar harmonics": {31}, r"guitar fret noise|fret noise": {120}, r"guitars?|gtr": set(range(24, 32)),
    r"(?:acoustic|upright) bass": {32}, r"double bass": {32, 43}, r"contrabass|bowed bass": {43},
    r"electric bass|bass guitar": {33, 34}, r"(?:picked|fingered) bass": {33, 34}, r"fretless bass": {35},
    r"(?:funky )?slap bass": {36, 37}, r"synth bass": {38, 39}, r"bass and lead synth": {87},
    r"bass": set(range(32, 40)),
    r"violin|vln": {40}, r"viola|vla": {41}, r"cello|vc": {42}, r"tremolo strings?": {44},
    r"(?:pizzicato|plucked) strings?": {45}, r"(?:concert )?harp": {46}, r"timpani|kettledrums?": {47},
    r"synth strings?": {50, 51}, r"string quartet": {40, 41, 42}, r"orchestral strings?": BOWED,
    r"(?:slow )?strings?(?: ensemble| section)?|str": BOWED | {50, 51},
    r"choir|singers?|voices?|vocal oohs?": {52, 53},
    r"synth voice|synth vocals?": {54}, r"orchestra hits?|orchestral stabs?": {55}, r"muted trumpet": {59},
    r"trumpet|tpt": {56, 59}, r"trombone|tbn": {57}, r"tuba": {58}, r"english horn|cor anglais": {69},
    r"(?:french )?horn|hn": {60},
    r"horn section": {61}, r"horns?": BRASS | set(range(64, 68)), r"synth brass": {62, 63},
    r"brass(?: section)?": BRASS | {62, 63},
    r"soprano sax(?:ophone)?": {64}, r"alto sax(?:ophone)?": {65}, r"tenor sax(?:ophone)?": {66},
    r"(?:baritone|bari) sax(?:ophone)?": {67}, r"sax|saxophones?": set(range(64, 68)), r"oboe|ob": {68},
    r"bassoon|bsn": {70},
    r"clarinet|cl": {71}, r"woodwinds?": WINDS, r"piccolo": {72}, r"pan flute|panpipes?": {75},
    r"bamboo flute|shakuhachi": {77},
    r"flute|fl": {73}, r"recorder": {74}, r"(?:blown )?bottle": {76}, r"(?:tin )?whistle": {78}, r"ocarina": {79},
    r"(?:square|chiptune) lead|square wave": {80}, r"saw(?:tooth)? lead": {81},
    r"(?:synth|calliope|chiff|charang|voice|fifths) lead": set(range(80, 88)),
    r"polysynth(?: pad)?": {90},
    r"(?:synth |warm |new age |choir |bowed |metallic |halo |sweep )?pad": set(range(88, 96)),
    r"synth effects?|(?:rain|soundtrack|crystal|atmosph\w+|brightness|goblins|echo|sci-fi) synth": set(range(96, 104)),
    r"synth drums?|electronic toms?": {118}, r"synths?": SYNTH, r"mallets?": {9, 11, 12, 13}, r"sitar": {104},
    r"banjo": {105},
    r"shamisen": {106}, r"koto": {107}, r"kalimba|thumb piano": {108}, r"bagpipes?": {109}, r"fiddle": {110},
    r"she?h?a?nai": {111},
    r"tinkle bell|bells": {112}, r"agogo(?: bells?)?": {113}, r"steel (?:drums?|pan)": {114}, r"woodblock": {115},
    r"taiko(?: drums?)?": {116}, r"(?:melodic )?toms?": {117}, r"reverse cymbal": {119}, r"breath noise": {121},
    r"ocean waves?|seashore sounds?": {122}, r"bird(?:song| tweets?)": {123}, r"telephone ring": {124},
    r"helicopter sounds?": {125}, r"applause": {126}, r"gunshots?": {127},
    r"drums?(?: kit| set)?|drs|percussion|perc": {128},
}  # fmt: skip
"""Words -> programs of which one must sound."""

AT_LEAST = {r"orchestral strings": (BOWED, 3), r"woodwinds": (WINDS, 2), r"guitars": (set(range(24, 31)), 2),
            r"saxophones": (set(range(64, 68)), 2), r"synths": (SYNTH, 2)}  # fmt: skip
MOODS = [
    "sad",
    "dark",
    "calm",
    "energetic",
    "romantic",
    "warm",
    "groovy",
    "epic",
    "heroic",
    "cheerful",
    "peaceful",
    "melancholic",
    "tense",
    "joyful",
    "bright",
]
GENRES = [
    "rock",
    "jazz",
    "waltz",
    "baroque",
    "sonata",
    "techno",
    "hymn",
    "blues",
    "funk",
    "ambient",
    "metal",
    "tango",
    "folk",
]
ITALIAN = {"largo": (40, 60), "larghetto": (60, 66), "adagio": (66, 76), "andante": (76, 108), "moderato": (108, 120),
           "allegro": (120, 168), "presto": (168, 200)}  # fmt: skip
COUNTS = {"duo": 2, "trio": 3, "quartet": 4, "quintet": 5, "sextet": 6}
CHORD = r"[A-G][#b]?(?:maj7|m7b5|m7|m|dim|aug|sus4|7)?(?![\w#])"


def _felt(facts: Facts) -> tuple[float, float]:
    """Slowest and fastest reading of the tempo: quarters, or the beats of the metre."""
    bpm, (numerator, denominator) = facts.bpm or 0.0, facts.metre or (4, 4)
    beats = {2: bpm / 2, 4: bpm, 8: bpm / 1.5 if numerator in (6, 9, 12) else bpm * 2, 16: bpm * 4}[denominator]
    return min(bpm, beats), max(bpm, beats)


def _near(value: float | None, said: float, by: float) -> bool:
    return value is not None and abs(value - said) <= by


WORDS: list[tuple[str, Callable[[Facts], bool]]] = [
    (r"very sparse|extremely sparse|very few notes|hardly any notes|minimal\b|very simple and sparse|almost empty",
     lambda f: f.relative_density < 3),
    (r"sparse|few notes|simple and sparse|minimalist|a lot of space|lots of (?:space|room)|uncluttered",
     lambda f: f.relative_density < 4.5),
    (r"moderately busy|moderate number of notes|medium[- ]density|not too busy",
    lambda f: 5.5 <= f.relative_density < 9),
    (r"very dense|very many notes|extremely busy|very busy|packed with notes|virtuosic and dense",
     lambda f: f.relative_density >= 13),
    (r"dense(?:ly)?|busy|many notes|lots of notes", lambda f: f.relative_density >= 10),
    (r"slow(?:ly|-paced|-tempo)?|down-?tempo|unhurried|takes its time",
     lambda f: f.bpm is not None and _felt(f)[1] < 84),
    (r"fast(?:-paced)?|up-?tempo|quick(?:ly)?|\bup\b", lambda f: f.bpm is not None and _felt(f)[0] > 112),
    (r"mid[- ]tempo|medium[- ]tempo|moderate(?:ly)?(?: tempo| paced?)?|\bmedium\b",
     lambda f: f.bpm is not None and _felt(f)[0] >= 88 and _felt(f)[1] <= 112),
    (r"waltz[- ]time|triple time|counts in three|in 3\b", lambda f: f.metre == (3, 4)),
    (r"no swing|straight(?:-eighths?)?(?: feel| eighths| 8ths)?", lambda f: f.swing is not None and f.swing < 1.1),
    (r"swung|swinging|swing feel|shuffle feel|\bswing\b", lambda f: f.swing is not None and f.swing > 1.5),
    (r"(?:no|without|with no) (?:drums|percussion)|drumless",
    lambda f: not {47, 128, *range(112, 120)} & set(f.instruments)),
    (r"solo|unaccompanied|a cappella", lambda f: len(f.instruments) == 1),
    (r"orchestral? piece", lambda f: len(f.instruments) >= 7),
    (r"\bband piece", lambda f: len(f.instruments) >= 3 and 128 in f.instruments),
    (r"low[- ](?:register|pitched|notes)|played low", lambda f: f.mean_pitch is not None and f.mean_pitch < 53),
    (r"high[- ](?:register|pitched|notes)|high up", lambda f: f.mean_pitch is not None and f.mean_pitch > 66),
    (r"loop of|loops the chords|repeat throughout|chord progression is|vamp|stays on|single chord|one chord",
     lambda f: _is_loop(f) and len(f.chords) == f.bars),
    (r"monophonic|single(?:[- ]| melodic )line|one note at a time|no chords", lambda f: f.polyphony <= 1.05),
    (r"chordal|full chords|in chords|block of chords", lambda f: f.polyphony >= 3.5 and len(f.instruments) == 1),
    (r"thick harmonies|harmonies are thick|layered|full[- ]sound(?:ing)?|many notes sound together",
    lambda f: f.polyphony >= 7.2),
    (r"gets? louder|getting louder|grow(?:s|ing) (?:louder|in volume)|crescendo",
    lambda f: (f.velocity_change or 0) > 15),
    (r"gets? quieter|getting quieter|grows softer|diminuendo", lambda f: (f.velocity_change or 0) < -15),
    (r"\bquiet\b|quietly|\bsoft(?:ly)?\b", lambda f: f.mean_velocity is not None and f.mean_velocity < 65),
    (r"\bloud(?:ly)?\b|\bforte\b", lambda f: f.mean_velocity is not None and f.mean_velocity > 92),
    (r"staccato|short notes|detached|short and detached", lambda f: f.staccato is not None and f.staccato < 0.5),
    (r"legato|flow into each other", lambda f: f.staccato is not None and 0.95 <= f.staccato <= 1.1),
    (r"(?:without literal|no) repetition|no repeats|no bar (?:repeats|is repeated)|ever-changing",
    lambda f: f.repeats == 0.0),
    (r"repetitive|loop-based|looping|repetition|repeating pattern|repeats its patterns|bars repeat|\bloop\b(?! of)",
     lambda f: (f.repeats or 0) > 0.6 or _is_loop(f)),
    (r"complete|start to finish|beginning (?:to|and an) end(?:ing)?", lambda f: f.is_opening and f.is_ending),
    (r"\bending|outro|comes to an end|ends properly", lambda f: f.is_ending),
    (r"\bintro\b|\bopening(?: bars)?\b(?! chords)|very beginning|the beginning", lambda f: f.is_opening),
    (r"half a minute", lambda f: _near(f.seconds, 30, 3)), (r"a minute and a half", lambda f: _near(f.seconds, 90, 5)),
    (r"two minutes", lambda f: _near(f.seconds, 120, 8)), (r"a minute\b", lambda f: _near(f.seconds, 60, 5)),
    *[(rf"{word}\b", lambda f, n=n: len(f.instruments) == n or "quartet" in f.ensemble) for word, n in COUNTS.items()],
    *[(rf"\b{mood}\b", lambda f, m=mood: m in f.moods) for mood in MOODS],
    *[(rf"\b{genre}\b", lambda f, g=genre: any(g in have for have in f.genres)) for genre in GENRES],
    *[(rf"\b{word}\b",
    lambda f, lh=limits: f.bpm is not None and lh[0] <= f.bpm < lh[1]) for word, limits in ITALIAN.items()],
    *[(rf"\b(?:{words})\b", lambda f, w=words: sum(p in AT_LEAST[w][0] for p in f.instruments) >= AT_LEAST[w][1])
      for words in AT_LEAST],
    *[(rf"(?<![\w-])(?:{words})(?![\w-])", lambda f, p=programs: bool(p & set(f.instruments)))
      for words, programs in INSTRUMENTS.items()],
]  # fmt: skip


def _is_loop(facts: Facts) -> bool:
    return any(2 * p <= len(facts.chords) and all(c == facts.chords[i % p] for i, c in enumerate(facts.chords))
               for p in range(1, 13))  # fmt: skip


def _number(text: str) -> int:
    return int(text) if text.isdigit() else NUMBERS.index(text)


def _key(match: re.Match[str], facts: Facts) -> bool:
    letter, accidental, mode = match.group(1), match.group(2) or "", match.group(3).lower()
    shift = 1 if accidental.strip(" -") in {"#", "sharp"} else -1 if accidental.strip(" -") in {"b", "flat"} else 0
    return facts.key is not None and (_pitch(letter.upper(), shift), mode[:3]) == _parse_key(facts.key)


def _pitch(letter: str, shift: int) -> int:
    return (PITCH[letter] + shift) % 12


def _parse_key(key: str) -> tuple[int, str]:
    root, mode = key.split()
    return _pitch(root[0], root.count("#") - root.count("b")), mode[:3]


def _chords(match: re.Match[str], facts: Facts) -> bool:
    said = re.findall(CHORD, match.group())
    have = [c for i, c in enumerate(facts.chords) if i == 0 or c != facts.chords[i - 1]]

    def holds(names: list[str]) -> bool:
        return any(have[i : i + len(names)] == names for i in range(len(have)))

    return holds(said) or any(
        holds(rest) and _symbol(key, facts) for key, rest in ((said[0], said[1:]), (said[-1], said[:-1]))
    )


def _symbol(name: str, facts: Facts) -> bool:
    root = name.rstrip("maj")
    mode = "min" if name.endswith("m") else "maj"
    return facts.key is not None and (_pitch(root[0], root.count("#") - root[1:].count("b")), mode) == _parse_key(
        facts.key
    )


SEPARATED = r"(?:\s*[-|,]\s*|\s+and\s+|\s+)"
PATTERNS: list[tuple[str, int, Callable[[re.Match[str], Facts], bool]]] = [
    (rf"(?<!\w){CHORD}(?:{SEPARATED}{CHORD})+(?! major| minor|-flat|-sharp| flat| sharp)", 0, _chords),
    (rf"(?:[Oo]ne chord: |single chord, |on an? )({CHORD})|({CHORD}) vamp", 0,
     lambda m, f: set(f.chords) == {m.group(1) or m.group(2)}),
    (r"\b([A-G](?:#|b)?(?:m|maj))(?![\w#])", 0, lambda m, f: _symbol(m.group(1), f)),
    (r"\b(major|minor)[- ](?:key|mode)\b|\bkey is a (major|minor) one", re.I,
     lambda m, f: f.key is not None and f.key.split()[1] == (m.group(1) or m.group(2)).lower()),
    (r"\b([a-g])(#|b|[ -]flat|[ -]sharp)? (major|minor)\b", re.I, _key),
    (r"\b(major|minor)\b", re.I, lambda m, f: f.key is not None and f.key.split()[1] == m.group(1).lower()),
    (r"(?:around|about|roughly|~) ?(\d+) ?(?:bpm|beats per minute)", re.I,
    lambda m, f: _near(f.bpm, int(m.group(1)), 2.51)),
    (r"(\d+) ?(?:bpm|beats per minute)|(?<![\w-])tempo:? (\d+)(?![/\d-])|(?<!\d )bpm (\d+)(?![/\d-])|quarter = (\d+)",
    re.I,
     lambda m, f: _near(f.bpm, int(next(filter(None, m.groups()))), 0.51)),
    (r"\b(\d+)/(\d+)\b", 0, lambda m, f: f.metre == (int(m.group(1)), int(m.group(2)))),
    (rf"\b({'|'.join(NUMBERS)})-(two|four|eight)\b", re.I,
     lambda m, f: f.metre == (_number(m.group(1).lower()), _number(m.group(2).lower()))),
    (r"(\d+)(?:[- ]sec(?:ond)?s?\b|s\b)", re.I, lambda m, f: _near(f.seconds, int(m.group(1)), 2.51)),
    (r"(\d+)[- ]bars?\b", re.I, lambda m, f: f.bars == int(m.group(1))),
    (rf"\b(\d+|{'|'.join(NUMBERS)})(?: different)? instr(?:uments|\.)", re.I,
     lambda m, f: len(f.instruments) == _number(m.group(1).lower())),
    (rf"\b({'|'.join(NUMBERS)})-piece band", re.I,
     lambda m, f: len(f.instruments) == _number(m.group(1).lower()) and 128 in f.instruments),
    (r"\b([A-F]{2,8})\b(?= form|\b)", 0, lambda m, f: "".join(f.form) == m.group(1)),
]  # fmt: skip


def false_claims(text: str, facts: Facts) -> list[str]:
    """The claims of `text` that are not true of `facts`, as they stand in it; empty where all hold."""
    false = []
    for name in sorted((*facts.genres, facts.ensemble, facts.composer, facts.period), key=len, reverse=True):
        if name:
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w])(?! feel)", "¤", text, flags=re.I)
    for pattern, flags, holds in PATTERNS:
        false += [match.group() for match in re.finditer(pattern, text, flags) if not holds(match, facts)]
        text = re.sub(pattern, "¤", text, flags=flags)
    lowered = text.lower()
    found = [(m.start(), m.end(), holds) for pattern, holds in WORDS for m in re.finditer(pattern, lowered)]
    taken = 0
    for start, end, holds in sorted(found, key=lambda f: (f[0], -f[1])):
        if start >= taken:
            taken = end
            false += [lowered[start:end]] if not holds(facts) else []
            lowered = lowered[:start] + "¤" * (end - start) + lowered[end:]
    loose = (int(number) for number in re.findall(r"(?<![\w-])(\d+)(?![\w-])", lowered))
    return false + [str(number) for number in loose if not _near(facts.bpm, number, 0.51)]
