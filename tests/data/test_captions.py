import re
from dataclasses import replace

import numpy as np
import pytest

from data.corpora import make_score
from midi_llm.data.captions import Facts, caption, window_facts
from midi_llm.data.windows import cut_window
from midi_llm.data.wording import SPOKEN
from midi_llm.music.instruments import instrument_name

FACTS = Facts(
    instruments=("Electric Guitar (clean)", "Drums"), solo=False, genres=("rock",), moods=("calm", "dark"), bpm=125.0,
    metre=(4, 4), key="C major", relative_density=20.0,
)  # fmt: skip


def many(facts, count=400):
    rng = np.random.default_rng(0)
    return [caption(facts, rng) for _ in range(count)]


def test_captions_vary_and_are_one_clean_line():
    texts = many(FACTS)
    assert len(set(texts)) > 350
    for text in texts:
        assert text
        assert text == text.strip()
        assert "  " not in text
        assert "\n" not in text


def test_a_caption_states_only_numbers_and_keys_that_hold():
    for text in many(FACTS):
        assert set(re.findall(r"\b\d{2,3}\b", text)) <= {"125"}
        assert set(re.findall(r"\b\d/\d\b", text)) <= {"4/4"}
        assert "minor" not in text
        assert "sparse" not in text
        assert "slow" not in text


@pytest.mark.parametrize(
    ("density", "said", "never"),
    [(2.0, "sparse", "dense|busy|many"), (7.0, "moderate", "sparse|few|dense"), (14.0, "dense", "sparse|few|moderate")],
)
def test_density_is_said_often_and_truly(density, said, never):
    texts = many(replace(FACTS, relative_density=density))
    assert sum(said in text.lower() for text in texts) > 40
    assert not any(re.search(never, text.lower()) for text in texts)


def test_unknown_facts_are_never_stated():
    facts = Facts(
        instruments=("Flute",), solo=True, genres=(), moods=(), bpm=None, metre=None, key=None, relative_density=9.5
    )
    for text in many(facts):
        assert not re.search(r"\d|bpm|major|minor|dense|sparse|fast|slow", text.lower()), text


def test_a_guitar_is_named_in_most_captions_and_no_other_instrument_ever():
    texts = [t.lower() for t in many(FACTS)]
    assert sum("guitar" in t for t in texts) > 200
    assert not any(re.search(r"piano|flute|violin|bass\b", t) for t in texts)


def test_facts_are_counted_in_the_window():
    window = cut_window(make_score(0), key="C major", tempo_is_known=True, max_notes=90, rng=np.random.default_rng(0))
    assert window is not None
    facts = window_facts(window, {"genres": ["rock"], "mood_est": ["sad"]})
    assert facts.instruments == ("Acoustic Grand Piano", "Drums")
    assert facts.solo is False
    assert facts.moods == ("sad",)
    assert facts.relative_density == pytest.approx(len(window.events) / window.seconds / 2**0.5)


def test_every_spoken_name_belongs_to_an_instrument():
    assert set(SPOKEN) <= {instrument_name(i) for i in range(129)}
