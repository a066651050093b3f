"""MusicXML, read back by a second reader: notes, onsets, bars, clefs, keys, staves, triplets, drums."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.errors import RequestError
from midi_llm.music.key import signature_key
from midi_llm.music.score import KeySignature, Note, Score, Tempo, TimeSignature, Track, note_array
from midi_llm.notation.musicxml import to_musicxml
from notation.musicxml_reader import read_parts

FOUR_FOUR = (TimeSignature(time=0, numerator=4, denominator=4),)


def track(*notes: tuple[float, float, int], program: int = 0, drums: bool = False, name: str = "") -> Track:
    """Notes as (onset, length, pitch) in quarter notes at 120 bpm."""
    placed = note_array(Note(time=at / 2, duration=length / 2, pitch=pitch) for at, length, pitch in notes)
    return Track(program=program, is_drum=drums, name=name, notes=placed)


def in_keys(*sharps: tuple[float, int]) -> tuple[KeySignature, ...]:
    """Major keys by time and sharps."""
    return tuple(KeySignature(time=at, key=signature_key(count, minor=False)) for at, count in sharps)


def score(
    *tracks: Track, metres: tuple[TimeSignature, ...] = FOUR_FOUR, keys: tuple[KeySignature, ...] = in_keys((0, 0))
) -> Score:
    return Score(tracks=tracks, tempos=(Tempo(time=0, bpm=120),), time_signatures=metres, key_signatures=keys)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12), st.integers(30, 90)), min_size=1, max_size=40),
    st.sampled_from([0, 24, 41, 56]),
    st.sampled_from([(4, 4), (3, 4), (6, 8), (5, 8), (2, 2)]),
    st.integers(-6, 5),
)
def test_every_note_comes_back_at_its_onset_and_every_bar_is_complete(
    rows: list[tuple[int, int, int]], program: int, metre: tuple[int, int], fifths: int
) -> None:
    notes = [
        (at / 4, length / 4, pitch)
        for at, length, pitch in {(at, pitch): (at, length, pitch) for at, length, pitch in rows}.values()
    ]
    piece = score(
        track(*notes, program=program),
        metres=(TimeSignature(time=0, numerator=metre[0], denominator=metre[1]),),
    )
    (part,) = read_parts(to_musicxml(replace(piece, key_signatures=in_keys((0, fifths)))))
    assert part.faults == []
    assert sorted((at, pitch) for at, _, pitch in part.notes) == sorted((at, pitch) for at, _, pitch in notes)
    assert part.keys == [fifths]


def test_lengths_ties_over_bars_and_rests() -> None:
    melody = [(0, 1, 72), (1, 0.5, 74), (1.5, 0.5, 76), (3, 3, 77), (6, 2, 72)]
    (part,) = read_parts(to_musicxml(score(track(*melody, program=73))))
    assert part.notes == melody
    assert (part.bars, part.clefs, part.faults) == (2, ["G"], [])


def test_triplets_are_marked_and_come_back() -> None:
    third = 1 / 3
    notes = [
        (0, third, 60),
        (third, third, 62),
        (2 * third, third, 64),
        (1, 1, 65),
        (2, 2 * third, 67),
        (2 + 2 * third, third, 65),
    ]
    (part,) = read_parts(to_musicxml(score(track(*notes, program=73))))
    assert np.allclose([note[:2] for note in part.notes], [note[:2] for note in notes])
    assert part.tuplets == 2


def test_a_piano_has_two_staves_and_a_melody_one() -> None:
    both = [(at, 1, pitch) for at in range(4) for pitch in (43, 72 + at)]
    text = to_musicxml(score(track(*both), track((0, 4, 76))))
    piano, melody = read_parts(text)
    assert (piano.staves, piano.clefs, piano.name) == (2, ["G", "F"], "Acoustic Grand Piano 1")
    assert (melody.staves, melody.clefs) == (1, ["G"])
    staff_of = dict(zip(re.findall(r"<octave>(\d)", text), re.findall(r"<staff>(\d)", text), strict=False))
    assert (staff_of["2"], staff_of["5"]) == ("2", "1")


@pytest.mark.parametrize(
    ("program", "pitch", "clef", "octave"),
    [(41, 60, "C", None), (42, 45, "F", None), (33, 40, "F", "-1"), (25, 55, "G", "-1")],
)
def test_instruments_have_their_clefs(program: int, pitch: int, clef: str, octave: str | None) -> None:
    text = to_musicxml(score(track((0, 4, pitch), program=program)))
    (part,) = read_parts(text)
    assert part.clefs == [clef]
    assert re.findall(r"clef-octave-change>(-?\d)", text) == ([octave] if octave else [])
    assert [note[2] for note in part.notes] == [pitch]


def test_drums_are_on_a_percussion_staff_with_the_sound_of_each() -> None:
    beat = [(at / 2, 0.1, pitch) for at in range(8) for pitch in ((36, 42) if at % 4 == 0 else (42,))]
    text = to_musicxml(score(track(*beat, drums=True)))
    (part,) = read_parts(text)
    assert part.clefs == ["percussion"]
    assert sorted((at, sound) for at, _, sound in part.notes) == sorted(
        (at, f"P1-I{pitch + 1}") for at, _, pitch in beat
    )
    assert set(re.findall(r"<midi-unpitched>(\d+)", text)) == {"37", "43"}
    assert text.count("<notehead>x</notehead>") == 8


def test_a_key_that_changes_and_one_that_is_heard() -> None:
    scale = [(at, 1, pitch) for at, pitch in enumerate((62, 64, 66, 67, 69, 71, 73, 74, 74, 69, 66, 62))]
    piece = score(track(*scale, program=40), keys=())
    told = replace(piece, key_signatures=in_keys((0, 2), (4, -1)))
    assert read_parts(to_musicxml(told))[0].keys == [2, -1]
    assert read_parts(to_musicxml(piece))[0].keys == [2]


def test_tempo_marks_only_where_it_matters() -> None:
    piece = Score(
        tracks=(track((0, 60, 60), program=40),),
        tempos=tuple(Tempo(time=at, bpm=bpm) for at, bpm in ((0, 100), (5, 102), (10, 140), (10.5, 70), (20, 139))),
    )
    assert re.findall(r"<per-minute>(\d+)", to_musicxml(piece)) == ["100", "140"]


def test_beats_of_three_eighths_are_marked_as_such() -> None:
    metre = (TimeSignature(time=0, numerator=6, denominator=8),)
    text = to_musicxml(score(track((0, 3, 60), program=40), metres=metre))
    assert re.search(r"<beat-unit-dot />\s*<per-minute>80<", text)
    assert '<sound tempo="120" />' in text


def test_the_title_is_escaped_and_the_same_score_gives_the_same_text() -> None:
    piece = score(track((0, 4, 60)))
    text = to_musicxml(piece, title="A <b> & \x07c")
    assert "<work-title>A &lt;b&gt; &amp;  c</work-title>" in text
    assert text == to_musicxml(piece, title="A <b> & \x07c")


def test_nothing_and_too_much_are_refused() -> None:
    with pytest.raises(RequestError, match="no notes"):
        to_musicxml(Score())
    crowd = [track((0, 1, 60), (40_000, 1, 60), program=40, name=f"p{number}") for number in range(6)]
    with pytest.raises(RequestError, match="10,001 bars of 6 parts"):
        to_musicxml(score(*crowd))
