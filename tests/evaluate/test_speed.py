"""Speed of takes, and races of engines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from midi_llm.engines.onnx_engine import OnnxEngine
from midi_llm.engines.replay import ReplayEngine
from midi_llm.errors import EngineError, RequestError
from midi_llm.evaluate.contenders import (
    Contender,
    EngineContender,
    PacedGrammar,
    Run,
    TransformersContender,
)
from midi_llm.evaluate.prompts import Prompt
from midi_llm.evaluate.race import Entry
from midi_llm.evaluate.speed import (
    BATCH_SECONDS,
    FIRST_NOTE,
    MEMORY,
    RATIO,
    RTF,
    TOKENS,
    evaluate,
    evaluate_engines,
    validate,
)
from midi_llm.evaluate.take import Take
from midi_llm.music.score import Note, Score, Track, note_array
from midi_llm.tokens.vocab import DUR_OFFSET, MUSIC_VOCAB_SIZE, NOTE_OFFSET, SEPARATOR

TEXT_ROWS = 320


def take(*, seconds: float = 8.0, **values: object) -> Take:
    notes = note_array([Note(time=0.0, duration=seconds, pitch=60)])
    return Take(prompt=Prompt(id="a", text="x"), score=Score(tracks=(Track(notes=notes),)), **values)  # type: ignore[arg-type]


def test_the_speed_of_takes_is_exact_and_nan_where_not_known() -> None:
    takes = [
        take(wall_seconds=4.0, tokens=300),
        take(wall_seconds=4.0),
        take(tokens=300),
        take(wall_seconds=4.0, tokens=300, error="it failed"),
        take(wall_seconds=0.0, tokens=300),
        Take(prompt=Prompt(id="a", text="x"), score=Score(), wall_seconds=2.0, tokens=3),
    ]
    seconds, tokens, rtf = (measured.values for measured in evaluate(takes))
    nan = np.nan
    np.testing.assert_array_equal(seconds, [4.0, 4.0, nan, nan, nan, 2.0])
    np.testing.assert_array_equal(tokens, [75.0, nan, nan, nan, nan, 1.5])
    np.testing.assert_array_equal(rtf, [2.0, 2.0, nan, nan, nan, nan])
    assert validate(takes) == ("1 of 6 takes have no time: their system does not say it",)
    with pytest.raises(RequestError, match="no take"):
        evaluate([])


class Clockwork:
    """A contender whose runs are known beforehand."""

    def __init__(self, log: list[str], name: str, seconds: list[float]) -> None:
        self.log, self.name, self.seconds = log, name, iter(seconds)

    def run(self, *, batch: int, seed: int) -> Run:
        self.log.append(f"{self.name} {batch} {seed}")
        first = 0.5 if self.name == "ours" else None
        music = 60.0 * batch if self.name == "ours" else None
        return Run(tokens=100 * batch, seconds=next(self.seconds), first_note_seconds=first, music_seconds=music)

    def close(self) -> None:
        self.log.append(f"{self.name} closed")


class Breakable(Clockwork):
    """One that has no memory for a second run."""

    def run(self, *, batch: int, seed: int) -> Run:
        if self.log:
            raise EngineError("no memory")
        return super().run(batch=batch, seed=seed)


def race(log: list[str], *, batches: tuple[int, ...] = (1, 4)) -> dict[tuple[str, object, object], tuple[float, ...]]:
    def opener(name: str, seconds: list[float]) -> Entry:
        def opened() -> Contender:
            return Clockwork(log, name, seconds)

        return Entry(name=name, open=opened)

    entries = [opener("ours", [9, 2, 4, 1, 8, 5, 2]), opener("theirs", [9, 4, 4, 4, 4, 4, 4])]
    results = evaluate_engines(entries, batches=batches, rounds=3)
    return {
        (result.metric.name, result.facts["contender"], result.facts["batch"]): (result.value, result.low, result.high)
        for result in results
    }


def test_rounds_are_interleaved_and_medians_are_told() -> None:
    log: list[str] = []
    found = race(log)
    assert log == [
        "ours 1 0", "theirs 1 0",
        *[f"{name} {batch} {seed}" for seed in (0, 4, 8) for batch in (1, 4) for name in ("ours", "theirs")],
        "ours closed", "theirs closed",
    ]  # fmt: skip
    assert found[BATCH_SECONDS.name, "ours", 1] == (2.0, 1.0, 5.0)
    assert found[BATCH_SECONDS.name, "ours", 4] == (4.0, 2.0, 8.0)
    assert found[TOKENS.name, "ours", 4] == (100.0, 50.0, 200.0)
    assert found[RTF.name, "ours", 4] == (60.0, 30.0, 120.0)
    assert found[FIRST_NOTE.name, "ours", 1] == (0.5, 0.5, 0.5)
    assert found[RATIO.name, "ours", 1] == (2.0, 0.8, 4.0)
    assert found[RATIO.name, "theirs", 1] == (1.0, 1.0, 1.0)
    assert np.isnan(found[RTF.name, "theirs", 4]).all()
    assert (MEMORY.name, "theirs", 1) in found


@pytest.mark.parametrize(
    ("names", "batches", "rounds"),
    [((), (1,), 1), (("a", "a"), (1,), 1), (("a",), (), 1), (("a",), (0,), 1), (("a",), (1,), 0)],
)
def test_a_race_without_runners_is_refused(names: tuple[str, ...], batches: tuple[int, ...], rounds: int) -> None:
    entries = [Entry(name=name, open=lambda: Clockwork([], "x", [])) for name in names]
    with pytest.raises(RequestError, match="contenders are"):
        evaluate_engines(entries, batches=batches, rounds=rounds)


def test_contenders_are_closed_when_a_round_fails() -> None:
    log: list[str] = []
    entry = Entry(name="ours", open=lambda: Breakable(log, "ours", [1.0]))
    with pytest.raises(EngineError, match="no memory"):
        evaluate_engines([entry], batches=(1,), rounds=1)
    assert log[-1] == "ours closed"


def test_an_engines_run_counts_what_it_composed() -> None:
    notes = [(0, 50, 60), (10, 100, 62), (20, 990, 64)]
    ids = [part for time, length, pitch in notes for part in (time, DUR_OFFSET + length, NOTE_OFFSET + pitch)]
    recording = [amt_id + TEXT_ROWS for amt_id in [*ids, SEPARATOR]]
    engine = ReplayEngine([recording, recording], vocab_size=TEXT_ROWS + MUSIC_VOCAB_SIZE)
    run = EngineContender(engine, [1, 2], tokens=10).run(batch=2, seed=0)
    assert run.tokens == 20
    assert run.music_seconds == pytest.approx(2 * 10.1)
    assert run.first_note_seconds is not None
    assert 0 < run.first_note_seconds <= run.seconds


def test_a_paced_take_has_its_full_number_of_notes() -> None:
    grammar = PacedGrammar(tokens=2046, text_rows=TEXT_ROWS)
    rng = np.random.default_rng(0)
    while not grammar.finished:
        allowed = grammar.allowed()
        choices = np.arange(allowed.start, allowed.stop)
        choices = choices if allowed.mask is None else choices[allowed.mask]
        grammar.accept(int(rng.choice(choices)) if len(choices) else allowed.extra[0])
    assert len(grammar.amt_ids) >= 2044
    assert grammar.music_seconds <= 100.0


def test_our_engine_and_transformers_run_the_same_weights(tiny_onnx_checkpoint: Path) -> None:
    def ours() -> Contender:
        return EngineContender(OnnxEngine(tiny_onnx_checkpoint), [1, 2, 3], tokens=40)

    def theirs() -> Contender:
        return TransformersContender(tiny_onnx_checkpoint, [1, 2, 3], tokens=40, dtype="float32")

    entries = [Entry(name="onnx", open=ours), Entry(name="transformers", open=theirs)]
    results = evaluate_engines(entries, batches=(1, 2), rounds=1)
    tokens = {(r.facts["contender"], r.facts["batch"]): r.facts["tokens"] for r in results if r.metric == TOKENS}
    assert tokens == {("onnx", 1): 40, ("onnx", 2): 40, ("transformers", 1): 40, ("transformers", 2): 40}
    ratio = next(r for r in results if r.metric == RATIO and r.facts["contender"] == "onnx")
    assert ratio.value > 0
    assert {"processor", "cores", "load", "python"} <= ratio.facts.keys()


def test_memory_that_is_added_is_seen() -> None:
    """In a process of its own: what other tests leave to be freed would be counted against the block."""
    code = """
import numpy as np
from midi_llm.evaluate.contenders import peak_memory
with peak_memory() as peak:
    block = np.ones(40 << 17)  # 40 MiB, touched
print(peak.mebibytes)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = float(done.stdout)
    if np.isnan(found):
        pytest.skip("this system does not tell a process's peak memory")
    assert 39 <= found <= 60
