import re
from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest

from data.random_facts import random_facts
from midi_llm.data.captions import MAX_CHARACTERS, caption, one_line
from midi_llm.data.captions import measured as words
from midi_llm.data.captions.genres import spoken_composer, spoken_genres, spoken_moods
from midi_llm.data.captions.grammar import Wording, listing, with_article
from midi_llm.data.captions.players import group_nouns, is_solo, name_instruments
from midi_llm.data.captions.spoken import SPOKEN
from midi_llm.data.captions.statements import WEIGHTS, choose
from midi_llm.data.facts import Facts

FACTS = Facts(
    instruments=(27, 128), shares=(0.6, 0.4), seconds=31.0, notes=400, relative_density=20.0, polyphony=2.0,
    mean_pitch=60.0, bpm=125.0, metre=(4, 4), key="C major", genres=("rock",), moods=("calm", "dark"),
)  # fmt: skip


def many(facts, count=300, **options):
    rng = np.random.default_rng(0)
    return [caption(facts, rng, **options) for _ in range(count)]


def random_captions(pieces, each):
    for seed in range(pieces):
        rng = np.random.default_rng(seed)
        facts = random_facts(rng)
        yield facts, [caption(facts, rng) for _ in range(each)]


def test_a_thousand_pieces_give_ten_thousand_wordings_of_one_clean_line_each():
    texts = [text for _, some in random_captions(1000, 11) for text in some]
    assert len(set(texts)) > 10_000
    for text in texts:
        assert text == one_line(text)
        assert 0 < len(text) <= MAX_CHARACTERS
        assert not re.search(
            r"[{}]|\ba [aio][a-z]|\ban [bcdgjkpqtvwz][a-z]|,,| ,|\.\.|\b(with|and|in|the|a) \1\b", text
        ), text
        assert not re.search(r"(?:,| with| and| in| for| a)[.?]?$", text), text


def test_captions_of_one_window_differ():
    assert len(set(many(FACTS))) > 280


def test_the_same_generator_writes_the_same_caption():
    assert many(FACTS, 20) == many(FACTS, 20)


@pytest.mark.parametrize(
    ("density", "said", "never"),
    [(2.0, "sparse|few notes|minimal|empty|space|room|uncluttered|hardly", "dense|busy|many|lots of notes"),
     (7.0, "moderate|medium|not too busy", "sparse|few notes|dense"),
     (14.0, "dense|busy|many|lots of notes|packed", "sparse|few notes|moderate|medium")],
)  # fmt: skip
def test_density_is_said_in_most_captions_and_truly(density, said, never):
    texts = many(replace(FACTS, relative_density=density, bpm=None), 600)
    assert sum(bool(re.search(said, text.lower())) for text in texts) > 0.55 * len(texts)
    assert not any(re.search(never, text.lower()) for text in texts)


def test_unknown_facts_are_never_stated():
    facts = Facts(
        instruments=(73,), shares=(1.0,), seconds=5.0, notes=30, relative_density=9.5, polyphony=1.2, mean_pitch=60.0
    )
    said = "bpm|major|minor|dense|sparse|fast|slow|tempo|key|ending|intro|loud|soft|swing|style"
    for text in many(facts):
        assert not re.search(rf"\d|\b(?:{said})\b", text.lower()), text


def test_moods_that_are_measures_are_never_said():
    assert spoken_moods(replace(FACTS, moods=("slow", "Dark", "dense"))) == ["dark"]


def test_genres_are_said_only_where_the_window_agrees():
    facts = replace(FACTS, genres=("waltz", "slow blues", "piano ballad", "jazz guitar", "groove4", "Irish", "hiphop"))
    assert spoken_genres(facts) == ["jazz guitar", "Irish", "hip hop"]
    facts = replace(facts, bpm=70.0, metre=(3, 4), instruments=(0, 128))
    assert spoken_genres(facts) == ["waltz", "slow blues", "piano ballad", "Irish", "hip hop"]


@pytest.mark.parametrize(
    ("composer", "spoken"),
    [("J. S. Bach", ("Bach", "Johann Sebastian Bach")), ("Johann Sebastian BACH", ("Bach", "Johann Sebastian Bach")),
     ("J.S. Bach", ("Bach", "Johann Sebastian Bach")), ("Carl Philipp Emanuel Bach", ("Carl Philipp Emanuel Bach",)),
     ("G. F. Händel", ("Handel", "George Frideric Handel")), ("Fryderyk Chopin", ("Chopin", "Frédéric Chopin")),
     ("Clara Schumann", ("Clara Schumann",)), ("Anonymous", ()), ("generated (own work)", ()), ("shunter", ()),
     ("Groove MIDI Dataset drummer7", ()), ("Arr. Y. Nagai, K. Obata", ()), ("", ())],
)  # fmt: skip
def test_composers_are_called_as_people_call_them(composer, spoken):
    assert spoken_composer(composer) == spoken


def test_players_are_counted_truly():
    assert is_solo(replace(FACTS, instruments=(0,)))
    assert not is_solo(replace(FACTS, instruments=(48,)))  # a string section
    assert not is_solo(replace(FACTS, instruments=(40,), polyphony=2.0))  # more than one violin
    assert "piano trio" in group_nouns(replace(FACTS, instruments=(40, 0, 42)))
    assert "piano trio" not in group_nouns(replace(FACTS, instruments=(40, 0, 41)))
    assert "five-piece band" in group_nouns(replace(FACTS, instruments=(128, 33, 27, 0, 65)))
    assert "orchestral piece" in group_nouns(replace(FACTS, instruments=(40, 42, 73, 68, 60, 56, 47)))


def test_an_instrument_is_not_named_beside_its_own_kind():
    facts = replace(FACTS, instruments=(33, 32, 27), shares=(0.4, 0.3, 0.3))
    named = [name_instruments(facts, np.random.default_rng(seed)) for seed in range(200)]
    assert any("bass" in names for names in named)
    assert any("guitar" in names and "bass guitar" in names for names in named)
    assert not any("bass" in names and {"bass guitar", "upright bass", "double bass"} & set(names) for names in named)


def test_a_given_description_is_used_as_it_is_on_one_line():
    given = "A sad tune.\n It is slow."
    texts = many(FACTS, 400, captions=["", given])
    assert texts.count("A sad tune. It is slow.") == len(texts)
    assert one_line("Word. " * 200) == ("Word. " * 100).strip()
    assert one_line("a, " * 300) == ("a, " * 200).strip().rstrip(",")


def test_all_ways_of_writing_occur():
    counts = Counter(
        "request" if re.match(r"(?i)(please )?(write|compose|make|give|i need|could)", text)
        else "use" if " for my" in text or "battle" in text
        else "tags" if re.search(r" \| |; ", text)
        else "paragraph" if text.count(". ") > 1
        else "other"
        for _, some in random_captions(60, 10) for text in some
    )  # fmt: skip
    assert set(counts) == {"request", "use", "tags", "paragraph", "other"}


def test_the_tables_are_whole():
    assert len(SPOKEN) == 129
    assert all(name == name.strip() for names in SPOKEN for name in names)
    for name, wording in vars(words).items():
        if isinstance(wording, Wording):
            assert wording.after, name
            assert wording.tag, name
            assert wording.sentence, name
            assert all(template for field in fields(wording) for template in getattr(wording, field.name))


def test_every_topic_that_holds_can_be_chosen():
    rng = np.random.default_rng(0)
    found = Counter(s.topic for _ in range(300) for s in choose(random_facts(rng), 3, rng))
    assert set(found) == set(WEIGHTS)
    assert found["tempo"] > found["texture"]


def test_grammar():
    phrases = [
        "8-bit tune",
        "F minor waltz",
        "uk garage track",
        "R&B song",
        "18-bar tune",
        "16-bar tune",
        "euphoric tune",
    ]
    assert [with_article(phrase).split()[0] for phrase in phrases] == ["an", "an", "a", "an", "an", "a", "a"]
    assert listing(["a"]) + listing(["a", "b"]) + listing(["a", "b", "c"]) == "aa and ba, b and c"
