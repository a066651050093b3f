"""The vocabulary of a checkpoint as llama.cpp keeps it: a text, a type and (for text) merges for every id.

In: the checkpoint's tokenizer, its prompt format and its number of text rows. Out: `GgufTokens`. Music has the texts
of `tokens.dump`, so that what llama.cpp prints is what `midi-llm tokens` reads. No prompt spells them: merges never
lead there. Text ids are "unused", which leaves them to prompts and out of what a grammar admits. Special tokens of the
text, and ids that no prompt and no take holds, have placeholders. Knows no weights, no files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from midi_llm.errors import CheckpointError
from midi_llm.prompt import TOKENIZER_FILE, PromptFormat
from midi_llm.tokens.dump import dump
from midi_llm.tokens.vocab import (
    ANTICIPATE,
    AUTOREGRESS,
    DUR_OFFSET,
    MUSIC_VOCAB_SIZE,
    NOTE_OFFSET,
    REST,
    SEPARATOR,
    TIME_OFFSET,
)

NORMAL, CONTROL, UNUSED = 1, 3, 5
"""Types of ids: printed; read in prompts and not printed; neither (gguf.TokenType)."""

_SPECIALS = {SEPARATOR: "<separator>", AUTOREGRESS: "<autoregress>", ANTICIPATE: "<anticipate>"}
_LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
"""How Llama 3 splits text into words (its tokenizer.json)."""

_NO_MERGE = "<no> <merge>"
"""llama.cpp wants a list of merges that is not empty; no text is ever split into these two."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GgufTokens:
    """`texts` and `types` of all ids, in the byte alphabet of GPT-2; `words` names llama.cpp's splitter of texts."""

    texts: list[str]
    types: list[int]
    merges: list[str]
    words: str
    bos: int | None
    """The id in front of every prompt."""
    end: int
    """The id that ends a take."""
    chat_template: str
    """Jinja: the last message as the prompt format writes it, and the id that starts a piece."""


def gguf_tokens(tokenizer: Tokenizer, prompt: PromptFormat, text_rows: int) -> GgufTokens:
    """Name all ids. `CheckpointError` for a tokenizer that llama.cpp has no name for."""
    model = json.loads(tokenizer.to_str())
    words = _words(model)
    merges = [" ".join(pair) for pair in model["model"]["merges"]]
    bos = prompt.encode("a", tokenizer, text_rows)[0] if prompt.bos else None
    texts = [f"<text {token_id}>" for token_id in range(text_rows)]
    for text, token_id in model["model"]["vocab"].items():
        texts[token_id] = text
    types = [UNUSED] * text_rows
    for added in model["added_tokens"]:
        texts[added["id"]] = added["content"] if added["id"] == bos else f"<text {added['id']}>"
    if bos is not None:
        types[bos] = CONTROL
    music, music_types = _music()
    texts += music
    if len(set(texts)) != len(texts):
        raise CheckpointError(f"two ids of {TOKENIZER_FILE} have the same text; llama.cpp cannot tell them apart")
    return GgufTokens(
        texts=texts,
        types=types + music_types,
        merges=merges or [_NO_MERGE],
        words=words,
        bos=bos,
        end=SEPARATOR + text_rows,
        chat_template=_chat_template(prompt),
    )


def _words(tokenizer: dict[str, Any]) -> str:
    """llama.cpp's name for how this tokenizer.json splits text before its merges apply."""
    model, split = tokenizer["model"], tokenizer["pre_tokenizer"] or {}
    plain = model["type"] == "BPE" and tokenizer["normalizer"] is None
    steps = split.get("pretokenizers", [split])
    alphabet = steps[-1]
    if plain and alphabet.get("type") == "ByteLevel" and not alphabet["add_prefix_space"]:
        if len(steps) == 1 and alphabet["use_regex"] and not model["ignore_merges"]:
            return "gpt-2"
        patterns = [step.get("pattern") for step in steps[:-1]]
        if patterns == [{"Regex": _LLAMA3_WORDS}] and not alphabet["use_regex"] and model["ignore_merges"]:
            return "llama-bpe"
    raise CheckpointError(
        f"{TOKENIZER_FILE} is neither the byte-level BPE of GPT-2 nor that of Llama 3; llama.cpp cannot be told it"
    )


def _music() -> tuple[list[str], list[int]]:
    """Texts and types of the music rows."""
    texts = [f"<music {amt_id}>" for amt_id in range(MUSIC_VOCAB_SIZE)]
    types = [UNUSED] * MUSIC_VOCAB_SIZE
    for start, stop, part in (
        (TIME_OFFSET, DUR_OFFSET, slice(0, 6)),
        (DUR_OFFSET, NOTE_OFFSET, slice(6, 13)),
        (NOTE_OFFSET, REST + 1, slice(13, None)),
    ):
        ids = np.arange(start, stop)
        triplets = np.tile([TIME_OFFSET, DUR_OFFSET, NOTE_OFFSET], (len(ids), 1))
        triplets[:, (TIME_OFFSET, DUR_OFFSET, NOTE_OFFSET).index(start)] = ids
        lines = dump(triplets.reshape(-1)).splitlines(keepends=True)
        texts[start:stop] = [_bytes(line[part]) for line in lines]
        types[start:stop] = [NORMAL] * len(ids)
    for amt_id, text in _SPECIALS.items():
        texts[amt_id], types[amt_id] = text, CONTROL
    return texts, types


def _bytes(text: str) -> str:
    """ASCII text in the byte alphabet of GPT-2: blanks and line ends are letters there."""
    return text.replace(" ", "Ġ").replace("\n", "Ċ")


def _chat_template(prompt: PromptFormat) -> str:
    parts = (json.dumps(prompt.prefix), "messages[-1]['content'] | trim", json.dumps(prompt.suffix))
    bos = ("bos_token",) if prompt.bos else ()
    return "".join(f"{{{{ {part} }}}}" for part in bos + parts) + _SPECIALS[AUTOREGRESS]
