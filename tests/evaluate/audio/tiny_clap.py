"""A CLAP with random weights, in the published layout."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = ("<s>", "<pad>", "</s>", "<unk>", "a", "slow", "waltz", "fast", "rock", "tune")


def write_clap(folder: Path, *, seed: int = 0) -> Path:
    """All files of a CLAP on the hub, with the settings of laion/clap-htsat-unfused but for the sizes."""
    config = transformers.ClapConfig(
        text_config={
            "vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 32, "max_position_embeddings": 514,
        },
        audio_config={
            "hidden_size": 16, "patch_embeds_hidden_size": 8, "depths": [1, 1], "num_attention_heads": [1, 2],
            "num_hidden_layers": 2,
        },
        projection_dim=12,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = transformers.ClapModel(config)
        for weights in model.parameters():  # the tiny default deviations make all sounds nearly one
            if weights.ndim > 1:
                torch.nn.init.normal_(weights, std=0.3)
    model.save_pretrained(folder)
    extractor = transformers.ClapFeatureExtractor(frequency_min=50, truncation="rand_trunc")
    extractor.save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
