"""Prompts with facts as files, and the intervals of numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi_llm.errors import RequestError
from midi_llm.evaluate.metric import Measured, Metric, bootstrap, summarise
from midi_llm.evaluate.prompts import (
    Prompt,
    PromptFacts,
    facts_count,
    prompt_from_json,
    prompt_to_json,
    read_prompts,
)
from midi_llm.music.key import KEYS
from midi_llm.music.score import DRUMS

GROUPS = st.lists(st.lists(st.integers(0, DRUMS), min_size=1, max_size=3).map(tuple), max_size=3).map(tuple)
WORDS = st.lists(st.text(min_size=1, max_size=8), max_size=2).map(tuple)
FACTS = st.builds(
    PromptFacts,
    instruments=GROUPS,
    only=st.booleans(),
    bpm=st.none() | st.floats(20, 400),
    pace=st.sampled_from([None, "slow", "medium", "fast"]),
    metre=st.sampled_from([None, (3, 4), (6, 8)]),
    seconds=st.none() | st.floats(1, 600),
    density=st.sampled_from([None, "sparse", "dense"]),
    register=st.sampled_from([None, "low", "high"]),
    moods=WORDS,
    styles=WORDS,
)


@given(FACTS, st.sampled_from([None, *KEYS]))
def test_a_prompt_survives_the_way_through_json(facts: PromptFacts, key: str | None) -> None:
    mode = key.split()[1] if key else None
    values = {name: getattr(facts, name) for name in PromptFacts.__dataclass_fields__} | {"key": key, "mode": mode}
    prompt = Prompt(id="p-1", text="a waltz", facts=PromptFacts(**values))
    assert prompt_from_json(json.loads(json.dumps(prompt_to_json(prompt))), default_id="x") == prompt


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[]", "expected an object with a prompt"),
        ('{"prompt": " "}', "expected a text"),
        ('{"prompt": "a", "file": "x.mid"}', "unknown field 'file'; allowed are id, prompt, facts"),
        ('{"prompt": "a", "id": "../x"}', "allowed are 1 to 64 letters"),
        ('{"prompt": "a", "facts": {"tempo": 90}}', "unknown fact 'tempo'; allowed are bpm"),
        ('{"prompt": "a", "facts": {"bpm": 900}}', "allowed is up to 400"),
        ('{"prompt": "a", "facts": {"bpm": true}}', "expected a positive number"),
        ('{"prompt": "a", "facts": {"key": "H major"}}', "allowed are C major"),
        ('{"prompt": "a", "facts": {"key": "C major", "mode": "minor"}}', "but the key is 'C major'"),
        ('{"prompt": "a", "facts": {"metre": [3, 5]}}', r"expected e.g. \[3, 4\]"),
        ('{"prompt": "a", "facts": {"instruments": [0]}}', "expected a list of list"),
        ('{"prompt": "a", "facts": {"instruments": [[200]]}}', "expected instruments 0 to 128"),
        ('{"prompt": "a", "facts": {"only": 1}}', "expected true or false"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text(f'{{"prompt": "fine"}}\n\n{line}\n', encoding="utf-8")
    with pytest.raises(RequestError, match=rf"line 3: .*{message}"):
        read_prompts(path)


def test_prompts_without_an_id_are_numbered_by_line_and_ids_are_used_once(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "a"}\n{"prompt": "b", "facts": {"bpm": 90}}\n', encoding="utf-8")
    prompts = read_prompts(path)
    assert [(prompt.id, prompt.text) for prompt in prompts] == [("p0001", "a"), ("p0002", "b")]
    assert facts_count(prompts)["bpm"] == 1
    path.write_text('{"prompt": "a", "id": "x"}\n{"prompt": "b", "id": "x"}\n', encoding="utf-8")
    with pytest.raises(RequestError, match="the id 'x' is used twice"):
        read_prompts(path)
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(RequestError, match="holds no prompt"):
        read_prompts(path)


def test_drums_are_asked_for_ruled_out_or_not_mentioned() -> None:
    assert PromptFacts(instruments=((0,), (DRUMS,))).drums is True
    assert PromptFacts(instruments=((0,),)).drums is None
    assert PromptFacts(instruments=((0,),), only=True).drums is False
    assert PromptFacts(without=(DRUMS,)).drums is False


METRIC = Metric(name="test.mean", unit="share", better="higher", about="a test")


def test_an_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    result = summarise(Measured(metric=METRIC, values=values), np.arange(400))
    half = 1.96 * values.std() / 20
    assert result.value == pytest.approx(values.mean(), abs=1e-12)
    assert (result.high - result.low) / 2 == pytest.approx(half, rel=0.1)


def test_takes_of_one_prompt_are_no_independent_evidence() -> None:
    values = np.repeat(np.random.default_rng(2).normal(size=50), 8)
    apart = summarise(Measured(metric=METRIC, values=values), np.arange(400))
    together = summarise(Measured(metric=METRIC, values=values), np.repeat(np.arange(50), 8))
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_what_does_not_apply_is_left_out_and_nothing_is_no_number() -> None:
    values = np.array([1.0, np.nan, 3.0])
    result = summarise(Measured(metric=METRIC, values=values), np.arange(3))
    assert (result.value, result.count) == (2.0, 2)
    assert np.isnan(result.values[1])
    nothing = summarise(Measured(metric=METRIC, values=np.full(3, np.nan)), np.arange(3))
    assert nothing.count == 0
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()


def test_the_same_seed_gives_the_same_interval() -> None:
    groups = np.arange(20)
    intervals = [bootstrap(lambda chosen: float(chosen.mean()), groups, seed=seed) for seed in (3, 3, 4)]
    assert intervals[0] == intervals[1] != intervals[2]
