"""Cross-entropy over the whole vocabulary without the logits of all positions at once.

In: hidden states, the output table, targets. Out: nats by position (ours, the oracle), or their sum by one of three
kernels. 32,000 positions of 183,286 ids would be 22 GiB of float32 logits. Kernels agree within rounding (tested for
those that run here; Liger needs Triton, so a GPU).
Shapes: N positions, D hidden size, V rows of the table.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from midi_llm.errors import MissingExtraError, RequestError
from midi_llm.train.config import Kernel


def nats_by_position(hidden_ND: Tensor, table_VD: Tensor, targets_N: Tensor, *, chunk: int) -> Tensor:
    """Nats [N], float32; the logits of `chunk` positions exist at once, and again in the backward pass."""
    parts = [
        checkpoint(_nats, hidden, table_VD, targets, use_reentrant=False)
        for hidden, targets in zip(torch.split(hidden_ND, chunk), torch.split(targets_N, chunk), strict=True)
    ]
    return torch.cat(parts) if parts else hidden_ND.new_zeros(0, dtype=torch.float32)


def summed_nats(hidden_ND: Tensor, table_VD: Tensor, targets_N: Tensor, *, kernel: Kernel, chunk: int) -> Tensor:
    """The sum of the nats, a float32 scalar, by the kernel asked for.

    "torch" and "liger" make the gradients in the forward pass, so that nothing is computed twice. Raises
    `RequestError` where this torch has no such kernel, `MissingExtraError` without Liger.
    """
    chosen = choose_kernel(kernel, table_VD.device)
    if chosen == "chunked" or not len(hidden_ND):
        return nats_by_position(hidden_ND, table_VD, targets_N, chunk=chunk).sum()
    if chosen == "torch":
        return _by_torch(hidden_ND, table_VD, targets_N)
    return _by_liger(hidden_ND, table_VD, targets_N)


def choose_kernel(kernel: Kernel, device: torch.device) -> Kernel:
    """What "auto" stands for: on a GPU torch's kernel where there is one (2.13), otherwise ours."""
    if kernel == "auto":
        return "torch" if device.type == "cuda" and hasattr(functional, "linear_cross_entropy") else "chunked"
    if kernel == "torch" and not hasattr(functional, "linear_cross_entropy"):
        raise RequestError(f"torch {torch.__version__} has no linear_cross_entropy (2.13 has); set loss.kernel=chunked")
    return kernel


def _nats(hidden_nD: Tensor, table_VD: Tensor, targets_n: Tensor) -> Tensor:
    return functional.cross_entropy((hidden_nD @ table_VD.T).float(), targets_n, reduction="none")


def _by_torch(hidden_ND: Tensor, table_VD: Tensor, targets_N: Tensor) -> Tensor:
    options: Any = torch.nn.LinearCrossEntropyOptions()
    with torch.autocast(hidden_ND.device.type, enabled=False):
        total: Tensor = functional.linear_cross_entropy(
            hidden_ND, table_VD, targets_N, reduction="sum", options=options
        )
    return total.float()


def _by_liger(hidden_ND: Tensor, table_VD: Tensor, targets_N: Tensor) -> Tensor:
    try:
        from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss
    except ImportError as error:
        raise MissingExtraError("liger-kernel", "liger") from error
    with torch.autocast(hidden_ND.device.type, enabled=False):
        loss = LigerFusedLinearCrossEntropyLoss(reduction="sum", accum_dtype=torch.float32)
        total: Tensor = loss(table_VD, hidden_ND, targets_N)
    return total.float()
