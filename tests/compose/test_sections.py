"""Plans of sections: what is read strictly, what is found in a prompt, and what they replace."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi_llm.compose.asked import asked_for
from midi_llm.compose.plan import make_plan
from midi_llm.compose.reading import find_wishes
from midi_llm.compose.sections import Section, find_sections, read_sections
from midi_llm.compose.settings import Settings
from midi_llm.compose.wishes import Wishes
from midi_llm.errors import RequestError


def plain(sections: tuple[Section, ...]) -> str:
    return ", ".join(f"{section.name} {section.bars}" for section in sections)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("intro 4, verse 8, chorus 8", "intro 4, verse 8, chorus 8"),
        ("Intro 8 bars, verse: 16 measures; 8 bars of outro", "intro 8, verse 16, outro 8"),
        ("verse 1 8 bars, verse 2 16", "verse 1 8, verse 2 16"),
        ("A 8 -> B 8 → A 8", "a 8, b 8, a 8"),
        ("4-bar intro, 8 bars verse", "intro 4, verse 8"),
    ],
)
def test_a_plan_is_read(text: str, found: str) -> None:
    assert plain(read_sections(text)) == found


NAMES = st.sampled_from(["intro", "verse", "verse 2", "pre-chorus", "solo", "b"])


@given(st.lists(st.builds(Section, name=NAMES, bars=st.integers(1, 400)), min_size=1))
def test_a_plan_that_is_written_is_read_as_it_was(sections: list[Section]) -> None:
    text = ", ".join(f"{section.name} {section.bars} bars" for section in sections)
    assert read_sections(text) == tuple(sections)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("verse x", "'verse x' is no section; write names and bars"),
        ("intro 4, 8", "'8' is no section"),
        (" , ", "the plan of sections is empty"),
        ("verse 0", "'verse' has 0 bars"),
        ("verse 300, chorus 300", "600 bars; allowed are 1 to 400"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(text: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        asked_for(sections=text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a pop song: intro 4 bars, verse 8, chorus 8 and then it ends", "intro 4, verse 8, chorus 8"),
        ("rock, 8-bar intro, 16-bar verse and 8-bar chorus, loud", "intro 8, verse 16, chorus 8"),
        ("Part A 8 bars, part B 8 bars, part A 8 bars", "part a 8, part b 8, part a 8"),
        ("intro 4 bars, verse 8 bars", ""),
        ("a song with verse 1, chorus 1, verse 2, chorus 2", ""),
        ("drums 4 bars, bass 4 bars, piano 4 bars", ""),
        ("16 bars, 8 bars of it loud", ""),
        ("intro 0 bars, verse 0 bars, chorus 0 bars", ""),
        ("an intro of some bars, a verse, a chorus", ""),
    ],
)
def test_only_what_is_surely_a_plan_is_found_in_a_prompt(text: str, found: str) -> None:
    assert plain(find_sections(text)) == found


PROMPT = "rock at 120 bpm: intro 4 bars, verse 8 bars, chorus 8 bars"


def test_sections_of_a_prompt_count_before_its_bars_and_set_the_length() -> None:
    wishes = find_wishes(PROMPT)
    assert wishes.bars is None
    assert len(wishes.sections) == 3
    assert make_plan(PROMPT, Settings(), restates=True).seconds == pytest.approx(20 * 2)


def test_a_length_that_is_asked_for_comes_before_sections_of_the_prompt() -> None:
    assert make_plan(PROMPT, Settings(seconds=30), restates=True).wishes.sections == ()
    assert make_plan(PROMPT, Settings(wishes=Wishes(bars=4)), restates=True).wishes.sections == ()
    assert make_plan(PROMPT, Settings(parse=False), restates=True).wishes.sections == ()


def test_sections_that_are_asked_for_come_before_a_length_of_the_prompt() -> None:
    asked = asked_for(sections="a 2, b 2")
    plan = make_plan("8 bars of funk, 20 seconds, 120 bpm", Settings(wishes=asked), restates=True)
    assert (plan.wishes.bars, plan.seconds) == (None, 8)


def test_sections_and_another_length_are_not_both_asked_for() -> None:
    with pytest.raises(RequestError, match="bars and sections are both asked for"):
        asked_for(sections="a 2", bars=4)
    with pytest.raises(RequestError, match="seconds and sections are both asked for"):
        Settings(seconds=30, wishes=asked_for(sections="a 2"))


def test_sections_beyond_the_longest_piece_are_refused() -> None:
    with pytest.raises(RequestError, match="300 bars of 4/4 at 80 bpm last 900 s; a piece lasts at most 600 s"):
        make_plan("calm", Settings(wishes=asked_for(sections="a 150, b 150")), restates=True)
