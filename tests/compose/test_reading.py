"""What a text states: tempo, metre, key, length, density, instruments."""

from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi_llm.compose.reading import find_wishes, restate
from midi_llm.compose.wishes import NO_WISHES, Wishes
from midi_llm.evaluate.prompts import read_prompts
from midi_llm.music.key import key_number


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
        ("calypso, 120ish bpm, carefree", 120),
        ("a trance breakdown at 140, pads", 140),
        ("it is 1984 and 12 bpm is no tempo, but 90 bpm is", 90),
    ],
)
def test_a_tempo_is_found(text, bpm):
    assert find_wishes(text).bpm == bpm


@pytest.mark.parametrize(
    "text",
    ["12 bars of blues", "a song from 1965", "8 bit", "300 bpm", "90 seconds", "op. 90", "at 90 degrees", "at 100%"],
)
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
        ("practise in b flat minor please", "Bb minor"),
        ("a fugue in re minor", "D minor"),
        ("sunny, key of C", "C major"),
        ("harmonica, in G, slow", "G major"),
        ("an easy piece in A.", "A major"),
        ("march, B flat, proud", "Bb major"),
    ],
)
def test_a_key_is_found(text, key):
    assert find_wishes(text).key == key


@pytest.mark.parametrize(
    "text",
    [
        "something in a minor key",
        "A minor key change",
        "I Am here",
        "a major hit",
        "B minor chord stabs",
        "in D dorian",
        "in B flat clarinet",
        "in A hurry",
        "drop D tuning",
    ],
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
        ("a slip jig", (9, 8)),
        ("a slow sarabande", (3, 4)),
        ("house, four on the floor", (4, 4)),
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
    assert (wishes.bpm, wishes.metre, wishes.key) == (90, (3, 4), "A minor")
    assert restate(text, wishes.facts()) == text[:-1] + ". 90 bpm, key of A minor, 3/4 time."
    assert restate("a calm piece.", NO_WISHES.facts()) == "a calm piece."


@given(st.text(max_size=80))
def test_any_text_can_be_read_and_what_is_restated_is_found_again(text):
    wishes = find_wishes(text)
    again = find_wishes(restate("x", wishes.facts()))
    assert (again.bpm, again.metre, again.key) == (wishes.bpm, wishes.metre, wishes.key)


@given(
    st.none() | st.integers(30, 260),
    st.none() | st.tuples(st.integers(2, 15), st.sampled_from([2, 4, 8, 16])),
    st.none() | st.sampled_from(["A minor", "Bb major", "F# minor", "C major"]),
)
def test_restating_loses_nothing(bpm, metre, key):
    wishes = Wishes(bpm=bpm, metre=metre, key=key)
    assert find_wishes(restate("a piece", wishes.facts())) == wishes


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("a jingle, 5 seconds", 5),
        ("a 20-second sting", 20),
        ("forty seconds of calm", 40),
        ("about half a minute", 30),
        ("a minute and a half of rain", 90),
        ("two minutes long", 120),
        ("length 1:45", 105),
        ("15s logo", 15),
        ("120 beats a minute", None),
        ("for the little ones", None),
        ("90 beats to the minute", None),
        ("a piece from the 60s", None),
    ],
)
def test_a_length_is_found(text, seconds):
    assert find_wishes(text).seconds == seconds


@pytest.mark.parametrize(
    ("text", "bars"),
    [("8 bars of funk", 8), ("a sixteen-bar loop", 16), ("12 bar blues", 12), ("a cadence every two bars", None)],
)
def test_a_number_of_bars_is_found(text, bars):
    assert find_wishes(text).bars == bars


def test_a_loop_and_a_density_are_found():
    assert find_wishes("it has to loop").loop
    assert find_wishes("sparse piano").density == "sparse"
    assert find_wishes("lots of notes, busy").density == "dense"
    assert find_wishes("sparse at first, then dense").density is None, "both are said"


def test_of_prompts_with_known_facts_hardly_any_is_misread():
    """The reader was made with these prompts at hand: a floor against getting worse, not a measure of its quality."""
    right = dict.fromkeys(("bpm", "key", "metre", "seconds", "density"), 0)
    stated, wrong = dict(right), dict(right)
    for prompt in read_prompts(Path(str(files("midi_llm.evaluate").joinpath("prompts.jsonl")))):
        found, facts = find_wishes(prompt.text), prompt.facts
        for name in right:
            read, fact = getattr(found, name), getattr(facts, name)
            read, fact = (key_number(read or ""), key_number(fact or "")) if name == "key" else (read, fact)
            stated[name] += fact is not None
            right[name] += fact is not None and read == fact
            wrong[name] += read is not None and read != fact
    for name, count in stated.items():
        assert right[name] >= 0.9 * count, name
        assert wrong[name] <= 0.02 * 200, name
