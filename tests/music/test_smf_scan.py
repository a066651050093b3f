from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.errors import MidiReadError
from midi_llm.music.smf import Messages, read_number, split_chunks, write_number
from midi_llm.music.smf_scan import read_messages, scan
from midi_llm.music.smf_walk import walk
from music.smf_builder import END, chunk, event, header, meta, midi, name, off, on, program, tempo

GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "amt").glob("*.mid"))
DELTAS = st.sampled_from([0, 1, 127, 128, 129, 5000, 16_383, 16_384, 2_000_000, 2_097_152, 2**28 - 1])
DATA = st.sampled_from([0, 1, 64, 127])
PAIRS = st.builds(event, DELTAS, st.sampled_from([0x80, 0x91, 0xA0, 0xBF, 0xE3]), DATA, DATA)
RUNNING = st.builds(event, DELTAS, DATA, DATA)
SINGLES = st.builds(event, DELTAS, st.sampled_from([0xC0, 0xD5]), DATA)
METAS = st.builds(meta, DELTAS, st.sampled_from([1, 3, 0x51]), st.binary(max_size=5) | st.just(b"\xff" * 200))
SYSEX = st.builds(lambda delta, body: event(delta, 0xF0, len(body), *body), DELTAS, st.binary(max_size=5))
RUNS = st.tuples(PAIRS, st.lists(RUNNING, max_size=4).map(b"".join)).map(b"".join)
REGULAR = st.lists(st.one_of(RUNS, SINGLES, METAS, SYSEX), max_size=12).map(b"".join)
RARE = st.lists(st.one_of(RUNS, RUNNING, SINGLES, METAS, st.builds(event, DELTAS, DATA)), max_size=12).map(b"".join)


def assert_same(scanned: Messages, walked: Messages) -> None:
    for field in ("track", "tick", "status", "body", "data1", "data2"):
        ours, plain = getattr(scanned, field), getattr(walked, field)
        assert ours.dtype == plain.dtype, field
        assert ours.tolist() == plain.tolist(), field


def assert_scan_agrees(content: bytes) -> None:
    """Where `scan` gives messages they are those of `walk`; where `walk` raises, `scan` gives none."""
    try:
        chunks = split_chunks(content, "x")
    except MidiReadError:
        return
    scanned = scan(chunks)
    if scanned is not None:
        assert_same(scanned, walk(chunks, "x"))


@settings(max_examples=100, deadline=None)
@given(st.lists(REGULAR, min_size=1, max_size=4))
def test_a_regular_file_is_scanned_to_the_messages_of_the_walk(tracks: list[bytes]) -> None:
    chunks = split_chunks(midi(*tracks), "x")
    scanned = scan(chunks)
    assert scanned is not None
    assert_same(scanned, walk(chunks, "x"))


@settings(max_examples=100, deadline=None)
@given(st.lists(RARE, min_size=1, max_size=3))
def test_a_file_with_rare_running_status_is_left_to_the_walk_or_equal(tracks: list[bytes]) -> None:
    assert_scan_agrees(midi(*tracks))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(REGULAR, min_size=1, max_size=2).map(lambda tracks: midi(*tracks)),
    st.lists(st.tuples(st.integers(14, 400), st.sampled_from([0, 60, 0x80, 0x90, 0xC0, 0xF0, 0xFF])), max_size=3),
)
def test_a_broken_file_is_never_scanned_to_other_messages(content: bytes, changes: list[tuple[int, int]]) -> None:
    changed = bytearray(content)
    for position, value in changes:
        changed[min(position, len(changed) - 1)] = value
    assert_scan_agrees(bytes(changed))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_random_bytes_are_never_scanned_to_other_messages(body: bytes) -> None:
    assert_scan_agrees(header(1) + chunk(body))
    assert_scan_agrees(header(2) + chunk(body + END) + chunk(body))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_files_of_real_writers_need_no_walk(path: Path) -> None:
    chunks = split_chunks(path.read_bytes(), "x")
    scanned = scan(chunks)
    assert scanned is not None
    assert_same(scanned, walk(chunks, "x"))


@pytest.mark.parametrize(
    "body",
    [
        program(0, 1) + event(0, 2) + END,
        on(0, 60) + meta(0, 1, b"text") + event(9, 60, 0) + END,
        on(0, 60) + program(0, 1) + event(200, 2) + END,
        name(b"no end of track") + on(0, 60),
    ],
)
def test_what_the_scan_does_not_know_is_walked(body: bytes) -> None:
    chunks = split_chunks(header(1) + chunk(body), "x")
    assert scan(chunks) is None
    assert_same(read_messages(chunks, "x"), walk(chunks, "x"))


def test_bytes_of_long_delta_times_and_payloads_are_not_taken_for_status_bytes() -> None:
    body = on(0x2000, 60) + program(0x3FFF, 5) + tempo(0x1FFFFF, 0xFFC0F0) + event(0x3F80, 0xB0, 7, 9) + off(0x7F, 60)
    messages = scan(split_chunks(midi(body), "x"))
    assert messages is not None
    assert messages.status.tolist() == [0x90, 0xC0, 0xFF, 0xB0, 0x80, 0xFF]
    assert np.diff(messages.tick, prepend=0).tolist() == [0x2000, 0x3FFF, 0x1FFFFF, 0x3F80, 0x7F, 0]


@given(st.integers(0, 2**28 - 1), st.binary(max_size=3))
def test_a_number_of_variable_length_is_read_as_it_was_written(value: int, after: bytes) -> None:
    written = write_number(value)
    assert read_number(b"x" + written + after, 1) == (value, 1 + len(written))
