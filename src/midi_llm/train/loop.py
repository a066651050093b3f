"""The training loop: rows in, states and a logbook out, exactly resumable.

In: a `TrainConfig`, training and validation shards, an output folder. Out: `run.json` (the settings), `states/STEP/`
(everything needed to go on, whole or not at all), `logbook.jsonl` (one line per step).
The order of rows follows from (seed, step) alone, so a killed run continues with the batch it would have seen, in
whatever number of processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from midi_llm.data.files import check_same, file_sha256
from midi_llm.data.order import batch_indices
from midi_llm.data.shards import ShardSet
from midi_llm.errors import DatasetError, TrainingError
from midi_llm.train.ahead import Ahead
from midi_llm.train.batch import TrainBatch, train_batch
from midi_llm.train.config import TrainConfig
from midi_llm.train.distributed import World, share_out, without_exchange
from midi_llm.train.logbook import Logbook, flops_per_id, utilisation
from midi_llm.train.loss import SlotLoss, nats_per_slot, slot_counts
from midi_llm.train.model import build_model
from midi_llm.train.optim import make_optimizers, take_step
from midi_llm.train.state import last_state, load_state, save_state
from midi_llm.train.validation import validate
from midi_llm.weights import weight_files

OnStep = Callable[[Mapping[str, Any]], None]

RUN_FILE = "run.json"


class Trainer:
    """One run of one stage in `out`; picks up at the last state there.

    `base` is the checkpoint folder that a recipe without a shape starts from, `start_from` the folder of an earlier run
    of the same shape. Raises `DatasetError` when the rows were made for another vocabulary, are longer than the model's
    positions or hold text that nothing learns, and when the run was begun with other settings, which it names.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        rows: ShardSet,
        validation: ShardSet,
        out: Path,
        base: Path | None = None,
        start_from: Path | None = None,
        world: World | None = None,
    ) -> None:
        self.config, self._rows, self._validation, self.out = config, rows, validation, out
        self._world = world or World()
        self.model = build_model(config, base=base)
        self._check_rows("training", rows)
        self._check_rows("validation", validation)
        if "text" in rows.info["by_kind"] and not config.loss.on_prompt:
            raise DatasetError(
                f"the training rows hold text, of which {config.name} learns nothing; set loss.on_prompt=true or build"
                " rows without text"
            )
        if self._world.is_first:
            check_same(out / RUN_FILE, run_record(config, rows, validation, base))
        self._shared = share_out(self.model, self._world, config.compute)
        self._optimizers = make_optimizers(self.model, config.optim)
        self.step = 0
        if (state := last_state(out)) is not None:
            self.step = load_state(state, self.model, self._optimizers, self._world)
        elif start_from is not None:
            if (earlier := last_state(start_from)) is None:
                raise TrainingError(f"{start_from} holds no state to start from; train that stage first")
            load_state(earlier, self.model, None, self._world)

    def run(self, *, on_step: OnStep | None = None, until: int | None = None, tensorboard: bool = False) -> None:
        """Train to `config.steps` (or stop after step `until`), logging each step; saves the state at the end.

        `on_step` gets every record, in the first process only. Raises `TrainingError` when the loss is not finite or
        memory runs out; the last state stays.
        """
        stop = min(self.config.steps, until if until is not None else self.config.steps)
        flops = flops_per_id(self.model, length=self._rows.spec.length)
        first = self._world.is_first
        opened = Logbook(self.out, step=self.step, tensorboard=tensorboard) if first else nullcontext()
        with opened as logbook, Ahead(self._step_batches, first=self.step, stop=stop) as batches:
            while self.step < stop:
                began = time.perf_counter()
                record = self._train_step(batches.take(self.step))
                seconds = time.perf_counter() - began
                record |= {"seconds": round(seconds, 3), "ids_per_second": round(record["ids"] / seconds, 1)}
                if (share := utilisation(flops * record["ids"], seconds, self._world.size)) is not None:
                    record["mfu"] = round(share, 4)
                if self._is_due(self.config.validate_every) or self.step == self.config.steps:
                    record["validation"] = self.validate()
                if self._is_due(self.config.checkpoint_every, self.config.sample_every) or self.step == stop:
                    save_state(self.out, self.step, self.model, self._optimizers, self._world)
                if logbook is not None:
                    logbook.write(record)
                    if on_step:
                        on_step(record)

    def validate(self) -> dict[str, Any]:
        """What `train.validation.validate` finds now."""
        return validate(self.model, self._validation, self.config, self._world)

    def _is_due(self, *every: int | None) -> bool:
        """Whether something that happens every so many steps happens after this one."""
        return any(count is not None and self.step % count == 0 for count in every)

    def _train_step(self, batches: Sequence[TrainBatch]) -> dict[str, Any]:
        """One optimiser step on the parts of the batch that `self.step` stands for."""
        scale = self.config.optim.scale(self.step, self.config.steps)
        try:
            losses, ids = self._gradients(batches)
            norm = float(take_step(self.model, self._optimizers, self.config.optim, scale))
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
                raise
            raise TrainingError(
                f"no memory for step {self.step + 1} ({len(self._indices(self.step))} rows of up to"
                f" {self._rows.spec.length} ids): lower compute.micro_rows, set compute.checkpoint_activations=true, or"
                " use a smaller model; the last state is kept"
            ) from error
        loss = float(losses.nats.sum() / losses.counts.sum())
        if not np.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} at step {self.step + 1}, rows {self._indices(self.step).tolist()}; the last state"
                " is kept: lower optim.lr and run again in a new folder"
            )
        self.step += 1
        return {
            "stage": self.config.name,
            "step": self.step,
            "steps": self.config.steps,
            "loss": round(loss, 5),
            "bits_per_event": round(losses.bits_per_event(), 4),
            **nats_per_slot(losses),
            "grad_norm": round(norm, 4),
            "lr_scale": round(scale, 5),
            "ids": ids,
        }

    def _gradients(self, batches: Sequence[TrainBatch]) -> tuple[SlotLoss, int]:
        """Add up the gradients of the step; its loss over all processes, and how many ids were in its rows."""
        counts = self._world.total(torch.stack([slot_counts(batch.slots) for batch in batches]).sum(dim=0))
        ids = self._world.total(torch.tensor(sum(batch.length for batch in batches), device=self._world.device))
        nats = torch.zeros(4, device=self._world.device)
        share = self._world.size / counts.sum()
        for number, batch in enumerate(batches):
            with without_exchange(self._shared, number == len(batches) - 1):
                sums = self._shared(batch.ids, batch.positions, batch.slots)
                (sums.sum() * share).backward()
                nats += sums.detach()
        return SlotLoss(nats=self._world.total(nats), counts=counts), int(ids)

    def _indices(self, step: int) -> npt.NDArray[np.int64]:
        """Rows of the batch that `step` stands for: those of this process."""
        return batch_indices(
            rows=len(self._rows),
            batch_rows=self.config.batch_rows,
            seed=self.config.seed,
            step=step,
            world_size=self._world.size,
            rank=self._world.rank,
        )

    def _step_batches(self, step: int) -> list[TrainBatch]:
        """The parts of a step, on the device; with or without their text to learn.

        A process with m parts takes every m-th row in each, as m processes would: the sums are the same, bit for bit.
        """
        indices = self._indices(step)
        micro = self.config.compute.micro_rows or len(indices)
        count = -(-len(indices) // micro)
        on_prompt, whole = self.config.loss.on_prompt, self.config.compute.compile  # compiled for one length
        batches = []
        for part in range(count):
            batch = train_batch(self._rows, np.sort(indices[part::count]), with_text=on_prompt, whole=whole)
            batches.append((batch.pinned() if self._world.device.type == "cuda" else batch).to(self._world.device))
        return batches

    def _check_rows(self, name: str, rows: ShardSet) -> None:
        """Raise `DatasetError` when the model cannot read these rows."""
        if rows.spec.text_rows != self.model.text_rows:
            raise DatasetError(
                f"the {name} rows have {rows.spec.text_rows} text ids, the model {self.model.text_rows};"
                " build the rows with the model's own tokenizer"
            )
        if rows.spec.length > self.model.positions:
            raise DatasetError(
                f"the {name} rows have {rows.spec.length} ids, the model {self.model.positions} positions;"
                " build shorter rows or set the shape's positions"
            )


def run_record(config: TrainConfig, rows: ShardSet, validation: ShardSet, base: Path | None) -> dict[str, Any]:
    """What makes two runs the same: all settings but how the work is done, the rows, and the weights it starts from."""
    settings = asdict(config)
    settings["compute"] = {"precision": config.compute.precision}
    weights = {path.name: file_sha256(path) for path in weight_files(base)} if base is not None else None
    return {"settings": settings, "rows": rows.info, "validation": validation.info, "base": weights}
