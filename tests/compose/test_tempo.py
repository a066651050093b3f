"""Tempo of a piece in the making: heard, and put right."""

from __future__ import annotations

import numpy as np
import pytest

from midi_llm.compose.tempo import hear, is_clear, played, slower
from midi_llm.music.score import DRUMS
from midi_llm.tokens.codec import Events

COMMON = (4, 4)


def groove(ticks: int, *, start: int = 0, bars: int = 8) -> Events:
    """Kick, hat, snare, hat with a bass note a bar; a beat lasts `ticks`."""
    rows = []
    for beat in range(4 * bars):
        rows.append((start + beat * ticks, 10, DRUMS, 36 if beat % 2 == 0 else 38))
        rows.append((start + beat * ticks + ticks // 2, 5, DRUMS, 42))
        if beat % 4 == 0:
            rows.append((start + beat * ticks, 3 * ticks, 33, 40))
    return np.array(sorted(rows), np.int32)


@pytest.mark.parametrize("ticks", [46, 50, 55])
def test_what_is_near_the_tempo_is_brought_to_it(ticks: int) -> None:
    events = groove(ticks, start=1000)
    factor = slower(events, 120.0, COMMON)
    assert factor == pytest.approx(50 / ticks, rel=0.005)
    put_right = played(events, start=1000, factor=factor)
    assert np.abs(put_right[:, 0] - groove(50, start=1000)[:, 0]).max() <= 4
    assert put_right[0].tolist()[0] == 1000


def test_what_is_far_from_the_tempo_or_has_none_stays() -> None:
    assert slower(groove(50), 90.0, COMMON) == 1.0, "three quarters of the tempo"
    assert slower(groove(50), 60.0, COMMON) == pytest.approx(1.0, rel=0.005), "twice the tempo counts as the same"
    rng = np.random.default_rng(1)
    loose = groove(50)
    loose[:, 0] = np.sort(rng.integers(0, 1600, len(loose)))
    assert slower(loose, 110.0, COMMON) == 1.0
    assert slower(loose[:3], 110.0, COMMON) == 1.0


def test_durations_stay_within_what_an_event_can_say() -> None:
    events = np.array([(10, 1, 0, 60), (20, 990, 0, 62)], np.int32)
    assert played(events, start=10, factor=0.4)[:, 1].tolist() == [1, 396]
    assert played(events, start=10, factor=1.2)[:, 1].tolist() == [1, 999]


def test_a_steady_groove_is_clear() -> None:
    assert is_clear(hear(groove(50), None))
    assert not is_clear(None)
