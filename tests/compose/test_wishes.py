"""Tempo, metre and key in texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi_llm.compose.wishes import NO_WISHES, Wishes, find_wishes, restate


@pytest.mark.parametrize(
    ("text", "bpm"),
    [
        ("chiptune shop music 120bpm loopable & cute", 120),
        ("Keep it around 96 bpm, and it has to loop.", 96),
        ("a march at 112.5 BPM", 112.5),
        ("slow, 60 beats per minute", 60),
        ("F major, quiet, crotchet = 66.", 66),
        ("♩=144", 144),
        ("tempo: about 80", 80),
        ("a quarter note at 72", 72),
        ("140-bpm techno", 140),
        ("it is 1984 and 12 bpm is no tempo, but 90 bpm is", 90),
    ],
)
def test_a_tempo_is_found(text, bpm):
    assert find_wishes(text).bpm == bpm


@pytest.mark.parametrize("text", ["12 bars of blues", "a song from 1965", "8 bit", "300 bpm", "90 seconds", "op. 90"])
def test_other_numbers_are_no_tempo(text):
    assert find_wishes(text).bpm is None


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("A gentle waltz, A minor, 90 bpm", "A minor"),
        ("minuet for string quartet, G major if that is no trouble", "G major"),
        ("four parts, B flat major, choir", "Bb major"),
        ("in F# minor", "F# minor"),
        ("in C-sharp minor", "C# minor"),
        ("E♭ major fanfare", "Eb major"),
        ("a blues in Am", "A minor"),
        ("key of Bbm", "Bb minor"),
        ("Dmin groove", "D minor"),
    ],
)
def test_a_key_is_found(text, key):
    assert find_wishes(text).key == key


@pytest.mark.parametrize(
    "text", ["something in a minor key", "A minor key change", "I Am here", "a major hit", "B minor chord stabs"]
)
def test_other_words_are_no_key(text):
    assert find_wishes(text).key is None


@pytest.mark.parametrize(
    ("text", "metre"),
    [
        ("Could it be in 3/4 with celesta", (3, 4)),
        ("7/8 prog", (7, 8)),
        ("a viennese waltz", (3, 4)),
        ("a waltz in 6/8", (6, 8)),
        ("an Irish jig", (6, 8)),
        ("common time", (4, 4)),
        ("Hymn tune in common metre (8.6.8.6)", None),
        ("on 24/12/2024", None),
        ("1/4 of it", None),
    ],
)
def test_a_metre_is_found(text, metre):
    assert find_wishes(text).metre == metre


def test_facts_are_said_again_as_captions_say_them():
    text = "A gentle waltz for accordion, in a cosy A minor; about 90 bpm."
    wishes = find_wishes(text)
    assert wishes == Wishes(bpm=90, metre=(3, 4), key="A minor")
    assert restate(text, wishes) == text[:-1] + ". 90 bpm, key of A minor, 3/4 time."
    assert restate("a calm piece.", NO_WISHES) == "a calm piece."


@given(st.text(max_size=80))
def test_any_text_can_be_read_and_what_is_restated_is_found_again(text):
    wishes = find_wishes(text)
    assert find_wishes(wishes.restated()) == wishes


@given(
    st.none() | st.integers(30, 260),
    st.none() | st.tuples(st.integers(2, 15), st.sampled_from([2, 4, 8, 16])),
    st.none() | st.sampled_from(["A minor", "Bb major", "F# minor", "C major"]),
)
def test_restating_loses_nothing(bpm, metre, key):
    wishes = Wishes(bpm=bpm, metre=metre, key=key)
    assert find_wishes(restate("a piece", wishes)) == wishes
