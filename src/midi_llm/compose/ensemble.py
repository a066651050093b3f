"""Which instruments a text names, and the set that a take may therefore use.

In: a prompt. Out: an `Ensemble`: groups of programs, one group per instrument named ("electric guitar" is any of six),
those ruled out ("no drums"), and whether the text leaves room for more. `pick` settles on programs by seed, so that
takes differ in colour. A text that names no instrument binds nothing. English words only; knows no grammar.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from midi_llm.music.score import DRUMS

Group = tuple[int, ...]
"""Programs of which one is used, the most usual first."""

_GROUPS: dict[str, Group] = {
    "electric piano|rhodes|wurlitzer": (4, 5),
    "honky[- ]tonk(?: piano)?": (3,),
    "pianos?|keyboard": (0, 1),
    "harpsichord|clavecin|cembalo": (6,),
    "clavinet|clavichord": (7,),
    "celesta": (8,),
    "glockenspiel": (9,),
    "music box": (10,),
    "vibraphone|vibes": (11,),
    "marimba": (12,),
    "xylophone": (13,),
    "tubular bells?|church bells?|bells": (14,),
    "(?:church|pipe) organ": (19,),
    "(?:hammond|rock|jazz|drawbar) organ|hammond": (16, 18),
    "organ": (16, 19),
    "accordion": (21, 23),
    "acorde[oó]n": (21, 23),
    "bandoneon": (23,),
    "harmonica": (22,),
    "(?:nylon|classical|spanish|flamenco)(?:[- ]string)? guitars?": (24,),
    "lutes?|ukulele|ukelele|uke|charango": (24, 25),
    "mandolins?|bouzouki|dulcimer": (25, 24),
    "(?:steel|folk)(?:[- ]string)? guitars?": (25,),
    "acoustic guitars?": (25, 24),
    "jazz guitars?": (26,),
    "clean (?:electric )?guitars?": (27,),
    "(?:distort(?:ed|ion)|overdriven|heavy|fuzz(?:y|ed)?)(?: electric)? guitars?": (30, 29),
    "palm[- ]muted guitars?": (30, 28, 29),
    "electric guitars?": (27, 29, 30, 26),
    "guitars?": (25, 24, 27, 26),
    "(?:upright|acoustic|double|walking) bass(?: ?line)?|contrabass": (32,),
    "slap bass": (36,),
    "synth bass": (38, 39),
    "bass ?guitar|electric bass|fretless bass|bass(?: ?line)?": (33, 34, 35),
    "violins?": (40,),
    "fiddle": (110, 40),
    "violas?": (41,),
    "(?:violon)?cell(?:os?|i)": (42,),
    "tremolo(?: strings)?": (44,),
    "pizzicato(?: strings)?": (45,),
    "synth strings": (50, 51),
    "strings?(?: section| ensemble| orchestra)?": (48, 49),
    "harp": (46,),
    "timpani": (47,),
    "choir|choral|voices?|vocals?|singers?": (52, 53),
    "muted trumpet": (59,),
    "trumpets?": (56,),
    "trombones?": (57,),
    "tuba": (58,),
    "french horns?|horns?": (60,),
    "synth brass": (62, 63),
    "brass(?: section)?": (61,),
    "soprano sax(?:ophone)?": (64,),
    "tenor sax(?:ophone)?": (66,),
    "bari(?:tone)? sax(?:ophone)?": (67,),
    "(?:alto )?sax(?:ophone)?": (65, 66),
    "oboe": (68,),
    "english horn|cor anglais": (69,),
    "bassoon": (70,),
    "clarinets?": (71,),
    "piccolo": (72,),
    "pan ?(?:flutes?|pipes?)": (75,),
    "shakuhachi|bamboo flute": (77,),
    "flutes?": (73,),
    "recorder": (74,),
    "(?:tin|penny)? ?whistl(?:e|es|ing)": (78,),
    "ocarina": (79,),
    "saw(?:tooth)?(?: wave)? leads?": (81,),
    "(?:synth|square|chiptune)(?: wave)? leads?|square waves?": (80, 81),
    "(?:synth |warm |ambient )?pads?": (89, 88, 90),
    "synth(?:esi[sz]er)?s?": (81, 80, 89),
    "sitar": (104,),
    "banjo": (105,),
    "shamisen": (106,),
    "koto": (107,),
    "kalimba|mbira": (108,),
    "shehnai|shanai": (111,),
    "bagpipes?": (109,),
    "steel drums?": (114,),
    "taiko": (116,),
    "tabla": (117, DRUMS),
    "sleigh ?bells?": (112, DRUMS),
    "(?:hand |double )?(?:drums?|kick)(?: ?kit| machine)?|percussion|brushes|tambourine|congas?|bongos?": (DRUMS,),
}
"""Words of an instrument -> programs, the most usual first. Where two match at one place the longer one counts."""

_ENSEMBLES: dict[str, tuple[Group, ...]] = {
    "string quartet": ((40,), (41,), (42,)),
    "string trio": ((40,), (41,), (42,)),
    "brass (?:band|quintet|ensemble)": ((56,), (57,), (60,), (58,)),
    "wind quintet|woodwinds?": ((73,), (68,), (71,), (60,), (70,)),
    "piano trio": ((0,), (40,), (42,)),
    "power trio": ((30, 29, 27), (33, 34), (DRUMS,)),
    "marching band": ((56,), (57,), (58,), (DRUMS,)),
}
_WORDS = [
    *((re.compile(rf"\b(?:{words})\b"), (group,)) for words, group in _GROUPS.items()),
    *((re.compile(rf"\b(?:{words})\b"), groups) for words, groups in _ENSEMBLES.items()),
]

_WHOLE_FAMILIES: dict[str, tuple[int, ...]] = {
    "guitars?": tuple(range(24, 32)),
    "sax(?:ophone)?": tuple(range(64, 68)),
    "choir|choral|voices?|vocals?|singers?": (52, 53, 54),
    "bass(?: ?line)?": tuple(range(32, 40)),
    "strings?": (*range(40, 46), *range(48, 52)),
    "brass": tuple(range(56, 64)),
    "organ": tuple(range(16, 21)),
    "synth(?:esi[sz]er)?s?": (38, 39, 50, 51, 62, 63, *range(80, 96)),
    "percussion": (47, *range(112, 120), DRUMS),
}
"""What a word rules out after "no": more than the programs it stands for where it names an instrument."""
_RULED_OUT = re.compile(r"\b(?:no|without|not any|minus|leav(?:e|ing) out)(?: any| the)? $")
_CLOSED = re.compile(r"\b(?:solo|duet|duo|trio|quartet|quintet|only|just|alone|unaccompanied|a cappella)\b")
_BAND = re.compile(
    r"\b(?:band|song|rock|pop|punk|metal|funk\w*|disco|techno|house|trance|dance|reggae|ska|blues|jazz|swing|soul|country"
    r"|latin|salsa|samba|bossa nova|r&b|hip[- ]hop|groove|beat)\b"
)
BACKING: tuple[Group, ...] = ((DRUMS,), (33, 32, 34))
"""What a band style brings along unless the text closes the circle: drums and a bass."""

_FIRST_SHARE = 0.6
"""How often the most usual program of a group is taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ensemble:
    """Groups of programs of which each take uses one, and programs that it must not use."""

    named: tuple[Group, ...] = ()
    ruled_out: frozenset[int] = frozenset()
    open: bool = False
    """Others may join those named."""

    def pick(self, seed: int) -> frozenset[int] | None:
        """The instruments (0-128) a take with this seed may use; None when nothing is bound."""
        if self.open or not self.named:
            return frozenset(range(DRUMS + 1)) - self.ruled_out if self.ruled_out else None
        rng = np.random.default_rng(seed)
        picked = set()
        for group in self.named:
            first = len(group) == 1 or rng.random() < _FIRST_SHARE
            picked.add(group[0] if first else int(rng.choice(group[1:])))
        return frozenset(picked)

    def over(self, read: Ensemble) -> Ensemble:
        """What is asked for here, and of what was `read` in a text as much as does not speak against it.

        A closed list replaces the one read; an open one joins it, and stays open only where none was read.
        """
        wanted = {program for group in self.named for program in group}
        ruled_out = self.ruled_out | (read.ruled_out - wanted)
        if self.named and not self.open:
            return Ensemble(named=_without(self.named, ruled_out), ruled_out=ruled_out)
        named = (*read.named, *(group for group in self.named if group not in read.named))
        is_open = read.open if read.named else self.open
        return Ensemble(named=_without(named, ruled_out), ruled_out=ruled_out, open=is_open)


NOBODY = Ensemble()
"""Names nothing and binds nothing."""


def _without(groups: Iterable[Group], ruled_out: Collection[int]) -> tuple[Group, ...]:
    """The groups without the programs ruled out, and without groups that had no others."""
    kept = (tuple(program for program in group if program not in ruled_out) for group in groups)
    return tuple(group for group in kept if group)


def find_ensemble(text: str) -> Ensemble:
    """Find what `text` names. "a rock song with organ" brings drums and bass along, "an organ solo" does not."""
    lowered = " ".join(text.lower().split())
    found = [
        (match.start(), -len(match.group()), groups) for word, groups in _WORDS for match in word.finditer(lowered)
    ]
    named: list[Group] = []
    ruled_out: set[int] = set()
    reached = 0
    for start, length, groups in sorted(found, key=lambda entry: entry[:2]):
        if start < reached:
            continue
        reached = start - length
        if _RULED_OUT.search(lowered[:start]):
            ruled_out.update(_family(lowered[start : start - length]), *groups)
        else:
            named += [group for group in groups if group not in named]
    if named and _BAND.search(lowered) and not _CLOSED.search(lowered):
        used = {program for group in named for program in group}
        named += [group for group in BACKING if not used & _relatives(group)]
    return Ensemble(named=_without(named, ruled_out), ruled_out=frozenset(ruled_out))


def _family(word: str) -> tuple[int, ...]:
    """All programs that a word rules out."""
    return next((found for words, found in _WHOLE_FAMILIES.items() if re.fullmatch(words, word)), ())


def _relatives(group: Group) -> set[int]:
    """The programs of the families that `group` belongs to."""
    return (
        {DRUMS} if DRUMS in group else {p for program in group for p in range(program // 8 * 8, program // 8 * 8 + 8)}
    )
