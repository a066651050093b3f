"""Counts of a manifest and of shards, against numbers counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.piece_rows import piece_row, some_rows
from midi_llm.data.shards import Segment, ShardSpec, finish, write_shard
from midi_llm.data.stats import Amount, dataset_stats, histogram, shard_stats, stats_json, summary


def test_what_was_found_kept_and_dropped() -> None:
    stats = dataset_stats(some_rows())
    assert stats.found == 7
    assert stats.kept == Amount(pieces=4, notes=1200, hours=200 / 3600)
    assert list(stats.dropped.items()) == [("duplicate", 2), ("too few notes", 1)]
    folk, games = sorted(stats.sources, key=lambda source: source.name)
    assert (folk.found, folk.kept.pieces, dict(folk.dropped)) == (3, 2, {"too few notes": 1})
    assert (games.found, games.kept.notes, dict(games.dropped)) == (4, 1000, {"duplicate": 2})
    assert [stats.splits[split].pieces for split in ("train", "valid", "test")] == [2, 1, 1]
    assert stats.works == 3  # two pieces share a group
    assert stats.synthetic == 1


def test_instruments_count_pieces_and_families_notes_too() -> None:
    stats = dataset_stats(some_rows())
    assert list(stats.instruments.items()) == [(0, 3), (128, 2), (40, 1)]
    assert stats.families["Piano"] == (3, 420)
    assert stats.families["Strings"] == (1, 600)
    assert stats.families["Drums"] == (2, 80)
    assert stats.families["Brass"] == (0, 0)


def test_two_programs_of_a_family_are_one_piece_of_it() -> None:
    assert dataset_stats([piece_row("a", instruments={0: 5, 1: 7})]).families["Piano"] == (1, 12)


def test_names_are_counted_once_a_piece_and_most_first() -> None:
    stats = dataset_stats(some_rows())
    assert list(stats.genres.items()) == [("rock", 2), ("song", 1)]
    assert dict(stats.metres) == {"4/4": 2, "3/4": 1}
    assert dict(stats.keys) == {"C major": 2, "Db minor": 1}  # one spelling per key
    assert {licence.name: licence.attributions for licence in stats.licences} == {
        "CC-BY-4.0": 2, "CC0-1.0": 1, "not stated": 0,
    }  # fmt: skip
    assert stats.known["captions"] == 1
    assert stats.known["tempo"] == 2  # not the default tempo, not the piece without one


def test_tempi_that_nobody_chose_are_not_in_the_plot() -> None:
    assert sum(dataset_stats(some_rows()).bpm.counts) == 2


def test_pieces_without_length_have_no_density() -> None:
    assert sum(dataset_stats(some_rows()).notes_per_second.counts) == 3


def test_no_rows_are_counted_too() -> None:
    stats = dataset_stats([])
    assert stats.kept == Amount(pieces=0, notes=0, hours=0.0)
    assert stats.seconds.percentiles == (0.0, 0.0, 0.0)
    assert "0 of 0 pieces" in summary(stats)


def test_statistics_turn_into_json() -> None:
    values = json.loads(json.dumps(stats_json(dataset_stats(some_rows()))))
    assert values["kept"]["pieces"] == 4
    assert values["instruments"] == {"0": 3, "128": 2, "40": 1}


def test_the_summary_says_why_pieces_were_dropped() -> None:
    text = summary(dataset_stats(some_rows()))
    assert "4 of 7 pieces, 1,200 notes" in text
    assert "too few notes" in text


@given(st.lists(st.floats(-10, 100), max_size=50))
def test_every_value_is_in_one_bin(values: list[float]) -> None:
    edges = (0, 1, 5, 20)
    counted = histogram(values, edges)
    low, middle, high = (
        sum(value < 1 for value in values),
        sum(1 <= value < 5 for value in values),
        sum(value >= 5 for value in values),
    )
    assert counted.counts == (low, middle, high)
    if values:
        assert counted.percentiles[1] == pytest.approx(np.median(values))


def test_shards_are_counted_with_their_captions(tmp_path: Path) -> None:
    spec = ShardSpec(length=12, text_rows=100, sources=("folk", "books"))
    words = ["Compose:", "a", "slow", "waltz", "!"]

    def segment(prompt: list[int], music: int, kind: str = "plain") -> Segment:
        ids = np.array([*prompt, *([200] * (1 + music) if music else [])], np.int64)
        return Segment(
            ids=ids,
            music_start=len(prompt) + 1 if music else len(ids),
            kind=kind,
            source="folk" if music else "books",
        )

    rows = [
        [segment([0, 1, 2, 3, 4], 6)],
        [segment([], 3), segment([1, 2], 0, "text")],
        [segment([0, 3, 4], 3, "span")],
    ]
    write_shard(tmp_path, 0, rows, spec)
    prompt = {"prompt": {"prefix": "Compose: ", "suffix": " !"}}
    shards = finish(tmp_path, spec, shards=1, settings=prompt)
    stats = shard_stats("stage1", shards, lambda ids: " ".join(words[i] for i in ids))
    assert (stats.rows, stats.length, stats.segments, stats.ids) == (3, 12, 4, 12 + 4 + 2 + 7)
    assert stats.fill == pytest.approx(25 / 36)
    assert dict(stats.kinds) == {"plain": 2, "span": 1, "text": 1}
    assert dict(stats.sources) == {"folk": 3, "books": 1}
    assert stats.captioned == pytest.approx(2 / 3)  # of the music: text is no caption
    assert stats.caption_words.percentiles[1] == 2.0  # "a slow waltz" and "waltz", without the format's own words
