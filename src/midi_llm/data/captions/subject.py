"""The noun phrase at the heart of a caption: "slow, sad jazz piano piece", "dense trio", "some baroque music".

In: `Material`, all that this caption may use. Out: the phrase, whether it can be counted, and who is left to be named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from midi_llm.data.captions.genres import MASS, PIECES, spoken_genres, spoken_moods
from midi_llm.data.captions.grammar import Statement, pick, shuffled, with_article
from midi_llm.data.captions.players import group_nouns, is_solo, name_instruments, solo_nouns
from midi_llm.data.captions.spoken import SPOKEN, attributive
from midi_llm.data.captions.statements import choose, say_density
from midi_llm.data.facts import Facts
from midi_llm.music.score import DRUMS

INSTRUMENTS_NAMED = 0.85
NOUNS = ("piece", "piece", "track", "tune", "song", "composition", "instrumental")
DRUM_NOUNS = ("groove", "beat", "pattern")


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """What one caption may say; density is among the statements where it is said."""

    facts: Facts
    genres: tuple[str, ...]
    moods: tuple[str, ...]
    names: tuple[str, ...]
    statements: tuple[Statement, ...]


def gather(facts: Facts, count: int, rng: np.random.Generator) -> Material:
    """Draw genres, moods, instrument names and at most `count` statements (and density) for one caption."""
    genres = _some(spoken_genres(facts), (0.15, 0.6, 0.25), rng)
    named = rng.random() < INSTRUMENTS_NAMED or not genres
    density = say_density(facts, rng)
    return Material(
        facts=facts,
        genres=genres,
        moods=_some(spoken_moods(facts), (0.4, 0.42, 0.18), rng),
        names=tuple(name_instruments(facts, rng)) if named else (),
        statements=tuple(shuffled(([density] if density else []) + choose(facts, count, rng), rng)),
    )


def _some(items: Sequence[str], chances: Sequence[float], rng: np.random.Generator) -> tuple[str, ...]:
    """Zero, one or two random items, with these chances."""
    count = int(np.searchsorted(np.cumsum(chances), rng.random(), side="right"))
    return tuple(shuffled(items, rng)[:count])


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A noun phrase without article, and the instruments that it does not name."""

    text: str
    is_countable: bool
    names: tuple[str, ...]

    def asked_for(self, rng: np.random.Generator) -> str:
        """The phrase after "write": "a waltz", "some jazz"."""
        return (
            with_article(self.text) if self.is_countable else pick(("some {}", "a piece of {}"), rng).format(self.text)
        )

    def stated(self) -> str:
        """The phrase after "this is": "a waltz", "jazz"."""
        return with_article(self.text) if self.is_countable else self.text


def write_subject(
    material: Material, adjectives: Sequence[str], rng: np.random.Generator, *, technical: Sequence[str] = ()
) -> Subject:
    """The noun phrase with `adjectives` in front, the `technical` ones ("120 bpm", "D minor") next to the noun."""
    head, is_countable, names = _head(material, rng)
    text = " ".join(part for part in (_joined(adjectives, rng), *technical, head) if part)
    return Subject(text=text, is_countable=is_countable, names=names)


def _joined(adjectives: Sequence[str], rng: np.random.Generator) -> str:
    """Adjectives in a row: "slow, sad", "slow sad", "slow and sad"."""
    plain = len(adjectives) == 2 and not any(mark in word for word in adjectives for mark in " -")
    return (pick((", ", ", ", " ", " and "), rng) if plain else ", ").join(adjectives)


def _head(material: Material, rng: np.random.Generator) -> tuple[str, bool, tuple[str, ...]]:
    """Genre, instrument and noun: the words, whether they can be counted, the names not used."""
    facts, names = material.facts, material.names
    is_scored = any(statement.topic == "ensemble" for statement in material.statements)
    kinds = [genre for genre in material.genres if genre in PIECES]
    style = next((genre for genre in material.genres if genre not in PIECES), "")
    chance = rng.random()
    if kinds and chance < 0.85:
        if (
            names
            and not is_scored
            and not set(kinds[0].split()) & {"piano", "art", "lied", "show"}
            and rng.random() < 0.4
        ):
            return f"{attributive(names[0])} {kinds[0]}", True, names[1:]
        return kinds[0], True, names
    groups = [] if is_scored else group_nouns(facts)
    if names and is_solo(facts) and chance < 0.55:
        return f"{style} {pick(solo_nouns(names[0]), rng)}".strip(), True, ()
    if groups and chance < 0.25:
        group = pick(groups, rng)
        return (group if _overlap(style, group) else f"{style} {group}".strip()), True, names
    if names and not is_scored and chance < 0.5:
        noun = pick(DRUM_NOUNS if names[0] in SPOKEN[DRUMS] else (*NOUNS, "music"), rng)
        head = f"{attributive(names[0])} {noun}"
        return (head if _overlap(style, head) else f"{style} {head}".strip()), noun != "music", names[1:]
    if style and (style.endswith(" music") or (style in MASS and chance < 0.7)):
        return style, False, names
    noun = pick((*NOUNS, "music") if style else (*NOUNS, "music", "piece of music"), rng)
    return f"{style} {noun}".strip(), noun != "music", names


def _overlap(first: str, second: str) -> bool:
    """Whether the phrases share a word, or nearly: "orchestral" and "orchestra piece", "string quartet" and "trio"."""
    stems = [{"trio" if word in _SIZES else word[:7] for word in phrase.split()} for phrase in (first, second)]
    return bool(stems[0] & stems[1])


_SIZES = frozenset({"duo", "duet", "trio", "quartet", "quintet", "sextet", "septet", "octet"})
