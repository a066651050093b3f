"""Beats of finished pieces: heard, brought to the tempo asked for, written."""

import io
from dataclasses import replace

import mido
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi_llm.compose.timing import MOST_STRETCH, _first_bar, nearest, stretch, with_beats, written_beats
from midi_llm.compose.wishes import NO_WISHES, Wishes
from midi_llm.music.align import keeps_to_grid
from midi_llm.music.beats import estimate_beats
from midi_llm.music.features import note_table
from midi_llm.music.read import parse_midi
from midi_llm.music.score import Note, Score, Track, note_array
from midi_llm.music.tempo_map import TempoMap
from midi_llm.music.write import to_midi_bytes


def band(bpm, beats=64):
    """Kick on one, snare on three, a hat on every eighth; a bass note on each beat."""
    beat = 60 / bpm
    drums = [Note(time=b * beat, duration=0.1, pitch=36 if b % 4 == 0 else 38) for b in range(0, beats, 2)]
    drums += [Note(time=h * beat / 2, duration=0.05, pitch=42) for h in range(2 * beats)]
    bass = [Note(time=b * beat, duration=0.9 * beat, pitch=36 + (b // 4) % 2 * 5) for b in range(beats)]
    drums.sort(key=lambda note: note.time)
    return Score(
        tracks=(Track(is_drum=True, notes=note_array(drums)), Track(program=33, notes=note_array(bass))),
    )


def onsets(score):
    return np.concatenate([track.notes["time"] for track in score.tracks])


def test_a_heard_tempo_is_written_and_no_note_moves():
    score = band(100)
    timed = with_beats(score, NO_WISHES, seconds=None)
    assert timed.tempos[0].bpm == pytest.approx(100, rel=0.01)
    assert (timed.time_signatures[0].numerator, timed.time_signatures[0].denominator) == (4, 4)
    assert np.array_equal(onsets(timed), onsets(score))


@pytest.mark.parametrize("asked", [90, 112])
def test_a_piece_near_the_tempo_asked_for_is_played_at_it(asked):
    score = band(100)
    timed = with_beats(score, Wishes(bpm=asked), seconds=None)
    assert timed.tempos[0].bpm == asked
    assert onsets(timed) == pytest.approx(onsets(score) * 100 / asked, rel=0.01)
    assert timed.tracks[1].notes["duration"] == pytest.approx(score.tracks[1].notes["duration"] * 100 / asked, rel=0.01)
    beats = timed.tracks[1].notes["time"] * asked / 60
    assert np.abs(beats - np.rint(beats)).max() < 0.05, "the music's beats are the file's"


def test_a_tempo_too_far_away_changes_no_note():
    score = band(100)
    timed = with_beats(score, Wishes(bpm=140), seconds=None)
    assert np.array_equal(onsets(timed), onsets(score))
    assert timed.tempos[0].bpm == pytest.approx(100, rel=0.01)


def test_a_tempo_named_for_a_compound_metre_may_count_its_felt_beats():
    triplets = [Note(time=n * 0.2, duration=0.1, pitch=42 if n % 3 else 36) for n in range(144)]
    jig = Score(tracks=(Track(is_drum=True, notes=note_array(triplets)),))
    grid = estimate_beats(note_table(jig), metre=(12, 8))
    assert grid is not None
    assert grid.bpm == pytest.approx(150, rel=0.02), "quarters; 100 dotted quarters"
    assert nearest(grid, 100) == (pytest.approx(1, rel=0.02), 150)
    assert nearest(grid, 150) == (pytest.approx(1, rel=0.02), 150)


def test_where_no_beat_is_heard_the_file_has_the_tempo_asked_for():
    few = Score(tracks=(Track(notes=note_array([Note(time=0.7, duration=1, pitch=60)])),))
    assert with_beats(few, Wishes(bpm=90, metre=(3, 4)), seconds=None).tempos[0].bpm == 90
    assert not with_beats(few, NO_WISHES, seconds=None).tempos


@pytest.mark.parametrize("bars", [1, 4, 7])
def test_a_number_of_bars_is_exact(bars):
    timed = with_beats(band(100), Wishes(bpm=90, bars=bars), seconds=bars * 4 * 60 / 90)
    assert timed.seconds == pytest.approx(bars * 4 * 60 / 90)
    assert max(track.notes["time"].max() for track in timed.tracks) < timed.end
    again = parse_midi(to_midi_bytes(timed))
    assert again.seconds <= timed.seconds + 0.01


def test_the_last_notes_of_counted_bars_ring_to_the_bar_line_and_those_of_a_loop_do_not():
    for loop in (False, True):
        timed = with_beats(band(100), Wishes(bpm=100, bars=4, loop=loop), seconds=9.6)
        bass = timed.tracks[1].notes
        last_end = bass["time"][-1] + bass["duration"][-1]
        assert last_end == pytest.approx(timed.end if not loop else timed.end - 0.06, abs=0.01)
        assert bass["duration"][:-1].max() < 0.6
        assert timed.tracks[0].notes["duration"].max() <= 0.11, "drums stay"


def test_a_loop_has_whole_bars_and_its_last_one_may_end_in_a_rest():
    beats = 4 * 5 + 1  # five bars and a beat
    for seconds, bars in ((12.5, 5), (60, 6)):
        timed = with_beats(band(100, beats=beats), Wishes(loop=True), seconds=seconds)
        bar = 4 * 60 / timed.tempos[0].bpm
        assert timed.seconds == pytest.approx(bars * bar)
        ends = [track.notes["time"] + track.notes["duration"] for track in timed.tracks]
        assert np.concatenate(ends).max() <= timed.seconds + 1e-9
        file = mido.MidiFile(file=io.BytesIO(to_midi_bytes(timed)))
        assert file.length == pytest.approx(timed.seconds, abs=0.01), "a player repeats it on the bar"


def test_half_and_double_tempo_count_the_same_notes():
    assert stretch(150, 75) == 1
    assert stretch(70, 140) == 1
    assert stretch(96, 50) == pytest.approx(0.96)


@given(st.floats(30, 260), st.floats(30, 260))
def test_no_stretch_is_larger_than_allowed(heard, asked):
    factor = stretch(heard, asked)
    assert factor is None or 1 / MOST_STRETCH <= factor <= MOST_STRETCH


def test_a_piece_is_cut_at_the_length_asked_for():
    timed = with_beats(band(100), Wishes(bpm=90), seconds=19.5)
    assert timed.seconds == pytest.approx(19.5)
    for track in timed.tracks:
        assert track.notes["time"].max() < 19.5
        assert track.notes["duration"].min() >= 0.02 - 1e-9


def test_notes_that_all_come_too_late_leave_no_empty_track():
    late = Track(program=0, notes=note_array([Note(time=9.0, duration=1, pitch=60)]))
    early = Track(program=1, notes=note_array([Note(time=1.0, duration=3, pitch=60)]))
    timed = with_beats(Score(tracks=(early, late)), NO_WISHES, seconds=2)
    assert [track.program for track in timed.tracks] == [1]
    assert not timed.tempos, "nothing was heard, so nothing is written"


@pytest.mark.parametrize("asked", [None, 90])
def test_the_beats_that_are_written_lie_on_the_notes_as_they_are_played(asked):
    timed = with_beats(band(100), Wishes(bpm=asked), seconds=None)
    grid = written_beats(timed)
    assert grid is not None
    assert grid.bpm == pytest.approx(asked or 100, rel=0.01)
    nearest = np.abs(timed.tracks[1].notes["time"][:, None] - grid.beats).min(axis=1)
    assert nearest.max() < 0.03
    assert grid.downbeats[:3].tolist() == [0, 4, 8]
    assert written_beats(Score()) is None


def later(score, seconds):
    tracks = []
    for track in score.tracks:
        notes = track.notes.copy()
        notes["time"] += seconds
        tracks.append(replace(track, notes=notes))
    return replace(score, tracks=tuple(tracks))


def warped(score, seconds_at):
    """`score`, whose times are beats, at the seconds of a curve."""
    tracks = []
    for track in score.tracks:
        notes = track.notes.copy()
        ends = seconds_at(notes["time"] + notes["duration"])
        notes["time"] = np.rint(seconds_at(notes["time"]) * 100) / 100
        notes["duration"] = ends - notes["time"]
        tracks.append(replace(track, notes=notes))
    return replace(score, tracks=tuple(tracks))


@pytest.mark.parametrize("lead", [0.25, 0.85])
def test_silence_before_the_first_bar_is_left_out(lead):
    timed = with_beats(later(band(100), lead), NO_WISHES, seconds=None)
    assert onsets(timed).min() == pytest.approx(0, abs=0.01)
    assert onsets(timed) == pytest.approx(onsets(band(100)), abs=0.01)


def test_a_rest_at_the_beginning_of_a_bar_stays():
    score = band(100)
    late = replace(score, tracks=tuple(replace(t, notes=t.notes[t.notes["time"] >= 1.2]) for t in score.tracks))
    timed = with_beats(late, NO_WISHES, seconds=None)
    assert onsets(timed).min() == pytest.approx(1.2, abs=0.01)


def test_a_pick_up_comes_after_a_rest():
    score = later(band(100), 0.75)
    upbeat = note_array([Note(time=time, duration=0.25, pitch=64) for time in (0.15, 0.45)])
    timed = with_beats(replace(score, tracks=(*score.tracks, Track(notes=upbeat))), NO_WISHES, seconds=None)
    bar = 4 * 60 / timed.tempos[0].bpm
    assert timed.tracks[0].notes["time"][0] == pytest.approx(bar, abs=0.02), "the first whole bar"
    assert timed.tracks[2].notes["time"] == pytest.approx([bar - 0.6, bar - 0.3], abs=0.02)


def test_a_tempo_that_changes_slowly_is_written_bar_by_bar_and_read_back():
    at = np.r_[0, np.cumsum(60 / np.linspace(120, 112, 80))]
    played = warped(band(60, beats=64), lambda beats: np.interp(beats, np.arange(len(at)), at))
    timed = with_beats(played, NO_WISHES, seconds=None)
    assert 2 < len(timed.tempos) <= 64 / 4 + 2
    again = parse_midi(to_midi_bytes(timed))
    assert len(again.tempos) == len(timed.tempos)
    beats = TempoMap.of(again).times(np.arange(64))
    assert np.abs(beats[4:-4] - at[4:60]).max() < 0.07
    six = with_beats(played, Wishes(bars=6), seconds=30)
    assert six.seconds == pytest.approx(at[24], abs=0.07)
    asked = with_beats(played, Wishes(bpm=110), seconds=None)
    assert np.median([tempo.bpm for tempo in asked.tempos]) == pytest.approx(110, rel=0.03)


def test_notes_are_drawn_to_the_grid_that_is_heard():
    score = band(100)
    rng = np.random.default_rng(1)
    loose = replace(
        score,
        tracks=tuple(
            replace(track, notes=_loosened(track.notes, rng.integers(-1, 2, len(track.notes))))
            for track in score.tracks
        ),
    )
    timed = with_beats(loose, NO_WISHES, seconds=20, quantise=1.0)
    sixteenths = onsets(timed) * timed.tempos[0].bpm / 15
    assert np.abs(sixteenths - np.rint(sixteenths)).max() < 1e-6
    assert timed.seconds <= 20


def _loosened(notes, ticks):
    moved = notes.copy()
    moved["time"] = np.maximum(notes["time"] + ticks / 100, 0)
    return moved[np.argsort(moved["time"], kind="stable")]


def test_a_piece_whose_off_beats_are_taken_for_beats_stays_where_it_is():
    score = band(100)
    grid = estimate_beats(note_table(score))
    assert grid is not None
    late = replace(grid, beats=grid.beats + 0.3)
    assert _first_bar(score, late) == pytest.approx(0, abs=0.005)
    assert _first_bar(score, replace(grid, beats=grid.beats + 0.37)) != pytest.approx(0, abs=0.005)


@pytest.mark.parametrize(("step", "asked"), [(0.2, 75), (0.2, 150), (0.25, 200), (0.15, 200), (0.15, 133)])
def test_the_tempo_asked_for_settles_what_the_notes_leave_open(step, asked):
    notes = [Note(time=n * step, duration=0.1, pitch=60 + n % 5 - 12 * (n % 6 == 0)) for n in range(120)]
    even = Score(tracks=(Track(notes=note_array(notes)),))
    timed = with_beats(even, Wishes(bpm=asked), seconds=None)
    assert timed.tempos[0].bpm / asked == pytest.approx(1.0) or timed.tempos[0].bpm / asked == pytest.approx(1.5)
    assert keeps_to_grid(timed)
