"""The bounds that a checkpoint's record recommends, and that a take keeps them."""

from __future__ import annotations

import numpy as np

from midi_llm.compose.bounds import Bounds
from midi_llm.compose.settings import Settings


def test_a_record_names_some_bounds_and_leaves_the_others() -> None:
    bounds = Bounds.recommended({"temperature": 0.9, "max_polyphony": 6, "polyphony_per_instrument": 3})
    assert bounds == Bounds(max_polyphony=6, polyphony_per_instrument=3)


def test_more_instruments_may_sound_more_notes() -> None:
    bounds = Bounds(max_instruments=6, max_polyphony=6, polyphony_per_instrument=3)
    assert [bounds.polyphony(some) for some in (frozenset({0}), frozenset({0, 40}), frozenset(range(128)), None)] == [
        9, 12, 24, 24,
    ]  # fmt: skip


def test_a_take_keeps_polyphony_gaps_and_durations(make_composer) -> None:
    composer = make_composer(make_composer.engine(stride=5, max_positions=700))
    settings = Settings(seconds=20, seed=8)
    free = composer.compose("a piano solo", settings).events
    composer.bounds = Bounds(max_polyphony=2, polyphony_per_instrument=1, min_gap_ticks=7, min_melodic_ticks=9)
    kept = composer.compose("a piano solo", settings).events
    assert most_at_once(kept) <= 3
    assert smallest_gap(kept) >= 7
    assert kept[:, 1].min() >= 9
    assert most_at_once(free) > 3 or smallest_gap(free) < 7 or free[:, 1].min() < 9


def most_at_once(events) -> int:
    return max(int(((events[:, 0] <= t) & (events[:, 0] + events[:, 1] > t)).sum()) for t in events[:, 0])


def smallest_gap(events) -> int:
    return int(np.diff(np.unique(events[:, 0])).min(initial=10_000))
