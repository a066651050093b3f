"""The 200 prompts: every fact stands in its text, and what docs/prompts.md calls a fact has its fact."""

import json
import re
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from data.random_facts import random_facts
from midi_llm.data.captions import caption
from midi_llm.evaluate import prompts as module
from midi_llm.evaluate.prompts import facts_count, prompt_to_json, read_prompts
from midi_llm.music.instruments import FAMILIES
from midi_llm.music.key import KEYS
from midi_llm.music.score import DRUMS

FILE = Path(module.__file__).with_name("prompts.jsonl")
TABLES = Path(__file__).resolve().parents[2] / "docs" / "prompts.md"
PROMPTS = read_prompts(FILE)
CAPTIONS, RUN = 2000, 6

PITCH_NAMES = {"C#": "Db", "D#": "Eb", "F#": "Gb", "G#": "Ab", "A#": "Bb", "Re": "D"}
FULL_KEY = re.compile(r"(?<!\w)([A-G]|b|re)(?:[ -]?(#|b|sharp|flat))? (major|minor)(?! key)")
BARE_KEY = re.compile(r"(?:in|key of|,) ([A-G])(?: (flat))?(?![\w#])(?! (?:flat|sharp|major|minor|dorian))")
BPM = re.compile(
    r"(\d+)(?:ish)? ?(?:bpm|beats (?:per|a) minute)|\b(?:at|tempo:?|bpm=|crotchet =) ?(\d+)(?! ?[\dbs])", re.I
)
SECONDS = re.compile(r"(?:(\d+|ten|thirty|forty|fifty) sec(?:ond)?s?|half (a) minute|about a (minute))\b", re.I)
SECONDS_OF = {"ten": 10, "thirty": 30, "forty": 40, "fifty": 50, "a": 30, "minute": 60}
ONLY = re.compile(
    r"\b(?:solo|alone|only|just|unaccompanied|nobody else|nothing else|no other|nothing but|by itself|for|thats it"
    r"|four hands|no instruments|quartet|quintet|trio|duet)\b|^[^:]*:",
    re.I,
)
ALWAYS_ONLY = re.compile(r"\b(?:alone|unaccompanied|nobody else|nothing else|no other|nothing but|by itself)\b", re.I)
RULED_OUT = re.compile(r"\b(?:no|without|leave out any)\b[\w ]*$", re.I)
AT_LEAST = {
    "instruments": 140, "only": 45, "without": 15, "bpm": 50, "pace": 50, "key": 40, "mode": 55, "metre": 25,
    "seconds": 20, "density": 30, "register": 15, "moods": 115, "styles": 120,
}  # fmt: skip


@cache
def tables():
    """Noun -> instruments, ensemble -> nouns, word -> (fact, value), as docs/prompts.md says."""
    nouns, ensembles, words = {}, {}, {}
    for line in TABLES.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("| ") else []
        if len(cells) == 3 and cells[0] != "fact":
            assert not words.keys() & set(cells[2].split(", "))
            words |= dict.fromkeys(cells[2].split(", "), (cells[0], cells[1]))
        elif len(cells) == 2 and cells[1][0].isdigit():
            assert not nouns.keys() & set(cells[0].split(", "))
            nouns |= {noun: numbers(cells[1]) for noun in cells[0].split(", ")}
        elif len(cells) == 2 and cells[0] != "words":
            ensembles[cells[0]] = cells[1].split(", ")
    return nouns, ensembles, words


def numbers(cell):
    ends = [[int(end) for end in part.split("-")] for part in cell.split(", ")]
    return tuple(number for part in ends for number in range(part[0], part[-1] + 1))


def found(text, words):
    """(word, where) for those of `words` that stand in `text`, a plural too; of two that overlap, the longer."""
    longest_first = sorted(words, key=len, reverse=True)
    pattern = re.compile("|".join(rf"(?<!\w)({re.escape(word)})s?(?!\w)" for word in longest_first), re.I)
    return [(longest_first[match.lastindex - 1], match.start()) for match in pattern.finditer(text)]


def groups_named(text):
    """The instrument groups that `text` asks for, and all instruments that it rules out."""
    nouns, ensembles, _ = tables()
    asked, excluded, last = [], set(), ""
    for word, start in found(text, [*nouns, *ensembles]):
        groups = [nouns[noun] for noun in ensembles.get(word, [word])]
        if RULED_OUT.search(text[:start]):
            excluded |= set(groups[0])
        elif asked and text[:start].endswith(f"{last} or "):
            asked[-1] = tuple(sorted({*asked[-1], *groups[0]}))
        else:
            asked += [group for group in groups if group not in asked]
        last = text[start : start + len(word)]
    return set(asked), excluded


def words_of(text):
    return re.findall(r"[\w#/']+", text.lower())


def runs(text):
    words = words_of(text)
    return {tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)}


def each(check):
    """A test of all prompts; the trace of a failure shows the prompt."""

    def test():
        for prompt in PROMPTS:
            check(prompt)

    return test


@each
def test_instruments_are_those_of_the_table(prompt):
    asked, excluded = groups_named(prompt.text)
    assert set(prompt.facts.instruments) == asked
    assert set(prompt.facts.without) == excluded
    assert not excluded & {member for group in asked for member in group}


@each
def test_pace_density_register_and_metre_are_those_of_the_table(prompt):
    _, _, words = tables()
    said = {words[word] for word, _ in found(prompt.text.lower(), words)}
    facts = prompt.facts
    metre = None if facts.metre is None else "/".join(map(str, facts.metre))
    stated = [("pace", facts.pace), ("density", facts.density), ("register", facts.register), ("metre", metre)]
    assert {pair for pair in stated if pair[1] is not None} == said


@each
def test_numbers_are_those_of_the_text(prompt):
    bpm = {float(match[1] or match[2]) for match in BPM.finditer(prompt.text)}
    assert bpm == ({prompt.facts.bpm} - {None})
    lengths = {next(filter(None, match.groups())).lower() for match in SECONDS.finditer(prompt.text)}
    assert {float(SECONDS_OF.get(length, length)) for length in lengths} == ({prompt.facts.seconds} - {None})
    assert prompt.facts.seconds is None or prompt.facts.seconds <= 60


@each
def test_key_and_mode_are_those_of_the_text(prompt):
    said = [match.groups() for match in FULL_KEY.finditer(prompt.text)]
    said += [(letter, flat, "major") for letter, flat in BARE_KEY.findall(prompt.text)]
    tonics = [letter.capitalize() + {"sharp": "#", "flat": "b"}.get(sign, sign or "") for letter, sign, _ in said]
    keys = {f"{PITCH_NAMES.get(tonic, tonic)} {mode}" for tonic, (_, _, mode) in zip(tonics, said, strict=True)}
    assert keys == ({prompt.facts.key} - {None})
    modes = set(re.findall(r"\b(?:major|minor)\b", prompt.text)) | {key.split()[1] for key in keys}
    assert modes == ({prompt.facts.mode} - {None})


@each
def test_moods_and_styles_stand_in_the_text(prompt):
    for word in (*prompt.facts.moods, *prompt.facts.styles):
        assert re.search(rf"(?<!\w){re.escape(word)}(?!\w)", prompt.text)


@each
def test_only_has_a_reason_in_the_text(prompt):
    if prompt.facts.only:
        assert prompt.facts.instruments
        assert ONLY.search(prompt.text)
    else:
        assert not ALWAYS_ONLY.search(prompt.text)


def test_words_of_pace_agree_with_the_beats_a_minute():
    pairs = [(prompt.facts.pace, prompt.facts.bpm) for prompt in PROMPTS if prompt.facts.pace and prompt.facts.bpm]
    assert len(pairs) >= 2
    assert all({"slow": bpm < 84, "medium": 84 <= bpm <= 112, "fast": bpm > 112}[pace] for pace, bpm in pairs)


def test_there_are_200_in_the_form_that_the_reader_writes():
    lines = FILE.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [prompt_to_json(prompt) for prompt in PROMPTS]
    assert [prompt.id for prompt in PROMPTS] == [f"p{number:03d}" for number in range(1, 201)]


def test_enough_prompts_state_each_fact():
    counts = facts_count(PROMPTS)
    assert {name: counts[name] for name in AT_LEAST if counts[name] < AT_LEAST[name]} == {}
    facts = [prompt.facts for prompt in PROMPTS]
    assert sum(one.mode is not None and one.key is None for one in facts) >= 15
    assert sum(one.only and len(one.instruments) == 1 for one in facts) >= 30
    assert {one.key for one in facts} >= set(KEYS)
    speeds = sorted(one.bpm for one in facts if one.bpm)
    assert speeds[0] <= 50
    assert speeds[-1] >= 190
    assert all(later - earlier <= 10 for earlier, later in pairwise(speeds))


def test_every_family_is_asked_for_and_every_word_of_the_tables_is_used():
    groups = {group for prompt in PROMPTS for group in prompt.facts.instruments}
    reached = {member // 8 for group in groups for member in group if member != DRUMS}
    assert reached == set(range(len(FAMILIES)))
    assert any(DRUMS in group for group in groups)
    nouns, ensembles, words = tables()
    for vocabulary in ([*nouns, *ensembles], list(words)):
        used = {word for prompt in PROMPTS for word, _ in found(prompt.text, vocabulary)}
        implied = {noun for ensemble in ensembles.values() for noun in ensemble}
        assert set(vocabulary) - used - implied == set()


def test_lengths_and_openings_differ():
    lengths = sorted(len(prompt.text.split()) for prompt in PROMPTS)
    assert lengths[0] == 2
    assert 45 <= lengths[-1] <= 60
    assert lengths[20] <= 5
    assert lengths[-20] >= 25
    openings = Counter(tuple(words_of(prompt.text)[:2]) for prompt in PROMPTS)
    assert openings.most_common(1)[0][1] <= 2
    assert sum(prompt.text == prompt.text.lower() for prompt in PROMPTS) >= 50
    assert sum("?" in prompt.text for prompt in PROMPTS) >= 8


def test_no_two_prompts_share_six_words_in_a_row():
    seen = Counter(run for prompt in PROMPTS for run in runs(prompt.text))
    assert [run for run, count in seen.items() if count > 1] == []


def test_no_prompt_comes_from_the_caption_templates():
    ours = {run for prompt in PROMPTS for run in runs(prompt.text)}
    short = {tuple(words_of(prompt.text)) for prompt in PROMPTS if len(words_of(prompt.text)) < RUN}
    rng = np.random.default_rng(0)
    captions = [caption(random_facts(rng), rng) for _ in range(CAPTIONS)]
    assert ours & set().union(*map(runs, captions)) == set()
    assert short & {tuple(words_of(text)) for text in captions} == set()


def test_the_comparison_with_captions_can_fail():
    rng = np.random.default_rng(0)
    captions = [caption(random_facts(rng), rng) for _ in range(50)]
    assert any(runs(f"please, {text}, thanks") & runs(text) for text in captions)
