"""Voices and hands: nothing is lost, nothing overlaps."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.notation.voices import MOST_VOICES, Row, split_hands, voices_of

ROWS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30), st.integers(21, 108)), min_size=1, max_size=30).map(
    lambda rows: sorted({(s * 3, (s + d) * 3, p) for s, d, p in {(s, p): (s, d, p) for s, d, p in rows}.values()})
)


@settings(deadline=None)
@given(ROWS)
def test_every_note_keeps_its_onset_and_voices_do_not_overlap(rows: list[Row]) -> None:
    voices = voices_of(rows)
    assert 1 <= len(voices) <= MOST_VOICES
    found = [(chord.start, pitch) for voice in voices for chord in voice for pitch in chord.pitches]
    assert sorted(found) == sorted((start, pitch) for start, _, pitch in rows)
    for voice in voices:
        for chord, after in pairwise(voice):
            assert chord.start < chord.end <= after.start
        assert voice[-1].start < voice[-1].end


@settings(deadline=None)
@given(ROWS)
def test_hands_share_all_notes_and_do_not_cross_within_a_chord(rows: list[Row]) -> None:
    right, left = split_hands(rows)
    assert sorted(right + left) == rows
    for start in {start for start, _, _ in rows}:
        low = [pitch for at, _, pitch in left if at == start]
        high = [pitch for at, _, pitch in right if at == start]
        assert not low or not high or max(low) < min(high)


def test_bass_and_melody_go_to_their_hands_and_wide_chords_are_shared() -> None:
    rows = [
        (0, 24, 40),
        (0, 24, 72),
        (24, 48, 43),
        (48, 72, 76),
        (72, 96, 36),
        (72, 96, 52),
        (72, 96, 55),
        (72, 96, 67),
    ]
    right, left = split_hands(rows)
    assert [pitch for _, _, pitch in left] == [40, 43, 36, 52, 55][: len(left)]
    assert {72, 76, 67} <= {pitch for _, _, pitch in right}


def test_a_held_note_above_moving_ones_is_a_voice_of_its_own() -> None:
    rows = sorted([(0, 96, 76), (0, 24, 60), (24, 48, 62), (48, 72, 64), (72, 96, 65)])
    held, moving = voices_of(rows)
    assert [(chord.start, chord.end, chord.pitches) for chord in held] == [(0, 96, (76,))]
    assert [chord.pitches for chord in moving] == [(60,), (62,), (64,), (65,)]


def test_what_is_played_short_or_legato_is_written_plainly() -> None:
    rows = [(0, 20, 60), (24, 52, 62), (48, 66, 64), (96, 102, 65), (120, 144, 67)]
    (voice,) = voices_of(rows)
    assert [(chord.start, chord.end) for chord in voice] == [(0, 24), (24, 48), (48, 72), (96, 108), (120, 144)]


def test_a_single_line_held_on_stays_one_voice_but_a_suspension_does_not() -> None:
    (line,) = voices_of([(0, 54, 41), (36, 90, 45), (72, 130, 38), (108, 144, 45)])
    assert [(chord.start, chord.end) for chord in line] == [(0, 36), (36, 72), (72, 108), (108, 144)]
    above, below = voices_of(sorted([(0, 36, 72), (0, 24, 64), (24, 48, 65), (36, 48, 71)]))
    assert [(chord.start, chord.end) for chord in above] == [(0, 36), (36, 48)]
    assert [(chord.start, chord.end) for chord in below] == [(0, 24), (24, 48)]


def test_a_third_voice_ends_the_one_that_ends_first() -> None:
    rows = sorted([(0, 96, 76), (0, 72, 60), (24, 96, 67)])
    voices = voices_of(rows)
    assert sorted((chord.start, chord.end, chord.pitches) for voice in voices for chord in voice) == [
        (0, 24, (60,)),
        (0, 96, (76,)),
        (24, 96, (67,)),
    ]
