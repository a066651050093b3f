"""Text2midi (Bhandari et al., AAAI 2025) as a system under test, from its public weights.

In: a folder or hub id with `pytorch_model.bin` and `vocab_remi.pkl`, and one of FLAN-T5 with `config.json` and
`tokenizer.json`. Out: a `System`. Settings are those of its README (AMAAI-Lab/Text2midi at 872d8dc): 2,000 ids at
temperature 1, one take at a time. Differences:
1. The text is encoded once, not once an id: the same numbers, sooner. Seeds are ours.
2. FLAN-T5's text is cut into ids by `tokenizer.json`, where the README has the slow T5Tokenizer.
3. Both pickles are read by readers that run no code. No length can be asked for: takes are as long as they come.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midi_llm.data.files import file_sha256
from midi_llm.errors import CheckpointError, MissingExtraError, OutputError
from midi_llm.evaluate.systems.base import JSON, Delivery, Job
from midi_llm.evaluate.systems.remi import decode_remi, read_vocabulary
from midi_llm.model.catalog import download
from midi_llm.music.write import to_midi_bytes

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from midi_llm.evaluate.systems.text2midi_model import Text2midiModel

MODEL, TEXT_ENCODER = "amaai-lab/text2midi", "google/flan-t5-base"
TOKENS = 2000
TEMPERATURE = 1.0
MAX_TEXT_IDS = 512
"""At which FLAN-T5's tokenizer truncates."""
START = "BOS_None"
WEIGHTS_FILE, VOCABULARY_FILE, CONFIG_FILE, TOKENIZER_FILE = (
    "pytorch_model.bin", "vocab_remi.pkl", "config.json", "tokenizer.json",
)  # fmt: skip


@dataclass(kw_only=True, slots=True)
class Text2midi:
    """An opened model; make it with `open_text2midi`."""

    model: Text2midiModel | None
    tokenizer: Tokenizer
    words: Sequence[str]
    origin: dict[str, JSON]
    tokens: int = TOKENS
    name: str = "text2midi"

    def describe(self) -> dict[str, JSON]:
        """Sources, digest of the weights, and sampling."""
        return {"kind": "text2midi", **self.origin, "tokens": self.tokens, "temperature": TEMPERATURE}

    def compose(self, jobs: Sequence[Job]) -> Iterator[Delivery]:
        """A take for each job, one after the other. Raises `CheckpointError` after `close`."""
        for job in jobs:
            if self.model is None:
                raise CheckpointError("this system was closed; open it again")
            began = time.perf_counter()
            drawn = self.model.generate(
                self.tokenizer.encode(job.prompt.text).ids,
                tokens=self.tokens,
                temperature=TEMPERATURE,
                seed=job.seed,
                start=self.words.index(START),
            )
            decoded = decode_remi([self.words[number] for number in drawn])
            try:
                midi, error = to_midi_bytes(decoded.score), None
            except OutputError as failure:
                midi, error = b"", str(failure)
            yield Delivery(
                midi=midi,
                strict=decoded.broken == 0,
                repairs={"broken_notes": decoded.broken} if decoded.broken else {},
                ending="full",
                tokens=self.tokens,
                wall_seconds=time.perf_counter() - began,
                seed=job.seed,
                error=error,
            )

    def close(self) -> None:
        """Free the weights."""
        self.model = None


def open_text2midi(model: str = MODEL, *, text_encoder: str = TEXT_ENCODER, device: str = "auto") -> Text2midi:
    """Open folders or hub ids; `device` "auto" is CUDA where there is one.

    Raises `MissingExtraError` without torch, transformers, or (for a hub id) huggingface_hub; `CheckpointError` for
    files that cannot be had or are not what was published.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtraError("transformers", "torch") from error
    from tokenizers import Tokenizer

    from midi_llm.evaluate.systems.text2midi_model import build

    weights, vocabulary = find_files(model, WEIGHTS_FILE, VOCABULARY_FILE)
    config_file, tokenizer_file = find_files(text_encoder, CONFIG_FILE, TOKENIZER_FILE)
    words = read_vocabulary(vocabulary)
    config: Any = transformers.T5Config.from_json_file(config_file)
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.enable_truncation(MAX_TEXT_IDS)
    tokenizer.no_padding()
    network = build(_read_weights(weights), transformers.T5EncoderModel(config))
    if network.projection.out_features != len(words) or START not in words:
        raise CheckpointError(
            f"{model} has {network.projection.out_features} ids and {len(words)} words, {START} must be one of them:"
            f" {WEIGHTS_FILE} and {VOCABULARY_FILE} do not belong together"
        )
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    origin: dict[str, JSON] = {
        "model": model,
        "text_encoder": text_encoder,
        "sha256": file_sha256(weights),
        "device": chosen,
    }
    return Text2midi(model=network.to(chosen), tokenizer=tokenizer, words=words, origin=origin)


def find_files(source: str, *names: str) -> list[Path]:
    """Files of a local folder or of a hub repository. Raises `CheckpointError` when one of them cannot be had."""
    folder = Path(source)
    if not folder.is_dir():
        folder = download(source, allowed=names, ignored=())
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{source} has no {' and no '.join(missing)}; needed are the files that {MODEL} or {TEXT_ENCODER} publish"
        )
    return [folder / name for name in names]


def _read_weights(path: Path) -> dict[str, Any]:
    """The state dict, by torch's reader that runs no code."""
    import pickle

    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} cannot be loaded ({cause}); get it again") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f"{path} is no state dict; get {WEIGHTS_FILE} of {MODEL} again")
    return state
