from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.corpora import tiny_spec, write_corpus
from midi_llm.data.build import build
from midi_llm.data.examples import ExampleSpec
from midi_llm.data.tokenizer import CAPTIONS_PER_WINDOW, CaptionSample, sample_captions, train_text_tokenizer

TEXTS = ["a calm waltz in D minor", "a fast rock song, 140 bpm", "jazz trio, 90 bpm"] * 4
TOKENIZER = train_text_tokenizer(TEXTS, size=300)


@given(st.text(max_size=60))
def test_any_text_comes_back(text: str) -> None:
    ids = TOKENIZER.encode(text).ids
    assert ids[0] == 0
    assert max(ids) < 300
    assert TOKENIZER.decode(ids) == text or "<|" in text


@pytest.mark.parametrize("size", [258, 300, 512])
def test_it_has_exactly_the_size_asked_for_and_follows_from_the_texts(size: int) -> None:
    tokenizer = train_text_tokenizer(TEXTS, size=size)
    assert tokenizer.get_vocab_size() == size
    assert tokenizer.to_str() == train_text_tokenizer(reversed(TEXTS), size=size).to_str()
    assert (tokenizer.token_to_id("<|begin_of_text|>"), tokenizer.token_to_id("<|pad|>")) == (0, 1)
    json.loads(tokenizer.to_str())


def test_captions_are_of_training_pieces_about_as_many_as_asked_and_the_same_again(tmp_path: Path) -> None:
    dataset = build(tiny_spec(f"corpus:{write_corpus(tmp_path / 'corpus')}"), tmp_path / "ds")
    sample = CaptionSample(captions=60, example=ExampleSpec(length=256), seed=3)
    done: list[tuple[int, int]] = []
    captions = sample_captions(dataset, sample, workers=1, on_done=lambda *now: done.append(now))
    assert 40 <= len(captions) <= 60 + CAPTIONS_PER_WINDOW
    assert len(set(captions)) > 30
    assert done == [(1, 1)]
    assert captions == sample_captions(dataset, sample, workers=1)
    other = CaptionSample(captions=60, example=ExampleSpec(length=256), seed=4)
    assert captions != sample_captions(dataset, other, workers=1)
