"""Validity: golden values, naive readings of the definitions, failed and empty takes, and good above broken takes."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.tunes import Row, changed, means, scattered, table, track, tune
from midi_llm.errors import RequestError
from midi_llm.evaluate import validity
from midi_llm.evaluate.prompts import Prompt
from midi_llm.evaluate.take import Take
from midi_llm.music import health
from midi_llm.music.read import parse_midi
from midi_llm.music.score import NOTE_DTYPE, Score, Tempo, Track
from midi_llm.music.write import to_midi_bytes
from midi_llm.tokens.salvage import DecodeReport

PROMPT = Prompt(id="p", text="music")


def take(score: Score | None = None, **known: Any) -> Take:
    return Take(prompt=PROMPT, score=tune(0) if score is None else score, **known)


def found(*takes: Take) -> dict[str, list[float]]:
    measured = validity.evaluate(takes)
    assert len({one.metric.name for one in measured}) == len(measured)
    return {one.metric.name.removeprefix("validity."): one.values.tolist() for one in measured}


def clicks(times: Any, *, pitch: int = 60, length: float = 0.1) -> list[Row]:
    return [(float(time), length, pitch, 80) for time in times]


def score_of(rows: list[Row], program: int = 0) -> Score:
    return Score(tracks=(track(rows, program),))


def test_strict_decoding_and_repairs_by_kind() -> None:
    values = found(
        take(strict=True),
        take(strict=False, repairs={"wrong_slot": 2, "incomplete": 1}),
        take(strict=False, repairs={"incomplete": 3}),
        take(),
        take(repairs={"wrong_slot": 5}),
    )
    assert np.array_equal(values["strict"], [1, 0, 0, np.nan, np.nan], equal_nan=True)
    assert np.array_equal(values["repairs"], [0, 3, 3, np.nan, 5], equal_nan=True)
    assert np.array_equal(values["repairs_wrong_slot"], [0, 2, 0, np.nan, 5], equal_nan=True)
    assert np.array_equal(values["repairs_incomplete"], [0, 1, 3, np.nan, 0], equal_nan=True)


def test_every_kind_of_repair_of_the_tolerant_decoder_has_a_metric() -> None:
    repairs = {kind: 1 for kind in asdict(DecodeReport()) if kind != "events"}
    values = found(take(strict=False, repairs=repairs))
    assert values["repairs"] == [len(repairs)]
    assert all(values[f"repairs_{kind}"] == [1.0] for kind in repairs)
    assert len(values) == len(validity.METRICS) + len(repairs)


def test_endings() -> None:
    values = found(*(take(ending=ending) for ending in ("own", "asked", "full", None)))
    assert np.array_equal(values["ended"], [1, 1, 0, np.nan], equal_nan=True)
    assert np.array_equal(values["ended_own"], [1, 0, 0, np.nan], equal_nan=True)
    assert np.array_equal(values["ended_asked"], [0, 1, 0, np.nan], equal_nan=True)


def test_length_error_is_relative_to_the_length_asked_for() -> None:
    nine = score_of([(0.0, 1.0, 60, 80), (1.0, 8.0, 62, 80), (2.0, 1.0, 64, 80)])
    values = found(
        take(nine, seconds_asked=12.0), take(nine, seconds_asked=6.0), take(nine), take(Score(), seconds_asked=6)
    )
    assert values["length_error"][:2] == pytest.approx([0.25, 0.5], abs=1e-12)
    assert math.isnan(values["length_error"][2])
    assert values["length_error"][3] == 1.0


def test_failed_and_empty_takes_count_as_such_and_nowhere_else() -> None:
    values = found(take(), take(Score(), error="no MIDI file"), take(Score(tracks=(track([]),))))
    assert values.pop("failed") == [0, 1, 0]
    assert values.pop("empty") == [0, 1, 1]
    assert all(math.isnan(value) for others in values.values() for value in others[1:])
    assert values["stuck"][0] == values["faulty_notes"][0] == 0.0


@pytest.mark.parametrize(
    ("rows", "silent"),
    [
        (clicks([0, 5.1]), True),  # silent from 0.1 on
        (clicks([0, 5.09]), False),
        (clicks([5.0]), True),  # before the first note
        (clicks([4.99]), False),
        ([*clicks([0], length=7.0), *clicks([1, 9])], False),  # the first note is held
        (clicks(np.arange(0, 60, 4.0)), False),
    ],
)
def test_a_silence_of_five_seconds_is_stuck(rows: list[Row], silent: bool) -> None:
    assert health.is_silent(table(rows)) == silent


def test_the_same_chord_24_times_over_ten_seconds_is_stuck() -> None:
    def repeating(*parts: list[Row]) -> bool:
        return health.is_repeating(table([row for part in parts for row in part]))

    steady = np.arange(24) * 0.44  # 23 gaps of 0.44 s are 10.12 s
    assert repeating(clicks(steady))
    assert repeating(clicks(steady), clicks(steady, pitch=64), clicks(steady + 0.003, pitch=67))
    assert not repeating(clicks(steady[:-1]))
    assert not repeating(clicks(np.arange(24) * 0.43))  # 9.89 s
    assert not repeating(clicks(steady), clicks([5.0], pitch=64))
    assert not repeating(clicks(steady), clicks(steady[:12], pitch=64))
    assert not repeating(clicks(np.arange(0, 30, 0.5)), clicks(np.arange(0.25, 30, 0.5), pitch=62))
    assert repeating(clicks(np.arange(0, 2, 0.25), pitch=50), clicks(2 + steady), clicks([30.0], pitch=50))


def test_another_instrument_is_another_chord() -> None:
    steady = np.arange(48) * 0.3
    halves = Score(tracks=(track(clicks(steady[::2])), track(clicks(steady[1::2]), 40)))
    assert found(take(halves))["stuck_repeating"] == [0.0]
    assert found(take(score_of(clicks(steady))))["stuck_repeating"] == [1.0]


CHORDS = st.lists(st.tuples(st.integers(0, 12), st.sampled_from([60, 64])), min_size=1, max_size=30)


@given(CHORDS)
def test_repetition_is_what_a_naive_search_finds(notes: list[tuple[int, int]]) -> None:
    chords: dict[int, set[int]] = {}
    for tick, pitch in notes:
        chords.setdefault(tick, set()).add(pitch)
    ticks = sorted(chords)
    expected = any(
        last - first >= 2
        and ticks[last] - ticks[first] >= 6
        and all(chords[t] == chords[ticks[first]] for t in ticks[first : last + 1])
        for first in range(len(ticks))
        for last in range(first, len(ticks))
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(health, "REPEAT_ONSETS", 3)
        patch.setattr(health, "REPEAT_SECONDS", 0.06)
        rows = [row for tick, pitch in notes for row in clicks([tick / 100], pitch=pitch)]
        assert health.is_repeating(table(rows)) == expected


@pytest.mark.parametrize(("count", "seconds", "crowded"), [(80, 0.49, True), (79, 0.1, False), (80, 0.5, False)])
def test_80_notes_within_half_a_second_are_stuck(count: int, seconds: float, crowded: bool) -> None:
    rows = [*clicks([0.0, 1.0]), *clicks(3 + np.linspace(0, seconds, count)), *clicks([9.0])]
    assert health.is_crowded(table(rows)) == crowded


def test_stuck_is_any_of_three_ways() -> None:
    ways = [score_of(clicks([0, 9])), score_of(clicks(np.arange(40) / 2)), score_of(clicks(np.linspace(0, 0.3, 90)))]
    values = found(*map(take, ways), take())
    assert values["stuck"] == [1, 1, 1, 0]
    assert np.array_equal([values["stuck_silent"], values["stuck_repeating"], values["stuck_crowded"]], np.eye(3, 4))


def test_polyphony_counts_drums_too() -> None:
    score = Score(tracks=(track([(0.0, 2.0, 60, 80), (1.0, 2.0, 64, 80)]), track([(1.5, 0.5, 36, 80)], drums=True)))
    values = found(take(score))
    assert values["max_polyphony"] == [3.0]
    assert values["mean_polyphony"] == pytest.approx([4.5 / 3.0], abs=1e-12)


def test_growth_compares_the_last_third_with_the_first() -> None:
    times = [0, 1, 2, 3, 4, 5, 6, 6.5, 7, 7.5, 8, 8.5, 9]  # four until 3, seven from 6 on
    values = found(take(score_of(clicks(times))), take(score_of(clicks([9 - time for time in times]))))
    assert values["growth"] == pytest.approx([math.log(7 / 4), math.log(4 / 7)], abs=1e-12)
    assert values["drift"] == pytest.approx([math.log(7 / 4)] * 2, abs=1e-12)
    assert math.isnan(health.growth(table(clicks(range(11)))))
    assert math.isnan(health.growth(table(clicks([1.0] * 12))))


@given(st.lists(st.integers(0, 400), min_size=12, max_size=40).filter(lambda ticks: len(set(ticks)) > 1))
def test_growth_is_the_opposite_in_music_played_backwards(ticks: list[int]) -> None:
    there = health.growth(table(clicks([tick / 100 for tick in ticks])))
    back = health.growth(table(clicks([(400 - tick) / 100 for tick in ticks])))
    assert there == pytest.approx(-back, abs=1e-12)


def test_faulty_notes_are_too_short_or_strike_what_sounds() -> None:
    rows = [
        (0.0, 1.0, 60, 80),
        (0.5, 0.2, 60, 80),  # strikes what sounds
        (0.6, 0.2, 61, 80),
        (1.0, 0.01, 60, 80),  # short
        (2.0, 3.0, 62, 80),
        (3.0, 0.1, 62, 80),  # strikes what sounds
        (4.0, 0.01, 62, 80),  # both: the first of the three still sounds
        (6.0, 0.1, 62, 80),
    ]
    values = found(take(score_of(rows)))
    assert values["short_notes"] == pytest.approx([2 / 8], abs=1e-12)
    assert values["overlapping_notes"] == pytest.approx([3 / 8], abs=1e-12)
    assert values["faulty_notes"] == pytest.approx([4 / 8], abs=1e-12)


NOTES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20), st.integers(60, 62)), max_size=25)


@given(NOTES)
def test_overlapping_is_what_a_naive_search_finds(notes: list[tuple[int, int, int]]) -> None:
    notes = sorted(notes, key=lambda note: note[0])
    rows = [(start / 100, length / 100, pitch, 80) for start, length, pitch in notes]
    expected = [
        any(before[2] == note[2] and before[0] + before[1] - note[0] > 1 for before in notes[:index])
        for index, note in enumerate(notes)
    ]
    short, overlapping = health.faults(Score(tracks=(Track(notes=np.array(rows, NOTE_DTYPE)),)))
    assert overlapping.tolist() == expected
    assert short.tolist() == [length <= 1 for _, length, _ in notes]


def test_drums_and_effects_have_no_faulty_notes() -> None:
    rows = [(0.0, 1.0, 60, 80), (0.5, 0.005, 60, 80)]
    drums, effects = Score(tracks=(track(rows, drums=True),)), score_of(rows, 122)
    values = found(take(drums), take(effects), take(score_of(rows, 114)))  # steel drums have pitches
    for name in ("faulty_notes", "short_notes", "overlapping_notes"):
        assert np.isnan(values[name][:2]).all()
        assert values[name][2] == 0.5


def test_two_tracks_of_one_instrument_may_play_in_unison() -> None:
    line = track([(0.0, 1.0, 60, 80), (1.0, 1.0, 62, 80)], 40)
    assert found(take(Score(tracks=(line, line))))["overlapping_notes"] == [0.0]


@given(st.sampled_from([30.0, 60.0, 97.0, 120.0, 200.0]), st.lists(st.integers(2, 60), min_size=2, max_size=20))
def test_rounding_to_ticks_and_to_a_file_makes_no_faulty_note(bpm: float, lengths: list[int]) -> None:
    starts = np.cumsum([0, *lengths]) / 100
    rows = [(start, length / 100 + 0.01, 60, 80) for start, length in zip(starts, lengths, strict=False)]
    rows.append((starts[-1] + 1, 0.02, 60, 80))
    score = Score(tracks=(track(rows),), tempos=(Tempo(time=0.0, bpm=bpm),))
    assert found(take(parse_midi(to_midi_bytes(score))))["faulty_notes"] == [0.0]


@pytest.mark.parametrize("bpm", [60.0, 97.0, 120.0, 200.0])
def test_notes_of_one_tick_are_short_in_a_file_too(bpm: float) -> None:
    score = Score(tracks=(track([(0.0, 0.01, 60, 80), (1.0, 0.02, 60, 80)]),), tempos=(Tempo(time=0.0, bpm=bpm),))
    assert found(take(parse_midi(to_midi_bytes(score))))["short_notes"] == [0.5]


def test_no_takes_and_times_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(RequestError, match="no takes"):
        validity.evaluate([])
    for name in ("time", "duration"):

        def change(notes: Any, one: object, name: str = name) -> None:
            notes[name][0] = np.nan

        with pytest.raises(RequestError, match="take 0 of prompt p has a time that is no finite number"):
            validity.evaluate([take(), take(changed(tune(0), change))])


def test_warnings_say_what_is_not_known() -> None:
    warnings = validity.validate([take(strict=True, ending="own"), take(Score(), error="broken"), take(strict=False)])
    assert [warning.split(" takes ")[0] for warning in warnings] == ["1 of 3", "1 of 3", "1 of 3", "2 of 3"]
    assert validity.validate([take(strict=True, ending="own")]) == ()


def test_good_takes_rank_above_broken_ones() -> None:
    def late(notes: Any, one: object) -> None:
        notes["time"] += 6.0

    def clipped(notes: Any, one: object) -> None:
        notes["duration"] = 0.005

    def held(notes: Any, one: object) -> None:
        notes["duration"] = 8.0

    known = {"strict": True, "ending": "own", "seconds_asked": 32.0}
    spoilt = {"strict": False, "ending": "full", "seconds_asked": 50.0, "repairs": {"wrong_slot": 3}}
    good = means(validity.evaluate([take(tune(seed), **known) for seed in range(4)]))
    broken = [
        *(take(changed(tune(0), spoil), **spoilt) for spoil in (late, clipped, held)),
        take(score_of(clicks(np.arange(40) / 2)), **spoilt),
        take(score_of(clicks(np.linspace(0, 0.3, 90))), **spoilt),
        take(Score(), error="no MIDI file", **spoilt),
    ]
    bad = means(validity.evaluate(broken))
    assert len(good) == 11
    assert all(good[name] > bad[name] for name in good)


def test_disorder_is_as_valid_as_music() -> None:
    known = {"strict": True, "ending": "own", "seconds_asked": 32.0}
    music = means(validity.evaluate([take(tune(seed), **known) for seed in range(3)]))
    disorder = means(validity.evaluate([take(scattered(tune(seed), seed), **known) for seed in range(3)]))
    assert all(
        music[f"validity.{name}"] == disorder[f"validity.{name}"]
        for name in ("strict", "ended", "stuck", "short_notes")
    )
