"""Length and text of a composition."""

import pytest

from midi_llm.compose.asked import asked_for
from midi_llm.compose.plan import make_plan
from midi_llm.compose.settings import Settings
from midi_llm.compose.wishes import Wishes
from midi_llm.errors import RequestError


def seconds(prompt: str, *, restates: bool = True, **settings: object) -> float | None:
    return make_plan(prompt, Settings(**settings), restates=restates).seconds  # type: ignore[arg-type]


def test_the_length_is_the_one_asked_for_else_the_prompt_s_else_30_seconds():
    assert seconds("calm, 40 seconds", seconds=12) == 12
    assert seconds("calm, 40 seconds") == 40
    assert seconds("calm") == 30
    assert seconds("calm, 40 seconds", parse=False) == 30
    assert seconds("calm, 40 seconds", seconds="auto") is None
    assert seconds("twenty minutes of rain") == 600


def test_bars_last_as_long_as_their_tempo_and_metre_say():
    assert seconds("a waltz at 90 bpm, 16 bars") == pytest.approx(16 * 3 * 60 / 90)
    assert seconds("8 bars of funk") == pytest.approx(8 * 4 * 60 / 80), "room for a slow tempo"
    assert seconds("funk, 20 seconds", wishes=Wishes(bars=4, bpm=120)) == pytest.approx(8)


def test_bars_beyond_the_longest_piece_are_refused():
    with pytest.raises(RequestError, match="300 bars of 4/4 at 60 bpm last 1200 s; a piece lasts at most 600 s"):
        make_plan("300 bars at 60 bpm", Settings(), restates=True)
    with pytest.raises(RequestError, match="both asked for"):
        Settings(seconds=30, wishes=Wishes(bars=8))


def test_facts_are_said_again_for_a_model_that_learned_them_so_and_wishes_always():
    assert make_plan("a waltz at 90 bpm", Settings(), restates=False).text == "a waltz at 90 bpm"
    assert make_plan("a waltz at 90 bpm", Settings(), restates=True).text == "a waltz at 90 bpm. 90 bpm, 3/4 time."
    asked = Settings(wishes=asked_for(key="A minor", also="flute, bass", density="sparse"))
    text = make_plan("a waltz at 90 bpm", asked, restates=False).text
    assert text == "a waltz at 90 bpm. flute, electric bass, sparse, key of A minor."
