"""Wishes asked for in so many words."""

import pytest

from midi_llm.compose.asked import SCALES, asked_for, read_instruments, read_scale
from midi_llm.compose.ensemble import Ensemble
from midi_llm.compose.reading import find_wishes
from midi_llm.compose.wishes import NO_WISHES, Wishes
from midi_llm.errors import RequestError
from midi_llm.music.score import DRUMS


def test_every_option_is_read():
    wishes = asked_for(
        tempo=96, key="bb minor", metre="6/8", bars=12, loop=True, density="sparse", only="piano, 33 and Drums",
        without="violin", scale="C D E", ranges=["bass:E1-C3"],
    )  # fmt: skip
    assert (wishes.bpm, wishes.key, wishes.metre, wishes.bars, wishes.loop) == (96, "Bb minor", (6, 8), 12, True)
    assert wishes.ensemble == Ensemble(named=((0, 1), (33,), (DRUMS,)), ruled_out=frozenset({40}))
    assert wishes.pitch_classes == {0, 2, 4}
    assert set(wishes.ranges) == {(program, 28, 48) for program in (33, 34, 35)}


def test_nothing_asked_for_is_no_wish():
    assert asked_for() == NO_WISHES


def test_instruments_by_word_name_and_number():
    assert read_instruments("piano, Synth Bass 1; 40 & drums") == ((0, 1), (38,), (40,), (DRUMS,))
    assert read_instruments("string quartet") == ((40,), (41,), (42,))


def test_scales():
    assert read_scale("A minor pentatonic") == {9, 0, 2, 4, 7}
    assert read_scale("f# major") == {6, 8, 10, 11, 1, 3, 5}
    assert all(0 in read_scale(f"C {name}") for name in SCALES)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"tempo": 20}, "20 bpm; allowed is 30 to 260"),
        ({"key": "H major"}, "no key is called 'H major'"),
        ({"metre": "waltz"}, "no metre is called 'waltz'"),
        ({"metre": "4/5"}, "4/5; allowed are 2 to 15 beats"),
        ({"bars": 0}, "0 bars; allowed are 1 to 400"),
        ({"density": "thick"}, "allowed are sparse, medium, dense"),
        ({"only": "theremin"}, "no instrument is called 'theremin'"),
        ({"only": "200"}, "no instrument is called '200'"),
        ({"only": " , "}, "the list of instruments is empty"),
        ({"only": "piano", "also": "bass"}, "'only' and 'with' are both given"),
        ({"also": "drums", "without": "drums"}, "Drums is asked for and ruled out"),
        ({"scale": "C H"}, "no scale is called 'C H'"),
        ({"scale": ""}, "no scale is called ''"),
        ({"ranges": ["bass"]}, "'bass' is no range"),
        ({"ranges": ["bass:C3-E1"]}, "the lowest pitch first"),
        ({"ranges": ["bass:C3-X9"]}, "the note 'X9'"),
        ({"ranges": ["theremin:C3-C4"]}, "no instrument is called 'theremin'"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_is_allowed(wish, said):
    with pytest.raises(RequestError, match=said):
        asked_for(**wish)


def test_what_is_asked_for_comes_before_what_a_text_says():
    read = find_wishes("a rock song with violin, 120 bpm, in A minor, 30 seconds, no piano")
    both = Wishes(bpm=90).over(read)
    assert (both.bpm, both.key, both.seconds) == (90, "A minor", 30)
    assert both.ensemble == read.ensemble


def test_instruments_asked_for_join_those_of_a_text_or_replace_them():
    read = find_wishes("a duet for violin and piano, no drums").ensemble
    assert asked_for(only="flute").ensemble.over(read).named == ((73,),)
    joined = asked_for(also="drums").ensemble.over(read)
    assert joined.named == ((40,), (0, 1), (DRUMS,))
    assert DRUMS in (joined.pick(0) or ()), "what is asked for overrules the text"
    assert asked_for(without="violin").ensemble.over(read).named == ((0, 1),)
    free = asked_for(also="flute").ensemble.over(find_wishes("something calm").ensemble)
    assert free.pick(0) is None, "others may join"
