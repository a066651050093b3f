"""Parts and groups of notes."""

from __future__ import annotations

import numpy as np

from midi_llm.music.features import note_table
from midi_llm.music.parts import DRUM_KEYS, GROUPS, part_means, parts_and_groups
from midi_llm.music.score import DRUMS, Note, Score, Track, note_array

PIANO, VIOLIN, CHOIR, TUBA, SITAR = 0, 40, 52, 58, 104


def test_instruments_and_kinds_of_drums_are_parts_and_have_their_groups() -> None:
    one = note_array([Note(time=0, duration=1, pitch=60)])
    tracks = [Track(program=program, notes=one) for program in (PIANO, VIOLIN, CHOIR, TUBA, SITAR)]
    kit = note_array([Note(time=0, duration=1, pitch=pitch) for pitch in (36, 38, 40, 46, 70)])
    part, group = parts_and_groups(note_table(Score(tracks=(*tracks, Track(is_drum=True, notes=kit)))))
    pitched = ["keys", "strings", "voices", "brass", "guitar"]
    assert [GROUPS[index] for index in group] == [*pitched, "kick", "snare", "snare", "hat", "percussion"]
    assert len(set(part.tolist())) == 9, "both snares are one part"
    assert (part >= DRUMS).tolist() == [False] * 5 + [True] * 5


def test_a_drum_is_of_one_kind() -> None:
    keys = [key for keys in DRUM_KEYS.values() for key in keys]
    assert len(set(keys)) == len(keys)


def test_part_means() -> None:
    part = np.array([7, 2, 7, 2, 7])
    assert part_means(np.array([1.0, 5.0, 2.0, 7.0, 6.0]), part).tolist() == [3, 6, 3, 6, 3]
    assert part_means(np.arange(10.0).reshape(5, 2), part)[1].tolist() == [4, 5]
