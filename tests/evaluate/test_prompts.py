import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi_llm.errors import RequestError
from midi_llm.evaluate.prompts import (
    Prompt,
    PromptFacts,
    facts_count,
    facts_from_json,
    prompt_from_json,
    prompt_to_json,
    read_prompts,
)
from midi_llm.music.key import KEYS
from midi_llm.music.score import DRUMS

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(str.strip)
GROUPS = st.lists(st.integers(0, DRUMS), min_size=1, max_size=5).map(tuple)


@st.composite
def all_facts(draw):
    key = draw(st.none() | st.sampled_from(KEYS))
    mode = key.split()[1] if key else draw(st.sampled_from((None, "major", "minor")))
    instruments = tuple(draw(st.lists(GROUPS, max_size=4)))
    asked = {number for group in instruments for number in group}
    return PromptFacts(
        instruments=instruments,
        only=bool(instruments) and draw(st.booleans()),
        without=tuple(number for number in draw(st.just(()) | GROUPS) if number not in asked),
        bpm=draw(st.none() | st.floats(0, 400, exclude_min=True)),
        pace=draw(st.sampled_from((None, "slow", "medium", "fast"))),
        key=key,
        mode=mode,
        metre=draw(st.none() | st.tuples(st.integers(1, 32), st.sampled_from((1, 2, 4, 8, 16, 32)))),
        seconds=draw(st.none() | st.floats(0, exclude_min=True, allow_infinity=False)),
        density=draw(st.sampled_from((None, "sparse", "dense"))),
        register=draw(st.sampled_from((None, "low", "high"))),
        moods=tuple(draw(st.lists(TEXTS, max_size=3))),
        styles=tuple(draw(st.lists(TEXTS, max_size=3))),
    )


PROMPTS = st.builds(Prompt, id=st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True), text=TEXTS, facts=all_facts())


def written(path, *values):
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


@given(PROMPTS)
def test_a_prompt_survives_json(prompt):
    value = json.loads(json.dumps(prompt_to_json(prompt)))
    assert prompt_from_json(value, default_id="unused") == prompt


@given(st.lists(PROMPTS, min_size=1, max_size=4, unique_by=lambda prompt: prompt.id))
def test_a_file_survives(tmp_path_factory, prompts):
    path = written(tmp_path_factory.mktemp("prompts") / "p.jsonl", *map(prompt_to_json, prompts))
    assert read_prompts(path) == prompts


def test_what_is_not_stated_is_not_written():
    assert prompt_to_json(Prompt(id="a", text="a tune")) == {"id": "a", "prompt": "a tune", "facts": {}}
    facts = PromptFacts(only=True, metre=(3, 4), instruments=((0, 1), (40,)))
    assert prompt_to_json(Prompt(id="a", text="a tune", facts=facts))["facts"] == {
        "instruments": [[0, 1], [40]], "only": True, "metre": [3, 4],
    }  # fmt: skip


def test_a_key_brings_its_mode_and_null_is_not_stated():
    assert facts_from_json({"key": "Gb minor"}) == PromptFacts(key="Gb minor", mode="minor")
    assert facts_from_json({"key": None, "mode": "major", "bpm": None}) == PromptFacts(mode="major")


def test_lines_without_an_id_are_numbered_and_blank_ones_skipped(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "a"}\n\n{"prompt": "b", "id": "x"}\n  \n{"prompt": "é"}\n', encoding="utf-8")
    assert [(prompt.id, prompt.text) for prompt in read_prompts(path)] == [("p0001", "a"), ("x", "b"), ("p0005", "é")]


@pytest.mark.parametrize(
    ("facts", "drums"),
    [
        ({}, None),
        ({"instruments": [[0]]}, None),
        ({"instruments": [[0]], "only": True}, False),
        ({"instruments": [[0], [117, 128]], "only": True}, True),
        ({"instruments": [[128]]}, True),
        ({"without": [128]}, False),
        ({"without": [40]}, None),
    ],
)
def test_drums_are_asked_for_ruled_out_or_not_mentioned(facts, drums):
    assert facts_from_json(facts).drums is drums


def test_facts_are_counted_most_stated_first():
    one = Prompt(id="1", text="a", facts=PromptFacts(bpm=90.0, key="C major", mode="major"))
    two = Prompt(id="2", text="b", facts=PromptFacts(mode="minor", only=False))
    counts = facts_count([one, two])
    assert next(iter(counts.items())) == ("mode", 2)
    assert {name for name, count in counts.items() if count == 1} == {"bpm", "key"}
    assert sum(counts.values()) == 4


WRONG_FACTS = [
    ([], TypeError, r"facts is \[\]; expected an object"),
    ({"tempo": 90}, ValueError, "unknown fact 'tempo'; allowed are bpm, .*, without"),
    ({"pace": "brisk"}, ValueError, "pace is 'brisk'; allowed are slow, medium, fast"),
    ({"density": 3}, ValueError, "density is 3; allowed are sparse, dense"),
    ({"register": "mid"}, ValueError, "register is 'mid'; allowed are low, high"),
    ({"mode": "dorian"}, ValueError, "mode is 'dorian'; allowed are major, minor"),
    ({"key": "F# minor"}, ValueError, "key is 'F# minor'; allowed are C major, Db major, .*, B minor"),
    ({"key": "A minor", "mode": "major"}, ValueError, "mode is 'major', but the key is 'A minor'"),
    ({"only": True}, ValueError, "only is true without instruments"),
    (
        {"instruments": [[0], [128]], "without": [128, 40]},
        ValueError,
        r"instruments asks for \[128\], without rules all",
    ),
    ({"only": 1}, TypeError, "only is 1; expected true or false"),
    ({"bpm": "90"}, ValueError, "bpm is '90'; expected a positive number"),
    ({"bpm": True}, ValueError, "bpm is True; expected a positive number"),
    ({"bpm": 0}, ValueError, "bpm is 0; expected a positive number"),
    ({"bpm": math.nan}, ValueError, "bpm is nan; expected a positive number"),
    ({"bpm": 400.5}, ValueError, "bpm is 400.5; allowed is up to 400"),
    ({"seconds": -1}, ValueError, "seconds is -1; expected a positive number"),
    ({"seconds": math.inf}, ValueError, "seconds is inf; expected a positive number"),
    ({"moods": "sad"}, TypeError, "moods is 'sad'; expected a list of str"),
    ({"styles": ["jazz", 3]}, TypeError, r"styles is \['jazz', 3\]; expected a list of str"),
    ({"metre": "3/4"}, TypeError, "metre is '3/4'; expected a list of int"),
    ({"metre": [3, 5]}, ValueError, r"metre is \[3, 5\]; expected e.g. \[3, 4\]"),
    ({"metre": [0, 4]}, ValueError, r"metre is \[0, 4\]; expected e.g. \[3, 4\]"),
    ({"metre": [True, 4]}, TypeError, r"metre is \[True, 4\]; expected a list of int"),
    ({"without": []}, ValueError, r"without has \[\]; expected instruments 0 to 128 \(128 = drums\)"),
    ({"without": [129]}, ValueError, r"without has \[129\]; expected instruments 0 to 128"),
    ({"instruments": [0]}, TypeError, r"instruments is \[0\]; expected a list of list"),
    ({"instruments": [[]]}, ValueError, r"instruments has \[\]; expected instruments 0 to 128"),
    ({"instruments": [[0.0]]}, TypeError, r"instruments is \[0.0\]; expected a list of int"),
    ({"instruments": [[-1]]}, ValueError, r"instruments has \[-1\]; expected instruments 0 to 128"),
]
WRONG_PROMPTS = [
    (
        {"prompt": "half a pair \ud800"},
        ValueError,
        r"prompt is 'half a pair \\ud800'; expected a text in valid Unicode",
    ),
    ("a tune", TypeError, "expected an object with a prompt, found 'a tune'"),
    ({"text": "a"}, ValueError, "unknown field 'text'; allowed are id, prompt, facts"),
    ({"id": "x"}, ValueError, "prompt is None; expected a text"),
    ({"prompt": " \n"}, ValueError, r"prompt is ' \\n'; expected a text"),
    ({"prompt": "a", "id": "../x y"}, ValueError, "id is '../x y'; allowed are 1 to 64 letters, digits"),
    ({"prompt": "a", "id": 7}, ValueError, "id is 7; allowed are 1 to 64 letters"),
    ({"prompt": "a", "id": "x" * 65}, ValueError, "id is 'x+; allowed are 1 to 64"),
]


@pytest.mark.parametrize(("facts", "kind", "message"), WRONG_FACTS)
def test_a_wrong_fact_is_named(facts, kind, message):
    with pytest.raises(kind, match=f"^{message}"):
        facts_from_json(facts)


@pytest.mark.parametrize(("value", "kind", "message"), WRONG_PROMPTS)
def test_a_wrong_prompt_is_named(value, kind, message):
    with pytest.raises(kind, match=f"^{message}"):
        prompt_from_json(value, default_id="p0001")


@pytest.mark.parametrize(
    ("value", "message"),
    [(value, message) for value, _, message in WRONG_PROMPTS]
    + [({"prompt": "a", "facts": facts}, message) for facts, _, message in WRONG_FACTS],
)
def test_a_file_names_the_line(tmp_path, value, message):
    path = written(tmp_path / "p.jsonl", {"prompt": "fine"}, value)
    with pytest.raises(RequestError, match=f"p.jsonl line 2: {message}"):
        read_prompts(path)


@pytest.mark.parametrize("line", ['{"prompt": "a"', "nonsense", '{"prompt": "a"} {}', "[" * 100_000])
def test_what_is_no_json_names_the_line(tmp_path, line):
    path = tmp_path / "p.jsonl"
    path.write_text(f"\n{line}\n", encoding="utf-8")
    with pytest.raises(RequestError, match=r"p.jsonl line 2: "):
        read_prompts(path)


def test_an_id_used_twice_is_refused(tmp_path):
    path = written(tmp_path / "p.jsonl", {"prompt": "a", "id": "p0002"}, {"prompt": "b"})
    with pytest.raises(RequestError, match="line 2: the id 'p0002' is used twice; give every prompt its own"):
        read_prompts(path)


def test_a_file_that_cannot_be_read_or_holds_nothing_is_refused(tmp_path):
    with pytest.raises(RequestError, match=r"absent.jsonl cannot be read: .*; it must be JSONL in UTF-8"):
        read_prompts(tmp_path / "absent.jsonl")
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes('{"prompt": "café"}'.encode("latin-1"))
    with pytest.raises(RequestError, match=r"latin.jsonl cannot be read: .*utf-8"):
        read_prompts(latin)
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n \n", encoding="utf-8")
    with pytest.raises(RequestError, match=r'empty.jsonl holds no prompt; expected lines such as \{"prompt": "a slow'):
        read_prompts(empty)
