"""Every claim of every caption is true of its facts, by an independent reader; and the reader notices false ones."""

import numpy as np
import pytest

from data.claims import false_claims
from data.random_facts import random_facts
from midi_llm.data.captions import caption
from midi_llm.data.facts import Facts

FACTS = Facts(
    instruments=(27, 128), shares=(0.6, 0.4), seconds=31.0, notes=400, relative_density=20.0, polyphony=2.0,
    mean_pitch=60.0, bpm=125.0, metre=(4, 4), key="C major", genres=("rock",), moods=("calm", "dark"),
)  # fmt: skip


def test_every_claim_of_thousands_of_captions_is_true():
    for seed in range(800):
        rng = np.random.default_rng(seed)
        facts = random_facts(rng)
        for text in [caption(facts, rng) for _ in range(4)]:
            assert false_claims(text, facts) == [], (text, facts)


@pytest.mark.parametrize(
    "text",
    ["a rock song at 124 bpm", "around 130 bpm", "124, rock", "in D minor", "C minor", "Cm", "a minor key", "3/4",
    "in six-eight time",
     "waltz time", "slow rock", "allegretto-free adagio", "sparse rock", "moderately busy", "piano rock",
     "with strings", "a drum and banjo",
     "no drums", "drumless", "solo guitar", "a trio", "three instruments", "five-piece band", "sad rock", "jazz",
     "quiet", "staccato",
     "swung", "with an ending", "intro", "monophonic", "chords: Am F C G", "Am-F-C-G", "16 bars", "about 60 seconds",
     "two minutes",
     "in AABA form", "legato", "loud", "brass", "high register", "getting louder", "looping"],
)  # fmt: skip
def test_the_reader_notices_a_false_caption(text):
    assert false_claims(text, FACTS)


def test_the_reader_accepts_a_true_caption():
    text = "A calm and dark, very dense rock song in C major, 125 bpm, 4/4, about 30 seconds, with drums"
    assert false_claims(text, FACTS) == []
