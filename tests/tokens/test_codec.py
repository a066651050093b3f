from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.errors import TokenError
from midi_llm.music.repair import repair
from midi_llm.music.score import DRUMS, Note, Score, Track, note_array
from midi_llm.tokens.codec import (
    REST_INSTRUMENT,
    Events,
    clip,
    decode,
    dequantize,
    encode,
    quantize,
    rebase,
    tidy,
    window,
)
from midi_llm.tokens.vocab import (
    ANOTE_OFFSET,
    ANTICIPATE,
    AUTOREGRESS,
    CONTROL_OFFSET,
    DUR_OFFSET,
    MAX_NOTE,
    NOTE_OFFSET,
    REST,
    SEPARATOR,
)
from tokens.strategies import event_lists

QUICK = settings(max_examples=50, deadline=None)


def rows(*values: tuple[int, int, int, int]) -> Events:
    return np.array(values, np.int32).reshape(-1, 4)


def track(*notes: tuple[float, float, int], program: int = 0, is_drum: bool = False) -> Track:
    return Track(
        program=program, is_drum=is_drum, notes=note_array(Note(time=t, duration=d, pitch=p) for t, d, p in notes)
    )


@QUICK
@given(events=event_lists())
def test_decode_undoes_encode(events: Events) -> None:
    ids = encode(events)
    assert ids.dtype == np.int32
    assert ids.shape == (3 * len(events),)
    assert np.array_equal(decode(ids), events)


@QUICK
@given(events=event_lists(rests=False))
def test_quantize_undoes_dequantize_up_to_the_order_within_an_onset(events: Events) -> None:
    back = quantize(dequantize(events))
    assert sorted(map(tuple, back.tolist())) == sorted(map(tuple, events.tolist()))
    assert back[:, 0].tolist() == events[:, 0].tolist()


def test_a_note_becomes_the_three_ids_of_its_blocks() -> None:
    assert encode(rows((5, 7, 40, 60))).tolist() == [5, DUR_OFFSET + 7, NOTE_OFFSET + 128 * 40 + 60]
    assert encode(rows((5, 7, DRUMS, 127)))[2] == NOTE_OFFSET + MAX_NOTE - 1


def test_a_rest_row_becomes_the_id_rest() -> None:
    assert encode(rows((100, 0, REST_INSTRUMENT, 0))).tolist() == [100, DUR_OFFSET, REST]


def test_the_empty_score_has_no_events_and_no_ids() -> None:
    events = quantize(Score())
    assert events.shape == (0, 4)
    assert encode(events).shape == (0,)
    assert decode([]).shape == (0, 4)
    assert dequantize(events).note_count == 0


def test_seconds_are_rounded_half_to_even_and_durations_are_capped() -> None:
    events = quantize(Score(tracks=(track((0.025, 0.004, 60), (0.035, 12.0, 61)),)))
    assert events[:, :2].tolist() == [[2, 0], [4, 999]]


def test_notes_of_one_onset_keep_the_order_of_tracks_and_then_of_notes() -> None:
    score = Score(tracks=(track((1.0, 0.1, 70), (1.0, 0.1, 50), program=5), track((1.0, 0.1, 60), (0.5, 0.1, 61))))
    assert quantize(score)[:, 2:].tolist() == [[0, 61], [5, 70], [5, 50], [0, 60]]


def test_notes_of_one_onset_follow_the_order_of_the_file_where_the_score_knows_it() -> None:
    tracks = (track((1.0, 0.1, 70), (1.0, 0.1, 50), program=5), track((1.0, 0.1, 60)))
    score = Score(tracks=tracks, note_order=np.array([0, 2, 1]))
    assert quantize(score)[:, 3].tolist() == [70, 60, 50]
    with pytest.raises(TokenError, match="note_order names 2 notes"):
        quantize(Score(tracks=tracks, note_order=np.array([0, 1])))


def test_notes_of_one_tick_but_different_seconds_keep_the_order_of_seconds() -> None:
    score = Score(tracks=(track((1.004, 0.1, 70)), track((1.001, 0.1, 60), program=9)))
    assert quantize(score)[:, [0, 3]].tolist() == [[100, 60], [100, 70]]


def test_a_note_before_zero_is_refused() -> None:
    with pytest.raises(TokenError, match="shift the score"):
        quantize(Score(tracks=(track((-0.5, 0.1, 60)),)))


def test_a_piece_beyond_the_window_must_be_rebased_before_it_is_encoded() -> None:
    events = rows((10_000, 5, 0, 60), (10_050, 5, 0, 60))
    with pytest.raises(TokenError, match=r"event 0 starts at 100\.00 s.*rebase"):
        encode(events)
    assert encode(rebase(events, 10_000))[0] == 0


def test_rebase_refuses_to_make_times_negative() -> None:
    with pytest.raises(TokenError, match="clip the events first"):
        rebase(rows((5, 5, 0, 60)), 6)


def test_clip_keeps_both_ends_and_cuts_durations_as_the_reference_does() -> None:
    events = rows((0, 50, 0, 60), (10, 50, 0, 61), (20, 50, 0, 62), (21, 5, 0, 63))
    assert clip(events, 10, 20).tolist() == [[10, 10, 0, 61], [20, 0, 0, 62]]
    assert events[1, 1] == 50


def test_window_leaves_its_stop_out_and_starts_at_zero() -> None:
    events = rows((0, 50, 0, 60), (10, 50, 0, 61), (20, 50, 0, 62))
    assert window(events, 10, 20).tolist() == [[0, 10, 0, 61]]
    assert events[1].tolist() == [10, 50, 0, 61]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([5, 6, NOTE_OFFSET], "id 6 at position 1; a duration is 10000..10999 here"),
        ([DUR_OFFSET, DUR_OFFSET, NOTE_OFFSET], "id 10000 at position 0; a time"),
        ([AUTOREGRESS, 5, DUR_OFFSET, SEPARATOR + 3], "id 55028 at position 3; a note or REST"),
        ([5, DUR_OFFSET, NOTE_OFFSET, 4, DUR_OFFSET, NOTE_OFFSET], "id 4 at position 3 goes back in time"),
        ([5, DUR_OFFSET], "2 of 3 ids"),
        ([-1, DUR_OFFSET, NOTE_OFFSET], "id -1 at position 0"),
        ([5, DUR_OFFSET, NOTE_OFFSET, SEPARATOR, 6, DUR_OFFSET, NOTE_OFFSET], "id 55025 at position 3"),
        ([CONTROL_OFFSET, CONTROL_OFFSET + DUR_OFFSET, ANOTE_OFFSET], "split_controls"),
        ([183_285, DUR_OFFSET, NOTE_OFFSET], "id 183285 at position 0"),
    ],
)
def test_strict_decode_names_the_position_and_the_id(ids: list[int], message: str) -> None:
    with pytest.raises(TokenError, match=message):
        decode(ids)


@pytest.mark.parametrize("first", [AUTOREGRESS, ANTICIPATE])
def test_decode_drops_one_leading_flag_and_trailing_separators(first: int) -> None:
    ids = [first, 5, DUR_OFFSET + 1, NOTE_OFFSET + 60, SEPARATOR, SEPARATOR, SEPARATOR]
    assert decode(ids).tolist() == [[5, 1, 0, 60]]
    assert len(decode([first])) == 0


def test_dequantize_makes_a_track_per_instrument_in_order_of_appearance() -> None:
    score = dequantize(rows((0, 5, DRUMS, 36), (0, 5, 7, 60), (50, 0, REST_INSTRUMENT, 0), (100, 5, DRUMS, 38)))
    assert [(t.instrument, t.is_drum, len(t.notes)) for t in score.tracks] == [(DRUMS, True, 2), (7, False, 1)]
    assert score.tracks[0].to_notes()[1] == Note(time=1.0, duration=0.05, pitch=38, velocity=72)


@QUICK
@given(events=event_lists(max_time=200))
def test_tidy_leaves_no_zero_duration_no_double_and_no_note_past_its_next_strike(events: Events) -> None:
    before = events.copy()
    tidied = tidy(events)
    assert np.array_equal(events, before)
    encode(tidied)
    notes = tidied[tidied[:, 2] != REST_INSTRUMENT]
    assert (notes[:, 1] >= 1).all()
    for key in {(i, p) for _, _, i, p in notes.tolist()}:
        mine = notes[(notes[:, 2] == key[0]) & (notes[:, 3] == key[1])]
        assert (np.diff(mine[:, 0]) > 0).all()
        assert (mine[:-1, 0] + mine[:-1, 1] <= mine[1:, 0]).all()
    onsets = {(t, i, p) for t, _, i, p in events.tolist()}
    assert {(t, i, p) for t, _, i, p in tidied.tolist()} == onsets
    assert np.array_equal(tidy(tidied), tidied)


@QUICK
@given(events=event_lists(rests=False, max_time=200))
def test_tidying_events_is_repairing_their_score(events: Events) -> None:
    mended, report = repair(dequantize(events))
    # together, notes come in the order of the tracks, which a removed double can change
    assert sorted(quantize(mended).tolist()) == sorted(quantize(dequantize(tidy(events))).tolist())
    assert report.removed == len(events) - len(tidy(events))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((2, 3), np.int32), "shape"),
        (rows((0, 1000, 0, 60)), "duration 1000"),
        (rows((0, 5, 130, 60)), "instrument 130"),
        (rows((0, 5, 0, 128)), "pitch 128"),
        (rows((0, 5, REST_INSTRUMENT, 0)), "a rest has a duration"),
        (rows((5, 5, 0, 60), (4, 5, 0, 60)), "not in time order"),
        (rows((-1, 5, 0, 60)), "not in time order from tick 0"),
    ],
)
def test_events_out_of_range_are_refused_with_what_is_allowed(bad: Events, message: str) -> None:
    with pytest.raises(TokenError, match=message):
        encode(bad)


@QUICK
@given(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=12))
def test_decode_gives_events_or_a_token_error_whatever_the_ids(ids: list[int]) -> None:
    try:
        events = decode(ids)
    except TokenError:
        return
    assert encode(events).tolist() == [i for i in ids if i not in (AUTOREGRESS, ANTICIPATE, SEPARATOR)]
