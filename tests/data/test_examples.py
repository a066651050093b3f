from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.corpora import make_score
from midi_llm.data import examples
from midi_llm.data.augment import AugmentSettings, Kinds, control_mask
from midi_llm.data.examples import ExampleSpec, encode_shortened, fit, make_example, text_examples
from midi_llm.data.sources.base import Metadata
from midi_llm.data.tokenizer import train_text_tokenizer
from midi_llm.data.windows import Window
from midi_llm.errors import DatasetError
from midi_llm.music.instruments import instrument_name
from midi_llm.music.score import NOTE_DTYPE, Score, Track
from midi_llm.prompt import PUBLISHED, PromptFormat
from midi_llm.tokens import vocab
from midi_llm.tokens.codec import REST_INSTRUMENT, decode, quantize
from midi_llm.tokens.controls import split_controls
from midi_llm.tokens.grammar import EventGrammar
from midi_llm.tokens.rests import remove_rests
from tokens.strategies import event_lists

T = 400
PROMPT = PromptFormat(prefix="", suffix=" ", bos=True)
KINDS = ("plain", "span", "random", "instrument")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "token-format.md"


@pytest.fixture(scope="module")
def tokenizer():
    return train_text_tokenizer(["a calm piece for piano and drums at 123 bpm. It is in C major, 4/4."] * 3, size=T)


def only(kind: str) -> Kinds:
    return Kinds(**{name: float(name == kind) for name in KINDS})


def make(tokenizer, seed, *, score=None, metadata=None, prompt_format=PROMPT, length=256, **changes):
    spec = ExampleSpec(**{"length": length, "kinds": only("plain"), "captioned": 1.0, **changes})
    return make_example(
        make_score(seed % 7) if score is None else score,
        Metadata() if metadata is None else metadata,
        spec=spec,
        tokenizer=tokenizer,
        prompt_format=prompt_format,
        rng=np.random.default_rng(seed),
    )


def music(example):
    return example.ids[example.music_start :] - T


def sparse_score() -> Score:
    """Two instruments: the first a note every 0.3 s, the second one every 4 s."""
    tracks = []
    for program, times in ((0, np.arange(80) * 0.3), (40, np.arange(6) * 4.0)):
        notes = np.zeros(len(times), NOTE_DTYPE)
        notes["time"], notes["duration"], notes["velocity"], notes["pitch"] = times, 0.2, 90, 60
        notes["pitch"] += np.arange(len(times), dtype=np.uint8) % 12
        tracks.append(Track(program=program, notes=notes))
    return Score(tracks=tuple(tracks))


@pytest.mark.parametrize("seed", range(6))
def test_a_plain_example_is_a_prompt_and_music_that_the_grammar_lets_through(tokenizer, seed):
    example = make(tokenizer, seed)
    assert example is not None
    assert example.kind == "plain"
    assert example.ids.dtype == np.int64
    assert len(example.ids) <= 256
    assert example.ids[0] == 0
    assert example.ids[example.music_start - 1] == vocab.AUTOREGRESS + T
    assert example.ids[: example.music_start - 1].max() < T
    grammar = EventGrammar(max_tokens=10_000)
    for amt_id in music(example).tolist():
        grammar.accept(amt_id)
    assert len(decode(music(example))) >= 24


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(KINDS), length=st.integers(200, 700))
def test_every_kind_can_be_taken_apart_again_and_fits_its_row(tokenizer, seed, kind, length):
    example = make(tokenizer, seed, score=sparse_score(), kinds=only(kind), length=length, captioned=0.5)
    assert example is not None
    assert len(example.ids) <= length
    assert example.kind in (kind, "plain")
    events, controls = split_controls(music(example))
    start = vocab.AUTOREGRESS if example.kind == "plain" else vocab.ANTICIPATE
    assert example.ids[example.music_start - 1] == start + T
    assert bool(len(controls)) == (example.kind != "plain")
    assert not (controls[:, 2] == REST_INSTRUMENT).any()
    if example.kind == "instrument":
        assert not set(remove_rests(events)[:, 2]) & set(controls[:, 2])


@settings(max_examples=80, deadline=None)
@given(
    events=event_lists(rests=False, max_time=3_000).filter(len),
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(KINDS),
    room=st.integers(1, 80),
)
def test_controls_and_events_together_are_the_windows_notes(events, seed, kind, room):
    window = Window(
        events=events, velocities=np.arange(len(events)).astype(np.uint8), bpm=None, metre=None, key=None, semitones=0,
        is_opening=True, is_ending=True,
    )  # fmt: skip
    mask = control_mask(events, kind, np.random.default_rng(seed))
    amt_ids, shown = fit(window, mask, room)
    played, given_ = split_controls(amt_ids)
    both = np.concatenate([remove_rests(played), given_])
    np.testing.assert_array_equal(both[np.lexsort(both.T)], shown.events[np.lexsort(shown.events.T)])
    np.testing.assert_array_equal(shown.events, events[shown.velocities])
    assert len(amt_ids) == 3 * room or shown.is_ending
    if shown.is_ending:
        np.testing.assert_array_equal(given_, events[mask])
        np.testing.assert_array_equal(remove_rests(played), events[~mask])
        assert len(amt_ids) <= 3 * room


@pytest.mark.parametrize("kind", KINDS)
def test_a_piece_that_ends_in_its_row_is_closed_by_one_separator_also_after_controls(tokenizer, kind):
    whole = quantize(sparse_score())
    for seed in range(4):
        augment = AugmentSettings().as_written()
        example = make(tokenizer, seed, score=sparse_score(), kinds=only(kind), length=600, augment=augment)
        assert example is not None
        assert (music(example) == vocab.SEPARATOR).sum() == 1
        assert music(example)[-1] == vocab.SEPARATOR
        assert len(music(example)) % 3 == 1
        events, controls = split_controls(music(example))
        both = np.concatenate([remove_rests(events), controls])
        np.testing.assert_array_equal(both[np.lexsort(both.T)], whole[np.lexsort(whole.T)])


def test_a_window_that_is_cut_is_neither_closed_nor_described_as_ending(tokenizer, monkeypatch):
    seen = []
    facts_of = examples.window_facts
    monkeypatch.setattr(examples, "window_facts", lambda w, m: seen.append(w) or facts_of(w, m))
    for seed in range(40):
        example = make(tokenizer, seed, score=sparse_score(), kinds=only("random"), length=216)
        assert example is not None
        closed = music(example)[-1] == vocab.SEPARATOR
        assert seen[-1].is_ending == closed
        assert len(seen[-1].events) == sum(map(len, map(remove_rests, split_controls(music(example)))))
    assert 0 < sum(window.is_ending for window in seen) < 40


def test_a_share_of_the_examples_is_music_alone(tokenizer):
    starts = [make(tokenizer, seed, captioned=0.5).music_start for seed in range(60)]
    assert 15 < starts.count(1) < 45
    assert make(tokenizer, 0, captioned=0.0).ids[0] == vocab.AUTOREGRESS + T


def test_the_same_seed_gives_the_same_example(tokenizer):
    one, two = (make(tokenizer, 5, kinds=only("instrument")) for _ in range(2))
    np.testing.assert_array_equal(one.ids, two.ids)
    assert not np.array_equal(one.ids, make(tokenizer, 12, kinds=only("instrument")).ids)


def test_a_piece_with_a_description_is_shown_as_written_with_it(tokenizer, monkeypatch):
    calls = []
    monkeypatch.setattr(examples, "caption", lambda facts, rng, *, captions=(): calls.append(captions) or "a piece")
    cut, settings_seen = examples.cut_window, []
    monkeypatch.setattr(
        examples, "cut_window", lambda s, **kw: settings_seen.append(kw["settings"]) or cut(s, **kw)
    )  # fmt: skip
    metadata = Metadata(captions=("A tune by nobody.",))
    for seed in range(40):
        make(tokenizer, seed, metadata=metadata, described=0.5)
    assert 8 < sum(bool(captions) for captions in calls) < 32
    for captions, used in zip(calls, settings_seen, strict=True):
        assert captions in ((), metadata.captions)
        assert (used == used.as_written()) == bool(captions)


def test_a_caption_that_is_too_long_is_shortened_by_the_sentence(tokenizer, monkeypatch):
    first, second = "A calm piece for piano. ", "It is in C major, and so on"
    monkeypatch.setattr(examples, "caption", lambda facts, rng, *, captions=(): first + second + ", again" * 60)
    example = make(tokenizer, 0, prompt_ids=32)
    assert tokenizer.decode(example.ids[: example.music_start - 1].tolist()).strip() == first.strip()
    assert example.music_start <= 32


def test_a_single_sentence_is_shortened_by_clauses_and_a_clause_by_words(tokenizer):
    encode = partial(PROMPT.encode, tokenizer=tokenizer, text_rows=T)
    for text, kept in (("a calm piece, for piano" + " and drums" * 40, "a calm piece"), ("piano " * 40, "piano piano")):
        ids = encode_shortened(text, encode, limit=12)
        assert len(ids) <= 12
        assert tokenizer.decode(ids[:-1]).strip().startswith(kept)
        assert not tokenizer.decode(ids[:-1]).strip().endswith(",")
    with pytest.raises(DatasetError, match="raise prompt_ids"):
        encode_shortened("piano", partial(PUBLISHED.encode, tokenizer=tokenizer, text_rows=T), limit=12)


@settings(max_examples=40, deadline=None)
@given(
    words=st.lists(st.sampled_from(["a calm piece. ", "piano", " ", "\n\n", "音楽 ", "123 bpm! "]), max_size=80),
    max_ids=st.integers(16, 60),
)
def test_text_is_cut_into_examples_that_fit_and_lose_nothing_but_a_last_id(tokenizer, words, max_ids):
    text = "".join(words)
    made = text_examples(text, tokenizer, max_ids=max_ids)
    whole = tokenizer.encode(text.strip(), add_special_tokens=False).ids
    ids = [i for example in made for i in example.ids[1:].tolist()]
    assert ids == whole[: len(ids)]
    assert len(whole) - len(ids) <= 1
    for example in made:
        assert example.kind == "text"
        assert example.music_start == len(example.ids) <= max_ids
        assert example.ids[0] == 0


def test_a_long_text_is_cut_at_paragraphs_before_sentences_before_words(tokenizer):
    paragraphs = ["a calm piece for piano. " * 4, "drums at 123 bpm. " * 6]
    first, *_ = text_examples("\n\n".join(paragraphs), tokenizer, max_ids=50)
    assert tokenizer.decode(first.ids[1:].tolist()).strip() == paragraphs[0].strip()
    first, *_ = text_examples("a calm piece for piano. " * 20, tokenizer, max_ids=50)
    assert tokenizer.decode(first.ids[1:].tolist()).endswith("piano.")
    with pytest.raises(DatasetError, match="16 or more"):
        text_examples("a", tokenizer, max_ids=3)


def test_scores_and_specifications_that_give_nothing(tokenizer):
    assert make(tokenizer, 0, score=Score()) is None
    with pytest.raises(DatasetError, match="length 128 or more"):
        ExampleSpec(length=64)
    assert replace(ExampleSpec(length=256), prompt_ids=1000).prompt_limit == 64


def worked_example() -> str:
    """The example of docs/token-format.md: three notes of a piano, and a note of a violin at 6 s that is given."""
    rows = [(0, 50, 0, 60), (50, 50, 0, 64), (100, 100, 0, 67), (600, 200, 40, 76)]
    window = Window(
        events=np.array(rows, np.int32), velocities=np.full(4, 80, np.uint8), bpm=120.0, metre=(4, 4), key="C major",
        semitones=0, is_opening=True, is_ending=True,
    )  # fmt: skip
    amt_ids, _ = fit(window, window.events[:, 2] == 40, 10)
    lines = ["| ids | meaning |", "|---|---|", f"| {vocab.ANTICIPATE} | ANTICIPATE |"]
    for triplet in amt_ids.reshape(-1, 3).tolist():
        kind = "control" if triplet[0] >= vocab.CONTROL_OFFSET else "event"
        time, duration, note = (amt_id - vocab.CONTROL_OFFSET * (kind == "control") for amt_id in triplet)
        instrument, pitch = divmod(note - vocab.NOTE_OFFSET, 128)
        ticks = duration - vocab.DUR_OFFSET
        said = "rest"
        if note != vocab.REST:
            said = f"{kind}: {instrument_name(instrument)}, pitch {pitch}, {ticks} ticks long"
        lines.append(f"| {', '.join(map(str, triplet))} | tick {time}, {said} |")
    return "\n".join([*lines, f"| {vocab.SEPARATOR} | SEPARATOR |"])


def test_the_page_on_the_format_shows_what_the_code_makes():
    page = PAGE.read_text(encoding="utf-8")
    assert worked_example() in page, worked_example()
    for name in ("DUR_OFFSET", "NOTE_OFFSET", "REST", "CONTROL_OFFSET", "SEPARATOR", "AUTOREGRESS", "ANTICIPATE"):
        assert f"{getattr(vocab, name):,}" in page, name


def test_a_long_prompt_without_blanks_ends_at_a_character() -> None:
    text = "静かなピアノ曲" * 40
    ids = encode_shortened(text, lambda part: [0, *part.encode()], limit=40)
    assert bytes(ids[1:]).decode() == text[:13]
