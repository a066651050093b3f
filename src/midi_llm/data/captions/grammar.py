"""The grammar that captions need: a random pick, articles, lists, and a `Wording` of one fact in five roles.

In: words and a generator. Out: words. Knows nothing of music.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wording:
    """Templates of one kind of fact, by the place where they can stand; a role without templates cannot be used."""

    before: tuple[str, ...] = ()
    """Before a noun: "slow"."""
    after: tuple[str, ...] = ()
    """After a noun: "at 120 bpm"."""
    tag: tuple[str, ...] = ()
    """Alone between commas: "120 bpm"."""
    sentence: tuple[str, ...] = ()
    """A sentence without its full stop; {it} is the piece."""
    short: tuple[str, ...] = ()
    """A musician's shorthand: "120bpm". Empty: the tag is short enough."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """One fact to be said: its topic, its wording and the values that fill the templates."""

    topic: str
    wording: Wording
    values: Mapping[str, object] = field(default_factory=dict)

    def fits(self, role: str) -> bool:
        """Whether the fact can be said in `role`."""
        return bool(getattr(self.wording, role))

    def say(self, role: str, rng: np.random.Generator) -> str:
        """The fact in one of the words of `role`; shorthand falls back on the tag."""
        templates = getattr(self.wording, role) or self.wording.tag
        template: str = pick(templates, rng)
        return template.format(it=pick(("it", "the piece", "the music"), rng), **self.values)


def pick(options: Sequence[T], rng: np.random.Generator) -> T:
    """One of `options`, all equally likely (a twentieth of the time of `Generator.choice`)."""
    return options[int(rng.random() * len(options))]


def shuffled(items: Sequence[T], rng: np.random.Generator) -> list[T]:
    """`items` in random order."""
    return [items[i] for i in rng.permutation(len(items))]


def listing(names: Sequence[str], last: str = "and") -> str:
    """'a', 'a and b', 'a, b and c'."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


_AN = re.compile(
    r"(?!eu|uni|use|uku|uk\b|one\b|once\b)[aeiou]|f[#b]? (?:major|minor|flat|sharp)|8|11\b|18\b|r&b|fm\b|hour",
    re.IGNORECASE,
)
"""Starts that are spoken with a vowel: "an 8-bit tune", "an F minor waltz"; but "a euphoric", "a uk garage"."""


def with_article(phrase: str) -> str:
    """`phrase` with "a" or "an"."""
    return f"an {phrase}" if _AN.match(phrase) else f"a {phrase}"


def capitalised(text: str) -> str:
    """`text` with its first letter a capital, the others as they are."""
    return text[:1].upper() + text[1:]
