"""The state of a run on disk: `states/STEP/`, sharded (torch's distributed checkpoints), whole or not at all.

In: a model and its optimisers in any number of processes. Out: a folder that any other number of processes goes on
from, bit for bit. A folder counts once it has its final name, which the first process gives it after all have written.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.optim import Optimizer

from midi_llm.errors import TrainingError
from midi_llm.train.distributed import World
from midi_llm.train.model import TrainableLlama

STATES = "states"
_OPTIONS = StateDictOptions(ignore_frozen_params=True)


def last_state(out: Path) -> Path | None:
    """The newest whole state below `out`; None when there is none."""
    found = sorted(path for path in (out / STATES).glob("*") if path.name.isdigit() and (path / ".metadata").is_file())
    return found[-1] if found else None


def save_state(out: Path, step: int, model: TrainableLlama, optimizers: list[Optimizer], world: World) -> Path:
    """Write the state after `step`; then remove older ones. Raises `TrainingError` when it cannot be written."""
    final, partial = out / STATES / f"{step:08d}", out / STATES / f".{step:08d}.partial"
    kept = last_state(out)
    if kept == final:
        return final
    state: dict[str, Any] = {
        "model": get_model_state_dict(model, options=_OPTIONS),
        "optimizers": get_optimizer_state_dict(model, optimizers, options=_OPTIONS),
    }
    try:
        if world.is_first:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        world.wait()
        with _alone_knowingly():
            save(state, checkpoint_id=partial, no_dist=world.size == 1)
        if world.is_first:
            partial.replace(final)
    except (OSError, CheckpointException) as error:
        if world.is_first:
            shutil.rmtree(partial, ignore_errors=True)
        rest = f"the state of step {int(kept.name)} is kept" if kept else "there is no earlier state"
        raise TrainingError(
            f"the state of step {step} could not be written: {error}; {rest}: free some space and run again"
        ) from error
    world.wait()
    if world.is_first:
        for older in (out / STATES).iterdir():
            if older != final:
                shutil.rmtree(older, ignore_errors=True)
    return final


def load_state(path: Path, model: TrainableLlama, optimizers: list[Optimizer] | None, world: World) -> int:
    """Load the state at `path` into `model` (and `optimizers`, unless None); returns its step.

    Raises `TrainingError` when it is damaged or belongs to another model.
    """
    state: dict[str, Any] = {"model": get_model_state_dict(model, options=_OPTIONS)}
    if optimizers is not None:
        state["optimizers"] = get_optimizer_state_dict(model, optimizers, options=_OPTIONS)
    try:
        with _alone_knowingly():
            load(state, checkpoint_id=path, no_dist=world.size == 1)
    except (OSError, RuntimeError, ValueError, KeyError, CheckpointException) as error:
        raise TrainingError(
            f"{path} is damaged or of another model: {error}; use the settings it was made with, or remove the folder"
            " to start again"
        ) from error
    set_model_state_dict(model, state["model"], options=StateDictOptions(strict=False))
    if optimizers is not None:
        set_optimizer_state_dict(model, optimizers, state["optimizers"], options=_OPTIONS)
    return int(path.name)


@contextmanager
def _alone_knowingly() -> Iterator[None]:
    """Without torch's warning that a single process is a single process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
