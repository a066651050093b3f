"""Random facts for the tests of captions: every field known or unknown, at and around every limit."""

from __future__ import annotations

from typing import Any

import numpy as np

from midi_llm.data.facts import Facts

ROOTS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
GENRES = ("rock", "jazz", "waltz", "baroque", "sonata", "techno", "hymn", "slow blues", "funk", "piano ballad",
"ambient",
          "string quartet", "jazz guitar", "swing", "8-bit", "12/8 rock", "r&b", "solo piano", "Metal",
          "groove3")  # fmt: skip
MOODS = ("sad", "dark", "calm", "energetic", "romantic", "fast", "slow", "dense", "warm", "groovy", "epic", "heroic")
COMPOSERS = ("", "J. S. Bach", "Anonymous", "Fryderyk Chopin", "Józef Stefani", "generated (own work)", "shunter")
METRES = ((4, 4), (3, 4), (6, 8), (2, 2), (2, 4), (5, 4), (12, 8), (7, 8), (4, 2), (3, 8))
LOOPS = (
    ("Am", "F", "C", "G"),
    ("C", "C", "F", "G7"),
    ("Dm",),
    ("Cmaj7", "Bb"),
    ("F#m", "B7", "E", "C#m7", "A", "Bdim"),
)


def random_facts(rng: np.random.Generator) -> Facts:
    count = int(rng.choice([1, 1, 2, 3, 4, 5, 8, 11]))
    pool = rng.permutation(
        129 if rng.random() < 0.6 else [0, 1, 24, 27, 33, 40, 41, 42, 48, 56, 60, 61, 65, 68, 73, 128]
    )
    instruments = tuple(int(i) for i in pool[:count]) if rng.random() < 0.95 else (128,)
    if rng.random() < 0.03:
        instruments = (40, 41, 42)
    shares = rng.dirichlet(np.ones(len(instruments)))
    melodic = instruments != (128,)
    loop = LOOPS[int(rng.integers(len(LOOPS)))]

    def maybe(value: Any, chance: float = 0.7) -> Any:
        return value if rng.random() < chance else None

    def some(items: tuple[str, ...], most: int) -> tuple[str, ...]:
        return tuple(str(item) for item in rng.choice(items, int(rng.integers(most + 1)), replace=False))

    chords = maybe((loop * 4)[: int(rng.integers(2, 20))]) or ()
    velocity = maybe(rng.choice([30, 64.9, 65, 80, 92, 92.1, 120]))
    return Facts(
        instruments=instruments, shares=tuple(shares), seconds=float(rng.uniform(3, 130)), notes=400,
        relative_density=float(rng.choice([1, 2.99, 3, 4.4, 4.5, 5, 5.5, 7, 8.99, 9.5, 10, 12.99, 13, 20])),
        polyphony=float(rng.choice([1, 1.05, 1.06, 1.3, 2, 3.5, 7.2, 12])) if melodic else 0.0,
        mean_pitch=float(rng.choice([40, 52.9, 53, 60, 66, 66.1, 80])) if melodic else None,
        bpm=maybe(float(rng.choice([40, 59.9, 72.5, 83.9, 84, 88, 100, 112, 112.1, 125, 150, 199,
        230])) + rng.uniform(0, 0.09)),
        metre=maybe(METRES[int(rng.integers(len(METRES)))]),
        key=maybe(f"{rng.choice(ROOTS)} {rng.choice(['major', 'minor'])}") if melodic else None,
        chords=chords, bars=len(chords) if chords and rng.random() < 0.5 else maybe(int(rng.integers(1, 40))),
        mean_velocity=velocity,
        velocity_change=None if velocity is None else float(rng.choice([-30, -15, 0, 15, 15.1])),
        staccato=maybe(rng.choice([0.2, 0.5, 0.95, 1.0, 1.2])), repeats=maybe(rng.choice([0.0, 0.3, 0.6, 0.61, 1.0])),
        swing=maybe(rng.choice([1.0, 1.09, 1.1, 1.3, 1.5, 1.6, 2.0]), 0.4),
        is_opening=rng.random() < 0.4, is_ending=rng.random() < 0.4, genres=some(GENRES, 3), moods=some(MOODS, 3),
        composer=str(rng.choice(COMPOSERS)),
        period=str(rng.choice(["", "baroque", "romantic", "20th century"])),
        ensemble="string quartet" if set(instruments) == {40, 41, 42} else "",
        form=maybe(tuple(rng.permutation(list("AABA"))), 0.3) or (),
    )  # fmt: skip
