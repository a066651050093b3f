from __future__ import annotations

import pytest

from midi_llm.data.presets import PRESETS, row_sets
from midi_llm.errors import DatasetError


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_have_sets_of_different_names_and_seeds(preset: str) -> None:
    specs = row_sets(preset)
    assert len({spec.name for spec in specs}) == len({spec.seed for spec in specs}) == len(specs)
    assert {spec.stage for spec in specs} == {1, 2}


def test_changes_reach_the_set_and_the_examples_and_rows_0_leaves_a_set_out() -> None:
    changes = ["short.rows=7", "short.length=256", "short.captioned=0.5", "stage1.rows=0", "full.seed=5"]
    short, full = row_sets("nano", changes)
    assert (short.rows, short.length, short.example.captioned) == (7, 256, 0.5)
    assert (full.seed, full.rows) == (5, row_sets("nano")[2].rows)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("short.rows", "changes nothing; a change is like stage1.rows=400"),
        ("rows=3", "changes nothing"),
        ("long.rows=3", "row sets are stage1, short, full"),
        ("short.colour=3", "fields rows, valid_rows"),
        ("short.rows=many", "'many' is not a whole number"),
        ("short.rows=1e3", "'1e3' is not a whole number"),
        ("short.rows=-1", "-1 and 512 rows"),
        ("short.valid_rows=0", "128000 and 0 rows"),
        ("short.seed=-1", "seed -1"),
        ("short.length=64", "length is 64"),
        ("short.captioned=1.5", "captioned and described are"),
        ("short.captioned=nan", "not a finite number"),
        ("short.text_share=2", "text share 2"),
        ("short.captioned=x", "'x' is not a number"),
    ],
)  # fmt: skip
def test_a_change_that_cannot_be_is_named(change: str, found: str) -> None:
    with pytest.raises(DatasetError, match=found):
        row_sets("nano", [change])


def test_an_unknown_preset_is_named_with_those_there_are() -> None:
    with pytest.raises(DatasetError, match="'huge'; presets are nano, midi-llm-1b"):
        row_sets("huge")
