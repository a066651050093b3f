from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.errors import TokenError
from midi_llm.music.pitch import note_name
from midi_llm.tokens.codec import Events, encode
from midi_llm.tokens.dump import dump, parse_dump
from midi_llm.tokens.vocab import (
    ANTICIPATE,
    AUTOREGRESS,
    CONTROL_OFFSET,
    DUR_OFFSET,
    NOTE_OFFSET,
    REST,
    SEPARATOR,
)
from tokens.strategies import event_lists

IDS = [AUTOREGRESS, 150, DUR_OFFSET + 50, NOTE_OFFSET + 60, 150, DUR_OFFSET + 7, NOTE_OFFSET + 128 * 128 + 36]
TEXT = "AUTOREGRESS\n  1.50   0.50  Acoustic Grand Piano      C4\n  1.50   0.07  Drums                     36\n"


@settings(max_examples=50, deadline=None)
@given(events=event_lists(), seed=st.integers(0, 1000), end=st.integers(0, 3))
def test_parse_undoes_dump(events: Events, seed: int, end: int) -> None:
    triplets = encode(events).reshape(-1, 3)
    is_control = (np.random.default_rng(seed).random(len(triplets)) < 0.5) & (triplets[:, 2] != REST)
    ids = [ANTICIPATE, *(triplets + CONTROL_OFFSET * is_control[:, None]).reshape(-1).tolist(), *[SEPARATOR] * end]
    assert parse_dump(dump(ids)).tolist() == ids
    assert parse_dump(dump(np.array(ids))).tolist() == ids


def test_every_instrument_and_every_pitch_survives_the_way_through_text() -> None:
    ids = [i for note in range(0, 129 * 128, 67) for i in (0, DUR_OFFSET, NOTE_OFFSET + note)]
    assert parse_dump(dump(ids)).tolist() == ids


def test_a_dump_reads_like_music() -> None:
    assert dump(IDS) == TEXT
    assert dump([100, DUR_OFFSET, REST]) == "  1.00   0.00  REST\n"
    assert dump([i + CONTROL_OFFSET for i in IDS[1:4]]).endswith("C4  control\n")
    assert dump([]) == ""


def test_middle_c_is_c4() -> None:
    assert [note_name(pitch) for pitch in (0, 60, 61, 127)] == ["C-1", "C4", "C#4", "G9"]


def test_blank_lines_comments_loose_spaces_and_flats_are_understood() -> None:
    text = "# my song\n\nAUTOREGRESS\n1.5 .5 acoustic grand piano 60\n\t1.50\t0.07\tDrums\tC2\r\n"
    assert parse_dump(text).tolist() == IDS
    assert parse_dump("0 0 Violin Bb3")[2] == NOTE_OFFSET + 128 * 40 + 58
    assert len(parse_dump("")) == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1.50  0.50  Piano", "a line is"),
        ("1.50  0.50  Kazoo  C4", "Kazoo"),
        ("x  0.50  Violin  C4", "time 'x' is not a number"),
        ("100.00  0.50  Violin  C4", "0.00 to 99.99 s"),
        ("1.505  0.50  Violin  C4", "steps of 0.01"),
        ("-1  0.50  Violin  C4", "0.00 to 99.99"),
        ("nan  0.50  Violin  C4", "0.00 to 99.99"),
        ("1e999999999  0.50  Violin  C4", "time"),
        ("1.50  10.00  Violin  C4", "0.00 to 9.99 s"),
        ("1.50  0.50  Violin  H4", "'H4' is not a name"),
        ("1.50  0.50  Violin  G#9", "outside 0..127"),
        ("1.50  0.50  Violin  128", "outside 0..127"),
        ("1.50  0.00  REST  control", "a rest cannot be a control"),
        ("SEPERATOR", "a line is"),
    ],
)
def test_a_bad_line_is_named_with_its_number(line: str, message: str) -> None:
    with pytest.raises(TokenError, match=f"line 3, .*{message}"):
        parse_dump(f"AUTOREGRESS\n\n{line}\n")


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([5, 5, NOTE_OFFSET], "id 5 at position 1; a duration"),
        ([*IDS[1:4], 7, DUR_OFFSET], "at position 3, has 2 of 3"),
        ([CONTROL_OFFSET, DUR_OFFSET, NOTE_OFFSET], "at position 1; a duration"),
        ([200_000], "id 200000 at position 0"),
    ],
)
def test_ids_that_are_no_triplet_are_refused_with_their_position(ids: list[int], message: str) -> None:
    with pytest.raises(TokenError, match=message):
        dump(ids)
