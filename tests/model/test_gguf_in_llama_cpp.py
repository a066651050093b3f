"""GGUF files in llama.cpp itself: logits, prompts and the grammar of docs/llama-cpp.md. Needs llama-cpp-python."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from midi_llm.cli.tokens import from_text
from midi_llm.engines.torch_engine import TorchEngine
from midi_llm.errors import TokenError
from midi_llm.model.tiny import write_tiny_checkpoint
from midi_llm.prompt import load_tokenizer, read_record
from midi_llm.tokens.dump import parse_dump

pytest.importorskip("gguf", reason="the extra 'gguf' is not installed")
llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed; it compiles for ten minutes")

from midi_llm.model.export_gguf import export_gguf  # noqa: E402

from .test_export_gguf import PROMPT, SCALED  # noqa: E402

ROOT = Path(__file__).parents[2]
NANO = ROOT / "src" / "midi_llm" / "models" / "nano"
TEXT_ROWS = 4096


def opened(path: Path, **settings: Any) -> Any:
    return llama_cpp.Llama(str(path), n_ctx=512, n_threads=1, n_threads_batch=1, verbose=False, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tied": False, "heads": 4, "kv_heads": 2},
        {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
        {"rope_scaling": {"rope_type": "llama3"} | SCALED},
    ],
    ids=["plain", "untied, grouped", "linear rope", "llama3 rope"],
)
def test_logits_are_those_of_torch(settings: dict[str, Any], tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path, seed=3, **settings)
    expected = TorchEngine(folder, device="cpu", dtype="float32").next_logits(PROMPT)
    cache = {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32}
    model = opened(export_gguf(folder, precision="f32"), logits_all=True, **cache)
    model.eval(PROMPT)
    found = np.array(model.scores[len(PROMPT) - 1])
    model.close()
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Any:
    model = opened(export_gguf(NANO, precision="f16", out=tmp_path_factory.mktemp("gguf") / "nano.gguf"), seed=1)
    yield model
    model.close()


def test_a_prompt_has_the_ids_of_our_tokenizer(nano: Any) -> None:
    tokenizer, prompt = load_tokenizer(NANO), read_record(NANO).prompt
    for text in ("A calm waltz, 90 bpm", "it's  DVOŘÁK's 7th (op. 70) — in D minor!", "0.00   0.50", "<separator> a"):
        found = nano.tokenize((prompt.render(text) + "<autoregress>").encode(), special=True)
        expected = prompt.encode(text, tokenizer, TEXT_ROWS)
        if "<" in text:  # here a prompt may name the ids that are no event
            assert found != expected
        else:
            assert found == expected


def test_a_chat_message_becomes_the_prompt(nano: Any) -> None:
    prompt = read_record(NANO).prompt.encode("a waltz", load_tokenizer(NANO), TEXT_ROWS)
    nano.create_chat_completion([{"role": "user", "content": " a waltz\n"}], max_tokens=1)
    assert nano.input_ids[: len(prompt)].tolist() == prompt


SAMPLING = {"temperature": 1.0, "top_p": 0.98, "top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0, "seed": 1}


def test_what_it_writes_under_the_grammar_is_read_as_events_and_other_text_is_not(nano: Any) -> None:
    page = (ROOT / "docs" / "llama-cpp.md").read_text(encoding="utf-8")
    (rules,) = re.findall(r"```gbnf\n(.*?)```", page, flags=re.DOTALL)
    grammar = llama_cpp.LlamaGrammar.from_string(rules, verbose=False)
    prompt = "a calm piano piece <autoregress>"
    done = nano(prompt, max_tokens=90, grammar=grammar, **SAMPLING)
    text = done["choices"][0]["text"]
    assert len(parse_dump(text)) == done["usage"]["completion_tokens"] == 90
    assert from_text(text).note_count > 20
    with pytest.raises(TokenError, match="line 1"):  # trained per slot: ids of other slots are as likely
        parse_dump(nano(prompt, max_tokens=90, **SAMPLING)["choices"][0]["text"])
