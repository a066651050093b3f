"""The small model's own text tokenizer: byte-level BPE trained on captions, in Hugging Face `tokenizer.json` form.

Id 0 is the begin-of-text token (added by the tokenizer, as Llama's does), id 1 pads. Any text can be encoded.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

BEGIN_OF_TEXT, PAD = "<|begin_of_text|>", "<|pad|>"


def train_text_tokenizer(texts: Iterable[str], *, size: int = 4096) -> Tokenizer:
    """Train a byte-level BPE of exactly `size` ids; unused ids are filled with reserved tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[BEGIN_OF_TEXT, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    missing = size - tokenizer.get_vocab_size()
    tokenizer.add_special_tokens([f"<|reserved_{i}|>" for i in range(missing)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN_OF_TEXT} $A", special_tokens=[(BEGIN_OF_TEXT, 0)]
    )
    return tokenizer
