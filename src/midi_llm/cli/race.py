"""The race of engines as part of an evaluation: the model under test against `transformers.generate`.

In: the arguments of `midi-llm evaluate`. Out: results of both contenders. Needs torch and the checkpoint's safetensors.
"""

from __future__ import annotations

import argparse

from midi_llm.compose.settings import DEFAULT_MODEL
from midi_llm.engines.open import open_engine
from midi_llm.errors import RequestError
from midi_llm.evaluate import speed
from midi_llm.evaluate.contenders import Contender, EngineContender, TransformersContender
from midi_llm.evaluate.metric import Result
from midi_llm.evaluate.race import Entry
from midi_llm.model.catalog import resolve_model
from midi_llm.model.checkpoint import verify_checkpoint
from midi_llm.prompt import load_tokenizer

PROMPT = "A cheerful rock song with bright electric guitars"
BATCHES = "1,4"
MAX_BATCH = 64
PEER = "transformers.generate"


def race(args: argparse.Namespace) -> list[Result]:
    """The race's results; takes minutes: full takes, three rounds, at each batch size of `args.race`.

    Raises `RequestError` for what is no batch size, `MissingExtraError` without torch.
    """
    batches = batch_sizes(args.race, option="--race")
    folder = resolve_model(args.model or DEFAULT_MODEL)
    info = verify_checkpoint(folder)
    prompt_ids = info.prompt_format.encode(PROMPT, load_tokenizer(folder), info.text_rows)

    def ours() -> Contender:
        return EngineContender(open_engine(folder, args.engine), prompt_ids)

    def theirs() -> Contender:
        return TransformersContender(folder, prompt_ids, dtype="float32")

    entries = [Entry(name="midi-llm", open=ours), Entry(name=PEER, open=theirs)]
    return speed.evaluate_engines(entries, batches=batches, seed=args.seed)


def batch_sizes(text: str, *, option: str) -> list[int]:
    """Takes side by side, from the text of an option such as "1,4"; each size once."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= MAX_BATCH for part in parts):
        raise RequestError(
            f"{option} is {text!r}; expected numbers of takes from 1 to {MAX_BATCH}, with commas: {BATCHES}"
        )
    return list(dict.fromkeys(int(part) for part in parts))
