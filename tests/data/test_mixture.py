from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.data.manifest import PieceRow
from midi_llm.data.mixture import SOURCE_WEIGHTS, rows_per_piece
from midi_llm.data.sources.base import Metadata
from midi_llm.errors import DatasetError


def piece(source: str = "old", notes: int = 1000, genres: tuple[str, ...] = (), dropped: str | None = None) -> PieceRow:
    return PieceRow(
        id="x", source=source, pack="p", sha256="", split="train", metadata=Metadata(genres=genres), notes=notes,
        dropped=dropped,
    )  # fmt: skip


pieces_strategy = st.lists(
    st.builds(
        piece,
        source=st.sampled_from(["old", "modern", "loops"]),
        notes=st.integers(1, 50_000),
        genres=st.lists(st.sampled_from(["rock", "jazz", "mass"]), max_size=2, unique=True).map(tuple),
        dropped=st.sampled_from([None, None, None, "too short"]),
    ),
    min_size=1,
    max_size=40,
)


@settings(deadline=None)
@given(pieces=pieces_strategy, total=st.integers(1, 3000), seed=st.integers(0, 99))
def test_counts_sum_to_the_total_dropped_pieces_get_none_and_sources_their_share(pieces, total, seed) -> None:
    kept = [row for row in pieces if row.dropped is None]
    weights = {"old": 0.2, "modern": 0.7, "loops": 0.1}
    if not kept:
        with pytest.raises(DatasetError, match="none of"):
            rows_per_piece(pieces, total=total, seed=seed, weights=weights)
        return
    counts = rows_per_piece(pieces, total=total, seed=seed, weights=weights)
    assert counts.dtype == np.int64
    assert counts.shape == (len(pieces),)
    assert counts.sum() == total
    assert counts.min() >= 0
    assert all(count == 0 for row, count in zip(pieces, counts, strict=True) if row.dropped)
    present = {row.source for row in kept}
    for source in present:
        share = weights[source] / sum(weights[name] for name in present)
        own = sum(count for row, count in zip(pieces, counts, strict=True) if row.source == source)
        assert abs(own - share * total) < 1 + 1e-6
    np.testing.assert_array_equal(counts, rows_per_piece(pieces, total=total, seed=seed, weights=weights))


def test_twelve_million_old_notes_do_not_drown_a_hundred_modern_pieces() -> None:
    pieces = [piece("polish-scores", 1500)] * 8000 + [piece("freedoom", 3000)] * 100
    counts = rows_per_piece(pieces, total=9000, seed=1)
    old, modern = counts[:8000].sum(), counts[8000:].sum()
    assert modern / old == pytest.approx(SOURCE_WEIGHTS["freedoom"] / SOURCE_WEIGHTS["polish-scores"], rel=1e-3)
    assert set(counts[:8000].tolist()) == {0, 1}  # 2,000 rows over 8,000 pieces: none comes twice


def test_fewer_rows_than_pieces_reach_every_piece_over_the_seeds() -> None:
    pieces = [piece(notes=400), piece(notes=100), piece(notes=100)]
    draws = np.array([rows_per_piece(pieces, total=1, seed=seed) for seed in range(2000)])
    np.testing.assert_allclose(draws.mean(axis=0), [0.5, 0.25, 0.25], atol=0.04)  # roots of the lengths


def test_a_source_without_a_weight_counts_as_an_average_one_of_its_size() -> None:
    pieces = [piece("a", 100), piece("b", 400), piece("new", 900)]
    counts = rows_per_piece(pieces, total=10_000, seed=0, weights={"a": 1.0, "b": 2.0})
    np.testing.assert_allclose(counts, np.array([1, 2, 3]) * 10_000 / 6, atol=1)
    skewed = rows_per_piece(pieces, total=10_000, seed=0, weights={"a": 2.0, "b": 1.0})
    np.testing.assert_allclose(skewed, np.array([2, 1, 3]) * 10_000 / 6, atol=1)
    by_size = rows_per_piece(pieces, total=10_000, seed=0, weights={})
    np.testing.assert_allclose(by_size, np.array([1, 2, 3]) * 10_000 / 6, atol=1)
    without = rows_per_piece(pieces, total=10_000, seed=0, weights={"a": 1.0, "b": 2.0, "new": 0.0})
    np.testing.assert_allclose(without, np.array([1, 2, 0]) * 10_000 / 3, atol=1)


def test_genres_are_tempered_and_a_piece_of_two_genres_belongs_to_both_in_part() -> None:
    pieces = [piece(genres=("mass",))] * 9 + [piece(genres=("rock",))]
    assert rows_per_piece(pieces, total=4000, seed=0, genre_exponent=1.0)[9] == 400
    assert rows_per_piece(pieces, total=4000, seed=0)[9] == 1000  # sqrt(9) : sqrt(1)
    assert rows_per_piece(pieces, total=4000, seed=0, genre_exponent=0.0)[9] == 2000
    both = [*pieces[:9], piece(genres=("rock", "mass"))]
    counts = rows_per_piece(both, total=40_000, seed=0, genre_exponent=0.0)
    np.testing.assert_allclose(counts[9], 40_000 * (0.5 + 0.5 * 0.5 / 9.5), atol=1)


def test_length_counts_by_its_root_up_to_a_cap() -> None:
    pieces = [piece(notes=100), piece(notes=400), piece(notes=10_000), piece(notes=500_000)]
    np.testing.assert_allclose(rows_per_piece(pieces, total=2300, seed=0), [100, 200, 1000, 1000], atol=1)
    flat = rows_per_piece(pieces, total=2300, seed=0, length_exponent=0.0)
    np.testing.assert_allclose(flat, [575] * 4, atol=1)


@pytest.mark.parametrize(("total", "weights"), [(0, {}), (5, {"old": -1.0}), (5, {"old": float("nan")})])
def test_settings_out_of_range_are_refused(total: int, weights: dict[str, float]) -> None:
    with pytest.raises(DatasetError, match="are needed"):
        rows_per_piece([piece()], total=total, seed=0, weights=weights)


def test_nothing_to_draw_from_is_refused() -> None:
    with pytest.raises(DatasetError, match="0 pieces"):
        rows_per_piece([], total=5, seed=0)
    for row in (piece(dropped="duplicate"), replace(piece(), notes=0)):
        with pytest.raises(DatasetError, match=r"none of 1 pieces may be drawn.*\(old\)"):
            rows_per_piece([row], total=5, seed=0)
    with pytest.raises(DatasetError, match="have weight 0"):
        rows_per_piece([piece()], total=5, seed=0, weights={"old": 0.0})
