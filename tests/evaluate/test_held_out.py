"""The 200 prompts that come with the package."""

from __future__ import annotations

from pathlib import Path

import midi_llm.evaluate
from midi_llm.evaluate.prompts import facts_count, read_prompts

PROMPTS = read_prompts(Path(midi_llm.evaluate.__file__).with_name("prompts.jsonl"))


def runs_of_six(text: str) -> set[tuple[str, ...]]:
    words = "".join(c if c.isalnum() else " " for c in text.lower()).split()
    return {tuple(words[start : start + 6]) for start in range(len(words) - 5)}


def test_there_are_200_and_no_two_share_six_words() -> None:
    assert len(PROMPTS) == 200
    assert len({prompt.text.lower() for prompt in PROMPTS}) == 200
    seen: set[tuple[str, ...]] = set()
    for prompt in PROMPTS:
        own = runs_of_six(prompt.text)
        assert not own & seen, prompt.text
        seen |= own


def test_every_checkable_fact_is_stated_often_enough_to_be_measured() -> None:
    counts = facts_count(PROMPTS)
    least = {"instruments": 140, "bpm": 45, "pace": 45, "key": 35, "metre": 25, "only": 35, "density": 20}
    least |= {"seconds": 15, "without": 10, "register": 10}
    assert all(counts[name] >= count for name, count in least.items()), counts


def test_a_tempo_that_is_stated_stands_in_the_text() -> None:
    for prompt in PROMPTS:
        if prompt.facts.bpm is not None:
            assert any(c.isdigit() for c in prompt.text), prompt.text
