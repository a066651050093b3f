from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.melodies import melody, moved, random_melody
from midi_llm.data.lines import SEPARATOR, SYMBOL_BITS, by_onset, chord_starts, melodic_lines, rhythm, top_lines
from midi_llm.music.score import Score, Track


def symbols(*tracks: Track) -> list[list[int]]:
    return [line.symbols.tolist() for line in melodic_lines(Score(tracks=tracks))]


def steps(*tracks: Track) -> list[list[int]]:
    """The semitones of each line."""
    return [[symbol % 256 - 128 for symbol in line] for line in symbols(*tracks)]


def test_a_symbol_is_the_semitones_and_whether_the_gap_is_shorter_alike_or_longer() -> None:
    line = melody([60, 64, 62, 67, 55], [0.5, 1.0, 1.0, 0.25])
    assert symbols(line) == [[3 << 8 | 132, 2 << 8 | 126, 1 << 8 | 133, 0 << 8 | 116]]


def test_gaps_are_alike_up_to_a_ratio_between_3_to_2_and_2_to_1() -> None:
    assert rhythm(np.array([0.2, 0.3, 0.2, 0.4, 0.2])).tolist() == [1, 1, 2, 0]
    assert rhythm(np.array([0.2])).tolist() == []


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(-20, 20), st.sampled_from([0.5, 0.8, 1.3, 2.0]), st.integers(0, 127))
def test_key_tempo_and_instrument_change_no_symbol(seed: int, semitones: int, factor: float, program: int) -> None:
    line = random_melody(seed)
    other = replace(moved(line, semitones=semitones, factor=factor, seconds=3.0), program=program)
    assert symbols(other) == symbols(line)


def test_the_top_note_of_a_chord_counts_and_a_pitch_that_comes_again_at_once_counts_once() -> None:
    plain = melody([60, 62, 64], [0.5, 0.5])
    thick = np.concatenate([plain.notes, moved(plain, semitones=-5, seconds=0.03).notes, plain.notes[1:2]])
    thick[-1]["time"] = 0.75  # the second note struck again
    assert symbols(replace(plain, notes=thick)) == symbols(plain)


def test_tracks_of_one_instrument_are_one_line_and_instruments_come_in_order() -> None:
    right, left = melody([72, 74, 76]), moved(melody([48, 50, 52]), seconds=0.25)
    assert steps(right, left) == steps(left, right) == [[-24, 26, -24, 26, -24]]
    apart = melodic_lines(Score(tracks=(replace(left, program=40), right)))
    assert [line.instrument for line in apart] == [0, 40]
    assert [line.time.tolist() for line in apart] == [[0.0, 0.5, 1.0], [0.25, 0.75, 1.25]]


def test_drums_and_single_notes_have_no_line() -> None:
    drums = replace(melody([36, 38, 36]), is_drum=True)
    assert melodic_lines(Score(tracks=(drums, melody([60], program=5), Track()))) == []
    assert melodic_lines(Score(tracks=(melody([60, 60, 60]),))) == []
    assert melodic_lines(Score()) == []
    assert len(melodic_lines(Score(tracks=(drums, melody([60, 61]))))) == 1


def test_only_a_first_step_equals_a_first_step() -> None:
    line, later = random_melody(1, 20), random_melody(1, 20).notes[1:]
    [cut], [whole] = symbols(replace(line, notes=later)), symbols(line)
    assert cut[1:] == whole[2:]
    assert cut[0] % 256 == whole[1] % 256
    assert cut[0] not in whole[1:]


@pytest.mark.parametrize("pitches", [[0, 127, 0], [127, 0, 1]])
def test_the_widest_steps_fit_and_are_no_separator(pitches: list[int]) -> None:
    [line] = symbols(melody(pitches, [0.1, 5.0]))
    assert all(SEPARATOR < symbol < 2**SYMBOL_BITS for symbol in line)
    assert [symbol % 256 - 128 for symbol in line] == np.diff(pitches).tolist()


def test_parts_do_not_run_into_each_other() -> None:
    parts = [melody([60, 62]).notes, moved(melody([62, 65]), seconds=0.51).notes]
    notes, lines = by_onset(parts), top_lines(parts)
    assert chord_starts(notes).tolist() == [0, 1, 2, 3]
    assert lines.part.tolist() == [0, 0, 1, 1]
    assert lines.pitch.tolist() == [60, 62, 62, 65], "the 62 of the second part is no repetition"
