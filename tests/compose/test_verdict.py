"""Which wishes a piece meets."""

from dataclasses import replace

import pytest

from midi_llm.compose.asked import asked_for
from midi_llm.compose.timing import with_beats
from midi_llm.compose.verdict import Finding, adherence, judge
from midi_llm.compose.wishes import NO_WISHES, Wishes
from midi_llm.music.score import Note, Score, Track, note_array

from .test_timing import band


def met(score: Score, wishes: Wishes, *, seconds: float | None = None) -> dict[str, bool | None]:
    return {finding.wish: finding.met for finding in judge(score, wishes, seconds=seconds)}


def test_no_wish_is_no_finding():
    assert judge(band(100), NO_WISHES, seconds=None) == ()
    assert adherence(()) == 1.0


@pytest.mark.parametrize(("asked", "passes"), [(100, True), (104, True), (50, True), (120, False)])
def test_a_tempo_is_judged_by_what_is_heard(asked, passes):
    score = with_beats(band(100), NO_WISHES, seconds=None)
    assert met(score, Wishes(bpm=asked)) == {"tempo": passes}
    mislabelled = replace(score, tempos=(replace(score.tempos[0], bpm=120.0),))
    assert met(mislabelled, Wishes(bpm=120)) == {"tempo": False}, "a number in the file makes no tempo"


def test_metre_key_and_length():
    score = band(100)
    found = met(score, Wishes(metre=(3, 4), key="C major"), seconds=60)
    assert (found["metre"], found["length"]) == (False, False)
    assert met(score, Wishes(metre=(4, 4)), seconds=score.seconds) == {"metre": True, "length": True}


def test_what_cannot_be_heard_is_not_told():
    short = Score(tracks=(Track(is_drum=True, notes=note_array([Note(time=0, duration=1, pitch=36)])),))
    assert met(short, Wishes(bpm=100, metre=(4, 4), key="A minor")) == {"tempo": None, "metre": None, "key": None}
    findings = (Finding(wish="a", asked="", found="", met=None), Finding(wish="b", asked="", found="", met=False))
    assert adherence(findings) == 0.0


def test_instruments_asked_for_and_ruled_out():
    score = band(100)
    assert met(score, asked_for(only="bass, drums")) == {"instrument": True, "only": True}
    assert met(score, asked_for(only="drums"))["only"] is False
    assert met(score, asked_for(also="flute")) == {"instrument": False}
    assert met(score, asked_for(without="drums")) == {"without": False}


def test_a_single_note_among_many_is_no_part():
    lone = Track(program=73, notes=note_array([Note(time=1.0, duration=0.5, pitch=72)]))
    score = replace(band(100), tracks=(*band(100).tracks, lone))
    (finding,) = judge(score, asked_for(also="flute"), seconds=None)
    assert (finding.found, finding.met) == ("1 note", False)


def test_pitches_ranges_and_density():
    score = band(100)
    assert met(score, asked_for(scale="C F", ranges=["bass:C2-F2"])) == {"pitches": True, "range": True}
    assert met(score, asked_for(scale="C G", ranges=["bass:D2-F2"])) == {"pitches": False, "range": False}
    assert met(score, asked_for(density="sparse")) == {"density": True}
    assert met(score, asked_for(density="dense")) == {"density": False}


def test_bars_and_a_loop_end_on_the_bar():
    score = with_beats(band(100), Wishes(bars=8, loop=True), seconds=60)
    assert met(score, Wishes(bars=8, loop=True), seconds=60) == {"bars": True, "loop": True}
    assert met(score, Wishes(bars=9)) == {"bars": False}
    assert met(replace(score, end=score.end + 0.3), Wishes(loop=True)) == {"loop": False}
