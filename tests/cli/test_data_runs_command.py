"""`midi-llm data runs` from outside: the index of the training pieces' melodies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cli.conftest import Result
from data.corpora import tree
from data.melodies import random_melody, write_dataset
from midi_llm.data.runs import RunIndex, shared_runs
from midi_llm.music.score import Score


def test_it_indexes_a_data_set_once_and_says_what_is_wrong(midi_llm: Callable[..., Result]) -> None:
    pieces = {f"p{seed}": Score(tracks=(random_melody(seed, 60),)) for seed in range(4)}
    write_dataset(Path("ds"), pieces)
    done = midi_llm("data", "runs", "ds", "--workers", "1")
    assert (done.code, done.out) == (0, "ds/runs\n")
    assert "4 training pieces, 4 lines, 240 notes; 0.0 MB" in done.err
    found = shared_runs(pieces["p2"], RunIndex.open(Path("ds")))
    assert (found.notes, found.copied) == (60, 60)

    before = tree(Path("ds"))
    again = midi_llm("data", "runs", "ds")
    assert (again.code, again.err) == (0, "4 training pieces, 4 lines, 240 notes; 0.0 MB\n")
    assert tree(Path("ds")) == before

    write_dataset(Path("drums"), {"a": Score(tracks=(replace(random_melody(1), is_drum=True),))})
    for arguments, reason in (
        (["nowhere"], "nowhere has no manifest.jsonl.gz; make it with"),
        (["ds", "--workers", "-1"], "--workers is -1; allowed is 1 or more"),
        (["drums", "--workers", "1"], "the 1 training pieces of drums have no melodic line"),
    ):
        refused = midi_llm("data", "runs", *arguments)
        assert (refused.code, refused.out) == (2, "")
        assert reason in refused.err.splitlines()[-1]
