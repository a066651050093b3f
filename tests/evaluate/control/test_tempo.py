"""Tempo and pace: bins, tolerances, readings of a number, heard and written, no beat and no wish."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.control.wishing import SOME, beats, values, wish
from evaluate.tunes import tune
from midi_llm.evaluate.analysis import analyse
from midi_llm.evaluate.control import tempo
from midi_llm.evaluate.control.wish import Wish
from midi_llm.evaluate.prompts import PromptFacts
from midi_llm.music.beats import BeatGrid
from midi_llm.music.read import parse_midi
from midi_llm.music.score import Score, Tempo, TimeSignature
from midi_llm.music.write import to_midi_bytes

BPM = st.floats(20, 390)


def heard(grid: BeatGrid | None, **facts: Any) -> dict[str, float]:
    """What the metrics of what is heard say of beats."""
    found = values(tempo.evaluate([wish(SOME, grid=grid, **facts)]))
    return {name.removesuffix("_heard"): one for name, (one,) in found.items() if name.endswith("_heard")}


def written(says: float | None, signature: tuple[int, int] | None = None, **facts: Any) -> dict[str, float]:
    """What the metrics of what is written say of a file."""
    score = Score(
        tracks=SOME.tracks,
        tempos=(Tempo(time=0.0, bpm=says),) if says else (),
        time_signatures=(TimeSignature(time=0.0, numerator=signature[0], denominator=signature[1]),)
        if signature
        else (),
    )
    found = values(tempo.evaluate([wish(parse_midi(to_midi_bytes(score)), **facts)]))
    return {name.removesuffix("_written"): one for name, (one,) in found.items() if name.endswith("_written")}


@given(BPM)
def test_a_bin_counts_the_borders_below(bpm: float) -> None:
    assert tempo.tempo_bin(bpm) == sum(round(bpm) > border for border in (40, 60, 70, 90, 110, 140, 160, 210))


def test_there_are_nine_bins_and_a_border_is_in_the_lower_one() -> None:
    borders = [40, 60, 70, 90, 110, 140, 160, 210]
    assert [tempo.tempo_bin(border) for border in borders] == list(range(8))
    assert [tempo.tempo_bin(border + 1) for border in borders] == list(range(1, 9))
    assert tempo.tempo_bin(140.0001) == tempo.tempo_bin(140)  # as a MIDI file says 140


@given(BPM, BPM)
def test_comparisons_agree_with_each_other(asked: float, found: float) -> None:
    assert tempo.same_bin(asked, found) == tempo.same_bin(found, asked)
    assert tempo.same_bin(asked, found) <= tempo.near_bin(asked, found)
    within, octave = tempo.within_tolerance(asked, found), tempo.within_tolerance_or_octave(asked, found)
    assert within <= octave
    assert within == (abs(found - asked) <= 0.05 * asked + 1e-6)
    assert octave == max(tempo.within_tolerance(asked, found * scale) for scale in (0.5, 1, 2))


@given(BPM)
def test_a_tempo_is_itself(bpm: float) -> None:
    assert tempo.relative_error(bpm, bpm) == 0.0
    assert tempo.same_bin(bpm, bpm) == tempo.within_tolerance(bpm, bpm) == 1.0


def test_relative_error_is_relative_to_what_was_asked_for() -> None:
    assert tempo.relative_error(80, 100) == pytest.approx(0.25, abs=1e-12)
    assert tempo.relative_error(100, 80) == pytest.approx(0.2, abs=1e-12)
    assert [tempo.within_tolerance(100, found) for found in (94.9, 95, 105, 105.1)] == [0, 1, 1, 0]
    assert [tempo.within_tolerance_or_octave(100, found) for found in (50, 200, 210, 75, 33.3)] == [1, 1, 1, 0, 0]


def test_the_tempo_heard_is_compared_in_five_ways() -> None:
    assert heard(beats(120.0), bpm=120.0, pace="fast") == {
        "tempo_bin": 1.0,
        "tempo_bin_or_next": 1.0,
        "tempo_error": 0.0,
        "tempo_within_5": 1.0,
        "tempo_within_5_or_octave": 1.0,
        "pace": 1.0,
    }
    double = heard(beats(240.0), bpm=120.0, pace="medium")
    assert double.pop("tempo_within_5_or_octave") == 1.0
    assert double.pop("tempo_error") == pytest.approx(1.0, abs=1e-12)
    assert set(double.values()) == {0.0}
    assert heard(beats(100.0), bpm=112.0)["tempo_bin_or_next"] == 1.0
    assert heard(beats(100.0), bpm=112.0)["tempo_bin"] == 0.0


@pytest.mark.parametrize(
    ("felt", "found", "bpm", "asked"),
    [
        (80.0, (6, 8), 120.0, None),  # quarters
        (80.0, (6, 8), 80.0, None),  # dotted quarters
        (80.0, (6, 8), 120.0, (6, 8)),
        (80.0, (2, 4), 120.0, (6, 8)),  # the beat is right, its parts are not heard
        (80.0, (2, 4), 80.0, (6, 8)),
        (60.0, (4, 4), 120.0, (2, 2)),  # the beat heard is a half note
        (120.0, (4, 4), 120.0, (2, 2)),
        (200.0, (3, 4), 100.0, (3, 8)),  # the beat heard is an eighth
    ],
)
def test_a_number_may_count_quarters_or_felt_beats(
    felt: float, found: tuple[int, int], bpm: float, asked: tuple[int, int] | None
) -> None:
    judged = heard(beats(felt, found), bpm=bpm, metre=asked)
    assert judged["tempo_within_5"] == judged["tempo_bin"] == 1.0
    assert judged["tempo_error"] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("felt", "found", "bpm", "asked"),
    [
        (80.0, (4, 4), 120.0, None),
        (120.0, (4, 4), 80.0, None),
        (80.0, (4, 4), 53.3, (6, 8)),
        (80.0, (4, 4), 160.0, (3, 4)),
    ],
)
def test_no_other_reading_counts(
    felt: float, found: tuple[int, int], bpm: float, asked: tuple[int, int] | None
) -> None:
    assert heard(beats(felt, found), bpm=bpm, metre=asked)["tempo_within_5"] == 0.0


def test_an_octave_off_in_either_reading_is_an_octave_off() -> None:
    judged = heard(beats(133.3, (12, 8)), bpm=100.0, metre=(6, 8))  # 200 quarters a minute
    assert (judged["tempo_within_5"], judged["tempo_within_5_or_octave"]) == (0.0, 1.0)


def test_the_file_counts_quarters_and_pace_felt_beats() -> None:
    assert written(120.0, (6, 8), bpm=80.0, pace="slow") == pytest.approx(
        {
            "tempo_bin": 1.0,
            "tempo_bin_or_next": 1.0,
            "tempo_error": 0.0,
            "tempo_within_5": 1.0,
            "tempo_within_5_or_octave": 1.0,
            "pace": 1.0,
        },
        abs=1e-5,
    )
    assert written(120.0, bpm=80.0, metre=(6, 8))["tempo_within_5"] == 1.0
    assert written(120.0, bpm=80.0)["tempo_within_5"] == 0.0
    assert written(120.0, (2, 2), pace="slow")["pace"] == 1.0
    assert written(None, bpm=120.0, pace="fast")["tempo_within_5"] == 1.0  # a file that says nothing


@pytest.mark.parametrize("bpm", [40.0, 60.0, 70.0, 90.0, 110.0, 140.0, 160.0, 210.0])
def test_a_file_at_a_border_is_in_the_bin_of_its_prompt(bpm: float) -> None:
    assert written(bpm, bpm=bpm)["tempo_bin"] == 1.0


def test_pace_is_that_of_the_captions() -> None:
    paces = [tempo.pace_of(felt) for felt in (40, 83.9, 84, 112, 112.1, 300)]
    assert paces == ["slow", "slow", "medium", "medium", "fast", "fast"]
    assert heard(beats(80.0, (6, 8)), pace="slow")["pace"] == 1.0
    assert heard(beats(80.0, (4, 4)), pace="medium")["pace"] == 0.0


def test_where_no_beat_is_heard_no_tempo_is_right() -> None:
    judged = heard(None, bpm=120.0, pace="fast")
    assert math.isnan(judged.pop("tempo_error"))
    assert set(judged.values()) == {0.0}


def test_what_was_not_asked_for_is_not_judged() -> None:
    assert np.isnan(list(heard(beats(120.0)).values())).all()
    assert np.isnan(list(written(120.0).values())).all()
    only_pace = heard(beats(120.0), pace="fast")
    assert only_pace.pop("pace") == 1.0
    assert np.isnan(list(only_pace.values())).all()
    empty = values(tempo.evaluate([wish(Score(), bpm=120.0, pace="fast")]))
    assert all(math.isnan(value) for (value,) in empty.values())


def test_a_tune_is_heard_at_its_tempo() -> None:
    score = tune(3)
    right, wrong = (
        values(tempo.evaluate([Wish(facts=PromptFacts(bpm=bpm), score=score, analysis=analyse(score))]))
        for bpm in (120.0, 90.0)
    )
    assert right["tempo_within_5_heard"] == right["tempo_bin_heard"] == [1.0]
    assert wrong["tempo_within_5_heard"] == wrong["tempo_bin_heard"] == [0.0]
    assert right["tempo_error_heard"][0] < 0.01 < wrong["tempo_error_heard"][0]


def test_the_metrics_of_what_is_heard_are_known_by_name() -> None:
    names = {metric.name for metric in tempo.HEARD}
    measured = {one.metric.name: one.metric for one in tempo.evaluate([wish(SOME)])}
    assert names == {name for name in measured if name.endswith("_heard")}
    assert all(measured[metric.name] == metric for metric in tempo.HEARD)
    assert {name for name, metric in measured.items() if metric.better == "lower"} == {
        "control.tempo_error_heard",
        "control.tempo_error_written",
    }
