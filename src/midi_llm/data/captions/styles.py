"""Seven ways of writing a prompt: phrase, request, sentence, tags, paragraph, use, shorthand.

In: `Material`. Out: the text, not yet cased and punctuated. Each style says at most what the material holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from midi_llm.data.captions.grammar import capitalised, listing, pick, shuffled, with_article
from midi_llm.data.captions.spoken import ABBREVIATED, SPOKEN, is_plural, takes_article
from midi_llm.data.captions.subject import Material, Subject, write_subject
from midi_llm.data.captions.uses import NEUTRAL, uses
from midi_llm.music.score import DRUMS

MAX_BEFORE = 2
"""At most so many describing and so many technical words before the noun."""
MAX_SENTENCES = 4
WITH = ("with {}", "with {}", "featuring {}", "for {}", "played by {}", "using {}")
REQUESTS = (
    "write {}", "write me {}", "compose {}", "I want {}", "make {}", "make me {}", "give me {}", "please write {}",
    "generate {}", "create {}", "I need {}", "please compose {}", "I'd like {}", "let me hear {}", "play me {}",
    "I'm looking for {}", "we need {}", "could you write {}?", "can you make {}?", "can I get {}?", "how about {}?",
)  # fmt: skip
SENTENCES = ("{}", "{}", "{}", "this is {}", "it is {}", "it's {}", "imagine {}")
FOR_USES = (
    "{subject} for {use}", "{subject} for {use}", "{subject}, perfect for {use}", "{subject} to use for {use}",
    "music for {use}: {subject}", "for {use}: {subject}", "I need {subject} for {use}", "for {use}, {subject}",
)  # fmt: skip
OPENING_TOPICS = frozenset({"tempo", "key", "metre", "pace"})
TECHNICAL = frozenset({"tempo", "key", "metre", "length", "period", "composer"})
_PREPOSITIONS = ("at ", "in ", "with ", "for ", "on ", "over ", "based ", "from ", "without ")


def write_phrase(material: Material, rng: np.random.Generator) -> str:
    """Write a noun phrase: "sad piano waltz", "dense jazz trio"."""
    subject, afters = _subject(material, rng, before=0.85)
    names = subject.names if rng.random() < 0.5 or not (material.genres or material.statements) else ()
    if names and not afters and rng.random() < 0.3:
        return f"{subject.text} - {listing(names)}"
    return _attach(subject.text, _played(names, material, rng), afters, rng)


def write_request(material: Material, rng: np.random.Generator) -> str:
    """Write a request: "write me a slow waltz for strings in D minor"."""
    return pick(REQUESTS, rng).format(_described(material, rng))


def write_sentence(material: Material, rng: np.random.Generator) -> str:
    """Write a sentence: "this is a slow waltz for strings in D minor"."""
    subject, afters = _subject(material, rng, before=0.45)
    return _attach(pick(SENTENCES, rng).format(subject.stated()), _played(subject.names, material, rng), afters, rng)


def write_use(material: Material, rng: np.random.Generator) -> str:
    """Write a use: "a slow waltz with strings for a candlelight dinner"."""
    fitting = uses(material.genres, material.moods)
    use = pick(fitting, rng) if fitting and rng.random() < 0.85 else pick(NEUTRAL, rng)
    return pick(FOR_USES, rng).format(subject=_described(material, rng, forms=WITH[:3]), use=use)


def write_tags(material: Material, rng: np.random.Generator) -> str:
    """Write tags: "rock, energetic, 120 bpm, E minor, guitar, bass, drums"."""
    first = [*material.genres, *material.moods]
    rest = [statement.say("tag", rng) for statement in material.statements]
    names = list(material.names)
    tags = [*first, *rest, *names] if rng.random() < 0.5 else shuffled([*first, *rest, *names], rng)
    if rng.random() < 0.15:
        tags = [capitalised(tag) for tag in tags]
    return pick((", ", ", ", ", ", ", ", " | ", "; ", " / "), rng).join(dict.fromkeys(tags))


def write_shorthand(material: Material, rng: np.random.Generator) -> str:
    """Write shorthand: "120bpm Dm 3/4, strings + harp"."""
    short = rng.random() < 0.4
    names = [ABBREVIATED.get(name, name) if short else name for name in material.names]
    facts = [statement.say("short", rng) for statement in material.statements]
    compact = all(len(fact) < 12 for fact in facts)
    parts = [
        " ".join(material.genres[:1]),
        (" " if compact else ", ").join(facts),
        pick((" + ", ", ", "/"), rng).join(names),
    ]
    parts = [part for part in parts if part]
    marks = (", ", ", ", " - ", ": ") if len(parts) == 2 else (", ", ", ", " - ")
    return pick(marks, rng).join(shuffled(parts, rng) if rng.random() < 0.5 else parts)


def write_paragraph(material: Material, rng: np.random.Generator) -> str:
    """Write two to four sentences: what it is, who plays, and the rest one by one."""
    several = len(material.names) > 1
    subject = write_subject(replace(material, names=()) if several else material, material.moods, rng)
    first = [s.say("after", rng) for s in material.statements if s.topic in OPENING_TOPICS]
    opening = pick(("{}", "{}", "{}", "this is {}"), rng).format(subject.stated())
    sentences = [_attach(opening, "", first, rng)]
    names = material.names if several else subject.names
    sentences += [_players_sentence(names, rng)] if names else []
    rest = sorted((s for s in material.statements if s.topic not in OPENING_TOPICS), key=lambda s: s.topic != "density")
    said = [s.say("sentence", rng) for s in rest[: 2 * (MAX_SENTENCES - len(sentences))]]
    doubled = max(0, len(said) - (MAX_SENTENCES - len(sentences)))
    pairs = [" and ".join(said[2 * i : 2 * i + 2]) for i in range(doubled)]
    return " ".join(f"{capitalised(sentence)}." for sentence in [*sentences, *pairs, *said[2 * doubled :]])


def _described(material: Material, rng: np.random.Generator, forms: Sequence[str] = WITH) -> str:
    """The subject as it is asked for, who plays, and all statements."""
    subject, afters = _subject(material, rng, before=0.45)
    return _attach(subject.asked_for(rng), _played(subject.names, material, rng, forms), afters, rng)


def _subject(material: Material, rng: np.random.Generator, *, before: float) -> tuple[Subject, list[str]]:
    """The noun phrase and what follows it; a statement that can stand in front does so with chance `before`."""
    adjectives, technical, afters = list(material.moods), list[str](), list[str]()
    for statement in material.statements:
        place = technical if statement.topic in TECHNICAL else adjectives
        if statement.fits("before") and len(place) < MAX_BEFORE and rng.random() < before:
            place.append(statement.say("before", rng))
        else:
            afters.append(statement.say("after", rng))
    return write_subject(material, adjectives, rng, technical=technical), afters


def _attach(subject: str, played: str, afters: Sequence[str], rng: np.random.Generator) -> str:
    """The subject, who plays, and what else follows; relative clauses last, joined by "and"."""
    text, last = subject, ""
    ordered = sorted(afters, key=lambda after: after.startswith("that "))
    if played:
        ordered.insert(0 if rng.random() < 0.8 else sum(not after.startswith("that ") for after in afters), played)
    for after in ordered:
        verb = after[:5] == "that "
        if after[:6] == last[:6] == "with a" or (verb and last[:5] == "that "):
            text += f" and {after[5:]}"
        elif verb or after == played or _runs_on(after, last, rng):
            text += f" {after}"
        else:
            text += f", {after}"
        last = after
    return text


def _runs_on(after: str, last: str, rng: np.random.Generator) -> bool:
    """Whether `after` follows without a comma: always next to the noun, mostly else, never "at ... at ..."."""
    if not after.startswith(_PREPOSITIONS) or "," in last or after[:3] == last[:3]:
        return False
    return not last or rng.random() < 0.7


def _played(names: Sequence[str], material: Material, rng: np.random.Generator, forms: Sequence[str] = WITH) -> str:
    """Name who plays: "with guitar, bass and drums", in order of sounding time or not; empty for nobody."""
    if not names:
        return ""
    if len(names) < len(material.names):
        return f"with {listing(names)}"
    if rng.random() < 0.25:
        names = shuffled(names, rng)
    if len(names) == 1 and takes_article(names[0]) and rng.random() < 0.2:
        return f"on {names[0]}"
    if rng.random() < 0.12:
        names = [with_article(name) if takes_article(name) else name for name in names]
    return pick(forms, rng).format(listing(names))


def _players_sentence(names: Sequence[str], rng: np.random.Generator) -> str:
    """A sentence on who plays; the longest sounding is called the main instrument unless it keeps the beat."""
    forms = ["it features {all}", "the instruments include {all}", "you hear {all}", "{all} can be heard"]
    if len(names) > 1:
        forms += ["{all} play together"]
        if names[0] not in SPOKEN[DRUMS] and "bass" not in names[0]:
            forms += ["{first} {leads}, joined by {rest}", "{first} {leads}, with {rest} alongside"]
    return pick(forms, rng).format(
        all=listing(names),
        first=names[0],
        rest=listing(names[1:] or names),
        leads="lead" if is_plural(names[0]) else "leads",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """One way of writing: how often, with how many statements, and whether as full sentences."""

    write: Callable[[Material, np.random.Generator], str]
    weight: float
    fewest: int
    most: int
    is_formal: bool = False


STYLES: tuple[Style, ...] = (
    Style(write=write_phrase, weight=0.2, fewest=0, most=2),
    Style(write=write_request, weight=0.18, fewest=0, most=4),
    Style(write=write_sentence, weight=0.16, fewest=1, most=4),
    Style(write=write_tags, weight=0.16, fewest=1, most=6),
    Style(write=write_paragraph, weight=0.14, fewest=3, most=6, is_formal=True),
    Style(write=write_use, weight=0.1, fewest=0, most=2),
    Style(write=write_shorthand, weight=0.06, fewest=1, most=4),
)  # fmt: skip
"""Shares are our choice: short prompts are what most people type."""
