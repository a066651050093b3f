from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi_llm.data import suffixes
from midi_llm.data.suffixes import STORED, longest_matches, occurrences, suffix_order, symbols_left
from midi_llm.errors import DatasetError

runs = st.lists(st.integers(1, 3), max_size=24)
texts = st.lists(runs, max_size=6).map(lambda lines: np.array([s for line in lines for s in [*line, 0]], np.uint16))


def common(a: list[int], b: list[int]) -> int:
    """Symbols in common from the beginning, up to a separator."""
    size = 0
    while size < min(len(a), len(b)) and a[size] == b[size] != 0:
        size += 1
    return size


@given(texts)
def test_the_order_is_that_of_sorted_rests_of_lines(text: np.ndarray) -> None:
    left = symbols_left(text)
    rests = sorted((text[place : place + left[place]].tolist(), place) for place in range(len(text)) if left[place])
    assert suffix_order(text).tolist() == [place for _, place in rests]


@given(texts.filter(np.any), runs)
def test_a_longest_match_is_that_of_comparing_all_places_with_all(text: np.ndarray, query: list[int]) -> None:
    found = longest_matches(text.astype(STORED), suffix_order(text), np.array(query, np.uint16))
    everywhere = text.tolist()
    naive = [max(common(query[i:], everywhere[j:]) for j in range(len(everywhere))) for i in range(len(query))]
    assert found.tolist() == naive


@given(texts.filter(np.any), runs.filter(len))
def test_occurrences_are_all_places_where_a_run_stands(text: np.ndarray, run: list[int]) -> None:
    found = occurrences(text.astype(STORED), suffix_order(text), np.array(run, np.uint16))
    naive = [place for place in range(len(text)) if text[place : place + len(run)].tolist() == run]
    assert sorted(found.tolist()) == naive


def test_long_lines_that_stand_twice_are_sorted_and_found_whole() -> None:
    line = np.random.default_rng(0).integers(1, 1024, 3000).astype(np.uint16)
    same = np.full(2000, 7, np.uint16)
    text = np.concatenate([line, [0], same, [0], line, [0], same, [0]]).astype(np.uint16)
    order = suffix_order(text)
    assert sorted(order.tolist()) == np.flatnonzero(text).tolist()
    assert longest_matches(text.astype(STORED), order, line).tolist() == list(range(3000, 0, -1))
    assert longest_matches(text.astype(STORED), order, np.r_[same, same])[0] == 2000
    assert occurrences(text.astype(STORED), order, line[5:]).tolist() == [5, 5007]


def test_nothing_is_sorted_to_nothing() -> None:
    assert suffix_order(np.zeros(0, np.uint16)).tolist() == suffix_order(np.zeros(3, np.uint16)).tolist() == []


def test_a_text_without_its_last_separator_or_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetError, match=r"2 symbols .* the last one a separator"):
        suffix_order(np.array([5, 6], np.uint16))
    monkeypatch.setattr(suffixes, "MOST_SYMBOLS", 3)
    with pytest.raises(DatasetError, match=r"4 symbols .* allowed are 3"):
        suffix_order(np.array([5, 6, 7, 0], np.uint16))
