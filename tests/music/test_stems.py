"""Stems: each track alone, at its ticks, with what is said to its channel and to all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.errors import MidiReadError
from midi_llm.music.read import parse_midi
from midi_llm.music.score import Note, Score, Tempo, Track, note_array
from midi_llm.music.stems import split_stems
from midi_llm.music.write import to_midi_bytes
from music.smf_builder import END, chunk, event, header, meta, midi, name, off, on, program, tempo

SONG = midi(
    tempo(0, 400_000) + meta(0, 0x58, bytes((3, 2, 24, 8))) + meta(0, 0x59, bytes((2, 0))) + tempo(480, 600_000),
    name(b"Flute") + program(0, 73) + on(0, 72) + event(10, 0xE0, 0, 80) + off(470, 72) + on(0, 74) + off(960, 74),
    name(b"Kit") + on(0, 36, 9) + off(240, 36, 9) + meta(0, 0x06, b"refrain") + on(240, 38, 9) + off(240, 38, 9),
    name(b"") + event(0, 0xB1, 64, 127) + on(0, 40, 1) + off(480, 40, 1),
)


def test_each_track_is_there_alone_with_the_tempo_map_metre_and_key() -> None:
    whole, stems = parse_midi(SONG), split_stems(SONG)
    assert [stem.name for stem in stems] == ["Flute", "Kit", "Acoustic Grand Piano"]
    for stem, track in zip(stems, whole.tracks, strict=True):
        part = parse_midi(stem.content)
        (only,) = part.tracks
        assert (only.instrument, only.name) == (track.instrument, stem.name)
        for field in ("time", "duration", "pitch", "velocity"):
            assert np.allclose(only.notes[field], track.notes[field], atol=1e-9)
        assert (part.tempos, part.time_signatures) == (whole.tempos, whole.time_signatures)
        assert part.key_signatures == whole.key_signatures
        assert b"refrain" in stem.content


def test_a_stem_has_the_controllers_and_bends_of_its_own_channel_only() -> None:
    flute, kit, piano = (stem.content for stem in split_stems(SONG))
    bend, pedal = bytes((0xE0, 0, 80)), bytes((0xB1, 64, 127))
    assert [bend in content for content in (flute, kit, piano)] == [True, False, False]
    assert [pedal in content for content in (flute, kit, piano)] == [False, False, True]


def test_a_channel_that_changes_its_program_gives_a_stem_for_each() -> None:
    content = midi(program(0, 0) + on(0, 60) + off(240, 60) + program(0, 40) + on(0, 62) + off(240, 62))
    stems = split_stems(content)
    assert [stem.track.program for stem in stems] == [0, 40]
    for stem, pitch in zip(stems, (60, 62), strict=True):
        assert [note.pitch for track in parse_midi(stem.content).tracks for note in track.to_notes()] == [pitch]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 16), st.lists(st.tuples(st.integers(0, 800), st.integers(1, 300)), min_size=1, max_size=8)
        ),
        min_size=1,
        max_size=20,
    )
)
def test_together_the_stems_are_the_piece(rows: list[tuple[int, list[tuple[int, int]]]]) -> None:
    tracks = []
    for number, (instrument, notes) in enumerate(rows):
        placed = note_array(Note(time=t / 100, duration=d / 100, pitch=40 + number) for t, d in sorted(notes))
        tracks.append(Track(program=instrument % 16, is_drum=instrument == 16, name=f"t{number}", notes=placed))
    content = to_midi_bytes(Score(tracks=tuple(tracks), tempos=(Tempo(time=0, bpm=90), Tempo(time=2, bpm=140))))
    whole = parse_midi(content)
    parts = [track for stem in split_stems(content) for track in parse_midi(stem.content).tracks]
    assert [(part.instrument, part.name) for part in parts] == [
        (track.instrument, track.name) for track in whole.tracks
    ]
    for part, track in zip(parts, whole.tracks, strict=True):
        assert sorted(part.notes["pitch"].tolist()) == sorted(track.notes["pitch"].tolist())
        assert np.allclose(part.notes["time"], track.notes["time"], atol=1e-9)


def test_type_2_and_frames_per_second_are_rewritten() -> None:
    body = on(0, 60) + off(100, 60)
    for content in (
        header(2, kind=2) + chunk(body + END) + chunk(on(0, 64, 1) + off(100, 64, 1) + END),
        midi(body, division=-(25 << 8) + 40),
    ):
        whole = parse_midi(content)
        stems = split_stems(content)
        assert [len(parse_midi(stem.content).tracks) for stem in stems] == [1] * len(whole.tracks)
        starts = [parse_midi(stem.content).tracks[0].notes["time"][0] for stem in stems]
        assert starts == pytest.approx([track.notes["time"][0] for track in whole.tracks], abs=2e-3)


def test_no_notes_no_stems_and_no_midi_no_stems() -> None:
    assert split_stems(midi(tempo(0, 500_000))) == []
    with pytest.raises(MidiReadError, match=r"it\.mid"):
        split_stems(b"words", "it.mid")
