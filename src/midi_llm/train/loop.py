"""The training loop: rows in, checkpoints and a logbook out, exactly resumable.

In: a `TrainConfig`, training and validation shards, an output folder. Out: `state.pt` (everything needed to go on,
written whole or not at all), `logbook.jsonl` (one line per step), and `checkpoint/`, a plain Llama folder, at the end.
The order of rows follows from (seed, step) alone, so a killed run continues with the batch it would have seen.
"""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from midi_llm.data.order import batch_indices
from midi_llm.data.shards import KIND, KINDS, SOURCE, ShardSet
from midi_llm.errors import DatasetError
from midi_llm.train.batch import TrainBatch, train_batch
from midi_llm.train.config import TrainConfig
from midi_llm.train.loss import SLOT_NAMES, SlotLoss, slot_loss
from midi_llm.train.model import StructuredLlama

OnStep = Callable[[Mapping[str, Any]], None]
_VALIDATION_SEED = 0
"""Every stage validates on the same rows, spread over the whole set."""


class Trainer:
    """One run of one stage in `out`; picks up where `out/state.pt` left off.

    Raises `DatasetError` when the rows were made for another vocabulary, are longer than the model's positions or hold
    text that nothing learns, and when the state belongs to other settings.
    """

    def __init__(
        self, config: TrainConfig, *, rows: ShardSet, validation: ShardSet, out: Path, start_from: Path | None = None
    ) -> None:
        _check_rows("training", rows, config)
        _check_rows("validation", validation, config)
        if "text" in rows.info["by_kind"] and not config.train_on_prompt:
            raise DatasetError(
                f"the training rows hold text, of which {config.name} learns nothing; set train_on_prompt or build rows"
                " without text"
            )
        self.config, self._rows, self._validation, self._out = config, rows, validation, out
        out.mkdir(parents=True, exist_ok=True)
        self.model = StructuredLlama(config.shape, seed=config.seed)
        self._muon = torch.optim.Muon(self.model.matrices(), lr=config.muon_lr, weight_decay=config.weight_decay)
        self._adam = torch.optim.AdamW(
            self.model.others(), lr=config.adam_lr, betas=(0.9, 0.98), eps=1e-10, weight_decay=0.0, fused=True
        )
        self.step = 0
        if (out / "state.pt").exists():
            self._resume(out / "state.pt")
        elif start_from is not None:
            self._start_from(start_from)

    def run(self, *, on_step: OnStep | None = None, until: int | None = None) -> None:
        """Train to `config.steps` (or stop after step `until`), logging each step; saves the state at the end."""
        stop = min(self.config.steps, until if until is not None else self.config.steps)
        while self.step < stop:
            began = time.perf_counter()
            record = self._train_step()
            if self.step % self.config.validate_every == 0 or self.step == self.config.steps:
                record["validation"] = self.validate()
            record["seconds"] = round(time.perf_counter() - began, 3)
            with (self._out / "logbook.jsonl").open("a", encoding="utf-8") as logbook:
                logbook.write(json.dumps(record) + "\n")
            if on_step:
                on_step(record)
            if self.step % self.config.checkpoint_every == 0:
                self.save_state()
        self.save_state()

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """Bits per event and nats per slot over `validation_rows` rows; bits per event also by kind and by source."""
        self.model.eval()
        whole: list[SlotLoss] = []
        parts: defaultdict[tuple[str, str], list[SlotLoss]] = defaultdict(list)
        groups = (("by_kind", KIND, KINDS), ("by_source", SOURCE, self._validation.spec.sources))
        count = min(self.config.validation_rows, len(self._validation))
        chosen = np.sort(batch_indices(rows=len(self._validation), batch_rows=count, seed=_VALIDATION_SEED, step=0))
        for start in range(0, count, self.config.batch_rows):
            batch = self._batch(self._validation, chosen[start : start + self.config.batch_rows])
            nats_BL = self._nats(batch)
            whole.append(slot_loss(nats_BL, batch.slots))
            for group, column, names in groups:
                labels_s = batch.segments[:, column]
                for label in np.unique(labels_s).tolist():
                    own_BL = torch.from_numpy(labels_s == label)[batch.owners]
                    parts[group, names[label]].append(slot_loss(nats_BL, batch.slots.where(own_BL, -1)))
        self.model.train()
        record: dict[str, Any] = {"bits_per_event": _rounded_bits(whole), **_nats_per_slot(_sum(whole))}
        for (group, name), losses in sorted(parts.items()):
            if math.isfinite(bits := _rounded_bits(losses)):
                record.setdefault(group, {})[name] = bits
        return record

    def save_state(self) -> None:
        """Write `state.pt` through a temporary file."""
        temporary = self._out / ".state.pt"
        state = {
            "config": json.dumps(asdict(self.config)),
            "step": self.step,
            "model": self.model.state_dict(),
            "muon": self._muon.state_dict(),
            "adam": self._adam.state_dict(),
        }
        torch.save(state, temporary)
        temporary.replace(self._out / "state.pt")

    def _train_step(self) -> dict[str, Any]:
        """One optimiser step on the batch that `self.step` stands for."""
        scale = self.config.lr_scale(self.step)
        for optimizer, rate in ((self._muon, self.config.muon_lr), (self._adam, self.config.adam_lr)):
            for group in optimizer.param_groups:
                group["lr"] = rate * scale
        indices = batch_indices(
            rows=len(self._rows), batch_rows=self.config.batch_rows, seed=self.config.seed, step=self.step
        )
        batch = self._batch(self._rows, np.sort(indices))
        losses = slot_loss(self._nats(batch), batch.slots)
        loss = losses.nats.sum() / losses.counts.sum()
        if not torch.isfinite(loss):
            raise DatasetError(
                f"the loss is {loss.item()} at step {self.step}, rows {indices.tolist()};"
                " the last state is kept: lower the learning rates and run again"
            )
        loss.backward()  # type: ignore[no-untyped-call]  # torch publishes no type for it
        norm = torch.nn.utils.clip_grad_norm_(self.model.others(), self.config.clip_norm)
        self._muon.step()  # type: ignore[no-untyped-call]  # likewise
        self._adam.step()
        self._muon.zero_grad(set_to_none=True)
        self._adam.zero_grad(set_to_none=True)
        self.step += 1
        return {
            "stage": self.config.name,
            "step": self.step,
            "loss": round(loss.item(), 5),
            "bits_per_event": round(losses.bits_per_event(), 4),
            **_nats_per_slot(losses),
            "grad_norm": round(norm.item(), 4),
            "lr_scale": round(scale, 5),
        }

    def _batch(self, shards: ShardSet, indices: np.ndarray[Any, Any]) -> TrainBatch:
        """These rows, with or without their text to learn."""
        return train_batch(shards, indices, with_text=self.config.train_on_prompt)

    def _nats(self, batch: TrainBatch) -> Tensor:
        """Nats by position [B, L-1]."""
        nats_BL: Tensor = self.model(batch.ids, batch.positions, batch.slots)
        return nats_BL

    def _resume(self, path: Path) -> None:
        """Load the whole state; the settings must be the same."""
        state = torch.load(path, weights_only=True)
        before, now = json.loads(state["config"]), json.loads(json.dumps(asdict(self.config)))
        changed = sorted(key for key in now if before.get(key) != now[key])
        if changed:
            raise DatasetError(
                f"{path} was written with other settings: {', '.join(changed)} differ; resume with the same settings or"
                " choose another output folder"
            )
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self._muon.load_state_dict(state["muon"])
        self._adam.load_state_dict(state["adam"])
        self._rewind_logbook()

    def _rewind_logbook(self) -> None:
        """Drop the lines of steps after the state: they will be taken again."""
        path = self._out / "logbook.jsonl"
        if path.exists():
            lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
            kept = [line + "\n" for line in lines if json.loads(line)["step"] <= self.step]
            temporary = path.with_name(".logbook.jsonl")
            temporary.write_text("".join(kept), encoding="utf-8")
            temporary.replace(path)

    def _start_from(self, path: Path) -> None:
        """Take the weights of another stage's state, and nothing else."""
        self.model.load_state_dict(torch.load(path, weights_only=True)["model"])


def _check_rows(name: str, rows: ShardSet, config: TrainConfig) -> None:
    """Raise `DatasetError` when the model cannot read these rows."""
    if rows.spec.text_rows != config.shape.text_rows:
        raise DatasetError(
            f"the {name} rows have {rows.spec.text_rows} text ids, the model {config.shape.text_rows};"
            " build the rows with the model's own tokenizer"
        )
    if rows.spec.length > config.shape.positions:
        raise DatasetError(
            f"the {name} rows have {rows.spec.length} ids, the model {config.shape.positions} positions;"
            " build shorter rows or set the shape's positions"
        )


def _sum(parts: list[SlotLoss]) -> SlotLoss:
    """Nats and counts added up."""
    return SlotLoss(
        nats=torch.stack([part.nats for part in parts]).sum(dim=0),
        counts=torch.stack([part.counts for part in parts]).sum(dim=0),
    )


def _rounded_bits(parts: list[SlotLoss]) -> float:
    """Bits per event over all parts; NaN where a slot has no position."""
    return round(_sum(parts).bits_per_event(), 4)


def _nats_per_slot(losses: SlotLoss) -> dict[str, float]:
    """Mean nats of each slot that occurred."""
    pairs = zip(SLOT_NAMES, losses.nats.tolist(), losses.counts.tolist(), strict=True)
    return {name: round(nats / count, 4) for name, nats, count in pairs if count}
