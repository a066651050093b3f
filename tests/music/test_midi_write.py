from __future__ import annotations

import io
import os
import stat
from itertools import pairwise
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.errors import OutputError
from midi_llm.music.read import parse_midi, read_midi
from midi_llm.music.repair import repair
from midi_llm.music.score import Marker, Note, Score, Tempo, TimeSignature, Track, note_array
from midi_llm.music.write import to_midi_bytes, write_midi
from music.smf_builder import midi, off, on

TICK = 1 / 960
"""Seconds of one tick at 120 bpm."""


def one(time: float = 0.0, duration: float = 0.5, pitch: int = 60, velocity: int = 72) -> Note:
    return Note(time=time, duration=duration, pitch=pitch, velocity=velocity)


def track(*notes: Note, program: int = 0, is_drum: bool = False, name: str = "") -> Track:
    return Track(program=program, is_drum=is_drum, name=name, notes=note_array(notes))


def by_mido(score: Score, **options: str) -> mido.MidiFile:
    return mido.MidiFile(file=io.BytesIO(to_midi_bytes(score, **options)))


def note_set(score: Score) -> list[tuple[int, int, int, int, int]]:
    return sorted(
        (t.instrument, round(n.time / TICK), round(n.duration / TICK), n.pitch, n.velocity)
        for t in score.tracks
        for n in t.to_notes()
    )


def channels(file: mido.MidiFile) -> list[set[int]]:
    return [{m.channel for m in part if m.type == "note_on"} for part in file.tracks[1:]]


def test_a_file_is_type_1_with_480_ticks_a_tempo_a_metre_names_programs_and_ends() -> None:
    score = Score(
        tracks=(track(one(), program=40), track(one(), is_drum=True), track(one(), program=33, name="Bass ♪"))
    )
    file = by_mido(score, title="Étude")
    assert (file.type, file.ticks_per_beat) == (1, 480)
    assert [part.name.encode("latin-1").decode() for part in file.tracks] == ["Étude", "Violin", "Drums", "Bass ♪"]
    conductor = {m.type: m for m in file.tracks[0]}
    assert conductor["set_tempo"].tempo == 500_000
    assert (conductor["time_signature"].numerator, conductor["time_signature"].denominator) == (4, 4)
    programs = [[(m.channel, m.program) for m in part if m.type == "program_change"] for part in file.tracks]
    assert programs == [[], [(0, 40)], [(9, 0)], [(1, 33)]]
    assert all(part[-1].type == "end_of_track" for part in file.tracks)


def test_times_follow_a_tempo_map_without_drift() -> None:
    tempos = tuple(Tempo(time=0.31 * k, bpm=61.7 + 13 * (k % 7)) for k in range(200))
    notes = [one(0.25 * k, 0.1, pitch=30 + k % 60) for k in range(240)]
    score = Score(tracks=(track(*notes),), tempos=tempos)
    again = parse_midi(to_midi_bytes(score))
    tick = 60 / 61.7 / 480
    assert np.abs(again.tracks[0].notes["time"] - score.tracks[0].notes["time"]).max() <= tick
    assert [t.bpm for t in again.tempos] == pytest.approx([t.bpm for t in tempos], rel=1e-5)
    assert [t.time for t in again.tempos] == pytest.approx([t.time for t in tempos], abs=tick)


def test_metres_are_written_where_they_change() -> None:
    metres = (TimeSignature(time=1.0, numerator=7, denominator=8), TimeSignature(time=3.5, numerator=3, denominator=4))
    got = parse_midi(to_midi_bytes(Score(tracks=(track(one()),), time_signatures=metres))).time_signatures
    assert [(m.time, m.numerator, m.denominator) for m in got] == [(0.0, 4, 4), (1.0, 7, 8), (3.5, 3, 4)]


def test_markers_are_written_where_they_stand() -> None:
    markers = (Marker(time=0.0, text="intro"), Marker(time=2.0, text="Straße"))
    file = mido.MidiFile(
        file=io.BytesIO(to_midi_bytes(Score(tracks=(track(one()),), markers=markers))), charset="utf-8"
    )
    now = 0
    found = []
    for message in file.tracks[0]:
        now += message.time
        if message.type == "marker":
            found.append((now, message.text))
    assert found == [(0, "intro"), (4 * 480, "Straße")]


def test_at_one_tick_the_note_off_comes_before_the_note_on() -> None:
    file = by_mido(Score(tracks=(track(one(0.5), one(0.0), one(1.0)),)))
    kinds = [(m.type, m.time) for m in file.tracks[1] if m.type.startswith("note")]
    assert kinds == [("note_on", 0), ("note_off", 480)] + [("note_on", 0), ("note_off", 480)] * 2


def test_a_note_of_zero_length_becomes_one_tick() -> None:
    again = parse_midi(to_midi_bytes(Score(tracks=(track(one(0.5, 0.0)),))))
    assert again.tracks[0].notes["duration"].tolist() == pytest.approx([TICK])


def test_a_velocity_of_zero_does_not_become_a_note_off() -> None:
    again = parse_midi(to_midi_bytes(Score(tracks=(track(one(velocity=0), one(1.0, velocity=255)),))))
    assert again.tracks[0].notes["velocity"].tolist() == [1, 127]


def test_fifteen_melodic_tracks_and_drums_get_a_channel_each() -> None:
    tracks = [track(one(), program=k) for k in range(15)] + [track(one(), is_drum=True)]
    got = channels(by_mido(Score(tracks=tuple(tracks))))
    assert got == [{c} for c in (*range(9), *range(10, 16))] + [{9}]


def test_more_than_fifteen_tracks_of_few_programs_share_channels_by_program() -> None:
    score = Score(tracks=tuple(track(one(k), program=k % 3) for k in range(20)))
    file = by_mido(score)
    assert channels(file) == [{k % 3} for k in range(20)]
    assert note_set(parse_midi(file_bytes(file))) == note_set(score)


def file_bytes(file: mido.MidiFile) -> bytes:
    out = io.BytesIO()
    file.save(file=out)
    return out.getvalue()


def test_a_sixteenth_program_plays_with_program_changes_on_a_channel_that_is_silent_meanwhile() -> None:
    busy = [track(one(0.0, 9.0), one(9.5), program=8 * k) for k in range(14)]
    gap = track(one(0.0), one(0.5), one(4.0), one(4.5), program=119)
    guest = track(one(2.0), one(6.0), program=126)
    score = Score(tracks=(*busy, gap, guest))
    got = channels(by_mido(score))
    assert got[-1] == got[-2]
    assert note_set(parse_midi(to_midi_bytes(score))) == note_set(score)


def test_a_sixteenth_program_without_a_silent_channel_sounds_as_its_nearest_relative() -> None:
    programs = [*range(0, 112, 8), 50, 52]
    long = [one(0.0, 10.0, pitch=60), one(10.5, 1.0)]
    hosts = [track(*long, program=p) for p in programs[:-1]]
    score = Score(tracks=(*hosts, track(one(1.0, 2.0, pitch=72), program=52, name="lost?")))
    file = by_mido(score)
    again = parse_midi(file_bytes(file))
    assert again.note_count == score.note_count
    assert channels(file)[-1] == channels(file)[-2]  # program 50, of the same family
    expected = [(50 if row[0] == 52 else row[0], *row[1:]) for row in note_set(score)]
    assert note_set(again) == sorted(expected)


def test_forty_programs_at_once_never_use_more_than_16_channels_and_lose_no_note() -> None:
    rng = np.random.default_rng(5)
    tracks = [
        track(*(one(float(time), 0.2, pitch=p) for time in np.sort(rng.choice(400, 30, replace=False)) / 4), program=p)
        for p in range(40)
    ]
    score = Score(tracks=(*tracks, track(one(), is_drum=True)))
    file = by_mido(score)
    used = set().union(*channels(file))
    assert len(used) == 16
    again = parse_midi(file_bytes(file))
    assert sorted(row[1:] for row in note_set(again)) == sorted(row[1:] for row in note_set(score))


@pytest.mark.parametrize(
    ("score", "reason"),
    [
        (Score(tracks=(track(one(-1.0)),)), "negative"),
        (Score(tracks=(track(one(float("nan"))),)), "not a number"),
        (Score(tracks=(track(one(1e7)),)), "too late"),
        (Score(tracks=(track(one(pitch=128)),)), "pitch 128"),
        (Score(tracks=(track(one(), program=128),)), "program 128"),
        (Score(tempos=(Tempo(time=0.0, bpm=0.0),)), "0.0 bpm"),
        (Score(tempos=(Tempo(time=-1.0, bpm=100.0),)), "at -1.0 s"),
        (Score(time_signatures=(TimeSignature(time=0.0, numerator=4, denominator=3),)), "4/3"),
        (Score(time_signatures=(TimeSignature(time=0.0, numerator=0, denominator=4),)), "0/4"),
    ],
)
def test_what_midi_cannot_say_is_an_output_error(score: Score, reason: str) -> None:
    with pytest.raises(OutputError, match=reason):
        to_midi_bytes(score)


def test_a_score_without_notes_is_a_file_without_notes() -> None:
    assert parse_midi(to_midi_bytes(Score())).note_count == 0
    assert len(by_mido(Score(tracks=(Track(program=3),))).tracks) == 1


def test_a_file_is_written_whole_with_ordinary_permissions_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "säng.mid"
    write_midi(Score(tracks=(track(one()),)), path)
    assert read_midi(path).note_count == 1
    assert [p.name for p in tmp_path.iterdir()] == ["säng.mid"]
    (tmp_path / "plain").write_bytes(b"")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_an_existing_file_is_kept_unless_overwriting_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "x.mid"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists"):
        write_midi(Score(), path)
    assert path.read_bytes() == b"precious"
    write_midi(Score(), path, overwrite=True)
    assert path.read_bytes()[:4] == b"MThd"


def test_a_missing_folder_and_a_folder_as_name_are_output_errors(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        write_midi(Score(), tmp_path / "no" / "x.mid")
    with pytest.raises(OutputError, match="is a folder"):
        write_midi(Score(), tmp_path)


def test_a_disk_that_fails_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "x.mid"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match="No space left"):
        write_midi(Score(), path, overwrite=True)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x.mid", b"old")]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_is_an_output_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot write"):
        write_midi(Score(), tmp_path / "x.mid")


def test_a_restruck_note_survives_the_round_trip_in_first_in_first_out_order() -> None:
    content = midi(on(0, 60) + on(240, 60) + off(240, 60) + off(480, 60))
    assert note_set(parse_midi(to_midi_bytes(parse_midi(content)))) == note_set(parse_midi(content))


def random_tracks(seed: int, count: int) -> list[Track]:
    """Tracks of a few notes on few pitches, so that notes meet, on whole ticks at 120 bpm."""
    rng = np.random.default_rng(seed)
    names = ("", "Solo", "ソロ", "\x00\ud800")
    tracks = []
    for _ in range(count):
        size = int(rng.integers(1, 20))
        columns = (rng.integers(0, 8000, size) * TICK, rng.integers(1, 3000, size) * TICK)
        pitch, velocity = rng.integers(0, 6, size) * 25, rng.integers(1, 128, size)
        notes = [one(*row) for row in zip(*(c.tolist() for c in (*columns, pitch, velocity)), strict=True)]
        is_drum = bool(rng.random() < 0.2)
        tracks.append(track(*notes, program=int(rng.integers(128)), is_drum=is_drum, name=names[int(rng.integers(4))]))
    return tracks


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 12), st.floats(20, 300))
def test_reading_what_was_written_gives_the_score_back(seed: int, count: int, bpm: float) -> None:
    tracks = random_tracks(seed, count)
    one_drum_track = [t for t in tracks if not t.is_drum] + [t for t in tracks if t.is_drum][:1]
    score, _ = repair(Score(tracks=tuple(one_drum_track), tempos=(Tempo(time=0.0, bpm=bpm),)))
    again = parse_midi(to_midi_bytes(score))
    tick = 60 / bpm / 480
    assert [t.instrument for t in again.tracks] == [t.instrument for t in score.tracks]
    for got, wanted in zip(again.tracks, score.tracks, strict=True):
        order, expected = np.lexsort((got.notes["time"], got.notes["pitch"])), wanted.notes
        expected = expected[np.lexsort((expected["time"], expected["pitch"]))]
        assert got.notes["pitch"][order].tolist() == expected["pitch"].tolist()
        assert got.notes["velocity"][order].tolist() == expected["velocity"].tolist()
        assert np.abs(got.notes["time"][order] - expected["time"]).max() <= tick
        assert np.abs(got.notes["duration"][order] - expected["duration"]).max() <= 2 * tick


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(14, 24))
def test_any_number_of_tracks_keeps_every_onset_and_legal_messages(seed: int, count: int) -> None:
    tracks = random_tracks(seed, count)
    score = Score(tracks=tuple(tracks))
    file = by_mido(score)
    onsets = sorted((t.is_drum, round(n.time / TICK), n.pitch, n.velocity) for t in tracks for n in t.to_notes())
    got = sorted(
        (i == 128, tick, pitch, velocity) for i, tick, _, pitch, velocity in note_set(parse_midi(file_bytes(file)))
    )
    assert got == onsets
    for part in file.tracks:
        for before, after in pairwise(m for m in part if m.type in ("note_on", "note_off")):
            assert not (after.time == 0 and before.type == "note_on" and after.type == "note_off")
