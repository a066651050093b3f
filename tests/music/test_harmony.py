from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi_llm.music.features import note_table
from midi_llm.music.harmony import CHORD_CONFIDENCE, CHORDS, bar_chords
from midi_llm.music.key import PITCH_CLASSES
from midi_llm.music.score import Note, Score, Track, note_array

BAR_SECONDS = 2.0


def chord(bar: int, root: int, intervals: tuple[int, ...], *, duration: float = 1.9) -> list[Note]:
    start = bar * BAR_SECONDS
    upper = [Note(time=start, duration=duration, pitch=60 + (root + interval) % 12) for interval in intervals]
    return [Note(time=start, duration=duration, pitch=36 + root), *upper]


def chords_of(notes: list[Note], *, bars: int = 1, program: int = 0) -> tuple[tuple[str, ...], list[float]]:
    names, confidence = bar_chords(
        note_table(Score(tracks=(Track(program=program, notes=note_array(notes)),))), BAR_SECONDS, bars
    )
    return names, confidence.tolist()


@pytest.mark.parametrize("kind", list(CHORDS))
@pytest.mark.parametrize("root", range(12))
def test_every_chord_over_its_root_is_named(kind: str, root: int) -> None:
    names, confidence = chords_of(chord(0, root, CHORDS[kind]))
    assert names == (PITCH_CLASSES[root] + kind,)
    assert confidence == [pytest.approx(1.0)]


@given(st.lists(st.tuples(st.sampled_from(sorted(CHORDS)), st.integers(0, 11)), min_size=1, max_size=8))
def test_each_bar_has_its_own_chord(progression: list[tuple[str, int]]) -> None:
    notes = [note for bar, (kind, root) in enumerate(progression) for note in chord(bar, root, CHORDS[kind])]
    names, _ = chords_of(notes, bars=len(progression))
    assert names == tuple(PITCH_CLASSES[root] + kind for kind, root in progression)


def test_the_bass_tells_a_minor_seventh_from_the_sixth_of_its_relative() -> None:
    assert chords_of(chord(0, 9, CHORDS["m7"]))[0] == ("Am7",)
    c_in_the_bass = [Note(time=0.0, duration=1.9, pitch=p) for p in (36, 48, 60, 64, 67, 72, 76, 79)]
    assert chords_of([*c_in_the_bass, Note(time=0.0, duration=0.5, pitch=69)])[0] == ("C",)


def test_passing_notes_lower_the_confidence_and_two_chords_in_a_bar_are_not_stated() -> None:
    plain = chord(0, 0, CHORDS[""])
    run = [Note(time=0.1 * k, duration=0.1, pitch=61 + k) for k in range(12)]
    assert chords_of([*plain, *run])[1][0] < chords_of(plain)[1][0]
    moved = [
        Note(time=n.time + 1.0, duration=0.95, pitch=n.pitch + shift)
        for n, shift in zip(plain, (6, 6, 6, 6), strict=True)
    ]
    halves = [Note(time=n.time, duration=0.95, pitch=n.pitch) for n in plain]
    assert chords_of([*halves, *moved])[1][0] < CHORD_CONFIDENCE


def test_silence_single_notes_and_drums_have_no_chord() -> None:
    assert chords_of([]) == (("",), [0.0])
    assert chords_of([], bars=0) == ((), [])
    assert chords_of([Note(time=0.0, duration=2.0, pitch=60)]) == (("",), [0.0])
    assert chords_of([Note(time=0.0, duration=2.0, pitch=p) for p in (60, 64)])[0] == ("",)
    assert chords_of(chord(0, 0, CHORDS[""]), program=116)[0] == ("",)


def test_a_held_chord_counts_in_every_bar_and_a_late_release_in_none() -> None:
    held = chord(0, 7, CHORDS["7"], duration=2 * BAR_SECONDS + 0.03)
    names, confidence = chords_of(held, bars=3)
    assert names == ("G7", "G7", "")
    np.testing.assert_allclose(confidence, [1, 1, 0])
