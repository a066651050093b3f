"""A trained stage as a checkpoint folder that plain transformers loads as `LlamaForCausalLM`.

In: the folder of a finished or running stage. Out: a folder with config, safetensors (bf16), tokenizer, prompt format,
and how it was trained. One process does it, whatever number of them trained.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from midi_llm.data.presets import NANO_PROMPT
from midi_llm.errors import TrainingError
from midi_llm.model.checkpoint import save_checkpoint
from midi_llm.prompt import read_record
from midi_llm.train.config import TrainConfig, from_record
from midi_llm.train.distributed import World
from midi_llm.train.loop import RUN_FILE
from midi_llm.train.model import build_model
from midi_llm.train.recipes import NANO_SAMPLING
from midi_llm.train.state import last_state, load_state

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def export_stage(
    stage: Path,
    folder: Path,
    *,
    tokenizer: Tokenizer | Path,
    base: Path | None = None,
    name: str,
    replace: bool = False,
) -> Path:
    """Write the weights of the last state of `stage` to the folder `folder`.

    `tokenizer` is one, or a folder with tokenizer.json; `base` the checkpoint that the stage was trained from, if any:
    its prompt format and recommended sampling are kept. Raises `TrainingError` when there is no state,
    `CheckpointError` for weights that are not finite, `OutputError` when `folder` exists and not `replace`.
    """
    state = last_state(stage)
    if state is None:
        raise TrainingError(f"{stage} holds no state; train the stage first")
    settings = json.loads((stage / RUN_FILE).read_text(encoding="utf-8"))["settings"]
    model = build_model(from_record(settings, TrainConfig), base=base)
    steps = load_state(state, model, None, World())
    record = read_record(base) if base is not None else None
    training = {"stage": settings["name"], "steps": steps, "config": settings}
    return save_checkpoint(
        model.llama_state(),
        model.llama_config,
        tokenizer,
        record.prompt if record else NANO_PROMPT,
        folder,
        name=name,
        training=training | ({"base": record.name or str(base)} if record else {}),
        sampling=dict(record.sampling) if record else NANO_SAMPLING,
        replace=replace,
    )
