"""The vocabulary for llama.cpp: texts that `midi-llm tokens` reads, and none that a prompt could spell."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, pre_tokenizers
from tokenizers.decoders import ByteLevel

from midi_llm.errors import CheckpointError
from midi_llm.model import gguf_tokens as module
from midi_llm.model.gguf_tokens import CONTROL, NORMAL, UNUSED, GgufTokens, gguf_tokens
from midi_llm.prompt import PUBLISHED, PromptFormat, load_tokenizer, read_record
from midi_llm.tokens.codec import encode
from midi_llm.tokens.dump import dump, parse_dump
from midi_llm.tokens.vocab import AUTOREGRESS, SEPARATOR

NANO = Path(module.__file__).parents[1] / "models" / "nano"
TEXT_ROWS = 4096


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer(NANO)


@pytest.fixture(scope="module")
def tokens(tokenizer: Tokenizer) -> GgufTokens:
    return gguf_tokens(tokenizer, read_record(NANO).prompt, TEXT_ROWS)


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 9999), st.integers(0, 999), st.integers(0, 128), st.integers(0, 127)), max_size=20
    ),
)
def test_the_texts_of_events_are_the_dump_and_read_back(
    tokens: GgufTokens, rows: list[tuple[int, int, int, int]]
) -> None:
    ids = encode(np.array(sorted(rows), np.int32).reshape(-1, 4))
    text: str = ByteLevel().decode([tokens.texts[amt_id + TEXT_ROWS] for amt_id in ids.tolist()])
    assert text == dump(ids)
    assert np.array_equal(parse_dump(text), ids)


def test_every_id_has_its_own_text_and_a_type(tokens: GgufTokens) -> None:
    assert len(tokens.texts) == len(set(tokens.texts)) == len(tokens.types) == TEXT_ROWS + 55_030
    assert set(tokens.types[1:TEXT_ROWS]) == {UNUSED}  # a grammar leaves them out
    music = tokens.types[TEXT_ROWS:]
    assert set(music[: 27_512 + 1]) == {NORMAL}
    assert set(music[27_513:55_025]) == {UNUSED}  # events given in advance
    assert music[55_025:] == [CONTROL] * 3 + [UNUSED] * 2
    assert (tokens.texts[AUTOREGRESS + TEXT_ROWS], tokens.end) == ("<autoregress>", SEPARATOR + TEXT_ROWS)


def test_text_keeps_its_ids_and_special_tokens_cannot_be_written(tokens: GgufTokens, tokenizer: Tokenizer) -> None:
    assert (tokens.words, len(tokens.merges)) == ("gpt-2", 3838)
    ids = tokenizer.encode("A calm waltz, 90 bpm", add_special_tokens=False)
    assert [tokens.texts[token_id] for token_id in ids.ids] == ids.tokens
    assert (tokens.bos, tokens.texts[0], tokens.types[0]) == (0, "<|begin_of_text|>", CONTROL)
    assert tokens.texts[1] == "<text 1>"  # <|pad|>


def test_no_merge_spells_music(tokens: GgufTokens) -> None:
    music = set(tokens.texts[TEXT_ROWS:])
    assert not music & {merge.replace(" ", "") for merge in tokens.merges}


def test_a_tokenizer_without_merges_gets_one_that_never_applies(tiny_checkpoint: Path) -> None:
    tokens = gguf_tokens(load_tokenizer(tiny_checkpoint), PUBLISHED, 320)
    assert tokens.merges == ["<no> <merge>"]
    assert tokens.texts[257:260] == ["<text 257>", "<text 258>", "<text 259>"]  # <|end_of_text|>, and rows without text
    assert tokens.texts[256] == "<|begin_of_text|>"


def test_the_template_writes_the_prompt_and_starts_a_piece(tokenizer: Tokenizer) -> None:
    jinja = pytest.importorskip("jinja2")
    prompt = PromptFormat(prefix='Say "{{ x }}": ', suffix=" ", bos=False)
    tokens = gguf_tokens(tokenizer, prompt, TEXT_ROWS)
    assert tokens.bos is None
    messages = [{"role": "user", "content": "before"}, {"role": "user", "content": "  a waltz\n"}]
    written = jinja.Template(tokens.chat_template).render(messages=messages)
    assert written == prompt.render("a waltz") + "<autoregress>"
    template = gguf_tokens(tokenizer, PUBLISHED, TEXT_ROWS).chat_template
    written = jinja.Template(template).render(messages=messages, bos_token="<bos>")
    assert written == "<bos>" + PUBLISHED.render("a waltz") + "<autoregress>"


def test_splitters_that_llama_cpp_knows_are_told_apart(tiny_checkpoint: Path) -> None:
    def named(**changes: object) -> str:
        value = json.loads(load_tokenizer(tiny_checkpoint).to_str())
        value["model"]["ignore_merges"] = changes.pop("ignore_merges", False)
        changed = Tokenizer.from_str(json.dumps(value | changes))
        return gguf_tokens(changed, PromptFormat(prefix="", suffix="", bos=False), 320).words

    def split(pattern: str) -> object:
        steps = [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
        other = load_tokenizer(tiny_checkpoint)
        other.pre_tokenizer = pre_tokenizers.Sequence(steps)
        return json.loads(other.to_str())["pre_tokenizer"]

    assert named() == "gpt-2"
    assert named(pre_tokenizer=split(module._LLAMA3_WORDS), ignore_merges=True) == "llama-bpe"
    for changes in (
        {"ignore_merges": True},
        {"pre_tokenizer": split(r"\d"), "ignore_merges": True},
        {"pre_tokenizer": split(module._LLAMA3_WORDS)},
        {"pre_tokenizer": None},
        {"normalizer": {"type": "NFC"}},
    ):
        with pytest.raises(CheckpointError, match="neither the byte-level BPE"):
            named(**changes)


def test_types_are_those_of_gguf() -> None:
    kinds = pytest.importorskip("gguf").TokenType
    assert (kinds.NORMAL, kinds.CONTROL, kinds.UNUSED) == (NORMAL, CONTROL, UNUSED)
