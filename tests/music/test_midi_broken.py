from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.errors import MidiReadError
from midi_llm.music.read import parse_midi, read_midi
from midi_llm.music.smf import MAX_FILE_BYTES
from music.smf_builder import END, chunk, event, header, meta, midi, name, off, on, program, tempo

SIMPLE = midi(program(0, 24) + on(0, 60) + off(480, 60) + on(0, 64) + off(240, 64))
BROKEN = {
    "is empty": b"",
    "not a standard MIDI file": b"Dear reader, this is a text file and not music at all.\n" * 3,
    "ends inside its header": SIMPLE[:9],
    "ends after 0": header(1),
    "announces 2 tracks": header(2) + chunk(on(0, 60) + END),
    "broken header": header(1, kind=7) + chunk(END),
    "division of 0": midi(on(0, 60), division=0),
    "truncated or corrupt": SIMPLE[:-9],
    "in the middle of a message": header(1) + chunk(on(0, 60)[:-1]),
    "running status": midi(event(0, 60, 64)),
    "data byte above 127": midi(event(0, 0x90, 200, 64)),
    "more than 4 bytes": midi(bytes((0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 0x90, 60, 64))),
    "status byte that files may not hold": midi(event(0, 0xF4) + on(0, 60)),
    r"byte \d+ of": midi(meta(0, 0x01, b"x")[:-2] + bytes((0xFF, 0xFF, 0xFF, 0x7F)) + b"x"),
    "at most 86,400": midi(b"".join(on(0x0FFFFFFF, 60) for _ in range(9)), division=1),
}


@pytest.mark.parametrize("reason", BROKEN)
def test_a_broken_file_is_one_error_that_names_the_file_and_the_reason(reason: str) -> None:
    with pytest.raises(MidiReadError, match=reason) as caught:
        parse_midi(BROKEN[reason], name="song.mid")
    assert "song.mid" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_prefix_of_a_file_is_an_error_or_a_score() -> None:
    whole = len(SIMPLE)
    for length in range(whole):
        with pytest.raises(MidiReadError):
            parse_midi(SIMPLE[:length])
    assert parse_midi(SIMPLE).note_count == 2


def test_a_missing_file_a_folder_and_an_impossible_path_are_read_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.mid", tmp_path, "a\0b"):
        with pytest.raises(MidiReadError, match=r"none\.mid|directory|not a path"):
            read_midi(path)


def test_a_file_above_the_size_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.mid"
    with path.open("wb") as file:
        file.write(SIMPLE)
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(MidiReadError, match="at most 8,000,000"):
        read_midi(path)


def read_or_refuse(content: bytes) -> None:
    try:
        score = parse_midi(content)
    except MidiReadError:
        return
    for track in score.tracks:
        assert np.isfinite(track.notes["time"]).all()
        assert (track.notes["duration"] >= 0).all()
        assert (track.notes["pitch"] < 128).all()
        assert ((track.notes["velocity"] >= 1) & (track.notes["velocity"] < 128)).all()
    assert score.note_order is not None
    assert sorted(score.note_order.tolist()) == list(range(score.note_count))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", header(1), header(3, kind=0), header(1) + b"MTrk\0\0\0"]))
def test_random_bytes_are_a_score_or_a_read_error(content: bytes, before: bytes) -> None:
    read_or_refuse(before + content)
    read_or_refuse(header(1) + chunk(content))


VALID = midi(
    tempo(0, 400_000) + name("名前".encode()) + meta(0, 0x58, bytes((3, 2, 24, 8))),
    program(0, 30) + on(0, 60) + event(1, 61, 64) + off(200, 60) + event(0, 0xD0, 3) + event(2, 4) + off(1, 61),
    on(0, 38, channel=9) + event(0, 0xE0, 0, 64) + off(300, 38, channel=9),
)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), max_size=6), st.integers(0, 40))
def test_a_mutated_file_is_a_score_or_a_read_error(changes: list[tuple[int, int]], cut: int) -> None:
    content = bytearray(VALID)
    for position, value in changes:
        content[position] = value
    read_or_refuse(bytes(content[: len(content) - cut]))
