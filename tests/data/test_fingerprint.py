from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midi_llm.data.fingerprint import HASHES, MIN_GRAMS, fingerprint, similarity, unpack
from midi_llm.errors import DatasetError
from midi_llm.music.score import NOTE_DTYPE, Score, Track

seeds = st.integers(0, 2**32)


def line(rng, *, notes: int = 200, low: int = 40, high: int = 80, is_drum: bool = False, program: int = 0) -> Track:
    """A random walk in steps of 0.25 to 1 s."""
    made = np.zeros(notes, NOTE_DTYPE)
    made["time"] = np.cumsum(rng.choice([0.25, 0.5, 1.0], notes))
    made["pitch"] = rng.integers(low, high, notes)
    made["duration"], made["velocity"] = 0.2, 80
    return Track(program=program, is_drum=is_drum, notes=made)


def band(seed: int) -> Score:
    rng = np.random.default_rng(seed)
    drums = line(rng, is_drum=True, low=36, high=47)
    return Score(tracks=(line(rng), line(rng, program=33), line(rng, program=52), drums))


def change(score: Score, *, factor: float = 1.0, semitones: int = 0, program: int = 0, jitter: float = 0.0) -> Score:
    rng = np.random.default_rng(0)
    tracks = []
    for track in score.tracks:
        notes = track.notes.copy()
        notes["time"] = notes["time"] * factor + rng.uniform(-jitter, jitter, len(notes)) + jitter
        notes["duration"] *= factor
        notes["pitch"] = notes["pitch"] + np.int16(0 if track.is_drum else semitones)
        tracks.append(replace(track, notes=notes, program=(track.program + program) % 128))
    return Score(tracks=tuple(tracks))


def keep(score: Score, test) -> Score:
    """The notes for whose onset `test` holds."""
    return Score(tracks=tuple(replace(track, notes=track.notes[test(track.notes["time"])]) for track in score.tracks))


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(-12, 12), st.sampled_from([0.5, 0.8, 1.2, 1.9]), st.integers(0, 127))
def test_key_tempo_and_instruments_change_nothing(seed, semitones, factor, program):
    piece = band(seed)
    assert fingerprint(change(piece, semitones=semitones, factor=factor, program=program)) == fingerprint(piece)


def test_order_of_tracks_and_notes_and_doubled_notes_change_nothing():
    piece = band(1)
    turned = tuple(replace(track, notes=np.tile(track.notes[::-1], 2)) for track in reversed(piece.tracks))
    assert fingerprint(Score(tracks=turned)) == fingerprint(piece)


def test_small_edits_leave_it_similar():
    piece = band(2)
    print_ = fingerprint(piece)
    assert similarity(print_, fingerprint(change(piece, jitter=0.005))) > 0.9
    assert similarity(print_, fingerprint(keep(piece, lambda t: (t > 10) & (t < 100)))) > 0.7
    assert similarity(print_, fingerprint(Score(tracks=piece.tracks[1:]))) == pytest.approx(2 / 3, abs=0.15)
    assert fingerprint(Score(tracks=piece.tracks[:3])) == print_, "drums do not count beside melody"


def test_repeated_notes_and_lower_voices_of_chords_do_not_count():
    track = band(3).tracks[0]
    again, below = track.notes.copy(), track.notes.copy()
    again["time"] += 0.1
    below["pitch"] -= 7
    below["time"] += 0.02
    thick = replace(track, notes=np.concatenate([again, track.notes, below]))
    assert fingerprint(Score(tracks=(thick,))) == fingerprint(Score(tracks=(track,)))


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_different_pieces_differ_even_with_shared_drums_and_bass_loop(seed):
    one, other = band(seed), band(seed + 1)
    loop = np.tile(line(np.random.default_rng(0), notes=16).notes, 12)
    loop["time"] = np.arange(len(loop)) * 0.5
    shared = (replace(one.tracks[1], notes=loop), one.tracks[3])
    a, b = (Score(tracks=(score.tracks[0], score.tracks[2], *shared)) for score in (one, other))
    assert similarity(fingerprint(one), fingerprint(other)) < 0.1
    assert similarity(fingerprint(a), fingerprint(b)) < 0.25


def test_rhythm_counts():
    track = band(4).tracks[0]
    even = track.notes.copy()
    even["time"] = np.arange(len(even)) * 0.5
    even_score = Score(tracks=(replace(track, notes=even),))
    assert similarity(fingerprint(Score(tracks=(track,))), fingerprint(even_score)) < 0.3


def test_drums_alone_have_one_that_knows_which_drums_are_struck():
    rng = np.random.default_rng(5)
    drums = line(rng, is_drum=True, low=36, high=47)
    other = replace(drums, notes=drums.notes.copy())
    other.notes["pitch"] = rng.permutation(drums.notes["pitch"])
    alone = fingerprint(Score(tracks=(drums,)))
    assert alone
    assert fingerprint(change(Score(tracks=(drums,)), factor=1.3)) == alone
    assert similarity(alone, fingerprint(Score(tracks=(other,)))) < 0.2
    assert similarity(alone, fingerprint(Score(tracks=(replace(drums, is_drum=False),)))) < 0.1


@pytest.mark.parametrize("notes", [0, 1, 6, 7, 8, MIN_GRAMS + 5])
def test_too_little_melody_has_none(notes):
    few = line(np.random.default_rng(6), notes=notes)
    assert fingerprint(Score(tracks=(few,))) == ""
    assert fingerprint(Score()) == ""


def test_held_or_repeated_notes_alone_have_none():
    track = band(7).tracks[0]
    track.notes["pitch"] = 60
    assert fingerprint(Score(tracks=(track,))) == ""


def test_similarity_estimates_the_share_of_common_grams():
    errors = []
    for seed in range(40):
        whole = line(np.random.default_rng(seed), notes=1006)
        half = replace(whole, notes=whole.notes[:506])
        errors.append(similarity(fingerprint(Score(tracks=(whole,))), fingerprint(Score(tracks=(half,)))) - 0.5)
    assert np.mean(errors) == pytest.approx(0, abs=4 * 0.046 / np.sqrt(40))
    assert np.std(errors) < 2 * 0.046


def test_similarity_has_its_borders_and_formats():
    one = fingerprint(band(8))
    assert len(one) == 4 * HASHES
    assert int(one, 16) >= 0
    assert similarity(one, one) == 1.0
    assert similarity(one, "") == similarity("", "") == 0.0
    assert unpack([]).shape == (0, HASHES)
    with pytest.raises(DatasetError, match="8 digits, 480 are needed"):
        similarity(one, "00000000")


def test_it_is_the_same_on_every_machine():
    notes = np.zeros(40, NOTE_DTYPE)
    notes["time"] = np.arange(40) * 0.5
    notes["pitch"] = 60 + (np.arange(40) ** 2) % 13 + (np.arange(40) ** 3) % 7
    assert fingerprint(Score(tracks=(Track(notes=notes),)))[:32] == "be6d679c321edf0b07a9f1b7850cf6bf"
