"""Repetition: compression against a naive COSIATEC, fitness against all families of repeats, and real above random."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.tunes import BARS, EMPTY, FORM, laid, means, noise, on_beats, scattered, table, tune
from midi_llm.errors import RequestError
from midi_llm.evaluate import repetition
from midi_llm.evaluate.analysis import Analysis
from midi_llm.evaluate.pointset import compression_ratio
from midi_llm.music.features import note_table

Point = tuple[int, int]
POINTS = st.sets(st.tuples(st.integers(0, 9), st.integers(0, 5)), min_size=1, max_size=24)


def naive_cosiatec(points: set[Point]) -> float:
    """The greedy cover with everything searched anew: by ratio, then covered points, then the smallest vector."""
    left, cost = set(points), 0
    while left:
        ordered = sorted(left)
        moved: dict[Point, list[Point]] = {}
        for (x, y), (u, v) in combinations(ordered, 2):
            moved.setdefault((u - x, v - y), []).append((x, y))
        best: tuple[float, int] = (1.0, 0)
        choice: tuple[int, set[Point]] | None = None
        for vector in sorted(moved):
            pattern = moved[vector]
            shape = [(x - pattern[0][0], y - pattern[0][1]) for x, y in pattern]
            places = [(x, y) for x, y in ordered if all((x + dx, y + dy) in left for dx, dy in shape)]
            covers = {(x + dx, y + dy) for x, y in places for dx, dy in shape}
            value = (len(covers) / (len(shape) + len(places) - 1), len(covers))
            if value[0] > 1 and value > best:
                best, choice = value, (len(shape) + len(places) - 1, covers)
        if choice is None:
            return len(points) / (cost + len(left))
        cost += choice[0]
        left -= choice[1]
    return len(points) / cost


def array(points: set[Point]) -> np.ndarray:
    return np.array(sorted(points), np.int64)


@given(POINTS)
def test_compression_is_cosiatec(points: set[Point]) -> None:
    assert compression_ratio(array(points), refresh=1.0) == pytest.approx(naive_cosiatec(points), abs=1e-12)


@settings(max_examples=30)
@given(POINTS)
def test_fewer_searches_compress_nearly_as_well(points: set[Point]) -> None:
    assert compression_ratio(array(points)) == pytest.approx(naive_cosiatec(points), rel=0.25)


def test_on_a_tune_fewer_searches_lose_little() -> None:
    points = repetition.point_set(laid(tune(1)))[:120]
    exact = naive_cosiatec({(int(time), int(pitch)) for time, pitch in points})
    assert compression_ratio(points, refresh=1.0) == pytest.approx(exact, abs=1e-12)
    assert compression_ratio(points) == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize(("size", "places"), [(5, 4), (8, 2), (3, 9)])
def test_a_pattern_and_its_places(size: int, places: int) -> None:
    rng = np.random.default_rng(size)
    pattern = np.stack([rng.permutation(1000)[:size], rng.permutation(1000)[:size]], axis=1)
    moves = np.stack([rng.permutation(10**6)[:places], rng.permutation(60)[:places]], axis=1)
    points = (pattern[None] + moves[:, None]).reshape(-1, 2)
    assert compression_ratio(points) == pytest.approx(size * places / (size + places - 1), abs=1e-12)


def test_points_in_general_position_do_not_compress() -> None:
    powers = 2 ** np.arange(12)
    assert compression_ratio(np.stack([powers, 3 * powers], axis=1)) == 1.0
    assert compression_ratio(np.array([[3, 60]])) == 1.0
    assert math.isnan(compression_ratio(np.zeros((0, 2), np.int64)))


def test_an_even_pulse_does_not_compress() -> None:
    pulse = {(3 * beat, 60) for beat in range(40)}
    assert compression_ratio(array(pulse)) == naive_cosiatec(pulse) == 1.0


@given(POINTS, st.integers(-50, 50), st.integers(-50, 50))
def test_compression_ignores_place_order_and_copies(points: set[Point], time: int, pitch: int) -> None:
    moved = np.concatenate([array(points), array(points)])[::-1] + np.array([time, pitch])
    assert compression_ratio(moved) == compression_ratio(array(points))
    assert compression_ratio(moved) >= 1.0


def test_points_lie_on_the_grid_and_drums_apart() -> None:
    one = on_beats(table([(0.01, 0.1, 60, 80), (0.49, 0.1, 62, 80), (0.5, 0.1, 62, 80)]))
    assert repetition.point_set(one).tolist() == [[0, 60], [12, 62]]
    drums = on_beats(table([(0.0, 0.1, 36, 80)], drums=True))
    assert repetition.point_set(drums).tolist() == [[0, 292]]
    assert repetition.point_set(Analysis(notes=one.notes)).tolist() == [[1, 60], [49, 62], [50, 62]]  # ticks


def test_dealt_anew_keeps_times_and_pitches() -> None:
    points = repetition.point_set(laid(tune(2)))
    dealt = repetition.dealt_anew(points)
    for axis in (0, 1):
        assert sorted(points[:, axis].tolist()) == sorted(dealt[:, axis].tolist())
    assert not np.array_equal(points, dealt)
    assert np.array_equal(dealt, repetition.dealt_anew(points))
    drums = points[:, 1] >= 256
    assert sorted(points[drums, 0].tolist()) == sorted(dealt[drums, 0].tolist())


def test_bars_that_come_back() -> None:
    one = laid(tune(4))
    assert repetition.repeated_bars(one) == pytest.approx((BARS - 3) / BARS, abs=1e-12)
    assert one.bars is not None
    similarity = repetition.bar_similarity(one.notes, one.bars)
    assert repetition.bar_likeness(similarity) == pytest.approx(1.0, abs=1e-12)
    same = np.array([[left == right for right in FORM] for left in FORM])
    assert np.array_equal(similarity > 1 - 1e-9, same)


def test_likeness_is_the_cosine_of_what_begins_where() -> None:
    rows = [(0.0, 0.1, 60, 80), (0.5, 0.1, 64, 80), (2.0, 0.1, 72, 80), (2.5, 0.1, 65, 80), (4.0, 0.1, 60, 80)]
    one = on_beats(table([*rows, (8.0, 0.1, 61, 80)]))
    assert one.bars is not None
    similarity = repetition.bar_similarity(one.notes, one.bars)
    half = math.sqrt(0.5)
    expected = [[1, 0.5, half, 0, 0], [0.5, 1, half, 0, 0], [half, half, 1, 0, 0], [0] * 5, [0, 0, 0, 0, 1]]
    assert similarity == pytest.approx(np.array(expected), abs=1e-12)
    assert repetition.bar_likeness(similarity) == pytest.approx(3 * half / 4, abs=1e-12)


def similarity_of(form: str) -> np.ndarray:
    return np.array([[float(left == right) for right in form] for left in form])


@pytest.mark.parametrize(
    ("form", "lengths", "fitness"),
    [
        ("ABCDABCD", (4, 8), 0.5),  # half of the piece is explained by the other half
        ("AAAAAAAA", (2, 3), 0.75),
        ("ABCDEFGH", (2, 3), 0.0),
        ("ABXYABZW", (2, 3), 1 / 3),  # quality 1/2, coverage 1/4
        ("ABCDEF", (4, 8), math.nan),
    ],
)
def test_fitness_of_forms(form: str, lengths: tuple[int, int], fitness: float) -> None:
    assert repetition.structure(similarity_of(form), lengths) == pytest.approx(fitness, abs=1e-12, nan_ok=True)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(4, 9))
def test_fitness_by_trying_all_families_of_repeats(seed: int, bars: int) -> None:
    drawn = np.random.default_rng(seed).random((bars, bars))
    similarity = np.maximum(drawn, drawn.T)
    np.fill_diagonal(similarity, 1.0)
    support = np.where(similarity >= 0.5, 2 * similarity - 1, -2.0)
    best = 0.0
    for length in range(2, min(3, bars // 2) + 1):
        for start in range(bars - length + 1):
            best = max(best, naive_fitness(support, start, length))
    assert repetition.structure(similarity, (2, 3)) == pytest.approx(best, abs=1e-9)


def naive_fitness(support: np.ndarray, start: int, length: int) -> float:
    """Fitness of one passage, the family of repeats with the best score found by trying all."""
    bars = len(support)
    places = range(bars - length + 1)
    scores = [sum(support[start + step, place + step] for step in range(length)) for place in places]
    families = [
        family
        for count in range(1, bars // length + 1)
        for family in combinations(places, count)
        if all(later - earlier >= length for earlier, later in pairwise(family))
    ]
    family = max(families, key=lambda chosen: sum(scores[place] for place in chosen))
    score, covered = sum(scores[place] for place in family), len(family) * length
    quality, coverage = max(score - length, 0) / covered, (covered - length) / bars
    return 2 * quality * coverage / (quality + coverage) if quality + coverage > 0 else 0.0


def test_takes_without_notes_are_nan_and_said() -> None:
    found = repetition.evaluate([EMPTY, laid(tune(0))])
    assert all(np.isnan(one.values[0]) and not np.isnan(one.values[1]) for one in found)
    assert [warning.split(":")[0] for warning in repetition.validate([EMPTY, laid(tune(0))])] == [
        "1 of 2 takes have no notes (no repetition metric)",
        "1 of 2 takes have fewer than two bars heard",
    ]
    with pytest.raises(RequestError, match="no takes"):
        repetition.evaluate([])


def test_without_beats_only_compression_counts() -> None:
    found = {one.metric.name: one.values[0] for one in repetition.evaluate([Analysis(notes=note_table(tune(0)))])}
    assert {name for name, value in found.items() if not math.isnan(value)} == {
        "repetition.compression_ratio",
        "repetition.compression_gain",
    }


def test_music_ranks_above_disorder() -> None:
    real = means(repetition.evaluate([laid(tune(seed)) for seed in range(3)]))
    for disorder in (scattered, noise):
        random = means(repetition.evaluate([laid(disorder(tune(seed), seed)) for seed in range(3)]))
        assert len(real) == 6
        assert all(real[name] > random[name] for name in real)
