"""Continue, infill, accompany, replace, vary: what is kept and what is composed."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from midi_llm.compose.asked import asked_for
from midi_llm.compose.editing import (
    Edit,
    accompanied,
    continued,
    infilled,
    mean_tempo,
    model_ticks_per_quarter,
    on_grid,
    own,
    replaced,
    varied,
)
from midi_llm.compose.editor import describe, edit_takes
from midi_llm.compose.settings import Settings
from midi_llm.errors import RequestError
from midi_llm.music.quantise import grid_lines
from midi_llm.music.read import parse_midi
from midi_llm.music.score import DRUMS, Note, Score, Tempo, TimeSignature, Track, note_array
from midi_llm.music.song_file import SongFile, parse_song
from midi_llm.music.write import to_midi_bytes


def make_song(bars: int = 8, bpm: float = 110.0, off_grid: float = 0.0) -> SongFile:
    beat = 60 / bpm
    piano = [
        Note(time=n * beat + off_grid, duration=beat * 0.9, pitch=60 + n % 5, velocity=80) for n in range(3 * bars)
    ]
    kick = [Note(time=n * 3 * beat, duration=0.1, pitch=36, velocity=100) for n in range(bars)]
    score = Score(
        tracks=(Track(program=0, notes=note_array(piano)), Track(is_drum=True, notes=note_array(kick))),
        tempos=(Tempo(time=0.0, bpm=bpm),),
        time_signatures=(TimeSignature(time=0.0, numerator=3, denominator=4),),
    )
    return parse_song(to_midi_bytes(score), name="song")


def make_song_early() -> SongFile:
    """As `make_song`, but every note after the first bar begins 10 ms before its beat."""
    score = parse_midi(make_song().content)
    tracks = []
    for track in score.tracks:
        notes = track.notes.copy()
        notes["time"][notes["time"] > 1] -= 0.01
        tracks.append(replace(track, notes=notes))
    return parse_song(to_midi_bytes(replace(score, tracks=tuple(tracks))), name="song")


def rows(song: SongFile, mask: np.ndarray | None = None) -> Counter[tuple[int, ...]]:
    columns = (song.start, song.end, song.notes.instrument, song.notes.pitch, song.notes.velocity)
    return Counter(zip(*(column[slice(None) if mask is None else mask].tolist() for column in columns), strict=True))


def edits(song: SongFile) -> dict[str, Edit]:
    return {
        "continue": continued(song, seconds=6),
        "infill": infilled(song, first=3, last=4),
        "infill piano": infilled(song, first=3, last=4, instruments=frozenset({0})),
        "accompany": accompanied(song, instruments=frozenset({33})),
        "replace": replaced(song, old=frozenset({0}), new=frozenset({73})),
        "vary": varied(song, share=0.5, seed=1),
    }


@pytest.mark.parametrize("name", list(edits(make_song())))
def test_what_is_kept_stays_and_what_is_new_lies_where_it_was_asked_for(make_composer, name) -> None:
    song = make_song()
    edit = edits(song)[name]
    (take,) = edit_takes(make_composer(), edit, "a waltz", Settings(seed=3))
    again = parse_song(take.content, name="again")
    added = Counter(tuple(int(value) for value in row) for row in take.added.tolist())
    assert rows(again) == rows(song, ~edit.removed) + added
    assert len(take.added) > 3
    start, end, instrument = take.added["start"], take.added["end"], take.added["instrument"]
    bar = 3 * song.ticks_per_quarter
    whole = 8 * bar
    if name == "continue":
        assert start.min() >= whole
        assert set(instrument.tolist()) <= {0, DRUMS}
        assert end.max() <= whole + round(6 * mean_tempo(song) / 60 * song.ticks_per_quarter * 1.05)
    elif name.startswith("infill"):
        assert start.min() >= 2 * bar
        assert end.max() <= 4 * bar + 1
        assert set(instrument.tolist()) <= ({0} if "piano" in name else {0, DRUMS})
        assert take.removed == (6 if "piano" in name else 8)
    elif name == "accompany":
        assert set(instrument.tolist()) == {33}
        assert take.removed == 0
    elif name == "replace":
        assert set(instrument.tolist()) == {73}
        assert 0 not in own(again)


def test_new_notes_lie_on_the_grid_of_a_file_that_keeps_to_one(make_composer) -> None:
    song = make_song()
    assert on_grid(song)
    (take,) = edit_takes(make_composer(), infilled(song, first=2, last=5), "", Settings(seed=1))
    quarters = take.added["start"] / song.ticks_per_quarter
    assert np.abs(quarters - grid_lines(quarters)).max() < 1 / song.ticks_per_quarter
    played = make_song(off_grid=0.07)
    assert not on_grid(played)
    (free,) = edit_takes(make_composer(), infilled(played, first=2, last=5), "", Settings(seed=1))
    quarters = free.added["start"] / played.ticks_per_quarter
    assert np.abs(quarters - grid_lines(quarters)).max() > 0.02


def test_a_note_that_comes_a_little_early_belongs_to_the_bar_it_is_meant_for() -> None:
    early = make_song(off_grid=0.0)
    shifted = make_song_early()
    assert infilled(early, first=3, last=4).removed.tolist() == infilled(shifted, first=3, last=4).removed.tolist()


def test_the_model_hears_whole_ticks_for_an_eighth_note_near_the_tempo() -> None:
    song = make_song(bpm=110)
    assert model_ticks_per_quarter(song) == 54
    assert (edits(song)["infill"].given[:, 0] % 54 == 0).all()
    assert [(p.start, p.end) for p in edits(song)["infill"].passages] == [(2 * 3 * 54, 4 * 3 * 54)]


def test_the_same_seed_gives_the_same_file_and_another_one_another(make_composer) -> None:
    edit = edits(make_song())["accompany"]
    first, second = edit_takes(make_composer(), edit, "x", Settings(seed=1, takes=2))
    (again,) = edit_takes(make_composer(), edit, "x", Settings(seed=1))
    assert first.content == again.content
    assert first.content != second.content
    assert (first.seed, second.seed) == (1, 2)


def test_wishes_for_pitches_hold_and_velocities_are_the_instrument_s_own(make_composer) -> None:
    song = make_song()
    wishes = asked_for(scale="C E G", ranges=["piano:C4-C5"])
    (take,) = edit_takes(make_composer(), infilled(song, first=3, last=6), "", Settings(seed=1, wishes=wishes))
    piano = take.added[take.added["instrument"] == 0]
    assert set((piano["pitch"] % 12).tolist()) <= {0, 4, 7}
    assert piano["pitch"].min() >= 60
    assert piano["pitch"].max() <= 72
    assert set(piano["velocity"].tolist()) == {80}
    assert set(take.added["velocity"][take.added["instrument"] == DRUMS].tolist()) <= {100}


def test_a_long_passage_goes_on_in_further_windows_without_a_note_lost_or_doubled(make_composer) -> None:
    song = make_song(bars=60)
    composer = make_composer(make_composer.engine(stride=8, max_positions=500))
    (take,) = edit_takes(composer, accompanied(song, instruments=frozenset({33})), "", Settings(seed=2))
    assert len(composer.engine.batches) > 2
    again = parse_song(take.content, name="again")
    added = Counter(tuple(int(value) for value in row) for row in take.added.tolist())
    assert rows(again) == rows(song) + added
    assert take.added["start"].max() > 0.9 * int(song.bars[-1])


def test_a_cancelled_edit_says_so(make_composer) -> None:
    cancel = threading.Event()
    cancel.set()
    (take,) = edit_takes(make_composer(), edits(make_song())["accompany"], "", Settings(seed=2), cancel=cancel)
    assert take.ending == "cancelled"


def test_a_file_without_a_text_is_described() -> None:
    song = make_song()
    assert describe(edits(song)["accompany"]) == "electric bass (finger), acoustic grand piano, drums, 110 bpm"
    assert describe(edits(song)["replace"]) == "flute, drums, 110 bpm"


def test_many_instruments_are_heard_by_their_notes() -> None:
    tracks = tuple(
        Track(program=p, notes=note_array([Note(time=n / 2, duration=0.4, pitch=60) for n in range(p + 1)]))
        for p in range(15)
    )
    song = parse_song(to_midi_bytes(Score(tracks=tracks)), name="many")
    assert set(continued(song, seconds=5).given[:, 2].tolist()) == set(range(3, 15))


def test_what_cannot_be_done_is_refused() -> None:
    song = make_song()
    for make, said in (
        (lambda: infilled(song, first=7, last=9), "bars 7-9; song has bars 1 to 8"),
        (lambda: replaced(song, old=frozenset({58}), new=frozenset({58})), "song has no Tuba; it has"),
        (lambda: varied(song, share=0.0, seed=0), "strength is 0"),
        (lambda: continued(song, seconds=9999), "9,999 s would be composed; at most 600 s"),
        (lambda: continued(song, seconds=0), "seconds is 0"),
    ):
        with pytest.raises(RequestError, match=said):
            make()
