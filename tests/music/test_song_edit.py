"""MIDI files with notes taken away and added: all the rest stays."""

from __future__ import annotations

import io
import random
from collections import Counter

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.errors import MidiReadError, RequestError
from midi_llm.music.score import DRUMS
from midi_llm.music.song_edit import NEW_NOTE_DTYPE, NewNotes, edited
from midi_llm.music.song_file import SongFile, open_song, parse_song
from music.smf_builder import END, chunk, event, header, meta, midi, name, off, on, program, tempo

Row = tuple[int, int, int, int, int]

FIRST = tempo(0, 400_000) + meta(0, 0x58, bytes((3, 2, 24, 8))) + meta(100, 0x01, b"a word")
PIANO = name(b"Piano") + program(0, 0) + event(0, 0xB0, 7, 100) + on(0, 60) + off(480, 60) + on(0, 62) + off(480, 62)
PIANO += event(0, 0xE0, 1, 64) + on(0, 64) + off(480, 64) + event(0, 0xF0, 3, 1, 2, 0xF7)
BASS = name(b"Bass") + program(0, 33, 1) + on(0, 36, 1) + on(960, 36, 1, velocity=0) + on(0, 40, 1) + off(480, 40, 1)
SONG = midi(FIRST, PIANO, BASS)


def new(*rows: Row) -> NewNotes:
    """Start, end, instrument, pitch, velocity."""
    return np.array(list(rows), NEW_NOTE_DTYPE)


def none(song: SongFile) -> np.ndarray:
    return np.zeros(len(song.start), np.bool_)


def rows(song: SongFile, mask: np.ndarray | None = None) -> Counter[Row]:
    columns = (song.start, song.end, song.notes.instrument, song.notes.pitch, song.notes.velocity)
    chosen = slice(None) if mask is None else mask
    return Counter(zip(*(column[chosen].tolist() for column in columns), strict=True))


def track_bytes(content: bytes) -> list[bytes]:
    parts = content.split(b"MTrk")[1:]
    return [part[4:] for part in parts]


def other_messages(content: bytes) -> list[list[tuple[int, str]]]:
    """All but notes, with their ticks, by another reader; the end of a track may come later."""
    found = []
    for track in mido.MidiFile(file=io.BytesIO(content)).tracks:
        now, kept = 0, []
        for message in track:
            now += message.time
            if message.type not in {"note_on", "note_off", "end_of_track"}:
                kept.append((now, str(message.copy(time=0))))
        found.append(kept)
    return found


def test_bars_follow_the_metre_and_reach_to_the_end() -> None:
    song = parse_song(SONG, name="song")
    assert song.bars.tolist() == [0, 1440]
    assert song.bar_range(1, 1) == (0, 1440)
    two = midi(meta(0, 0x58, bytes((4, 2, 24, 8))) + meta(1920, 0x58, bytes((6, 3, 24, 8))), on(0, 60) + off(4000, 60))
    assert parse_song(two, name="two").bars.tolist() == [0, 1920, 3360, 4800]
    assert parse_song(midi(on(0, 60) + off(10, 60)), name="4/4").bars.tolist() == [0, 1920]


def test_nothing_changed_is_the_same_file() -> None:
    song = parse_song(SONG, name="song")
    content, added = edited(song, removed=none(song), added=new())
    assert content == SONG
    assert not len(added)


def test_a_note_goes_to_its_instrument_s_track_and_the_others_keep_every_byte() -> None:
    song = parse_song(SONG, name="song")
    content, _ = edited(song, removed=none(song), added=new((1440, 1500, 33, 43, 90)))
    before, after = track_bytes(SONG), track_bytes(content)
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False]
    again = parse_song(content, name="again")
    assert rows(again) == rows(song) + Counter([(1440, 1500, 33, 43, 90)])
    assert other_messages(content) == other_messages(SONG)


def test_a_new_instrument_gets_a_track_a_name_and_a_free_channel() -> None:
    song = parse_song(SONG, name="song")
    content, _ = edited(song, removed=none(song), added=new((0, 480, 40, 70, 80), (0, 60, DRUMS, 36, 100)))
    file = mido.MidiFile(file=io.BytesIO(content))
    assert [track.name for track in file.tracks[3:]] == ["Violin", "Drums"]
    assert [{m.channel for m in track if m.type == "note_on"} for track in file.tracks[3:]] == [{2}, {9}]
    assert track_bytes(content)[:3] == track_bytes(SONG)


def test_removed_notes_are_gone_whatever_ends_them() -> None:
    song = parse_song(SONG, name="song")
    removed = song.notes.pitch == 36
    content, _ = edited(song, removed=removed, added=new())
    assert rows(parse_song(content, name="again")) == rows(song, ~removed)
    assert other_messages(content) == other_messages(SONG)


def test_a_new_note_never_ends_another_one() -> None:
    song = parse_song(SONG, name="song")
    inside, before, same = (100, 200, 33, 36, 90), (900, 2000, 0, 64, 90), (960, 970, 0, 64, 90)
    content, added = edited(song, removed=none(song), added=new(inside, before, same))
    assert [tuple(row) for row in added.tolist()] == [(900, 960, 0, 64, 90)], "cut where the kept note begins"
    assert rows(parse_song(content, name="again")) == rows(song) + Counter([(900, 960, 0, 64, 90)])


def test_a_file_of_type_0_gets_its_new_track_as_type_1() -> None:
    content = midi(program(0, 0) + on(0, 60) + off(480, 60), kind=0)
    song = parse_song(content, name="song")
    more, _ = edited(song, removed=none(song), added=new((0, 480, 40, 70, 80)))
    assert mido.MidiFile(file=io.BytesIO(more)).type == 1
    same, _ = edited(song, removed=none(song), added=new((480, 960, 0, 70, 80)))
    assert mido.MidiFile(file=io.BytesIO(same)).type == 0


def test_unknown_chunks_stay() -> None:
    content = header(1) + chunk(b"whatever", b"XFIH") + chunk(on(0, 60) + off(480, 60) + END)
    song = parse_song(content, name="song")
    more, _ = edited(song, removed=none(song), added=new((480, 960, 0, 70, 80)))
    assert chunk(b"whatever", b"XFIH") in more


def test_what_cannot_be_worked_on_is_refused(tmp_path) -> None:
    with pytest.raises(RequestError, match="has no notes"):
        parse_song(midi(FIRST), name="song")
    with pytest.raises(RequestError, match="SMPTE"):
        parse_song(midi(on(0, 60) + off(480, 60), division=-(25 << 8) + 40), name="song")
    with pytest.raises(RequestError, match="separate patterns"):
        parse_song(midi(on(0, 60) + off(480, 60), kind=2), name="song")
    with pytest.raises(MidiReadError, match="cannot be read"):
        open_song(tmp_path / "none.mid")
    full = midi(*(program(0, c, c) + on(0, 60, c) + off(480, 60, c) for c in range(16) if c != 9))
    song = parse_song(full, name="full")
    with pytest.raises(RequestError, match="uses all 15 channels, so Violin has none"):
        edited(song, removed=none(song), added=new((0, 480, 40, 70, 80)))
    with pytest.raises(RequestError, match="bars 2-3; song has bars 1 to 1"):
        parse_song(SONG, name="song").bar_range(2, 3)


def random_song(rng: random.Random) -> bytes:
    """Tracks with notes of random lengths that overlap, controllers among them, some under running status."""
    tracks = [FIRST]
    for channel in rng.sample([0, 1, 2, 9], rng.randint(1, 3)):
        body = program(0, rng.choice([0, 33, 40]), channel)
        sounding: list[int] = []
        for _ in range(rng.randint(1, 40)):
            delta = rng.choice([0, 0, 120, 240, 500])
            if sounding and rng.random() < 0.5:
                body += off(delta, sounding.pop(rng.randrange(len(sounding))), channel)
            elif rng.random() < 0.2:
                body += event(delta, 0xB0 | channel, 1, rng.randrange(128))
            else:
                sounding.append(rng.randrange(40, 80))
                body += on(delta, sounding[-1], channel, rng.randint(1, 127))
        body += b"".join(off(120, pitch, channel) for pitch in sounding)
        tracks.append(body + on(0, 30, channel) + off(60, 30, channel))
    return midi(*tracks)


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_whatever_is_taken_and_added_the_rest_is_the_same(seed: int) -> None:
    rng = random.Random(seed)
    content = random_song(rng)
    song = parse_song(content, name="song")
    removed = np.array([rng.random() < 0.3 for _ in range(len(song.start))])
    wanted = [
        (start := rng.randrange(0, 5000), start + rng.randint(1, 900), rng.choice([0, 33, 40, 73, DRUMS]),
         rng.randrange(40, 80), rng.randint(1, 127))
        for _ in range(rng.randint(0, 20))
    ]  # fmt: skip
    result, added = edited(song, removed=removed, added=new(*wanted))
    again = parse_song(result, name="again") if not removed.all() or len(added) else None
    expected = rows(song, ~removed) + Counter(tuple(row) for row in added.tolist())
    assert (rows(again) if again else Counter()) == expected
    assert other_messages(result)[: len(song.midi.starts)] == other_messages(content)
