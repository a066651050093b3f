"""Captions: what a person might have typed to get this window. Every fact stated is true of the window itself.

In: a `Window` and its piece's metadata (genres, moods, ensemble). Out: one sentence or phrase, worded at random by the
generator given. Facts are dropped at random, so that prompts of every length are seen. Moods of human pieces are the
manifest's own estimates from tempo and mode and are used sparingly; estimated keys and default tempos are never stated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from midi_llm.data.windows import Window
from midi_llm.data.wording import OPENINGS, SPOKEN, USES, WITH
from midi_llm.music.instruments import instrument_name

DENSITY_WORDS: tuple[tuple[float, float, tuple[str, ...]], ...] = (
    (0.0, 3.0, ("very sparse", "with very few notes", "minimal", "very simple and sparse", "almost empty")),
    (0.0, 4.5, ("sparse", "with few notes", "simple and sparse", "minimalist", "with a lot of space", "few notes")),
    (5.5, 9.0, ("moderately busy", "with a moderate number of notes", "medium density")),
    (10.0, np.inf, ("dense", "with many notes", "busy", "busy and full", "a busy arrangement", "many notes")),
    (
        13.0,
        np.inf,
        ("very dense", "with very many notes", "extremely busy", "packed with notes", "virtuosic and dense"),
    ),
)
"""What may be said from and below which `relative_density` (measured over training windows, docs/log.md 2026-11-24:
the 20th percentile is 4.5, the median 7.3, the 80th percentile 10.8)."""
DENSITY_SAID = 0.6
"""Share of captions that mention density where a word for it holds: it has to be learned from these mentions."""
MAIN_SHARE = 0.08
"""An instrument is worth naming when it plays at least this share of the window's notes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What may be said of a window. Empty or None where nothing is known."""

    instruments: tuple[str, ...]
    solo: bool
    genres: tuple[str, ...]
    moods: tuple[str, ...]
    bpm: float | None
    metre: tuple[int, int] | None
    key: str | None
    relative_density: float


def relative_density(notes_per_second: float, instruments: int) -> float:
    """Notes a second over the root of the number of instruments: a duo of 9 is as busy as a solo of 6.4.

    Over training windows the median of notes a second grows about so: 6.3 alone, 10.7 for 3, 19.6 for 6 instruments.
    """
    return float(notes_per_second / np.sqrt(max(instruments, 1)))


def window_facts(window: Window, meta: Mapping[str, Any]) -> Facts:
    """Collect the facts of `window`: instruments and density counted in it, genres and moods from the manifest row."""
    instruments, counts = np.unique(window.events[:, 2], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    main = [instrument_name(int(instruments[i])) for i in order if counts[i] >= MAIN_SHARE * counts.sum()]
    moods = meta.get("moods") or meta.get("mood_est") or ()
    return Facts(
        instruments=tuple(main[:5]),
        solo=len(instruments) == 1,
        genres=tuple(meta.get("genres") or ()),
        moods=tuple(moods),
        bpm=window.bpm,
        metre=window.metre,
        key=window.key,
        relative_density=relative_density(len(window.events) / max(window.seconds, 1.0), len(instruments)),
    )


def caption(facts: Facts, rng: np.random.Generator) -> str:
    """Word some of `facts` as a prompt."""
    moods = _some(facts.moods, rng, (0.4, 0.4, 0.2))
    genres = _some(facts.genres, rng, (0.2, 0.6, 0.2))
    names = [str(rng.choice(SPOKEN.get(name, (name.lower(),)))) for name in facts.instruments]
    keep = max(1, int(rng.integers(1, len(names) + 1))) if names else 0
    named = list(dict.fromkeys(names[:keep])) if rng.random() < 0.8 or not genres else []
    subject = list(moods)
    tempo_word = _tempo_word(facts.bpm)
    if tempo_word and rng.random() < 0.35:
        subject.append(str(rng.choice(tempo_word)))
    subject += genres
    if facts.solo and named and rng.random() < 0.6:
        subject.append(f"solo {named[0]}" if rng.random() < 0.6 else f"{named[0]} solo")
        named = []
    elif named and rng.random() < 0.3:
        subject.append(named.pop(0))
    head = ", ".join(subject[:-1]) + " " + subject[-1] if len(subject) > 2 and rng.random() < 0.5 else " ".join(subject)
    text = _opened(str(rng.choice(OPENINGS)), head) if head else "music"
    if named:
        text += " " + str(rng.choice(WITH)).format(_listing(named))
    return _finish(text, _details(facts, moods, rng), rng)


def _details(facts: Facts, moods: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Tempo, key, metre, density and use, each said now and then."""
    details: list[str] = []
    if facts.bpm and rng.random() < 0.35:
        details.append(
            str(rng.choice(("{} bpm", "at {} bpm", "{} BPM", "tempo {}", "around {} bpm"))).format(round(facts.bpm))
        )
    if facts.key and rng.random() < 0.3:
        details.append(str(rng.choice(("in {}", "in the key of {}", "key: {}"))).format(facts.key))
    if facts.metre and rng.random() < 0.15:
        details.append(str(rng.choice(("in {}/{}", "{}/{} time", "in {}/{} time"))).format(*facts.metre))
    words = [word for low, high, group in DENSITY_WORDS if low <= facts.relative_density < high for word in group]
    if words and rng.random() < DENSITY_SAID:
        details.append(str(rng.choice(words)))
    uses = [use for mood in moods for use in USES.get(mood, ())]
    if uses and rng.random() < 0.4:
        details.append(str(rng.choice(uses)))
    return [details[i] for i in rng.permutation(len(details))]


def _finish(text: str, details: Sequence[str], rng: np.random.Generator) -> str:
    """Join text and details, and vary case and punctuation."""
    joined = text + "".join((", " if rng.random() < 0.6 else " ") + detail for detail in details)
    if rng.random() < 0.5:
        joined = joined[0].upper() + joined[1:]
    return joined + ("." if rng.random() < 0.3 else "")


def _opened(opening: str, head: str) -> str:
    """`head` in its opening phrase, with 'an' before a vowel."""
    if head[0].lower() in "aeiou":
        opening = opening.replace("a {}", "an {}")
    return opening.format(head)


def _some(items: Sequence[str], rng: np.random.Generator, chances: Sequence[float]) -> list[str]:
    """Zero, one or two random items, with these chances."""
    count = min(int(rng.choice(len(chances), p=chances)), len(items))
    return [str(item) for item in rng.choice(list(items), size=count, replace=False)] if count else []


def _tempo_word(bpm: float | None) -> tuple[str, ...]:
    """Words people use for a tempo; none in the middle ground."""
    if bpm is None or 84 <= bpm <= 112:
        return ()
    return ("slow", "slow-paced") if bpm < 84 else ("fast", "uptempo", "fast-paced")


def _listing(names: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
