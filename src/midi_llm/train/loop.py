"""The training loop: rows in, checkpoints and a logbook out, exactly resumable.

In: a `TrainConfig`, training and validation row sets, an output folder. Out: `state.pt` (everything needed to go on,
written whole or not at all), `logbook.jsonl` (one line per step), and `checkpoint/`, a plain Llama folder, at the end.
The order of rows follows from (seed, epoch, step) alone, so a killed run continues with the batch it would have seen.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from midi_llm.data.rows import RowSet
from midi_llm.errors import DatasetError
from midi_llm.train.config import TrainConfig
from midi_llm.train.loss import SLOT_NAMES, SlotLoss, target_slots
from midi_llm.train.model import StructuredLlama

OnStep = Callable[[Mapping[str, Any]], None]


class Trainer:
    """One run of one stage in `out`; picks up where `out/state.pt` left off.

    Raises `DatasetError` when the rows were made for another vocabulary or the state belongs to other settings.
    """

    def __init__(
        self, config: TrainConfig, *, rows: RowSet, validation: RowSet, out: Path, start_from: Path | None = None
    ) -> None:
        for name, row_set in (("training", rows), ("validation", validation)):
            if row_set.info["text_rows"] != config.shape.text_rows:
                raise DatasetError(
                    f"the {name} rows have {row_set.info['text_rows']} text ids, the model {config.shape.text_rows};"
                    " build the rows with the model's own tokenizer"
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
    def validate(self) -> dict[str, float]:
        """Bits per event and nats per slot over the first `validation_rows` rows of the validation set."""
        self.model.eval()
        totals: list[SlotLoss] = []
        count = min(self.config.validation_rows, len(self._validation.rows))
        for start in range(0, count, self.config.batch_rows):
            indices = np.arange(start, min(start + self.config.batch_rows, count))
            totals.append(self.model(*self._batch(self._validation, indices)))
        self.model.train()
        total = SlotLoss(nats=sum_of([t.nats for t in totals]), counts=sum_of([t.counts for t in totals]))
        return {"bits_per_event": round(total.bits_per_event(), 4), **_nats_per_slot(total)}

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
        losses: SlotLoss = self.model(*self._batch(self._rows, self._batch_indices(self.step)))
        loss = losses.nats.sum() / losses.counts.sum()
        if not torch.isfinite(loss):
            raise DatasetError(
                f"the loss is {loss.item()} at step {self.step}, rows {self._batch_indices(self.step).tolist()};"
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

    def _batch_indices(self, step: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Row numbers of batch `step`: consecutive pieces of one seeded permutation per epoch."""
        per_epoch = len(self._rows.rows) // self.config.batch_rows
        if per_epoch < 1:
            raise DatasetError(f"{len(self._rows.rows)} rows are fewer than one batch of {self.config.batch_rows}")
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng((self.config.seed, epoch)).permutation(len(self._rows.rows))
        return order[place * self.config.batch_rows : (place + 1) * self.config.batch_rows]

    def _batch(self, row_set: RowSet, indices: np.ndarray[Any, Any]) -> tuple[Tensor, Tensor]:
        """Token ids int64 [B, L], cut to the longest row, and target slots [B, L-1]."""
        order = np.sort(indices)
        spans = torch.from_numpy(row_set.spans[order])
        length = int(spans[:, 1].max())
        ids_BL = torch.from_numpy(row_set.rows[order, :length].astype(np.int64))
        return ids_BL, target_slots(spans, length, with_text=self.config.train_on_prompt)

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


def sum_of(parts: list[Tensor]) -> Tensor:
    """Element-wise sum of equal shapes."""
    return torch.stack(parts).sum(dim=0)


def _nats_per_slot(losses: SlotLoss) -> dict[str, float]:
    """Mean nats of each slot that occurred."""
    pairs = zip(SLOT_NAMES, losses.nats.tolist(), losses.counts.tolist(), strict=True)
    return {name: round(nats / count, 4) for name, nats, count in pairs if count}
