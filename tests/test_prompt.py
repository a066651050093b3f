from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from midi_llm.errors import CheckpointError, PromptError
from midi_llm.prompt import (
    PUBLISHED,
    CheckpointRecord,
    PromptFormat,
    load_tokenizer,
    read_record,
    tidy,
    write_record,
)
from midi_llm.tokens.vocab import ANTICIPATE, AUTOREGRESS

BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
BOS = "<|begin_of_text|>"
PLAIN = PromptFormat(prefix="", suffix="", bos=False)


def byte_tokenizer(*, template: bool = True) -> Tokenizer:
    """One id per byte (0-255) and a BOS, id 256: the kind of Llama 3's tokenizer without its merges."""
    tokenizer = Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(BYTES)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([BOS])
    if template:
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, 256)])
    return tokenizer


def saved(folder: Path, tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.save(str(folder / "tokenizer.json"))
    return load_tokenizer(folder)


def text_of(ids: list[int]) -> str:
    decoder = byte_tokenizer()
    decoder.decoder = decoders.ByteLevel()
    return decoder.decode(ids)


def test_the_published_prompt_is_bos_then_prefix_text_blank_then_the_start_id(tmp_path: Path) -> None:
    ids = PUBLISHED.encode("A sad waltz", saved(tmp_path, byte_tokenizer()), 300)
    assert ids[0] == 256
    assert ids[-1] == AUTOREGRESS + 300
    assert text_of(ids[1:-1]) == (
        "You are a world-class composer. Please compose some music according to the following description: A sad waltz "
    )


def test_without_bos_the_text_comes_first_and_the_start_id_can_be_another(tmp_path: Path) -> None:
    ids = PLAIN.encode("ab", saved(tmp_path, byte_tokenizer()), 300, start_amt_id=ANTICIPATE)
    assert ids == [BYTES.index("a"), BYTES.index("b"), ANTICIPATE + 300]


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Cf"]), min_size=1).filter(lambda text: text.strip()))
def test_every_readable_text_comes_back_from_its_ids(text: str) -> None:
    ids = PUBLISHED.encode(text, byte_tokenizer(), 300)
    assert text_of(ids[1:-1]) == PUBLISHED.prefix + " ".join(text.split()) + " "


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u200b", "\ufeff \u200d"])
def test_a_text_with_nothing_to_read_is_refused(text: str) -> None:
    with pytest.raises(PromptError, match="prompt is empty"):
        tidy(text)


def test_white_space_is_one_blank_and_control_characters_are_named() -> None:
    assert tidy("  calm\r\n\tpiano \u00a0 piece ") == "calm piano piece"
    with pytest.raises(PromptError, match=r"U\+0000 at position 4"):
        tidy("calm\x00piano")
    with pytest.raises(PromptError, match=r"U\+D800"):
        tidy("calm \ud800")


def test_a_prompt_over_the_limit_says_how_long_it_is_and_how_much_fits(tmp_path: Path) -> None:
    tokenizer = saved(tmp_path, byte_tokenizer())
    assert len(PLAIN.encode("x" * 9, tokenizer, 300, limit=10)) == 10
    with pytest.raises(PromptError, match="11 tokens long and 10 fit"):
        PLAIN.encode("x" * 10, tokenizer, 300, limit=10)


def test_the_spelling_of_a_special_token_is_plain_text(tmp_path: Path) -> None:
    ids = PLAIN.encode(f"a {BOS} b", saved(tmp_path, byte_tokenizer()), 300)
    assert 256 not in ids
    assert text_of(ids[:-1]) == f"a {BOS} b"


def test_truncation_and_padding_left_in_the_file_are_switched_off(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=40)
    assert len(PLAIN.encode("abcdefgh", saved(tmp_path, tokenizer), 300)) == 9


@pytest.mark.parametrize("spelling", [BOS, {"content": BOS, "lstrip": False}])
def test_a_bos_named_only_in_the_tokenizer_config_is_added(tmp_path: Path, spelling: object) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"bos_token": spelling}))
    tokenizer = saved(tmp_path, byte_tokenizer(template=False))
    assert PUBLISHED.encode("a", tokenizer, 300) == PUBLISHED.encode("a", byte_tokenizer(), 300)


@pytest.mark.parametrize("config", [None, {"bos_token": BOS, "add_bos_token": False}, {"bos_token": "<unknown>"}])
def test_a_missing_bos_is_an_error_and_not_a_silent_change(tmp_path: Path, config: dict[str, object] | None) -> None:
    if config is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = saved(tmp_path, byte_tokenizer(template=False))
    with pytest.raises(CheckpointError, match="asks for one BOS"):
        PUBLISHED.encode("a", tokenizer, 300)


def test_a_tokenizer_of_another_model_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"text rows 0\.\.99"):
        PUBLISHED.encode("a", byte_tokenizer(), 100)


def test_a_folder_without_or_with_a_broken_tokenizer_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no tokenizer\.json"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(CheckpointError, match="not a tokenizer"):
        load_tokenizer(tmp_path)


@settings(max_examples=50, deadline=None)
@given(prefix=st.text(), suffix=st.text(), bos=st.booleans(), name=st.text(), steps=st.integers())
def test_the_record_round_trips(
    tmp_path_factory: pytest.TempPathFactory, prefix: str, suffix: str, bos: bool, name: str, steps: int
) -> None:
    folder = tmp_path_factory.mktemp("record")
    prompt = PromptFormat(prefix=prefix, suffix=suffix, bos=bos)
    record = CheckpointRecord(prompt=prompt, name=name, training={"steps": steps}, sampling={"top_p": 0.5})
    write_record(folder, record)
    assert read_record(folder) == record


def test_a_folder_without_a_record_is_read_as_published(tmp_path: Path) -> None:
    assert read_record(tmp_path) == CheckpointRecord(prompt=PUBLISHED)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "JSON object"),
        ("{}", "format_version None"),
        ('{"format_version": 2}', "reads 1"),
        ('{"format_version": 1, "prompt": {"prefix": "a", "suffix": "b", "bos": 1}}', "needs prefix"),
        ('{"format_version": 1, "prompt": {"prefix": "a", "suffix": "b", "bos": true}, "name": 3}', "name must be"),
    ],
)
def test_a_broken_record_says_what_is_wrong(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "midi_llm.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        read_record(tmp_path)


@pytest.mark.parametrize(
    "sampling", [[], {"seed": 1}, {"top_p": "high"}, {"temperature": True}, {"min_gap_ticks": 2.5}]
)
def test_a_record_with_unknown_sampling_is_refused(tmp_path: Path, sampling: object) -> None:
    write_record(tmp_path, CheckpointRecord())
    value = json.loads((tmp_path / "midi_llm.json").read_text())
    (tmp_path / "midi_llm.json").write_text(json.dumps(value | {"sampling": sampling}))
    with pytest.raises(CheckpointError, match="temperature, top_p, guidance and, whole, max_instruments"):
        read_record(tmp_path)
