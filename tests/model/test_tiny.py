"""Tiny checkpoints: real folders that the reader and plain transformers accept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from midi_llm.model.tiny import BOS, write_tiny_checkpoint
from midi_llm.tokens.vocab import MUSIC_VOCAB_SIZE
from midi_llm.weights import Weights


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_ones(tmp_path: Path) -> None:
    folders = [write_tiny_checkpoint(tmp_path / str(n), seed=seed, layers=1) for n, seed in enumerate((0, 0, 1))]
    first, again, other = ((folder / "model.safetensors").read_bytes() for folder in folders)
    assert first == again
    assert first != other


def test_transformers_loads_it_whole_as_a_llama(tiny_untied_checkpoint: Path) -> None:
    transformers = pytest.importorskip("transformers")
    transformers.utils.logging.disable_progress_bar()
    model, info = transformers.AutoModelForCausalLM.from_pretrained(tiny_untied_checkpoint, output_loading_info=True)
    assert type(model).__name__ == "LlamaForCausalLM"
    assert not any(info.values())
    assert model.config.vocab_size == 320 + MUSIC_VOCAB_SIZE
    table = Weights(tiny_untied_checkpoint).rows("lm_head.weight", slice(0, 5))
    assert np.array_equal(model.lm_head.weight[:5].detach().float().numpy(), table)


def test_any_text_passes_the_tokenizer_and_comes_back(tiny_checkpoint: Path) -> None:
    tokenizer = Tokenizer.from_file(str(tiny_checkpoint / "tokenizer.json"))
    text = "A slow waltz, très doux: 春の歌 🎹"
    encoding = tokenizer.encode(text)
    assert encoding.ids[0] == tokenizer.token_to_id(BOS)
    assert max(encoding.ids) < 320
    assert tokenizer.decode(encoding.ids) == text


@pytest.mark.parametrize("sizes", [{"text_rows": 200}, {"hidden_size": 65}, {"heads": 4, "kv_heads": 3}])
def test_sizes_that_do_not_fit_are_refused(tmp_path: Path, sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="text_rows must be"):
        write_tiny_checkpoint(tmp_path, **sizes)
