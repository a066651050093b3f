"""Words for what the source says of a piece: genres, moods, composer; and what music of a kind is used for.

In: `Facts`. Out: those of its genres, moods and composers that may be said, spelled as people spell them. A genre or
mood that speaks of something measured ("slow blues", "waltz", "jazz guitar") is said only where the measure agrees.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from midi_llm.data.captions.measured import SLOW_BELOW, STRAIGHT_BELOW
from midi_llm.data.facts import Facts
from midi_llm.music.score import DRUMS

PIECES = frozenset(
    """waltz|jazz waltz|french waltz|viennese waltz|mass|hymn|sonata|etude|aria|mazurka|march|prelude|polonaise|requiem
    |concerto|minuet|lullaby|symphony|piano ballad|pop ballad|rock ballad|soul ballad|country ballad|jazz ballad
    |latin ballad|western ballad|ballad|motet|tango|musette|variation|rhumba|bolero|polka|krakowiak|rondo|fugue|jig
    |spiritual|fanfare|nocturne|fantasia|canzona|foxtrot|scherzo|romance|carol|galop|ballade|impromptu|overture|gigue
    |gavotte|allemande|barcarolle|sarabande|courante|bourree|kujawiak|oberek|cantata|toccata|serenade|psalm|intermezzo
    |bagatelle|litany|show tune|art song|lied|quickstep|charleston|beguine|samba|cha-cha-cha""".replace(
        "\n    ", ""
    ).split("|")
)
"""Genres that are a thing one can ask for: "a waltz". The others stand before a noun: "a rock song"."""

MASS = frozenset(
    """rock|jazz|pop|folk|country|latin music|electronic dance music|funk|metal|swing|blues|soul|hip hop|r&b|bossa nova
    |punk rock|punk|disco|gospel|reggae|trance|techno|latin jazz|smooth jazz|ska|salsa|house|deep house|drum and bass
    |dubstep|trap|synthwave|lo-fi hip hop|big band|dixieland|bluegrass|ragtime|flamenco|klezmer|heavy metal|grunge|edm
    |chiptune|afrobeat|reggaeton|dub|bebop|boogie-woogie|surf rock|progressive rock|blues rock|pop rock|rock and roll
    |neo soul|industrial|new wave|k-pop|calypso|zydeco|gypsy jazz|cool jazz|thrash metal|baroque music|film music
    |game music|orchestral music|sacred music|chamber music|choral music""".replace("\n    ", "").split("|")
)
"""Genres that can stand alone: "some jazz"."""

_SPELLED = {
    "hiphop": "hip hop", "bossa": "bossa nova", "classique": "classical", "romantique": "romantic",
    "children": "children's",
    "chacha": "cha-cha-cha", "afrocuban": "afro-cuban", "neworleans": "new orleans", "prog": "progressive rock",
    "sambareggae": "samba reggae", "secondline": "second line", "purdieshuffle": "shuffle", "variations": "variation",
    "electronic dance": "electronic dance music", "dance": "dance music", "etudes": "etude", "bourrée": "bourree",
    "étude": "etude", "videogame": "video game music", "rnb": "r&b", "rhythm and blues": "r&b",
}  # fmt: skip
_PROPER_NAMES = "irish celtic brazilian cuban spanish indian japanese latin cajun parisian balkan french viennese"
_PROPER = {name: name.capitalize() for name in _PROPER_NAMES.split()}
_UNSAID = re.compile(
    r"groove\d|drums|fast|mediumfast|slow|soft|happy|other|unknown|none|misc\w*|instrumental|linear|song"
)
"""Tags that are no genre."""


def _any(*members: int) -> Callable[[Facts], bool]:
    return lambda facts: not set(members).isdisjoint(facts.instruments)


def _all(*members: int) -> Callable[[Facts], bool]:
    return lambda facts: set(members) <= set(facts.instruments)


def _triple(facts: Facts) -> bool:
    return facts.metre is None or (facts.metre[0] % 3 == 0 and facts.metre != (12, 8))


def _slow(facts: Facts) -> bool:
    return facts.bpm is None or facts.bpm < SLOW_BELOW


_HOLDS: tuple[tuple[str, Callable[[Facts], bool]], ...] = (
    ("waltz", _triple), ("minuet", _triple), ("mazurka", _triple), ("polonaise", _triple), ("musette", _triple),
    ("march", lambda facts: not (facts.metre and facts.metre[0] % 3 == 0 and facts.metre[0] < 6)),
    ("12/8", lambda facts: facts.metre == (12, 8)),
    ("slow", _slow),
    ("swing", lambda facts: facts.swing is None or facts.swing > STRAIGHT_BELOW),
    ("shuffle", lambda facts: facts.swing is None or facts.swing > STRAIGHT_BELOW),
    ("solo", lambda facts: len(facts.instruments) == 1),
    ("piano", _any(*range(6))), ("guitar", _any(*range(24, 32))), ("drum", _any(DRUMS)),
    ("organ", _any(*range(16, 21))),
    ("brass", _any(*range(56, 64))), ("string quartet", _all(40, 41, 42)), ("string", _any(*range(40, 52))),
    ("music box", _any(10)), ("choral", _any(52, 53, 54)), ("choir", _any(52, 53, 54)),
    ("quintet", lambda facts: len(facts.instruments) == 5), ("trio", lambda facts: len(facts.instruments) == 3),
    ("duet", lambda facts: len(facts.instruments) == 2), ("duo", lambda facts: len(facts.instruments) == 2),
    ("orchestral", lambda facts: len(facts.instruments) >= 4), ("symphon", lambda facts: len(facts.instruments) >= 4),
    ("concerto", lambda facts: len(facts.instruments) >= 3), ("big band", lambda facts: len(facts.instruments) >= 4),
    ("a cappella", lambda facts: set(facts.instruments) <= {52, 53, 54}),
    ("quartet", lambda facts: len(facts.instruments) in (3, 4)),
)  # fmt: skip
"""Part of a genre's name -> when it may be said of a window. All parts found must hold."""

_MEASURED_MOODS = frozenset({
    "fast", "slow", "loud", "quiet", "soft", "sparse", "dense", "minimal", "busy", "short", "long", "low", "high",
    "dance", "festival", "building", "swinging", "light", "deep", "heavy", "repetitive", "ritual", "modern", "hot",
})  # fmt: skip
"""Mood tags that speak of something measured, or that are no adjective."""


def spoken_genres(facts: Facts) -> list[str]:
    """The genres that may be said of this window, each once."""
    found = dict.fromkeys(_spelled(genre) for genre in facts.genres if not _UNSAID.fullmatch(genre.lower().strip()))
    return [genre for genre in found if genre and all(holds(facts) for part, holds in _HOLDS if part in genre.lower())]


def spoken_moods(facts: Facts) -> list[str]:
    """The moods that may be said."""
    moods = dict.fromkeys(_spelled(mood) for mood in facts.moods)
    return [mood for mood in moods if mood and mood.lower() not in _MEASURED_MOODS]


def _spelled(tag: str) -> str:
    """A tag in the usual spelling: lower case, proper names with a capital."""
    lowered = " ".join(tag.lower().split())
    return " ".join(_PROPER.get(word, word) for word in _SPELLED.get(lowered, lowered).split(" "))


class Composer(NamedTuple):
    """A composer whom people call by one name."""

    full: str
    initials: str


_FAMOUS: Mapping[str, Composer] = {
    full.split()[-1]: Composer(full, "".join(word[0] for word in full.split()))
    for full in """Johann Sebastian Bach|Ludwig van Beethoven|Wolfgang Amadeus Mozart|Franz Schubert|Robert Schumann
    |Johannes Brahms|Frédéric Chopin|Franz Liszt|Felix Mendelssohn|Joseph Haydn|Antonio Vivaldi|George Frideric Handel
    |Claude Debussy|Erik Satie|Maurice Ravel|Gabriel Fauré|Edvard Grieg|Antonín Dvořák|Pyotr Ilyich Tchaikovsky
    |Sergei Rachmaninoff|Alexander Scriabin|Modest Mussorgsky|Gustav Mahler|Richard Wagner|Giuseppe Verdi|Georges Bizet
    |Giacomo Puccini|Scott Joplin|John Philip Sousa|Fernando Sor|Francisco Tárrega|Mauro Giuliani|Matteo Carcassi
    |Georg Philipp Telemann|Henry Purcell|Claudio Monteverdi|Domenico Scarlatti|François Couperin|Jean-Philippe Rameau
    |Giovanni Pierluigi da Palestrina|Thomas Tallis|William Byrd|Carl Czerny|Muzio Clementi|Hugo Wolf|Edward Elgar
    |Camille Saint-Saëns|Charles Gounod|Amy Beach|Fanny Hensel|Cécile Chaminade|Lili Boulanger|Arnold Schoenberg
    |Béla Bartók|Igor Stravinsky|Isaac Albéniz|Ernest Chausson|Gaetano Donizetti|Stanisław Moniuszko|Henryk Wieniawski
    |Chiquinha Gonzaga|John Dowland|Niccolò Paganini|Arcangelo Corelli""".replace("\n    ", "").split("|")
}
_PERSON = re.compile(r"[^\W\d_][\w.'-]*(?: (?:van|von|de|da|di|del|la|of|zu|der|[^\W\d_][\w.'-]*)){1,4}")
_NO_PERSON = re.compile(r"anon|trad|arr\b|contributor|dataset|generated|unknown|various|[\d\"()\[\]]", re.IGNORECASE)


@lru_cache(maxsize=4096)
def spoken_composer(composer: str) -> tuple[str, ...]:
    """What to call the composer: surname and full name where people know both, the full name otherwise.

    Empty for what is not a person's name ("Anonymous", "generated (own work)", a user name of one word).
    """
    name = composer.split(",")[0].strip().replace(".", ". ")
    words = name.replace(".", " ").split()
    if _NO_PERSON.search(composer) or not words:
        return ()
    for surname, famous in _FAMOUS.items():
        at = [i for i, word in enumerate(words) if _plain(word) == _plain(surname)]
        if at and "".join(word[0] for word in words[: at[0] + 1]).upper() in {famous.initials.upper(), surname[0]}:
            return surname, famous.full
    person = " ".join(name.split())
    capitals = all(
        word[0].isupper() or word in {"van", "von", "de", "da", "di", "del", "la", "of", "zu", "der"} for word in words
    )
    return (person,) if _PERSON.fullmatch(person) and capitals else ()


def _plain(word: str) -> str:
    """`word` without accents and case, "Händel" as "handel"."""
    letters = unicodedata.normalize("NFKD", word).casefold()
    return "".join(letter for letter in letters if letter.isascii())
