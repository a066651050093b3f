"""What a file says: mean tempo, longest metre, and onsets on its grid, against naive readings of the definitions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.tunes import Row, changed, noise, track, tune
from midi_llm.evaluate.control.written import on_written_grid, written_bpm, written_metre
from midi_llm.music.score import Score, Tempo, TimeSignature

MAPS = st.lists(st.tuples(st.integers(0, 200), st.integers(30, 240)), max_size=5, unique_by=lambda pair: pair[0])


def score(
    onsets: Sequence[float] = (0.0,),
    *,
    end: float | None = None,
    tempos: Sequence[tuple[float, float]] = (),
    metres: Sequence[tuple[float, int, int]] = (),
) -> Score:
    """Notes of a tenth of a second, the last one held until `end`."""
    rows: list[Row] = [(onset, 0.1, 60, 80) for onset in onsets]
    if end is not None:
        rows[-1] = (onsets[-1], end - onsets[-1], 60, 80)
    return Score(
        tracks=(track(rows),),
        tempos=tuple(Tempo(time=time, bpm=bpm) for time, bpm in tempos),
        time_signatures=tuple(TimeSignature(time=t, numerator=n, denominator=d) for t, n, d in metres),
    )


def test_the_tempo_is_the_mean_over_the_time_of_the_piece() -> None:
    assert written_bpm(score(end=10.0)) == 120.0
    assert written_bpm(score(end=10.0, tempos=[(0.0, 90.0)])) == pytest.approx(90.0, abs=1e-12)
    assert written_bpm(score(end=10.0, tempos=[(0.0, 60.0), (4.0, 100.0)])) == pytest.approx(84.0, abs=1e-12)
    assert written_bpm(score(end=10.0, tempos=[(5.0, 60.0)])) == pytest.approx(90.0, abs=1e-12)  # 120 before it
    assert written_bpm(score(end=3.0, tempos=[(0.0, 60.0), (4.0, 100.0)])) == pytest.approx(60.0, abs=1e-12)
    assert written_bpm(Score(tempos=(Tempo(time=0.0, bpm=77.0),))) == 77.0


@given(MAPS, st.integers(1, 250))
def test_the_mean_tempo_counts_every_tenth_of_a_second(tempos: list[tuple[int, int]], tenths: int) -> None:
    tempos = sorted(tempos)
    at = [next((bpm for time, bpm in reversed(tempos) if time <= tenth), 120) for tenth in range(tenths)]
    found = written_bpm(score(end=tenths / 10, tempos=[(time / 10, bpm) for time, bpm in tempos]))
    assert found == pytest.approx(sum(at) / tenths, abs=1e-9)


def test_the_metre_is_the_one_that_lasts_longest() -> None:
    assert written_metre(score(end=10.0)) == (4, 4)
    assert written_metre(score(end=10.0, metres=[(0.0, 3, 4)])) == (3, 4)
    assert written_metre(score(end=10.0, metres=[(0.0, 3, 4), (4.0, 6, 8)])) == (6, 8)
    assert written_metre(score(end=10.0, metres=[(6.0, 3, 4)])) == (4, 4)  # four before it
    assert written_metre(score(end=10.0, metres=[(0.0, 3, 4), (3.0, 4, 4), (7.0, 3, 4)])) == (3, 4)
    assert written_metre(score(end=3.0, metres=[(0.0, 3, 4), (4.0, 6, 8)])) == (3, 4)


def test_sixteenths_and_triplets_are_on_the_grid() -> None:
    assert on_written_grid(score(np.arange(32) / 8)) == 1.0  # sixteenths at 120 bpm
    assert on_written_grid(score(np.arange(24) / 6)) == 1.0  # triplets
    assert on_written_grid(score(np.arange(16) / 4 + 0.05)) == 0.0
    assert on_written_grid(score(np.arange(32) * 60 / 97 / 4, tempos=[(0.0, 97.0)])) == 1.0
    assert on_written_grid(score(np.arange(16) * 60 / 97, tempos=[(0.0, 120.0)])) < 0.6
    assert math.isnan(on_written_grid(Score()))


@pytest.mark.parametrize(("late", "share"), [(0.014, 1.0), (0.015, 1.0), (0.017, 0.75), (-0.015, 1.0), (-0.017, 0.75)])
def test_the_grid_is_15_ms_wide(late: float, share: float) -> None:
    onsets = 1.0 + np.arange(16) * 0.25 + np.where(np.arange(16) % 4 == 2, late, 0.0)
    assert on_written_grid(score(onsets)) == share


def test_the_grid_follows_the_tempo_map() -> None:
    quarters = [0.0, 1.0, 2.0, 3.0, *(4.0 + 60 / 132 * np.arange(8))]  # 60 bpm for four quarters, then 132
    assert on_written_grid(score(quarters, tempos=[(0.0, 60.0), (4.0, 132.0)])) == 1.0
    assert on_written_grid(score(quarters, tempos=[(0.0, 60.0)])) < 1.0
    assert on_written_grid(score([0.0, 0.5, 1.0, 2.0, 3.0], tempos=[(1.0, 60.0)])) == 1.0  # 120 bpm before it


@given(st.lists(st.integers(0, 400), min_size=1, max_size=40), st.integers(40, 200))
def test_an_onset_is_near_a_line_of_its_beat(ticks: list[int], bpm: int) -> None:
    onsets = sorted(tick / 100 for tick in ticks)
    beat = 60 / bpm
    beats: dict[int, list[float]] = {}
    for onset in onsets:
        beats.setdefault(math.floor(onset / beat + 0.08), []).append(onset)
    near = 0
    for inside in beats.values():
        off = {parts: [abs(time - round(time * parts / beat) * beat / parts) for time in inside] for parts in (4, 3)}
        costs = {parts: sum((one / beat) ** 2 for one in off[parts]) for parts in (4, 3)}
        parts = 3 if costs[3] < costs[4] - 1e-9 else 4
        near += sum(one <= 0.015 + 1e-6 for one in off[parts])
    assert on_written_grid(score(onsets, tempos=[(0.0, bpm)])) == pytest.approx(near / len(onsets), abs=1e-12)


def test_music_keeps_to_its_grid_and_noise_does_not() -> None:
    music = [on_written_grid(tune(seed)) for seed in range(4)]
    disorder = [on_written_grid(noise(tune(seed), seed)) for seed in range(4)]
    late = [on_written_grid(changed(tune(seed), lambda notes, _: notes["time"].__iadd__(0.05))) for seed in range(4)]
    assert min(music) == 1.0
    assert max(disorder) < 0.5
    assert max(late) == 0.0
