"""A small text model made of a data set's prompts: the base that benchmarks expand.

In: row sets, settings with a shape. Out: a Llama folder without music rows, in float32, and how well it knows text.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from midi_llm.data.order import batch_indices
from midi_llm.data.packing import pack
from midi_llm.data.shards import END, ROW, START, Segment, ShardSet, ShardSpec, finish, write_shard
from midi_llm.model.layout import CONFIG_FILE, EMBEDDINGS
from midi_llm.prompt import TOKENIZER_FILE
from midi_llm.train.batch import train_batch
from midi_llm.train.config import LossConfig, TrainConfig
from midi_llm.train.loss import TEXT
from midi_llm.train.model import TrainableLlama, build_model
from midi_llm.train.optim import make_optimizers, take_step
from midi_llm.weights import WEIGHTS_FILE, write_safetensors

LENGTH = 512


def prompts(sets: Sequence[ShardSet], folder: Path) -> ShardSet:
    """The different prompts of row sets, packed into rows of their own."""
    found: dict[tuple[int, ...], None] = {}
    for rows in sets:
        for start in range(0, len(rows), 256):
            batch = rows.batch(np.arange(start, min(start + 256, len(rows))))
            for segment in batch.segments:
                ids = batch.ids[segment[ROW], segment[START] : segment[END]]
                found[tuple(ids[ids < rows.spec.text_rows].tolist())] = None
    texts = [
        Segment(ids=np.array(ids), music_start=len(ids), kind="text", source="prompts") for ids in found if len(ids) > 1
    ]
    spec = ShardSpec(length=LENGTH, text_rows=sets[0].spec.text_rows, sources=("prompts",))
    folder.mkdir()
    write_shard(folder, 0, pack(texts, length=LENGTH), spec)
    return finish(folder, spec, shards=1, settings={})


def trained(model: TrainableLlama, config: TrainConfig, rows: ShardSet, device: torch.device) -> Iterator[int]:
    """Take the steps of `config`; yields the ids of each step's rows, after it."""
    optimizers = make_optimizers(model, config.optim)
    for step in range(config.steps):
        indices = batch_indices(rows=len(rows), batch_rows=config.batch_rows, seed=config.seed, step=step)
        batch = train_batch(rows, np.sort(indices), with_text=config.loss.on_prompt).to(device)
        learned = (batch.slots >= 0).sum()
        (model(batch.ids, batch.positions, batch.slots).sum() / learned).backward()
        take_step(model, optimizers, config.optim, config.optim.scale(step, config.steps))
        yield batch.length


def train_text_base(
    config: TrainConfig, texts: Mapping[str, ShardSet], tokenizer: Path, folder: Path, *, device: torch.device
) -> dict[str, Any]:
    """Train `config.shape` on text alone and write it as a Llama folder; what there is to say of it."""
    assert config.shape is not None
    # Scored against text rows alone: music rows, which expansion replaces, would teach nothing.
    config = replace(config, shape=replace(config.shape, music_rows="plain"), loss=LossConfig(on_prompt=True))
    model = build_model(config).to(device)
    ids = sum(trained(model, config, texts["train"], device))
    record: dict[str, Any] = {"steps": config.steps, "ids": ids, "different_ids": texts["train"].info["ids"]}
    record["nats"] = {split: text_nats(model, rows, device) for split, rows in texts.items()}
    state = {name: tensor.float().cpu().numpy() for name, tensor in model.llama_state().items()}
    state[EMBEDDINGS] = state[EMBEDDINGS][: model.text_rows]
    folder.mkdir()
    write_safetensors(folder / WEIGHTS_FILE, state, dtype="F32")
    llama = model.llama_config.to_dict() | {"vocab_size": model.text_rows}
    (folder / CONFIG_FILE).write_text(json.dumps(llama, default=str), encoding="utf-8")
    shutil.copyfile(tokenizer / TOKENIZER_FILE, folder / TOKENIZER_FILE)
    return record


def text_nats(model: TrainableLlama, rows: ShardSet, device: torch.device) -> float:
    """Nats of a text id among the text ids, over some rows."""
    batch = train_batch(rows, np.arange(min(8, len(rows))), with_text=True).to(device)
    nats_BL = model.position_nats(batch.ids, batch.positions, batch.slots)
    return round(float(nats_BL.sum() / (batch.slots == TEXT).sum()), 4)
