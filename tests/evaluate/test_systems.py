"""Folders of files, floors and pieces as systems."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.errors import RequestError
from midi_llm.evaluate.prompts import Prompt
from midi_llm.evaluate.systems.base import Delivery, Job, System
from midi_llm.evaluate.systems.floor import (
    MAX_GAP_TICKS,
    RandomGrammar,
    mismatched,
    random_ids,
    shuffle_notes,
    shuffled,
)
from midi_llm.evaluate.systems.folder import FolderSystem, match_files, read_listed
from midi_llm.evaluate.systems.pieces import Pieces, score_of
from midi_llm.music.features import NoteTable, note_density, note_table
from midi_llm.music.read import parse_midi
from midi_llm.music.score import DRUMS, Score
from midi_llm.music.write import to_midi_bytes
from midi_llm.tokens.codec import decode
from midi_llm.tokens.vocab import SEPARATOR


def table(count: int = 20, *, seed: int = 0) -> NoteTable:
    rng = np.random.default_rng(seed)
    return NoteTable(
        start=np.sort(rng.integers(0, 200, count)) / 10,
        duration=rng.integers(1, 9, count) / 10,
        instrument=rng.choice([0, 40, DRUMS], count),
        pitch=rng.integers(30, 90, count),
        velocity=rng.integers(1, 128, count),
    )


def midi(seed: int = 0) -> bytes:
    return to_midi_bytes(score_of(table(seed=seed)))


def prompts(*ids: str) -> list[Prompt]:
    return [Prompt(id=name, text=f"music for {name}") for name in ids]


def job(prompt: Prompt, number: int = 0, *, seed: int = 0, seconds: float | None = None) -> Job:
    return Job(prompt=prompt, number=number, seed=seed, seconds=seconds)


def deliver(system: System, *jobs: Job) -> list[Delivery]:
    return list(system.compose(jobs))


@pytest.mark.parametrize(
    "names",
    [
        ("a.mid", "b.MID"),
        ("a-0.mid", "b_0.mid"),
        ("a_take1.midi", "b-take-1.mid"),
    ],
)
def test_files_are_matched_by_name(tmp_path: Path, names: tuple[str, str]) -> None:
    asked = prompts("a", "b")
    for seed, name in enumerate(names):
        (tmp_path / name).write_bytes(midi(seed))
    (tmp_path / "notes.txt").write_text("no music", encoding="utf-8")
    system = match_files(tmp_path, asked)
    assert [delivery.midi for delivery in deliver(system, job(asked[1]), job(asked[0]))] == [midi(1), midi(0)]
    assert system.takes == 1


def test_takes_follow_their_numbers_and_an_id_may_end_in_one(tmp_path: Path) -> None:
    asked = prompts("p-1", "p")
    for number in range(1, 12):
        (tmp_path / f"p-1-{number}.mid").write_bytes(midi(number))
        (tmp_path / f"p_{number}.mid").write_bytes(midi(number + 50))
    system = match_files(tmp_path, asked)
    assert system.takes == 11
    made = deliver(system, *(job(asked[0], number) for number in range(11)), job(asked[1], 10))
    assert [delivery.midi for delivery in made] == [midi(n) for n in (*range(1, 12), 61)]


def test_a_file_named_as_an_id_is_that_prompts_and_not_a_take_of_another(tmp_path: Path) -> None:
    asked = prompts("p", "p-1")
    (tmp_path / "p.mid").write_bytes(midi(0))
    (tmp_path / "p-1.mid").write_bytes(midi(1))
    assert [delivery.midi for delivery in deliver(match_files(tmp_path, asked), *map(job, asked))] == [midi(0), midi(1)]


def test_an_empty_folder_and_no_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"holds no MIDI file; expected names such as a\.mid"):
        match_files(tmp_path, prompts("a"))
    with pytest.raises(RequestError, match="is no folder"):
        match_files(tmp_path / "none", prompts("a"))


def test_a_mismatch_names_ids_and_files(tmp_path: Path) -> None:
    for name in ("a-0.mid", "a-1.mid", "b-0.mid", "stranger.mid"):
        (tmp_path / name).write_bytes(midi())
    with pytest.raises(RequestError) as caught:
        match_files(tmp_path, prompts("a", "b", "c"))
    message = str(caught.value)
    assert "3 prompts, 4 files" in message
    assert "1 prompts without a file: c" in message
    assert "1 files without a prompt: stranger.mid" in message
    assert "1 prompts with fewer than 2 files: b (1)" in message


def test_files_that_are_no_midi_are_delivered_with_the_reason(tmp_path: Path) -> None:
    asked = prompts("broken", "empty", "fine")
    (tmp_path / "broken.mid").write_bytes(b"MThd broken")
    (tmp_path / "empty.mid").write_bytes(b"")
    (tmp_path / "fine.mid").write_bytes(midi())
    system = match_files(tmp_path, asked)
    broken, empty, fine, second = deliver(system, *map(job, asked), job(asked[2], 1))
    assert broken.midi == b"MThd broken"
    assert broken.error
    assert (empty.midi, empty.error) == (b"", f"{tmp_path / 'empty.mid'} is empty")
    assert (fine.midi, fine.error, fine.strict, fine.seed) == (midi(), None, None, None)
    assert second.error == "fine has 1 files, take 1 (from 0) was asked for"


def test_a_list_brings_prompts_and_files(tmp_path: Path) -> None:
    lines = [
        {"prompt": "a slow waltz", "file": "one.mid", "facts": {"metre": [3, 4]}},
        {"prompt": "a slow waltz", "file": "two.mid", "facts": {"metre": [3, 4]}},
        {"id": "march", "prompt": "a march", "file": "three.mid"},
        {"id": "march", "prompt": "a march", "file": "four.mid"},
    ]
    for seed, line in enumerate(lines):
        (tmp_path / str(line["file"])).write_bytes(midi(seed))
    listed = tmp_path / "list.jsonl"
    listed.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    asked, system = read_listed(listed)
    assert [(prompt.id, prompt.facts.metre) for prompt in asked] == [("p0001", (3, 4)), ("march", None)]
    made = deliver(system, job(asked[0], 1), job(asked[1], 0))
    assert [delivery.midi for delivery in made] == [midi(1), midi(2)]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "holds no prompt"),
        (['{"prompt": "x"}'], 'line 1: expected an object with "prompt" and "file"'),
        (['{"prompt": "x", "file": "no.mid"}'], "line 1: the file .* does not exist"),
        (["{"], "line 1"),
        (['{"file": "x.mid"}'], "line 1: prompt is None"),
        (['{"id": "a", "prompt": "x", "file": "x.mid"}', '{"id": "a", "prompt": "y", "file": "x.mid"}'], "line 2.*two"),
        (['{"prompt": "x", "file": "x.mid"}'] * 2 + ['{"prompt": "y", "file": "x.mid"}'], r"fewer than 2 files: p0003"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    (tmp_path / "x.mid").write_bytes(midi())
    listed = tmp_path / "list.jsonl"
    listed.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(RequestError, match=message):
        read_listed(listed)


def test_another_file_is_another_system(tmp_path: Path) -> None:
    (tmp_path / "a.mid").write_bytes(midi())
    system: FolderSystem = match_files(tmp_path, prompts("a"))
    first = system.describe()
    (tmp_path / "a.mid").write_bytes(midi(1))
    assert first["files"] == 1
    assert system.describe()["sha256"] != first["sha256"]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), end_ticks=st.integers(2, 1500))
def test_random_music_is_legal_and_ends_in_time(seed: int, end_ticks: int) -> None:
    amt_ids = random_ids(np.random.default_rng(seed), end_ticks=end_ticks)
    events = decode(amt_ids)
    assert amt_ids[-1] == SEPARATOR
    assert len(events) >= 1
    assert (events[:, 0] + events[:, 1]).max() <= end_ticks
    assert np.diff(events[:, 0]).max(initial=0) <= MAX_GAP_TICKS


def test_random_music_is_as_dense_as_it_says_and_repeatable() -> None:
    asked = prompts("a", "b")
    jobs = [job(asked[0], number, seed=number, seconds=30.0) for number in range(6)]
    made = deliver(RandomGrammar(), *jobs)
    scores = [parse_midi(delivery.midi) for delivery in made]
    assert np.mean([note_density(score) for score in scores]) == pytest.approx(100 / (MAX_GAP_TICKS / 2), rel=0.1)
    assert all(29.0 < score.seconds < 30.01 for score in scores)
    assert all(len(score.tracks) == 16 for score in scores)
    assert [delivery.midi for delivery in deliver(RandomGrammar(), *jobs)] == [delivery.midi for delivery in made]
    assert len({delivery.midi for delivery in made}) == 6
    assert all((delivery.strict, delivery.ending, delivery.error) == (True, "asked", None) for delivery in made)


def test_random_music_is_no_longer_than_a_window() -> None:
    late, unasked = deliver(RandomGrammar(), job(prompts("a")[0], seconds=101.0), job(prompts("a")[0]))
    assert late.error == "101 s were asked for; allowed is up to 100"
    assert late.midi == b""
    assert parse_midi(unasked.midi).seconds == pytest.approx(30.0, abs=0.6)


@given(seed=st.integers(0, 99), count=st.integers(0, 40))
def test_shuffling_keeps_every_column_but_not_their_order(seed: int, count: int) -> None:
    notes = table(count)
    mixed = shuffle_notes(notes, np.random.default_rng(seed))
    for name in ("duration", "instrument", "pitch", "velocity"):
        assert sorted(getattr(mixed, name)) == sorted(getattr(notes, name))
    np.testing.assert_allclose(np.sort(np.diff(mixed.start)), np.sort(np.diff(notes.start)), atol=1e-9)
    np.testing.assert_allclose(mixed.start[[0, -1]] if count else [], notes.start[[0, -1]] if count else [])


def test_a_table_made_into_a_score_comes_back() -> None:
    notes = table()
    score = score_of(notes, bpm=90.0, metre=(3, 4))
    order = np.lexsort((notes.pitch, notes.instrument, notes.start))
    found = note_table(score)
    back = np.lexsort((found.pitch, found.instrument, found.start))
    for name in ("start", "duration", "instrument", "pitch", "velocity"):
        np.testing.assert_array_equal(getattr(found, name)[back], getattr(notes, name)[order])
    assert score.tempos[0].bpm == 90.0
    assert (score.time_signatures[0].numerator, score.time_signatures[0].denominator) == (3, 4)
    assert score_of(table(0)).note_count == Score().note_count == 0


def real(*ids: str) -> Pieces:
    return Pieces(name="real", midi={name: midi(seed) for seed, name in enumerate(ids)}, origin={"kind": "test"})


def test_shuffled_pieces_differ_and_are_repeatable() -> None:
    pieces = real("a", "b")
    mixed = shuffled(pieces, seed=1)
    assert mixed.midi == shuffled(pieces, seed=1).midi
    assert mixed.midi != shuffled(pieces, seed=2).midi
    for name in pieces.midi:
        before, after = note_table(parse_midi(pieces.midi[name])), note_table(parse_midi(mixed.midi[name]))
        assert before.start.tolist() != after.start.tolist()
        assert abs(len(before) - len(after)) <= 1
    assert mixed.describe()["of"] == pieces.describe()


@given(count=st.integers(2, 12), seed=st.integers(0, 99))
def test_no_prompt_gets_its_own_piece(count: int, seed: int) -> None:
    ids = [f"r{index}" for index in range(count)]
    pieces = Pieces(name="real", midi={name: name.encode() for name in ids}, origin={})
    given_ = mismatched(pieces, prompts(*ids), seed=seed).midi
    assert sorted(given_.values()) == sorted(pieces.midi.values())
    assert all(given_[name] != pieces.midi[name] for name in ids)


def test_pieces_are_used_evenly_for_other_prompts() -> None:
    pieces = real("a", "b")
    others = prompts(*(f"p{index}" for index in range(6)))
    given_ = mismatched(pieces, others, seed=0)
    assert sorted(list(given_.midi.values()).count(content) for content in pieces.midi.values()) == [3, 3]
    with pytest.raises(RequestError, match="1 pieces cannot be exchanged"):
        mismatched(real("a"), others, seed=0)


def test_a_piece_is_there_once_and_only_for_its_prompt() -> None:
    asked = prompts("a", "x")
    first, second, other = deliver(real("a"), job(asked[0]), job(asked[0], 1), job(asked[1]))
    assert first == Delivery(midi=midi(0))
    assert second.error == "real has one piece a prompt, take 1 (from 0) was asked for"
    assert other.error == "real has no piece for the prompt x"
