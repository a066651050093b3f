from __future__ import annotations

import io
import json
from collections import defaultdict
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.music.pairing import UNKNOWN_DURATION
from midi_llm.music.read import parse_midi, read_midi
from midi_llm.music.score import Score
from music.smf_builder import END, chunk, event, header, meta, midi, name, off, on, program, tempo

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "amt"
SIMPLE = midi(program(0, 24) + on(0, 60) + off(480, 60) + on(0, 64) + off(240, 64))


def rows(score: Score) -> list[tuple[float, float, int, int]]:
    """(onset, duration, instrument, pitch) in the order of the file."""
    notes = [(n.time, n.duration, track.instrument, n.pitch) for track in score.tracks for n in track.to_notes()]
    assert score.note_order is not None
    return [notes[index] for index in score.note_order.tolist()]


def amt_walk(content: bytes) -> list[tuple[float, float, int, int]]:
    """The pairing rules of the contract, one message at a time, over mido's merged messages."""
    notes: list[list[float]] = []
    sounding: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    programs: dict[int, int] = defaultdict(int)
    now = 0.0
    for message in mido.MidiFile(file=io.BytesIO(content)):
        now += message.time
        if message.type == "program_change":
            programs[message.channel] = message.program
        elif message.type in ("note_on", "note_off"):
            instrument = 128 if message.channel == 9 else programs[message.channel]
            key = (message.channel, instrument, message.note)
            if message.type == "note_on" and message.velocity > 0:
                sounding[key].append(len(notes))
                notes.append([now, UNKNOWN_DURATION, instrument, message.note])
            elif sounding[key]:
                index = sounding[key].pop(0)
                notes[index][1] = now - notes[index][0]
    return [(row[0], row[1], int(row[2]), int(row[3])) for row in notes]


def test_times_and_durations_are_seconds_at_120_bpm_when_no_tempo_is_given() -> None:
    assert rows(parse_midi(SIMPLE)) == [(0.0, 0.5, 24, 60), (0.5, 0.25, 24, 64)]


def test_a_tempo_map_bends_the_time_line() -> None:
    conductor = tempo(0, 500_000) + tempo(480, 1_000_000) + tempo(480, 250_000)
    score = parse_midi(midi(conductor, on(0, 60) + off(480, 60) + on(480, 62) + off(480, 62)))
    assert rows(score) == [(0.0, 0.5, 0, 60), (1.5, 0.25, 0, 62)]
    assert [(t.time, t.bpm) for t in score.tempos] == [(0.0, 120.0), (0.5, 60.0), (1.5, 240.0)]


def test_the_last_of_several_tempos_at_a_tick_counts_and_a_tempo_of_zero_is_ignored() -> None:
    score = parse_midi(midi(tempo(0, 250_000) + tempo(0, 1_000_000) + tempo(0, 0), on(480, 60) + off(480, 60)))
    assert rows(score) == [(1.0, 1.0, 0, 60)]
    assert [t.bpm for t in score.tempos] == [60.0]


def test_metres_are_read_and_impossible_ones_are_left_out() -> None:
    body = meta(0, 0x58, bytes((6, 3, 24, 8))) + meta(480, 0x58, bytes((4, 200, 24, 8))) + meta(0, 0x58, bytes((5, 2)))
    metres = parse_midi(midi(body)).time_signatures
    assert [(m.time, m.numerator, m.denominator) for m in metres] == [(0.0, 6, 8)]


def test_two_tracks_on_one_channel_stay_two_tracks() -> None:
    score = parse_midi(midi(name(b"left") + on(0, 40) + off(480, 40), name(b"right") + on(0, 70) + off(480, 70)))
    assert [(t.name, len(t.notes)) for t in score.tracks] == [("left", 1), ("right", 1)]


def test_a_program_change_in_the_middle_of_a_track_splits_it() -> None:
    score = parse_midi(midi(program(0, 5) + on(0, 60) + off(240, 60) + program(0, 48) + on(0, 60) + off(240, 60)))
    assert [t.instrument for t in score.tracks] == [5, 48]
    assert rows(score) == [(0.0, 0.25, 5, 60), (0.25, 0.25, 48, 60)]


def test_programs_of_a_channel_count_in_every_track() -> None:
    score = parse_midi(midi(program(0, 33, channel=2), on(0, 40, channel=2) + off(480, 40, channel=2)))
    assert [t.instrument for t in score.tracks] == [33]


def test_a_program_change_at_the_tick_of_a_note_counts_in_file_order() -> None:
    before = parse_midi(midi(program(0, 7) + on(0, 60) + off(10, 60)))
    after = parse_midi(midi(on(0, 60) + program(0, 7) + program(0, 0) + off(10, 60)))
    assert rows(before)[0][2] == 7
    assert rows(after) == [(0.0, pytest.approx(10 / 960), 0, 60)]


def test_channel_10_is_drums_whatever_its_program_and_keeps_its_kit_number() -> None:
    score = parse_midi(midi(program(0, 25, channel=9) + on(0, 38, channel=9) + off(10, 38, channel=9)))
    assert [(t.instrument, t.is_drum, t.program) for t in score.tracks] == [(128, True, 25)]


def test_running_status_is_understood_also_for_messages_with_one_data_byte() -> None:
    notes = on(0, 60) + event(240, 60, 0) + event(0, 62, 80) + event(240, 62, 0)
    pressures = event(0, 0xD0, 10) + event(1, 20) + event(1, 30)
    score = parse_midi(midi(notes + pressures + on(0, 65) + off(478, 65)))
    assert [(r[0], r[3]) for r in rows(score)] == [(0.0, 60), (0.25, 62), (pytest.approx(0.5 + 2 / 960), 65)]


def test_running_status_goes_on_after_a_meta_message_and_a_system_exclusive_one() -> None:
    sysex = event(0, 0xF0, 3, 1, 2, 0xF7)
    score = parse_midi(midi(on(0, 60) + meta(0, 0x01, b"text") + event(480, 60, 0) + sysex + event(0, 61, 9)))
    assert [r[3] for r in rows(score)] == [60, 61]


def test_type_0_keeps_the_order_of_notes_that_begin_together_in_different_channels() -> None:
    body = b"".join(on(0, 60 + i, channel=channel) for i, channel in enumerate((3, 1, 3, 9, 1)))
    score = parse_midi(midi(name(b"the title") + body, kind=0))
    assert [r[3] for r in rows(score)] == [60, 61, 62, 63, 64]
    assert [t.name for t in score.tracks] == ["", "", ""]
    assert rows(score) == amt_walk(midi(body, kind=0))


def test_type_2_patterns_follow_each_other() -> None:
    pattern = on(0, 60) + off(480, 60)
    assert [r[0] for r in rows(parse_midi(midi(pattern, pattern, kind=2)))] == [0.0, 0.5]


def test_a_missing_note_off_gives_a_quarter_of_a_second() -> None:
    assert rows(parse_midi(midi(on(0, 60) + on(480, 62) + off(480, 62)))) == [(0.0, 0.25, 0, 60), (0.5, 0.5, 0, 62)]


def test_a_note_off_without_a_note_is_ignored() -> None:
    assert rows(parse_midi(midi(off(0, 60) + on(0, 60) + off(480, 60) + off(0, 60)))) == [(0.0, 0.5, 0, 60)]


def test_overlapping_restruck_notes_end_first_in_first_out() -> None:
    body = on(0, 60) + on(240, 60) + off(240, 60) + off(480, 60)
    assert rows(parse_midi(midi(body))) == [(0.0, 0.5, 0, 60), (0.25, 0.75, 0, 60)]


def test_a_note_of_zero_length_stays() -> None:
    assert rows(parse_midi(midi(on(480, 60) + off(0, 60)))) == [(0.5, 0.0, 0, 60)]


def test_a_note_on_with_velocity_zero_is_a_note_off() -> None:
    assert rows(parse_midi(midi(on(0, 60) + on(480, 60, velocity=0)))) == [(0.0, 0.5, 0, 60)]


@pytest.mark.parametrize("content", [header(0), midi(), midi(b""), midi(tempo(0, 400_000), name(b"silent"))])
def test_a_file_without_notes_is_an_empty_score(content: bytes) -> None:
    assert parse_midi(content).note_count == 0
    assert parse_midi(content).seconds == 0.0


@pytest.mark.parametrize(
    ("division", "tick"), [(-25 * 256 + 40, 0.001), (-30 * 256 + 100, 1 / 3000), (-24 * 256 + 4, 1 / 96)]
)
def test_smpte_time_ignores_the_tempo(division: int, tick: float) -> None:
    score = parse_midi(midi(tempo(0, 9_000_000) + on(1000, 60) + off(500, 60), division=division))
    assert rows(score)[0][:2] == (pytest.approx(1000 * tick), pytest.approx(500 * tick))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("Флейта".encode(), "Флейта"),
        ("ピアノ".encode("cp932"), "ピアノ"),
        ("主旋律 A".encode("cp932"), "主旋律 A"),
        ("Mélodie".encode("latin-1"), "Mélodie"),
        ("Flöte é".encode("latin-1"), "Flöte é"),
        (b"Bass\x00\x07 \x1b", "Bass"),
        (bytes(range(128, 256)), None),
        (b"", ""),
    ],
)
def test_track_names_in_any_encoding_are_read(raw: bytes, text: str | None) -> None:
    got = parse_midi(midi(name(raw) + on(0, 60))).tracks[0].name
    got.encode("utf-8")
    assert got.isprintable()
    assert text is None or got == text


def test_chunks_of_unknown_kind_and_bytes_after_the_last_track_are_skipped() -> None:
    body = on(0, 60) + off(480, 60) + END
    content = header(1) + chunk(b"whatever", b"XFIH") + chunk(body) + b"trailing bytes"
    assert rows(parse_midi(content)) == [(0.0, 0.5, 0, 60)]


def test_a_riff_wrapper_is_opened() -> None:
    wrapped = b"RIFF" + (len(SIMPLE) + 12).to_bytes(4, "little") + b"RMIDdata" + len(SIMPLE).to_bytes(4, "little")
    assert rows(parse_midi(wrapped + SIMPLE)) == rows(parse_midi(SIMPLE))


MESSAGES = st.one_of(
    st.builds(on, st.integers(0, 3), st.integers(60, 62), st.sampled_from([0, 1, 9]), st.integers(0, 2)),
    st.builds(off, st.integers(0, 300), st.integers(60, 62), st.sampled_from([0, 1, 9])),
    st.builds(program, st.integers(0, 200), st.integers(0, 2), st.sampled_from([0, 1, 9])),
    st.builds(tempo, st.integers(0, 20_000), st.integers(1, 2**24 - 1)),
    st.builds(lambda delta, value: event(delta, 0xD0, value), st.integers(0, 500), st.integers(0, 127)),
    st.builds(lambda delta: meta(delta, 0x01, b"text"), st.integers(0, 500)),
)
TRACK = st.lists(MESSAGES, max_size=15).map(b"".join)


@settings(max_examples=50, deadline=None)
@given(st.lists(TRACK, min_size=1, max_size=4), st.integers(1, 960))
def test_notes_equal_a_walk_over_mido_messages_bit_for_bit(tracks: list[bytes], division: int) -> None:
    content = midi(*tracks, division=division)
    assert rows(parse_midi(content)) == amt_walk(content)


NOTE = st.builds(
    lambda wait, pitch, channel, length: on(wait, pitch, channel) + off(length, pitch, channel),
    st.integers(0, 3),
    st.integers(60, 61),
    st.sampled_from([0, 1, 9]),
    st.integers(0, 3),
)
CHANGE = st.builds(program, st.integers(0, 2), st.integers(0, 2), st.sampled_from([0, 1, 9]))
WHOLE_NOTES = st.lists(NOTE | CHANGE, max_size=12).map(b"".join)


@settings(max_examples=80, deadline=None)
@given(st.lists(WHOLE_NOTES, min_size=1, max_size=4))
def test_notes_that_all_end_equal_the_walk_also_across_tracks_and_program_changes(tracks: list[bytes]) -> None:
    content = midi(*tracks)
    assert rows(parse_midi(content)) == amt_walk(content)


def test_a_program_change_while_a_note_sounds_leaves_it_without_its_note_off() -> None:
    body = on(0, 60) + program(240, 5) + on(0, 60) + off(240, 60) + program(0, 0) + off(480, 60)
    assert rows(parse_midi(midi(body))) == [(0.0, 1.0, 0, 60), (0.25, 0.25, 5, 60)] == amt_walk(midi(body))


def test_a_long_track_equals_the_walk_over_mido_messages() -> None:
    rng = np.random.default_rng(1)
    body = b"".join(
        (on if strike else off)(int(delta), int(pitch))
        for strike, delta, pitch in zip(
            rng.random(3000) < 0.5, rng.integers(0, 40_000, 3000) // 64, rng.integers(50, 60, 3000), strict=True
        )
    )
    content = midi(tempo(7, 431_234) + tempo(900_000, 612_345), body, division=97)
    assert rows(parse_midi(content)) == amt_walk(content)


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden files of the reference implementation are not here")
def test_golden_files_give_the_events_of_the_reference_in_its_order() -> None:
    paths = sorted(GOLDEN.glob("*.mid"))
    assert len(paths) == 36
    for path in paths:
        score = read_midi(path)
        notes = np.concatenate([track.notes for track in score.tracks])[score.note_order]
        instruments = np.repeat([t.instrument for t in score.tracks], [len(t.notes) for t in score.tracks])
        events = np.stack(
            [
                np.rint(100 * notes["time"]),
                10_000 + np.minimum(np.rint(100 * notes["duration"]), 999),
                11_000 + 128 * instruments[score.note_order] + notes["pitch"],
            ],
            axis=1,
        )
        assert events.ravel().tolist() == json.loads(path.with_suffix(".json").read_text())["events"], path.name
