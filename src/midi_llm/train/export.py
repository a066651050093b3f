"""A trained stage as a checkpoint folder that plain transformers loads as `LlamaForCausalLM`.

In: the folder of a finished or running stage (`state.pt`). Out: a folder with config, safetensors (bf16), tokenizer,
prompt format, and how it was trained.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer

from midi_llm.data.presets import NANO_PROMPT
from midi_llm.errors import DatasetError
from midi_llm.model.checkpoint import save_checkpoint
from midi_llm.train.config import NANO_SAMPLING, ModelShape
from midi_llm.train.model import StructuredLlama, llama_config


def export_stage(stage: Path, folder: Path, *, tokenizer: Tokenizer, name: str) -> Path:
    """Write the weights of `stage` to the new folder `folder`.

    Raises `DatasetError` when there is no state, `CheckpointError` for weights that are not finite, `OutputError` when
    `folder` exists.
    """
    path = stage / "state.pt"
    if not path.is_file():
        raise DatasetError(f"{path} is missing; train the stage first")
    state = torch.load(path, weights_only=True)
    config = json.loads(state["config"])
    model = StructuredLlama(ModelShape(**config["shape"]), seed=0)
    model.load_state_dict(state["model"])
    training = {"stage": config["name"], "steps": state["step"], "config": config}
    return save_checkpoint(
        model.llama_state(),
        llama_config(model.shape),
        tokenizer,
        NANO_PROMPT,
        folder,
        name=name,
        training=training,
        sampling=NANO_SAMPLING,
    )
