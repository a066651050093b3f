"""Which instruments a text names, and the set that a take may therefore use.

In: a prompt. Out: an `Ensemble`: groups of programs, one group per instrument named ("electric guitar" is any of six),
those ruled out ("no drums"), and whether the text leaves room for more. `pick` settles on programs by seed, so that
takes differ in colour. A text that names no instrument binds nothing. English words only; knows no grammar.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from midi_llm.music.score import DRUMS

_GROUPS: dict[str, tuple[int, ...]] = {
    "electric piano|rhodes|wurlitzer": (4, 5),
    "honky[- ]tonk(?: piano)?": (3,),
    "pianos?|keyboard": (0, 1),
    "harpsichord": (6,),
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
    "bandoneon": (23,),
    "harmonica": (22,),
    "(?:nylon|classical|spanish|flamenco)(?:[- ]string)? guitars?": (24,),
    "(?:steel|folk)(?:[- ]string)? guitars?": (25,),
    "acoustic guitars?": (25, 24),
    "jazz guitars?": (26,),
    "clean (?:electric )?guitars?": (27,),
    "(?:distort(?:ed|ion)|overdriven|heavy)(?: electric)? guitars?": (30, 29),
    "electric guitars?": (27, 29, 30, 26),
    "guitars?": (25, 24, 27, 26),
    "(?:upright|acoustic|double|walking) bass|contrabass": (32,),
    "slap bass": (36,),
    "synth bass": (38, 39),
    "bass ?guitar|electric bass|fretless bass|bass(?: line)?": (33, 34, 35),
    "violins?": (40,),
    "fiddle": (110, 40),
    "violas?": (41,),
    "cellos?": (42,),
    "pizzicato(?: strings)?": (45,),
    "synth strings": (50, 51),
    "strings?(?: section| ensemble| orchestra)?": (48, 49),
    "harp": (46,),
    "timpani": (47,),
    "choir|voices?|vocals?": (52, 53),
    "muted trumpet": (59,),
    "trumpets?": (56,),
    "trombones?": (57,),
    "tuba": (58,),
    "french horns?|horns?": (60,),
    "synth brass": (62, 63),
    "brass(?: section)?": (61,),
    "soprano sax(?:ophone)?": (64,),
    "tenor sax(?:ophone)?": (66,),
    "(?:alto )?sax(?:ophone)?": (65, 66),
    "oboe": (68,),
    "english horn": (69,),
    "bassoon": (70,),
    "clarinets?": (71,),
    "piccolo": (72,),
    "pan ?flute": (75,),
    "flutes?": (73,),
    "recorder": (74,),
    "whistle": (78,),
    "ocarina": (79,),
    "saw(?:tooth)?(?: wave)? leads?": (81,),
    "(?:synth|square|chiptune)(?: wave)? leads?|square waves?": (80, 81),
    "(?:synth |warm |ambient )?pads?": (89, 88, 90),
    "synth(?:esi[sz]er)?s?": (81, 80, 89),
    "sitar": (104,),
    "banjo": (105,),
    "shamisen": (106,),
    "koto": (107,),
    "kalimba": (108,),
    "bagpipes?": (109,),
    "steel drums?": (114,),
    "taiko": (116,),
    "drums?(?: ?kit| machine)?|percussion": (DRUMS,),
}
"""Words of an instrument -> programs, the most usual first. Where two match at one place the longer one counts."""

_ENSEMBLES: dict[str, tuple[tuple[int, ...], ...]] = {
    "string quartet": ((40,), (41,), (42,)),
    "string trio": ((40,), (41,), (42,)),
    "brass (?:band|quintet|ensemble)": ((56,), (57,), (60,), (58,)),
    "wind quintet|woodwinds?": ((73,), (68,), (71,), (60,), (70,)),
    "piano trio": ((0,), (40,), (42,)),
}
_WORDS = [
    *((re.compile(rf"\b(?:{words})\b"), (group,)) for words, group in _GROUPS.items()),
    *((re.compile(rf"\b(?:{words})\b"), groups) for words, groups in _ENSEMBLES.items()),
]

_RULED_OUT = re.compile(r"\b(?:no|without|not any)(?: any)? $")
_CLOSED = re.compile(r"\b(?:solo|duet|duo|trio|quartet|quintet|only|just|alone|unaccompanied|a cappella)\b")
_BAND = re.compile(
    r"\b(?:band|song|rock|pop|punk|metal|funk\w*|disco|techno|house|trance|dance|reggae|ska|blues|jazz|swing|soul|country"
    r"|latin|salsa|samba|bossa nova|r&b|hip[- ]hop|groove|beat)\b"
)
BACKING: tuple[tuple[int, ...], ...] = ((DRUMS,), (33, 32, 34))
"""What a band style brings along unless the text closes the circle: drums and a bass."""

_FIRST_SHARE = 0.6
"""How often the most usual program of a group is taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ensemble:
    """Groups of programs of which each take uses one, and programs that it must not use."""

    named: tuple[tuple[int, ...], ...] = ()
    ruled_out: frozenset[int] = frozenset()

    def pick(self, seed: int) -> frozenset[int] | None:
        """The instruments (0-128) a take with this seed may use; None when the text binds nothing."""
        if not self.named:
            return frozenset(range(DRUMS + 1)) - self.ruled_out if self.ruled_out else None
        rng = np.random.default_rng(seed)
        picked = set()
        for group in self.named:
            first = len(group) == 1 or rng.random() < _FIRST_SHARE
            picked.add(group[0] if first else int(rng.choice(group[1:])))
        return frozenset(picked)


def find_ensemble(text: str) -> Ensemble:
    """Find what `text` names. "a rock song with organ" brings drums and bass along, "an organ solo" does not."""
    lowered = " ".join(text.lower().split())
    found = [
        (match.start(), -len(match.group()), groups) for word, groups in _WORDS for match in word.finditer(lowered)
    ]
    named: list[tuple[int, ...]] = []
    ruled_out: set[int] = set()
    reached = 0
    for start, length, groups in sorted(found, key=lambda entry: entry[:2]):
        if start < reached:
            continue
        reached = start - length
        if _RULED_OUT.search(lowered[:start]):
            ruled_out.update(*groups)
        else:
            named += [group for group in groups if group not in named]
    if named and _BAND.search(lowered) and not _CLOSED.search(lowered):
        used = {program for group in named for program in group}
        named += [group for group in BACKING if not used & _relatives(group)]
    kept = [tuple(p for p in group if p not in ruled_out) for group in named]
    return Ensemble(named=tuple(group for group in kept if group), ruled_out=frozenset(ruled_out))


def _relatives(group: tuple[int, ...]) -> set[int]:
    """The programs of the families that `group` belongs to."""
    return (
        {DRUMS} if DRUMS in group else {p for program in group for p in range(program // 8 * 8, program // 8 * 8 + 8)}
    )
