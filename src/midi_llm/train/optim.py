"""The optimisers of a run, and one step of them.

In: a model and an `OptimConfig`. Out: AdamW over everything, or Muon over the body's matrices and AdamW over the rest.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from midi_llm.train.config import OptimConfig
from midi_llm.train.model import TrainableLlama


def make_optimizers(model: TrainableLlama, config: OptimConfig) -> list[Optimizer]:
    """AdamW with decay on matrices only; or, where `matrix_lr` is given, Muon for the matrices."""
    matrices, others = model.matrices(), model.others()
    made: list[Optimizer] = []
    groups: list[dict[str, Any]] = [{"params": others, "weight_decay": 0.0}] if others else []
    if config.matrix_lr is not None:
        made.append(torch.optim.Muon(matrices, lr=config.matrix_lr, weight_decay=config.weight_decay))
    else:
        groups.append({"params": matrices, "weight_decay": config.weight_decay})
    if groups:
        made.append(torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True))
    return made


def take_step(model: TrainableLlama, optimizers: list[Optimizer], config: OptimConfig, scale: float) -> Tensor:
    """Clip, step with `scale` times the peak rates, forget the gradients; returns the norm before clipping, a scalar.

    Muon's steps have a size of their own, so only what AdamW has is clipped. Waits for no device.
    """
    clipped = model.others() if config.matrix_lr is not None else [*model.matrices(), *model.others()]
    norm: Tensor = torch.nn.utils.clip_grad_norm_(clipped, config.clip_norm)
    if hasattr(norm, "full_tensor"):
        norm = norm.full_tensor()
    for optimizer in optimizers:
        rate = config.matrix_lr if isinstance(optimizer, torch.optim.Muon) else config.lr
        for group in optimizer.param_groups:
            group["lr"] = (rate or 0.0) * scale
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return norm
