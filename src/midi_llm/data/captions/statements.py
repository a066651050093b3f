"""What can be said of a window, as `Statement`s: one for each topic that is known and worth saying.

In: `Facts`. Out: statements by topic, and a random choice of them. Whether a word holds is decided here and nowhere
else; how it is worded is in the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from midi_llm.data.captions import measured as words
from midi_llm.data.captions.genres import spoken_composer
from midi_llm.data.captions.grammar import Statement, Wording, listing, pick
from midi_llm.data.captions.players import ENSEMBLE, ensemble_name
from midi_llm.data.captions.spoken import PERCUSSION
from midi_llm.data.facts import Facts

DENSITY_SAID = 0.6
"""Share of captions that mention density where a word for it holds: it has to be learned from these mentions."""

WEIGHTS = {
    "tempo": 1.0, "pace": 0.6, "key": 0.9, "metre": 0.45, "chords": 0.4, "length": 0.25, "drums": 0.12, "count": 0.15,
    "ensemble": 0.5, "register": 0.35, "texture": 0.3, "loudness": 0.35, "change": 0.5, "touch": 0.2,
    "repetition": 0.25,
    "feel": 0.3, "place": 0.35, "form": 0.2, "period": 0.15, "composer": 0.5,
}  # fmt: skip
"""How readily each topic is chosen when it is known: our choice."""

MOST_CHORDS = 8
"""Longest loop of chords that is spelled out."""

_UNSAID_PERIODS = ("21st century",)
"""Says nothing of the sound: everything that is not old is tagged so."""
_SWINGING_GENRES = (
    "jazz",
    "blues",
    "swing",
    "rock",
    "funk",
    "latin",
    "shuffle",
    "country",
    "hip hop",
    "soul",
    "boogie",
)

Found = Iterator[Statement]


def say_density(facts: Facts, rng: np.random.Generator) -> Statement | None:
    """A density word that holds, in `DENSITY_SAID` of the cases; None otherwise."""
    holding = [word for low, high, word in words.DENSITY if low <= facts.relative_density < high]
    return Statement(topic="density", wording=pick(holding, rng)) if holding and rng.random() < DENSITY_SAID else None


def choose(facts: Facts, count: int, rng: np.random.Generator) -> list[Statement]:
    """At most `count` statements on different topics, heavy topics more often, in random order (density apart)."""
    found = [statement for topic in _TOPICS for statement in topic(facts, rng)]
    # The largest of u^(1/w) are a weighted sample without replacement (Efraimidis and Spirakis 2006).
    keys = rng.random(len(found)) ** (1.0 / np.array([WEIGHTS[statement.topic] for statement in found] or [1.0]))
    return [found[i] for i in np.argsort(-keys[: len(found)])[:count]]


def _tempo(facts: Facts, rng: np.random.Generator) -> Found:
    if facts.bpm is None:
        return
    yield Statement(
        topic="tempo", wording=words.TEMPO, values={"bpm": round(facts.bpm), "near": 5 * round(facts.bpm / 5)}
    )
    slow, fast = _pace_limits(facts.bpm, facts.metre)
    if fast < words.SLOW_BELOW:
        pace = [words.SLOW]
    elif slow > words.FAST_ABOVE:
        pace = [words.FAST]
    else:
        pace = [words.MODERATE_PACE] if words.MODERATE[0] <= slow and fast <= words.MODERATE[1] else []
    if facts.metre is None or facts.metre[1] == 4:
        italian = [word for word, low, high in words.ITALIAN_PACES if low <= facts.bpm < high]
        pace += [words.ITALIAN] if italian else []
    if pace:
        wording = pick(pace, rng)
        yield Statement(topic="pace", wording=wording, values={"word": italian[0]} if wording is words.ITALIAN else {})


def _pace_limits(bpm: float, metre: tuple[int, int] | None) -> tuple[float, float]:
    """The slower and the faster of quarter notes and felt beats a minute: a word of pace must hold for both."""
    numerator, denominator = metre or (4, 4)
    beat_quarters = 1.5 if denominator == 8 and numerator % 3 == 0 and numerator > 3 else 4.0 / denominator
    return min(bpm, bpm / beat_quarters), max(bpm, bpm / beat_quarters)


def _key(facts: Facts, rng: np.random.Generator) -> Found:
    if not facts.key:
        return
    root, mode = facts.key.split()
    if rng.random() < 0.2:
        yield Statement(topic="key", wording=words.MODE, values={"mode": mode})
        return
    other = words.USUAL_MINOR if mode == "minor" else words.OTHER_MAJOR
    root = other.get(root, root) if mode == "minor" or rng.random() < 0.4 else root
    dash = pick(" -", rng)
    spelled = root[0] + {"b": f"{dash}flat", "#": f"{dash}sharp"}.get(root[1:], "") + f" {mode}"
    symbol = root + ("m" if mode == "minor" else "maj")
    yield Statement(
        topic="key", wording=words.KEY, values={"key": f"{root} {mode}", "spelled": spelled, "symbol": symbol}
    )


def _metre(facts: Facts, rng: np.random.Generator) -> Found:
    if facts.metre is None:
        return
    numerator, denominator = facts.metre
    if facts.metre == (3, 4) and rng.random() < 0.4 and not any("waltz" in genre for genre in facts.genres):
        yield Statement(topic="metre", wording=words.WALTZ_TIME)
    elif max(facts.metre) < len(words.NUMBER_WORDS):
        values = {"metre": f"{numerator}/{denominator}",
                  "words": f"{words.NUMBER_WORDS[numerator]}-{words.NUMBER_WORDS[denominator]}"}  # fmt: skip
        yield Statement(topic="metre", wording=words.METRE, values=values)


def _chords(facts: Facts, rng: np.random.Generator) -> Found:
    chords = facts.chords
    if len(chords) < 4 or not all(chords):
        return
    throughout = len(chords) == facts.bars
    period = next((p for p in (1, 2, 3, 4, 6, 8, 12) if 2 * p <= len(chords) and _repeats(chords, p)), len(chords))
    names = [chord for i, chord in enumerate(chords[:period]) if i == 0 or chord != chords[i - 1]]
    wording = words.LOOP_CHORDS if len(names) > 1 else words.ONE_CHORD
    if not throughout or period == len(chords) or len(names) > MOST_CHORDS:
        wording, names = words.PASSING_CHORDS, names[: int(rng.integers(3, 7))]
    if len(names) > 1 or wording is words.ONE_CHORD:
        plain, dashed = " ".join(names), pick(("-", " - ", " | "), rng).join(names)
        values = {"plain": plain, "dashed": dashed, "listed": listing(names)}
        yield Statement(topic="chords", wording=wording, values=values)


def _repeats(chords: Sequence[str], period: int) -> bool:
    return all(chord == chords[i % period] for i, chord in enumerate(chords))


def _length(facts: Facts, rng: np.random.Generator) -> Found:
    if facts.bars is not None and facts.bars >= 2 and rng.random() < 0.5:
        yield Statement(topic="length", wording=words.BARS, values={"n": facts.bars})
        return
    text = [text for low, high, text in words.ROUND_LENGTHS if low <= facts.seconds <= high]
    if text and rng.random() < 0.4:
        yield Statement(topic="length", wording=words.ROUND_LENGTH, values={"text": text[0]})
    elif facts.seconds >= 8:
        yield Statement(topic="length", wording=words.SECONDS, values={"n": 5 * round(facts.seconds / 5)})


def _players(facts: Facts, rng: np.random.Generator) -> Found:
    group = ensemble_name(facts)
    if group:
        yield Statement(topic="ensemble", wording=ENSEMBLE, values={"group": group})
    if not PERCUSSION & set(facts.instruments):
        yield Statement(topic="drums", wording=words.NO_DRUMS)
    count = len(facts.instruments)
    if 2 <= count < len(words.NUMBER_WORDS):
        yield Statement(topic="count", wording=words.COUNT, values={"n": count, "words": words.NUMBER_WORDS[count]})


def _sound(facts: Facts, rng: np.random.Generator) -> Found:
    """Register, texture, dynamics, touch."""
    yield from _between("register", facts.mean_pitch, words.LOW, words.LOW_BELOW, words.HIGH, words.HIGH_ABOVE)
    yield from _between("loudness", facts.mean_velocity, words.QUIET, words.QUIET_BELOW, words.LOUD, words.LOUD_ABOVE)
    yield from _between("change", facts.velocity_change, words.FADING, -words.CHANGE, words.GROWING, words.CHANGE)
    if facts.mean_pitch is None:
        return
    if facts.staccato is not None and facts.staccato < words.SHORT_BELOW:
        yield Statement(topic="touch", wording=words.STACCATO)
    elif (
        facts.staccato is not None
        and len(facts.instruments) <= 2
        and words.BOUND[0] <= facts.staccato <= words.BOUND[1]
    ):
        yield Statement(topic="touch", wording=words.LEGATO)
    if facts.polyphony <= words.MONOPHONIC_BELOW:
        yield Statement(topic="texture", wording=words.MONOPHONIC)
    elif facts.polyphony >= words.CHORDAL_ABOVE and len(facts.instruments) == 1:
        yield Statement(topic="texture", wording=words.CHORDAL)
    elif facts.polyphony >= words.FULL_ABOVE:
        yield Statement(topic="texture", wording=words.FULL)


def _between(topic: str, value: float | None, less: Wording, low: float, more: Wording, high: float) -> Found:
    """`less` below `low`, `more` above `high`, nothing between or where nothing is known."""
    if value is not None and not low <= value <= high:
        yield Statement(topic=topic, wording=less if value < low else more)


def _time(facts: Facts, rng: np.random.Generator) -> Found:
    """Repetition, feel, place in the piece."""
    if facts.repeats is not None and facts.repeats > words.REPETITIVE_ABOVE:
        yield Statement(topic="repetition", wording=words.REPETITIVE)
    if facts.swing is not None and facts.swing > words.SWUNG_ABOVE:
        yield Statement(topic="feel", wording=words.SWUNG)
    elif facts.swing is not None and facts.swing < words.STRAIGHT_BELOW and _could_swing(facts):
        yield Statement(topic="feel", wording=words.STRAIGHT)
    if facts.is_opening or facts.is_ending:
        whole = (words.WHOLE, words.ENDING) if facts.is_opening and facts.is_ending else (words.ENDING,)
        yield Statement(topic="place", wording=pick(whole, rng) if facts.is_ending else words.OPENING)


def _could_swing(facts: Facts) -> bool:
    """Whether straight eighths are worth a word."""
    return any(part in genre.lower() for genre in facts.genres for part in _SWINGING_GENRES)


def _origin(facts: Facts, rng: np.random.Generator) -> Found:
    """Form, period and composer."""
    if 2 <= len(facts.form) <= 8 and all(len(part) == 1 and part.isupper() for part in facts.form):
        yield Statement(topic="form", wording=words.FORM, values={"form": "".join(facts.form)})
    if facts.period not in {"", *_UNSAID_PERIODS, *facts.genres}:
        wording = words.CENTURY if facts.period[-7:] == "century" else words.PERIOD
        yield Statement(topic="period", wording=wording, values={"period": facts.period})
    names = spoken_composer(facts.composer)
    if names:
        name = pick(names, rng)
        wording = words.COMPOSER if " " in name else replace(words.COMPOSER, before=words.SURNAME_STYLE)
        yield Statement(topic="composer", wording=wording, values={"name": name})


_TOPICS: tuple[Callable[[Facts, np.random.Generator], Found], ...] = (
    _tempo, _key, _metre, _chords, _length, _players, _sound, _time, _origin,
)  # fmt: skip
