from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.corpora import tree
from data.melodies import joined, melody, moved, random_melody, write_dataset
from data.piece_rows import piece_row
from midi_llm.data.dataset import Dataset
from midi_llm.data.lines import melodic_lines
from midi_llm.data.manifest import write_manifest
from midi_llm.data.runs import GRAM, LONG_RUN, Run, RunIndex, build_runs, has_runs, shared_runs
from midi_llm.errors import DatasetError
from midi_llm.music.score import Score, Track


def piece(*tracks: Track) -> Score:
    return Score(tracks=tracks)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> RunIndex:
    """Twelve pieces of two instruments and drums, p0 to p11; p0's flute is `random_melody(100)`."""
    pieces = {
        f"p{seed}": piece(
            random_melody(seed, 150),
            random_melody(seed + 100, program=73),
            replace(random_melody(seed, 80), is_drum=True),
        )
        for seed in range(12)
    }
    return build_runs(write_dataset(tmp_path_factory.mktemp("data") / "ds", pieces))


def longest(index: RunIndex, *tracks: Track) -> Run:
    found = shared_runs(piece(*tracks), index)
    assert found.longest is not None
    assert found.most_varied is not None
    return found.longest


@pytest.mark.parametrize(("semitones", "factor", "program"), [(0, 1.0, 73), (-9, 1.0, 0), (5, 1.5, 40), (12, 0.6, 73)])
def test_a_copy_in_another_key_tempo_and_instrument_is_found_whole(
    index: RunIndex, semitones: int, factor: float, program: int
) -> None:
    copy = moved(replace(random_melody(103), program=program), semitones=semitones, factor=factor, seconds=2.0)
    run = longest(index, copy)
    assert run == Run(notes=100, varied=100, seconds=2.0, instrument=program, piece="folk/p3", pieces=1)
    found = shared_runs(piece(copy), index)
    assert (found.notes, found.copied) == (100, 100)


def test_a_passage_within_other_music_is_found_where_it_begins(index: RunIndex) -> None:
    passage = replace(random_melody(105), notes=random_melody(105).notes[20:60])
    passage = moved(passage, seconds=-float(passage.notes["time"][0]))
    other = random_melody(999, 60)
    take = joined(other, passage, random_melody(998, 60))
    begins = float(other.notes["time"][-1]) + 1.0
    run = longest(index, moved(take, semitones=3))
    assert run.piece == "folk/p5"
    assert 39 <= run.notes <= 42, "40, one less for the first rhythm, and what agrees by chance at the ends"
    assert abs(run.seconds - begins) <= 1.0
    found = shared_runs(piece(take), index)
    assert found.copied == run.notes
    assert found.notes == 160


def test_random_melodies_share_short_runs_only(index: RunIndex) -> None:
    for seed in range(2000, 2020):
        found = shared_runs(piece(random_melody(seed, 300)), index)
        assert found.copied == 0
        assert found.longest is not None
        assert 1 < found.longest.notes < LONG_RUN


def test_drums_are_neither_indexed_nor_looked_up(index: RunIndex) -> None:
    drums = replace(random_melody(4, 80), is_drum=True)
    assert shared_runs(piece(drums), index) == shared_runs(piece(), index)
    assert shared_runs(piece(), index).notes == 0
    assert shared_runs(piece(), index).longest is None
    assert index.info["notes"] == 12 * (150 + 100)
    assert (index.info["pieces"], index.info["lines"]) == (12, 24)


def test_no_run_goes_on_from_one_line_into_the_next(tmp_path: Path) -> None:
    first, second = random_melody(1, 40), random_melody(2, 40)
    dataset = write_dataset(tmp_path / "ds", {"a": piece(first), "b": piece(second), "c": piece(first)})
    index = build_runs(dataset)
    assert longest(index, joined(first, second)).notes == 40
    assert longest(index, first).pieces == 2
    assert longest(index, first).piece == "folk/a"


melodies = st.lists(st.integers(60, 63), min_size=1, max_size=40)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(melodies, min_size=1, max_size=4), melodies, st.integers(0, 2**32))
def test_runs_are_those_of_comparing_everything_with_everything(
    tmp_path_factory: pytest.TempPathFactory, corpus: list[list[int]], take: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    tracks = [melody(notes, rng.choice([0.25, 1.0], len(notes) - 1)) for notes in [*corpus, take]]
    texts = [[line.symbols.tolist() for line in melodic_lines(piece(track))] for track in tracks]
    dataset = write_dataset(
        tmp_path_factory.mktemp("data") / "ds", {f"p{i}": piece(t) for i, t in enumerate(tracks[:-1])}
    )
    if not any(texts[:-1]):
        with pytest.raises(DatasetError, match="no melodic line"):
            build_runs(dataset)
        return
    found = shared_runs(piece(tracks[-1]), build_runs(dataset))
    query = texts[-1][0] if texts[-1] else []
    lines = [line for text in texts[:-1] for line in text]
    size, varied, copied = naive_runs(query, lines)
    assert found.notes == (len(query) + 1 if query else 0)
    assert (found.longest.notes if found.longest else 0) == size
    assert (found.most_varied.varied if found.most_varied else 0) == varied
    assert found.copied == copied


def naive_runs(query: list[int], lines: list[list[int]]) -> tuple[int, int, int]:
    """Notes of the longest run, varied notes of the most varied, and notes in long runs."""
    size = varied = 0
    copied = set()
    for first in range(len(query)):
        for last in range(first + 1, len(query) + 1):
            part = query[first:last]
            if any(part == line[i : i + len(part)] for line in lines for i in range(len(line))):
                grams = {tuple(part[i : i + GRAM]) for i in range(len(part) - GRAM + 1)}
                variety = len(grams) + GRAM if grams else len(part) + 1
                size, varied = max(size, len(part) + 1), max(varied, variety)
                copied |= set(range(first, last + 1)) if variety >= LONG_RUN else set()
    return size, varied, len(copied)


def test_what_repeats_within_a_run_counts_once_as_varied(tmp_path: Path) -> None:
    trill, scale = melody([60, 62] * 40), melody(list(range(20, 100)))
    tune = random_melody(5, 30)
    index = build_runs(write_dataset(tmp_path / "ds", {"a": piece(trill), "b": piece(scale), "c": piece(tune)}))
    for track, varied in ((trill, 7), (scale, 6)):  # the first step is a symbol of its own
        found = shared_runs(piece(track), index)
        assert found.longest is not None
        assert (found.longest.notes, found.longest.varied, found.copied) == (80, varied, 0)
    both = shared_runs(piece(joined(trill, tune)), index)
    assert both.longest is not None
    assert both.most_varied is not None
    assert (both.longest.notes, both.longest.piece) == (80, "folk/a")
    assert both.most_varied.varied >= 29
    assert both.most_varied.piece == "folk/c"


def test_only_kept_training_pieces_are_indexed(tmp_path: Path) -> None:
    pieces = {name: piece(random_melody(seed, 60)) for seed, name in enumerate("abcd")}
    rows = [piece_row("b", split="valid"), piece_row("c", split="test"), piece_row("d", dropped="duplicate")]
    index = build_runs(write_dataset(tmp_path / "ds", pieces, rows))
    assert list(index.pieces) == ["folk/a"]
    assert [longest(index, pieces[name].tracks[0]).notes >= 60 for name in "abcd"] == [True, False, False, False]


def test_any_number_of_workers_writes_the_same_bytes_and_again_writes_nothing(tmp_path: Path) -> None:
    pieces = {f"p{seed}": piece(random_melody(seed, 60)) for seed in range(6)}
    steps: list[tuple[str, int, int]] = []
    one, two = (write_dataset(tmp_path / name / "ds", pieces) for name in ("one", "two"))
    assert not has_runs(one.folder)
    build_runs(one, on_step=lambda *step: steps.append(step))
    assert steps == [("reading", 1, 2), ("reading", 2, 2), ("sorting", 0, 1), ("sorting", 1, 1)]
    build_runs(two, workers=2)
    assert tree(one.folder / "runs") == tree(two.folder / "runs")
    assert has_runs(one.folder)
    times = {path: path.stat().st_mtime_ns for path in one.folder.rglob("*")}
    build_runs(Dataset(one.folder), on_step=lambda *step: steps.append(step))
    assert len(steps) == 4
    assert times == {path: path.stat().st_mtime_ns for path in one.folder.rglob("*")}


@pytest.fixture
def small(tmp_path: Path) -> Dataset:
    dataset = write_dataset(tmp_path / "ds", {"a": piece(random_melody(1, 60)), "b": piece(random_melody(2, 60))})
    build_runs(dataset)
    return dataset


def test_an_index_that_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "ds", {"a": piece(random_melody(1))})
    with pytest.raises(DatasetError, match=r"holds no index .*midi-llm data runs .*ds$"):
        RunIndex.open(dataset.folder)
    with pytest.raises(DatasetError, match="has no manifest"):
        RunIndex.open(tmp_path)


@pytest.mark.parametrize("name", ["text.npy", "order.npy", "lines.npy", "pieces.json"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "missing"])
def test_a_damaged_index_is_named_and_made_again(small: Dataset, name: str, damage: str) -> None:
    path, before = small.folder / "runs" / name, tree(small.folder)
    data = bytearray(path.read_bytes())
    data[-5] ^= 64
    path.write_bytes(data if damage == "flipped" else data[: len(data) // 2])
    if damage == "missing":
        path.unlink()
    with pytest.raises(DatasetError, match=rf"runs is damaged: .*{name}.*; make it with: midi-llm data runs"):
        RunIndex.open(small.folder)
    build_runs(small)
    assert tree(small.folder) == before


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format_version": 1', '{"format_version": 1, "settings": {}}'])
def test_a_broken_meta_file_is_no_index(small: Dataset, text: str) -> None:
    path, before = small.folder / "runs" / "meta.json", tree(small.folder)
    path.write_text(text)
    with pytest.raises(DatasetError, match=r"runs (is damaged|was made by an older program).*; make it with"):
        RunIndex.open(small.folder)
    build_runs(small)
    assert tree(small.folder) == before


def test_the_index_of_another_manifest_or_version_is_refused_and_made_again(small: Dataset) -> None:
    meta = small.folder / "runs" / "meta.json"
    info, before = json.loads(meta.read_text()), tree(small.folder)
    for changes in ({"format_version": 0}, {"settings": {"chord_seconds": 0.1, "rhythm_factor": 1.7}}):
        meta.write_text(json.dumps(info | changes))
        with pytest.raises(DatasetError, match="was made by an older program"):
            RunIndex.open(small.folder)
        build_runs(small)
        assert tree(small.folder) == before
    write_manifest(
        [replace(row, split="test") for row in small.rows[:1]] + small.rows[1:], small.folder / "manifest.jsonl.gz"
    )
    with pytest.raises(DatasetError, match="is the index of another manifest; make it with"):
        RunIndex.open(small.folder)
    assert list(build_runs(Dataset(small.folder)).pieces) == ["folk/b"]


def test_the_index_of_a_newer_program_is_left_alone(small: Dataset) -> None:
    meta = small.folder / "runs" / "meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"format_version": 9}))
    before = tree(small.folder)
    for call in (lambda: RunIndex.open(small.folder), lambda: build_runs(small)):
        with pytest.raises(DatasetError, match="format 9, this program reads 1; upgrade midi-llm"):
            call()
    assert tree(small.folder) == before


@pytest.mark.parametrize("writes", range(1, 6))
def test_a_full_disk_leaves_no_index_that_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
    dataset = write_dataset(tmp_path / "ds", {"a": piece(random_melody(1, 60))})
    left = [writes]

    def fsync(number: int) -> None:
        left[0] -= 1
        if left[0] <= 0:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(DatasetError, match="No space left on device"):
            build_runs(dataset)
    assert not has_runs(dataset.folder)
    assert not [path for path in dataset.folder.rglob("*") if path.name.endswith(".partial")]
    assert longest(build_runs(dataset), random_melody(1, 60)).notes == 60


def test_training_pieces_of_drums_alone_cannot_be_indexed(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "ds", {"a": piece(replace(random_melody(1), is_drum=True))})
    with pytest.raises(DatasetError, match=r"the 1 training pieces of .* have no melodic line"):
        build_runs(dataset)
    assert not has_runs(dataset.folder)
