"""Estimators: excerpts that ask for what they are, means of sources, the table as a file, and the packaged one."""

from __future__ import annotations

import importlib.resources
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluate.tunes import Row, track, tune
from midi_llm.errors import RequestError
from midi_llm.evaluate import control, estimators
from midi_llm.evaluate.analysis import analyse_takes
from midi_llm.evaluate.estimators import (
    ESTIMATED,
    EXCERPTS,
    Accuracy,
    EstimatorRow,
    EstimatorTable,
    RealPiece,
    ask_for_itself,
    estimator_facts,
    load_errors,
    measure_estimators,
    write_errors,
)
from midi_llm.evaluate.prompts import PromptFacts
from midi_llm.music.features import note_table
from midi_llm.music.score import Score, Tempo, TimeSignature

C_MAJOR = (0, 4, 7, 12, 11, 7, 9, 5, 2, 7, 4, 0)
NAMES = [metric.name for metric in ESTIMATED]


def piece(
    score: Score | None = None,
    *,
    source: str = "songs",
    bpm: tuple[tuple[float, float], ...] = ((0.0, 120.0),),
    metre: tuple[tuple[float, int, int], ...] = ((0.0, 4, 4),),
    key: str | None = "C major",
    tempo_is_known: bool = True,
) -> RealPiece:
    """A tune that says what it is."""
    tempos = tuple(Tempo(time=time, bpm=rate) for time, rate in bpm)
    signatures = tuple(TimeSignature(time=time, numerator=n, denominator=d) for time, n, d in metre)
    score = replace(score or tune(0), tempos=tempos, time_signatures=signatures)
    return RealPiece(source=source, score=score, key=key, tempo_is_known=tempo_is_known)


def clicks(count: int, gap: float, *, start: float = 0.0) -> Score:
    rows: list[Row] = [(start + at * gap, 0.1, 60, 80) for at in range(count)]
    return Score(tracks=(track(rows),))


def test_an_opening_asks_for_what_it_is() -> None:
    take = ask_for_itself(piece(), "opening")
    assert take.prompt.facts == PromptFacts(bpm=120.0, pace="fast", key="C major", mode="major", metre=(4, 4))
    assert (take.score.tempos, take.score.time_signatures) == ((), ())


def test_what_the_piece_does_not_say_is_not_asked_for() -> None:
    assert ask_for_itself(piece(bpm=()), "opening").prompt.facts.bpm is None
    assert ask_for_itself(piece(tempo_is_known=False), "opening").prompt.facts.bpm is None
    assert ask_for_itself(piece(metre=()), "opening").prompt.facts.metre is None
    assert ask_for_itself(piece(key=None), "opening").prompt.facts.mode is None


def test_what_changes_within_the_excerpt_is_not_asked_for() -> None:
    changing = piece(clicks(80, 0.5), bpm=((0.0, 120.0), (32.0, 60.0)), metre=((0.0, 4, 4), (32.0, 3, 4)))
    opening, window = (ask_for_itself(changing, excerpt).prompt.facts for excerpt in ("opening", "window"))
    assert (opening.bpm, opening.metre) == (120.0, (4, 4))
    assert (window.bpm, window.metre) == (None, None)


@pytest.mark.parametrize(
    ("bpm", "metre", "pace"),
    [
        (100.0, (4, 4), "medium"),
        (70.0, (6, 8), "slow"),
        (180.0, (6, 8), "fast"),
        (120.0, (6, 8), None),  # 80 dotted quarters
        (120.0, (2, 2), None),
        (240.0, (2, 2), "fast"),
    ],
)
def test_a_pace_is_asked_for_where_quarters_and_beats_agree(bpm: float, metre: tuple[int, int], pace: str) -> None:
    asked = ask_for_itself(piece(bpm=((0.0, bpm),), metre=((0.0, *metre),)), "opening")
    assert asked.prompt.facts.pace == pace


def test_excerpts_begin_with_the_first_note_and_are_in_ticks() -> None:
    late = piece(clicks(2000, 0.0204, start=3.333))
    opening, window = (note_table(ask_for_itself(late, excerpt).score) for excerpt in ("opening", "window"))
    assert opening.start[0] == window.start[0] == 0.0
    assert len(opening) == math.ceil(30 / 0.0204)
    assert len(window) == 680
    for notes in (opening, window):
        assert np.abs(notes.start - np.arange(len(notes)) * 0.0204).max() < 0.005 + 1e-9
        assert np.abs(notes.start * 100 - np.rint(notes.start * 100)).max() < 1e-9
        assert np.allclose(notes.duration, 0.1, atol=1e-12)


def test_a_short_piece_is_its_own_excerpt_and_an_empty_one_asks_for_nothing() -> None:
    score = clicks(20, 0.5)
    for excerpt in EXCERPTS:
        assert ask_for_itself(piece(score), excerpt).score.note_count == 20
        empty = ask_for_itself(piece(Score()), excerpt)
        assert (empty.score.note_count, empty.prompt.facts) == (0, PromptFacts())


def test_tunes_that_say_what_they_are_are_found_and_others_are_not() -> None:
    right = measure_estimators([piece(tune(seed)) for seed in range(5)])
    wrong = measure_estimators(
        [piece(tune(seed), bpm=((0.0, 80.0),), metre=((0.0, 3, 4),), key="Gb minor") for seed in range(5)]
    )
    for metric in ESTIMATED:
        assert right["opening"][metric.name].count == 5
        good, bad = right["opening"][metric.name].value, wrong["opening"][metric.name].value
        assert good < bad if metric.better == "lower" else good > bad
    assert right["window"]["control.tempo_within_5_heard"].value == 1.0
    assert wrong["window"]["control.tempo_within_5_or_octave_heard"].value == 0.0


def test_sources_weigh_the_same_and_small_ones_are_taken_together() -> None:
    in_c = Score(tracks=(track([(0.5 * at, 0.5, 60 + above, 80) for at, above in enumerate(C_MAJOR)]),))
    right, wrong = (piece(in_c, key=key) for key in ("C major", "Gb minor"))
    counts = {"many": (10, 0), "wrong": (0, 5), "small": (3, 0), "tiny": (0, 2)}
    pieces = [
        replace(one, source=source)
        for source, both in counts.items()
        for one, count in zip((right, wrong), both, strict=True)
        for _ in range(count)
    ]
    row = measure_estimators(pieces)["opening"]["control.key"]
    assert row.sources == {
        "many": Accuracy(value=1.0, count=10),
        "wrong": Accuracy(value=0.0, count=5),
        "others": Accuracy(value=0.6, count=5),
    }
    assert row.value == pytest.approx(1.6 / 3, abs=1e-4)
    assert row.count == 20


def test_what_applies_to_a_few_pieces_is_left_out() -> None:
    table = measure_estimators([*[piece(key=None)] * 5, *[piece(source="other")] * 4])
    assert "control.key" not in table["opening"]
    assert table["opening"]["control.metre_heard"].count == 5
    assert measure_estimators([piece(Score())] * 5) == {excerpt: {} for excerpt in EXCERPTS}


def test_no_pieces_are_refused() -> None:
    with pytest.raises(RequestError, match="no pieces to measure the estimators on"):
        measure_estimators([])


def made() -> EstimatorTable:
    row = EstimatorRow(
        value=0.75, count=40, sources={"a": Accuracy(value=0.5, count=10), "b": Accuracy(value=1.0, count=30)}
    )
    excerpts = {"opening": {"control.key": row}, "window": {"control.key": replace(row, value=0.625)}}
    return EstimatorTable(excerpts=excerpts, date="2026-01-01", commit="abc", corpus="test split", pieces=50)


def test_a_table_comes_back_from_its_file(tmp_path: Path) -> None:
    write_errors(made(), tmp_path / "table.json")
    assert load_errors(tmp_path / "table.json") == made()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is no table of estimator errors"),
        ("{", "is no table of estimator errors"),
        ("[]", "is no table of estimator errors"),
        ('{"version": 1}', "is no table of estimator errors"),
        ('{"version": 1, "excerpts": {"opening": {"x": 3}}}', "is no table of estimator errors"),
        ('{"version": 0}', "has version 0, expected 1; run benchmarks/estimators.py"),
    ],
)
def test_damaged_tables_are_refused(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "table.json").write_text(content, encoding="utf-8")
    with pytest.raises(RequestError, match=said):
        load_errors(tmp_path / "table.json")


def test_facts_beside_a_metric() -> None:
    assert estimator_facts("control.key", made()) == {
        "estimator": "0.75 on 30 s of real music that was asked for what it is (mean of 2 sources, n = 40);"
        " 0.62 on 680 notes",
        "estimator_value": 0.75,
        "estimator_count": 40,
    }
    assert estimator_facts("control.mode", made()) == {
        "estimator": "its error is not measured: run benchmarks/estimators.py"
    }
    assert estimator_facts("control.instruments_f1", made()) == {"estimator": "none: counted"}
    assert estimator_facts("rhythm.on_grid", made()) == {}


def test_every_metric_of_control_has_facts() -> None:
    takes = [ask_for_itself(piece(), "opening")]
    names = {one.metric.name for one in control.evaluate(takes, analyse_takes(takes))}
    assert set(NAMES) < names
    heard = {name for name in names if "estimator_value" in estimator_facts(name)}
    assert heard == set(NAMES)
    assert all("estimator" in estimator_facts(name) for name in names)


def test_the_packaged_table_is_whole_and_adds_up() -> None:
    table = load_errors()
    assert set(table.excerpts) == set(EXCERPTS)
    for rows in table.excerpts.values():
        assert set(rows) == set(NAMES)
        for row in rows.values():
            assert row.count == sum(one.count for one in row.sources.values()) <= table.pieces
            assert row.value == pytest.approx(np.mean([one.value for one in row.sources.values()]), abs=1e-4)
            assert all(0 <= one.value <= 1 and one.count >= estimators.FEW_PIECES for one in row.sources.values())
        value = {name: row.value for name, row in rows.items()}
        assert value["control.tempo_bin_heard"] <= value["control.tempo_bin_or_next_heard"]
        assert value["control.tempo_within_5_heard"] <= value["control.tempo_within_5_or_octave_heard"]
        assert value["control.key"] <= min(value["control.key_or_relative"], value["control.mode"])


def test_the_packaged_table_is_part_of_the_package() -> None:
    file = importlib.resources.files("midi_llm.evaluate").joinpath(estimators.TABLE.name)
    assert json.loads(file.read_text(encoding="utf-8"))["version"] == estimators.VERSION
