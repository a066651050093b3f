from dataclasses import replace

import numpy as np
import pytest

from data.corpora import make_score
from midi_llm.data.filters import AMT, LENIENT, PRESETS, REASONS, FilterSettings, rejection
from midi_llm.errors import DatasetError
from midi_llm.music.score import Score, Tempo, Track

GOOD = make_score(1, bpm=120.0)
"""288 notes in 48 s: piano in eighths, drums on every beat."""


def edit(**columns) -> Score:
    """`GOOD` with columns of its notes changed."""
    tracks = []
    for track in GOOD.tracks:
        notes = track.notes.copy()
        for name, change in columns.items():
            notes[name] = change(notes[name])
        tracks.append(replace(track, notes=notes))
    return replace(GOOD, tracks=tuple(tracks))


def orchestra(instruments: int) -> Score:
    return replace(GOOD, tracks=tuple(replace(GOOD.tracks[0], program=number) for number in range(instruments)))


CASES = {
    "too few notes": (make_score(1, bars=8, bpm=60.0), replace(GOOD, tracks=GOOD.tracks[:1])),
    "too short": (edit(time=lambda t: t * 0.2), edit(time=lambda t: t * 0.22)),
    "too long": (edit(time=lambda t: t * 80, duration=lambda d: d * 80), GOOD),
    "too many instruments": (orchestra(17), orchestra(16)),
    "too sparse": (edit(time=lambda t: t * 13, duration=lambda d: d * 13), edit(time=lambda t: t * 11)),
    "too dense": (replace(GOOD, tracks=GOOD.tracks[:1] * 30), replace(GOOD, tracks=GOOD.tracks[:1] * 16)),
    "one note repeated": (
        replace(GOOD, tracks=(GOOD.tracks[1], replace(GOOD.tracks[0], notes=GOOD.tracks[0].notes[:20]))),
        replace(GOOD, tracks=(GOOD.tracks[1], replace(GOOD.tracks[0], notes=GOOD.tracks[0].notes[:40]))),
    ),
    "stacked notes": (edit(time=lambda t: t // 12 * 12), edit(time=lambda t: t // 2 * 2)),
    "long silence": (edit(time=lambda t: t + 31.5 * (t > 20)), edit(time=lambda t: t + 29.5 * (t > 20))),
    "broken tempo": (
        replace(GOOD, tempos=(Tempo(time=0.0, bpm=4.0),)),
        replace(GOOD, tempos=(Tempo(time=0.0, bpm=4.0), Tempo(time=20.0, bpm=120.0))),
    ),
}


def test_every_reason_has_a_case():
    assert tuple(CASES) == REASONS
    assert rejection(GOOD) is None


@pytest.mark.parametrize("reason", REASONS)
def test_a_piece_beyond_a_limit_is_rejected_and_one_within_is_not(reason):
    beyond, within = CASES[reason]
    assert rejection(beyond) == reason
    assert rejection(within) is None


@pytest.mark.parametrize("score", [Score(), Score(tracks=(Track(),)), Score(tempos=(Tempo(time=0.0, bpm=1.0),))])
def test_a_piece_without_notes_is_rejected_even_without_a_minimum(score):
    assert rejection(score, replace(LENIENT, min_notes=0)) == "too few notes"


def test_lenient_keeps_a_short_loop_that_amt_drops():
    loop = make_score(1, bars=3, bpm=120.0)
    assert rejection(loop, LENIENT) is None
    assert rejection(loop, AMT) == "too few notes"
    assert PRESETS == {"lenient": LENIENT, "amt": AMT}


def test_silence_before_the_music_does_not_count():
    assert rejection(edit(time=lambda t: t + 500.0)) is None


def test_a_long_note_is_no_silence():
    score = edit(time=lambda t: t + 100.0 * (t > 20))
    first = score.tracks[0].notes[:1].copy()
    first["duration"] = 200.0
    held = replace(score, tracks=(*score.tracks, Track(program=19, notes=first)))
    assert rejection(score) == "long silence"
    assert rejection(held) is None


def test_order_of_notes_in_a_track_does_not_matter():
    turned = tuple(replace(track, notes=track.notes[::-1].copy()) for track in GOOD.tracks)
    assert rejection(replace(GOOD, tracks=turned)) is None


def test_tempo_changes_are_counted_per_second_and_a_slow_ending_passes():
    fast = tuple(Tempo(time=t, bpm=100.0 + i % 2) for i, t in enumerate(np.arange(0, 48, 0.04).tolist()))
    assert rejection(replace(GOOD, tempos=fast)) == "broken tempo"
    assert rejection(replace(GOOD, tempos=fast[::2])) is None
    fermata = (Tempo(time=0.0, bpm=120.0), Tempo(time=47.0, bpm=5.0), Tempo(time=90.0, bpm=5000.0))
    assert rejection(replace(GOOD, tempos=fermata)) is None


def test_one_moment_is_too_short_and_without_that_rule_too_dense():
    chord = edit(time=lambda t: 0 * t)
    assert rejection(chord) == "too short"
    assert rejection(chord, FilterSettings(min_seconds=0.0)) == "too dense"


def test_settings_that_admit_nothing_are_refused():
    with pytest.raises(DatasetError, match=r"min_seconds is 10.0 and max_seconds 5.0"):
        FilterSettings(max_seconds=5.0)
