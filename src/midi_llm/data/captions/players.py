"""Who plays: the instruments worth naming, family words, and nouns for the whole group.

In: `Facts`. Out: names and nouns that hold for all that sounds in the window. The number of instruments is the number
of General MIDI programs; two violins on one program count as one and are never called a solo while they play chords.
"""

from __future__ import annotations

import numpy as np

from midi_llm.data.captions.grammar import Wording, pick
from midi_llm.data.captions.spoken import FAMILY_WORDS, SECTIONS, SINGLE_LINE, SPOKEN, attributive
from midi_llm.data.facts import Facts
from midi_llm.music.score import DRUMS

MAIN_SHARE = 0.08
"""An instrument is worth naming when it plays at least this share of the window's notes,"""
LONG_SHARE = 0.03
"""or this share when it is among the `LONGEST` by sounding time: pads and strings play few, long notes."""
LONGEST = 3
MAX_NAMED = 5
ONE_LINE_BELOW = 1.3
"""Mean polyphony up to which a violin (or any instrument of one line) is one player; overlaps of legato make > 1."""
FAMILY_SAID = 0.25

GROUPS = {2: "duo", 3: "trio", 4: "quartet", 5: "quintet", 6: "sextet"}
_KINDS = {
    word: frozenset(name for i in members for name in SPOKEN[i] if name != word)
    for word, members in (("bass", range(32, 40)), ("guitar", range(24, 32)), ("organ", range(16, 21)))
}
"""General word -> its kinds, beside which it is not named: "electric bass and bass"."""
_BASSES = frozenset(range(32, 40))
_ORCHESTRA = (frozenset({*range(40, 46), 48, 49}), frozenset(range(68, 76)), frozenset(range(56, 62)))
_ORCHESTRA_SIZE = 7
_PIANO_TRIOS = (frozenset({0, 40, 42}), frozenset({1, 40, 42}))
_VAGUE_ENSEMBLES = frozenset({"", "ensemble", "electronic", "band", "other", "unknown"})

ENSEMBLE = Wording(
    after=("for {group}", "scored for {group}"), tag=("{group}", "for {group}"), sentence=("{it} is for {group}",),
    short=("{group}",),
)  # fmt: skip


def main_instruments(facts: Facts) -> list[int]:
    """The instruments worth naming, the longest sounding first; at most `MAX_NAMED`."""
    pairs = zip(facts.instruments, facts.shares, strict=True)
    main = [i for rank, (i, share) in enumerate(pairs) if share >= (LONG_SHARE if rank < LONGEST else MAIN_SHARE)]
    return (main or list(facts.instruments[:1]))[:MAX_NAMED]


def name_instruments(facts: Facts, rng: np.random.Generator) -> list[str]:
    """Spoken names of the first one to all main instruments, each once; now and then a family word for its members."""
    main = main_instruments(facts)
    keep = main[: int(rng.integers(1, len(main) + 1))] if main else []
    names = {i: pick(SPOKEN[i], rng) for i in keep}
    if rng.random() < FAMILY_SAID:
        families = [word for word, (members, _) in family_words(facts).items() if members & set(keep)]
        if families:
            word = pick(families, rng)
            names |= {i: word for i in keep if i in FAMILY_WORDS[word][0]}
    distinct = dict.fromkeys(names.values())
    return [name for name in distinct if not any(kind in _KINDS.get(name, ()) for kind in distinct)]


def family_words(facts: Facts) -> dict[str, tuple[frozenset[int], int]]:
    """The family words that hold: enough members sound."""
    sounding = frozenset(facts.instruments)
    return {word: entry for word, entry in FAMILY_WORDS.items() if len(entry[0] & sounding) >= entry[1]}


def is_solo(facts: Facts) -> bool:
    """Whether one player plays: one instrument, and no chords where it can play none."""
    alone = len(facts.instruments) == 1 and facts.instruments[0] not in SECTIONS
    return alone and not (facts.instruments[0] in SINGLE_LINE and facts.polyphony > ONE_LINE_BELOW)


def solo_nouns(name: str) -> list[str]:
    """Nouns for one player called `name`: "solo piano piece", "drum solo"."""
    one = attributive(name)
    if name in SPOKEN[DRUMS]:
        return [f"{one} solo", f"{one} groove", f"{one} beat", f"solo {one} track", f"{one} pattern"]
    return [f"solo {one} piece", f"{one} solo", f"solo {one} tune", f"unaccompanied {one} piece"]


def group_nouns(facts: Facts) -> list[str]:
    """Nouns for everyone who plays: "trio", "five-piece band", "orchestra", "a cappella choir"."""
    sounding = frozenset(facts.instruments)
    count = len(sounding)
    nouns = [GROUPS[count]] if count in GROUPS and not sounding & SECTIONS else []
    nouns += ["piano trio"] * (sounding in _PIANO_TRIOS)
    nouns += ["a cappella choir piece"] * (bool(sounding) and sounding <= {52, 53})
    if count >= 3 and DRUMS in sounding and sounding & _BASSES:
        nouns += ["band piece", *[f"{word}-piece band" for n, word in _PIECE_WORDS.items() if n == count]]
    if count >= _ORCHESTRA_SIZE and all(sounding & section for section in _ORCHESTRA):
        nouns += ["orchestra piece", "orchestral piece"]
    return nouns


_PIECE_WORDS = {3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight"}


def ensemble_name(facts: Facts) -> str:
    """The ensemble that the source names, where it says more than the names of the instruments do."""
    name = " ".join(facts.ensemble.lower().split())
    return "" if name in _VAGUE_ENSEMBLES or "solo" in name or len(facts.instruments) == 1 else name
