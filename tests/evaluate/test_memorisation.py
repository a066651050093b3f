"""Copies of training pieces are found, whatever was done to them, and new music is not called a copy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.melodies import joined, melody, moved, random_melody, write_dataset
from midi_llm.data.runs import RunIndex, build_runs
from midi_llm.errors import RequestError
from midi_llm.evaluate.memorisation import evaluate, index_facts, longest, validate
from midi_llm.evaluate.prompts import Prompt
from midi_llm.evaluate.take import Take
from midi_llm.music.score import Score, Track

OSTINATO = melody([60, 67, 64, 67] * 30)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> RunIndex:
    pieces = {f"p{seed}": Score(tracks=(random_melody(seed, 120),)) for seed in range(8)}
    pieces["loop"] = Score(tracks=(OSTINATO,))
    return build_runs(write_dataset(tmp_path_factory.mktemp("data") / "ds", pieces))


def take(*tracks: Track, number: int = 0) -> Take:
    return Take(prompt=Prompt(id="p", text="a tune"), number=number, score=Score(tracks=tracks))


def values(index: RunIndex, *takes: Take) -> dict[str, list[float]]:
    return {one.metric.name: one.values.tolist() for one in evaluate(takes, index)}


def test_copies_count_in_full_in_any_key_and_tempo_and_new_music_hardly(index: RunIndex) -> None:
    copy = take(moved(random_melody(3, 120), semitones=7, factor=1.2))
    half = take(joined(random_melody(4, 60), random_melody(500, 60)))
    new = take(random_melody(501, 120))
    found = values(index, copy, half, new)
    assert found["memorisation.longest_run"][0] == found["memorisation.longest_varied_run"][0] == 120
    assert found["memorisation.copied_share"][0] == 1.0
    assert found["memorisation.longest_run"][1] == pytest.approx(60, abs=2)
    assert found["memorisation.copied_share"][1:] == pytest.approx([0.5, 0.0], abs=0.02)
    assert found["memorisation.longest_run"][2] < 10


def test_a_pattern_that_comes_again_and_again_is_long_but_not_varied(index: RunIndex) -> None:
    found = values(index, take(moved(OSTINATO, semitones=1)))
    assert found["memorisation.longest_run"] == [120]
    assert found["memorisation.longest_varied_run"][0] < 12
    assert found["memorisation.copied_share"] == [0.0]


def test_the_instruments_of_a_take_are_weighed_by_their_notes(index: RunIndex) -> None:
    mixed = take(random_melody(2, 90), random_melody(600, 30, program=40))
    assert values(index, mixed)["memorisation.copied_share"] == [pytest.approx(0.75)]


def test_takes_without_a_pitched_line_have_no_values(index: RunIndex) -> None:
    drums = take(replace(random_melody(1), is_drum=True))
    for column in values(index, drums, take(), take(melody([60])), take(random_melody(1))).values():
        assert np.isnan(column[:3]).all()
        assert column[3] > 0


def test_what_no_training_piece_has_at_all_is_a_run_of_no_notes(index: RunIndex) -> None:
    found = values(index, take(melody([0, 100, 0, 100])))
    assert found["memorisation.longest_run"] == found["memorisation.longest_varied_run"] == [0.0]
    assert longest([take(melody([0, 100, 0, 100]))], index) == []


def test_the_worst_come_first_with_the_piece_they_are_from(index: RunIndex) -> None:
    takes = [
        take(random_melody(502), number=0),
        take(joined(random_melody(503, 40), random_melody(6, 50)), number=1),
        take(moved(random_melody(5, 80), semitones=-3), number=2),
        take(OSTINATO, number=3),
    ]
    first, second = longest(takes, index, count=2)
    assert (first.take.number, first.run.piece, first.run.seconds) == (2, "folk/p5", 0.0)
    assert (second.take.number, second.run.piece) == (1, "folk/p6")
    assert second.run.seconds > 15
    assert [one.take.number for one in longest(takes, index)][:2] == [2, 1]
    assert len(longest(takes, index)) == 4


def test_warnings_name_copies_and_takes_without_a_line(index: RunIndex) -> None:
    takes = [take(), take(random_melody(3)), take(random_melody(504))]
    assert validate(takes[2:], index) == ()
    silent, copies = validate(takes, index)
    assert silent.startswith("1 of 3 takes have no pitched line")
    assert copies.startswith("1 of 3 takes share 90% or more of their melodic notes")
    for call in (validate, evaluate, longest):
        with pytest.raises(RequestError, match="there are no takes"):
            call([], index)


def test_the_facts_name_the_pieces_it_was_compared_with(index: RunIndex) -> None:
    facts = index_facts(index)
    assert (facts["pieces"], facts["melodic notes"]) == (9, 8 * 120 + 120)
    assert facts["manifest"] == index.info["manifest_sha256"]
    assert len(str(facts["index"])) == 64
