"""Random events for the property tests of this folder.

Drawn from a seed rather than value by value: hypothesis spends far more time on a list of rows than the tests do.
"""

from __future__ import annotations

import random

import numpy as np
from hypothesis import strategies as st

from midi_llm.music.score import DRUMS
from midi_llm.tokens.codec import REST_INSTRUMENT, Events


def random_events(seed: int, *, rests: bool, max_time: int, max_size: int) -> Events:
    """Legal events [n, 4] in time order, at times none; many of them meet at one onset or pitch."""
    rng = random.Random(seed)
    rows = []
    for onset in sorted(rng.randrange(rng.choice([10, 300, max_time]) + 1) for _ in range(rng.randrange(max_size + 1))):
        instrument = rng.choice([0, DRUMS, rng.randrange(DRUMS + 1), REST_INSTRUMENT if rests else 0])
        if instrument == REST_INSTRUMENT:
            rows.append((min(onset, max_time), 0, instrument, 0))
            continue
        pitch = rng.choice([60, 61, 0, 127, rng.randrange(128)])
        rows.append((min(onset, max_time), rng.choice([0, 1, 999, rng.randrange(1000)]), instrument, pitch))
    return np.array(rows, np.int32).reshape(-1, 4)


def event_lists(*, rests: bool = True, max_time: int = 9_999, max_size: int = 30) -> st.SearchStrategy[Events]:
    """Strategy of `random_events`."""
    return st.integers(0, 2**32 - 1).map(
        lambda seed: random_events(seed, rests=rests, max_time=max_time, max_size=max_size)
    )
