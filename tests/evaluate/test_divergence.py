"""Divergence of engines: the formula on distributions known by hand, which positions count, and real roundings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from midi_llm.engines.onnx_engine import OnnxEngine
from midi_llm.evaluate.divergence import kl_divergence, slot_divergences
from midi_llm.tokens.codec import encode

ROWS = 320
IDS = [256, 55_026 + ROWS, *(encode(np.array([[0, 20, 0, 60], [5, 30, 128, 38]], np.int32)) + ROWS).tolist()]


def logs(*shares: float) -> np.ndarray:
    return np.log(np.array(shares, np.float32))


def test_the_divergence_is_that_of_the_formula_and_ignores_a_constant() -> None:
    expected = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert kl_divergence(logs(0.5, 0.5), logs(0.25, 0.75) + 7) == pytest.approx(expected, rel=1e-6)
    assert kl_divergence(logs(0.25, 0.75), logs(0.5, 0.5)) != pytest.approx(expected, rel=1e-2)


@given(arrays(np.float32, 9, elements=st.floats(-30, 30, width=32)), st.integers(0, 8))
def test_the_divergence_is_0_from_itself_and_positive_otherwise(logits: np.ndarray, place: int) -> None:
    assert kl_divergence(logits, logits) == 0
    other = logits.copy()
    other[place] += 1
    assert kl_divergence(logits, other) >= -1e-12  # rounding


class Told:
    """Logits that are 0 but for one id of each slot."""

    def __init__(self, peak: float) -> None:
        self.peak = peak
        self.asked: list[int] = []

    def next_logits(self, token_ids: Sequence[int], *, start: int = 0, stop: int | None = None) -> np.ndarray:
        self.asked.append(len(token_ids))
        logits = np.zeros((stop or 0) - start, np.float32)
        logits[0] = self.peak
        return logits


def test_ids_of_music_are_counted_by_slot_and_prompts_are_not() -> None:
    engine = Told(1.0)
    found = slot_divergences(engine, Told(1.0), [IDS, IDS], text_rows=ROWS)
    assert [(one.slot, one.positions, one.mean, one.largest, one.same_best) for one in found] == [
        (name, 4, 0.0, 0.0, 1.0) for name in ("time", "duration", "note or REST")
    ]
    assert engine.asked == [2, 3, 4, 5, 6, 7] * 2
    thinned = slot_divergences(Told(-1.0), Told(1.0), [IDS, IDS], text_rows=ROWS, every=4)
    assert [one.positions for one in thinned] == [1, 1, 1]
    assert all(one.mean == one.largest > 0 and one.same_best == 0 for one in thinned)
    assert math.isnan(slot_divergences(engine, engine, [[1, 2]], text_rows=ROWS)[0].mean)


def test_the_float32_export_is_the_checkpoint_and_int4_is_farther_off(
    tiny_onnx_checkpoint: Path, tiny_int4_checkpoint: Path
) -> None:
    exact, rounded = OnnxEngine(tiny_onnx_checkpoint), OnnxEngine(tiny_int4_checkpoint)
    assert all(one.largest < 1e-9 for one in slot_divergences(exact, exact, [IDS], text_rows=ROWS))
    found = slot_divergences(rounded, exact, [IDS], text_rows=ROWS)
    assert all(1e-4 < one.mean <= one.largest < 1 for one in found)
    exact.close()
    rounded.close()
