"""Captions: what a person might have typed to get this window. Every fact stated is true of the window itself.

In: `Facts` and, where the source has them, descriptions of the whole piece. Out: one line of English, worded at random
by the generator given, in one of seven styles. Facts are dropped at random, so that prompts of every length are seen.

Not of the window itself: descriptions that a source brings, and the genres, moods, period and composer that it names;
they hold for the whole piece. Estimated moods are never stated, nor are moods derived from measures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from midi_llm.data.captions.grammar import capitalised, pick
from midi_llm.data.captions.styles import STYLES
from midi_llm.data.captions.subject import gather
from midi_llm.data.facts import Facts
from midi_llm.music.names import clean_text

MAX_CHARACTERS = 600
LOWERED, CAPITAL, STOPPED = 0.15, 0.5, 0.3
"""Chances that a caption is all lower case, begins with a capital, ends with a full stop."""

_WEIGHTS = np.cumsum([style.weight for style in STYLES])
_CASED = re.compile(
    r"\bA (?:major|minor)|\b[A-G][#b]?(?:m|maj|min|dim|aug|sus|add|\d|\b(?! ?-?(?:sharp|flat|major|minor)))"
)
"""Chords and short keys: their case has a meaning. "in a minor" could be "in a minor key"."""


def caption(facts: Facts, rng: np.random.Generator, *, captions: Sequence[str] = ()) -> str:
    """Word some of `facts` as a prompt of one line, at most `MAX_CHARACTERS`.

    `captions` describe the whole piece; where there are any, one of them is used as it is.
    """
    given = [text for text in map(one_line, captions) if text]
    if given:
        return pick(given, rng)
    style = STYLES[int(np.searchsorted(_WEIGHTS, rng.random() * _WEIGHTS[-1], side="right"))]
    material = gather(facts, int(rng.integers(style.fewest, style.most + 1)), rng)
    text = style.write(material, rng) or "music"
    return one_line(text if style.is_formal else _finished(text, rng))


def one_line(text: str) -> str:
    """`text` on one line without invisible characters, cut at a sentence (else a word) to `MAX_CHARACTERS`."""
    line = " ".join(clean_text(text).split())
    if len(line) <= MAX_CHARACTERS:
        return line
    cut = line[:MAX_CHARACTERS]
    end = max(cut.rfind(mark) for mark in (". ", "! ", "? "))
    return cut[: end + 1] if end > 0 else cut.rsplit(" ", 1)[0].rstrip(",;:")


def _finished(text: str, rng: np.random.Generator) -> str:
    """Vary case and punctuation."""
    case = rng.random()
    if case < LOWERED and not _CASED.search(text):
        text = text.lower()
    elif case > 1.0 - CAPITAL:
        text = capitalised(text)
    if text.endswith("?"):
        return text if rng.random() < 0.7 else text[:-1]
    return text + ("." if rng.random() < STOPPED else "")
