"""Models of this package as systems under test."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from midi_llm.cli.own_system import OwnSystem, side_by_side
from midi_llm.compose.composer import Composer
from midi_llm.engines.base import Request, Step
from midi_llm.engines.replay import ReplayEngine
from midi_llm.evaluate.prompts import Prompt
from midi_llm.evaluate.systems.base import Job
from midi_llm.music.features import note_table
from midi_llm.music.read import parse_midi
from midi_llm.prompt import load_tokenizer
from midi_llm.tokens.vocab import DUR_OFFSET, MUSIC_VOCAB_SIZE, NOTE_OFFSET, SEPARATOR

ROWS = 320
MELODY = [(0, 50, 60), (50, 50, 62), (100, 50, 64)]
TUNE = [part for time, length, pitch in MELODY for part in (time, DUR_OFFSET + length, NOTE_OFFSET + pitch)]


class CountingEngine(ReplayEngine):
    """Says how many requests came side by side."""

    batches: list[list[Request]]

    def stream(self, requests: Sequence[Request], *, cancel: threading.Event | None = None) -> Iterator[Step]:
        self.batches.append(list(requests))
        return super().stream(requests, cancel=cancel)


@pytest.fixture
def composer(tiny_checkpoint: Path):
    def make(amt_ids: Sequence[int] = (*TUNE, SEPARATOR)) -> Composer:
        engine = CountingEngine(lambda *_: [i + ROWS for i in amt_ids], vocab_size=ROWS + MUSIC_VOCAB_SIZE)
        engine.batches = []
        return Composer(engine=engine, tokenizer=load_tokenizer(tiny_checkpoint), model="tune", top_p=0.9)

    return make


def jobs(count: int = 1, *, text: str = "a tune", seed: int = 7, seconds: float | None = None) -> list[Job]:
    prompt = Prompt(id="p", text=text)
    return [Job(prompt=prompt, number=n, seed=seed + n, seconds=seconds) for n in range(count)]


def pitches(midi: bytes) -> list[int]:
    return note_table(parse_midi(midi)).pitch.tolist()


def test_a_take_comes_with_all_that_is_known_of_it(composer) -> None:
    system = OwnSystem(composer=composer())
    (delivery,) = system.compose(jobs())
    assert pitches(delivery.midi) == [60, 62, 64]
    assert (delivery.strict, delivery.repairs, delivery.ending) == (True, {}, "own")
    assert (delivery.tokens, delivery.seed, delivery.error) == (10, 7, None)
    assert delivery.wall_seconds is not None
    assert delivery.wall_seconds > 0
    assert system.describe()["model"] == "tune"
    assert (system.describe()["temperature"], system.describe()["top_p"]) == (1.0, 0.9)


def test_seeds_in_a_row_are_composed_side_by_side(composer) -> None:
    system = OwnSystem(composer=composer())
    made = list(system.compose([*jobs(3), *jobs(1, seed=90)]))
    assert [delivery.seed for delivery in made] == [7, 8, 9, 90]
    assert [len(batch) for batch in system.composer.engine.batches] == [3, 1]


def test_batches_break_at_prompts_lengths_seeds_and_at_what_the_engine_serves() -> None:
    asked = [*jobs(10), *jobs(1, seconds=2.0, seed=17), *jobs(1, seed=30)]
    other = Job(prompt=Prompt(id="q", text="x"), number=0, seed=31, seconds=None)
    assert [len(batch) for batch in side_by_side([*asked, other], at_once=8)] == [8, 2, 1, 1, 1]
    assert list(side_by_side([], at_once=8)) == []


def test_a_prompt_that_is_refused_is_delivered_with_the_reason(composer) -> None:
    system = OwnSystem(composer=composer())
    refused, late, fine = system.compose(
        [*jobs(text="too long " * 3000), *jobs(seconds=10_000.0, seed=20), *jobs(seed=40)]
    )
    assert refused.error
    assert "seconds is 10000" in str(late.error)
    assert (late.midi, late.wall_seconds, late.seed) == (b"", None, 20)
    assert fine.error is None


def test_without_the_grammar_ids_are_salvaged_and_repairs_counted(composer) -> None:
    broken = [*TUNE[:3], SEPARATOR, *TUNE[3:], -5, 40]
    system = OwnSystem(composer=composer(broken), grammar=False)
    made = list(system.compose(jobs(2)))
    assert [pitches(delivery.midi) for delivery in made] == [[60, 62, 64]] * 2
    assert made[0].strict is False
    assert made[0].repairs == {"specials": 1, "out_of_range": 1, "incomplete": 1}
    assert (made[0].ending, made[0].tokens, made[1].seed) == ("full", 12, 8)
    assert all(request.constraint is None for request in system.composer.engine.batches[0])
    assert system.describe()["grammar"] is False


def test_without_the_grammar_no_length_can_be_asked_for(composer) -> None:
    (delivery,) = OwnSystem(composer=composer(), grammar=False).compose(jobs(seconds=5.0))
    assert delivery.error == "without the grammar no length can be asked for; leave seconds to the model"


def test_closing_closes_the_engine(composer) -> None:
    system = OwnSystem(composer=composer())
    system.close()
    (delivery,) = system.compose(jobs())
    assert "closed" in str(delivery.error)


def test_the_bundled_model_composes_two_seconds() -> None:
    with Composer.open("nano") as bundled:
        (delivery,) = OwnSystem(composer=bundled).compose(jobs(text="solo piano", seconds=2.0))
        assert delivery.ending in ("own", "asked")
        assert set(note_table(parse_midi(delivery.midi)).instrument.tolist()) <= set(range(8))
