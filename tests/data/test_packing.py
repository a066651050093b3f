from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi_llm.data.packing import fill_rate, pack, split_text
from midi_llm.data.shards import Segment
from midi_llm.errors import DatasetError


def music(count: int) -> Segment:
    return Segment(ids=np.arange(count), music_start=1, kind="plain", source="a")


def text(count: int) -> Segment:
    return Segment(ids=np.arange(count), music_start=count, kind="text", source="b")


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(50, 64))
def test_every_segment_is_in_exactly_one_row_and_no_row_is_too_long(counts: list[int], length: int) -> None:
    segments = [music(count) for count in counts]
    rows = pack(segments, length=length)
    assert Counter(id(s) for row in rows for s in row) == Counter(map(id, segments))
    assert all(0 < sum(len(s.ids) for s in row) <= length for row in rows)
    assert [[len(s.ids) for s in row] for row in pack(segments, length=length)] == [
        [len(s.ids) for s in row] for row in rows
    ]
    used = [sum(len(s.ids) for s in row) for row in rows]
    assert all(a + b > length for i, a in enumerate(used) for b in used[:i]), "two rows would have fitted in one"


def test_a_segment_goes_where_it_leaves_the_least_room() -> None:
    rows = pack(map(music, (4, 60, 30, 55, 30, 9)), length=64)
    assert [[len(s.ids) for s in row] for row in rows] == [[60, 4], [55, 9], [30, 30]]


def test_segments_of_a_real_spread_of_lengths_fill_rows_almost_whole() -> None:
    counts = np.random.default_rng(0).lognormal(5.5, 0.8, 3000).astype(int).clip(30, 2048)
    assert fill_rate(pack(map(music, counts.tolist()), length=2048), length=2048) > 0.995
    assert fill_rate([[music(512)], [music(1536)]], length=2048) == 0.5
    assert fill_rate([], length=2048) == 0.0


@given(st.integers(1, 400))
def test_long_text_is_split_without_loss_but_for_a_last_lone_id(count: int) -> None:
    parts = split_text(text(count), length=100)
    joined = np.concatenate([part.ids for part in parts])
    lone = count > 100 and count % 100 == 1
    np.testing.assert_array_equal(joined, np.arange(count - lone))
    assert all(part.music_start == len(part.ids) <= 100 and part.kind == "text" for part in parts)
    assert all(len(part.ids) > 1 for part in parts) or count == 1


def test_music_that_is_too_long_is_refused_and_long_text_is_packed() -> None:
    with pytest.raises(DatasetError, match="plain example of a has 65 ids, a row 64"):
        pack([music(65)], length=64)
    rows = pack([text(100), music(28)], length=64)
    assert [[len(s.ids) for s in row] for row in rows] == [[64], [36, 28]]
