"""Cross-entropy over the whole vocabulary without the logits of all positions at once.

In: hidden states, the output table, targets. Out: nats by position (the oracle), or their sum by one of three kernels:
ours is the fastest of them where they were measured (docs/training.md). 32,000 positions of 183,286 ids would be 22 GiB
of float32 logits. Kernels agree within rounding (tested for those that run here; Liger needs Triton, so a GPU).
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

_ALIGNED = 64


def nats_by_position(hidden_ND: Tensor, table_VD: Tensor, targets_N: Tensor, *, chunk: int) -> Tensor:
    """Nats [N], float32; the logits of `chunk` positions exist at once, and again in the backward pass."""
    parts = [
        checkpoint(_nats, hidden, table_VD, targets, use_reentrant=False)
        for hidden, targets in zip(torch.split(hidden_ND, chunk), torch.split(targets_N, chunk), strict=True)
    ]
    return torch.cat(parts) if parts else hidden_ND.new_zeros(0, dtype=torch.float32)


def summed_nats(hidden_ND: Tensor, table_VD: Tensor, targets_N: Tensor, *, kernel: Kernel, chunk: int) -> Tensor:
    """The sum of the nats, a float32 scalar, by the kernel asked for.

    All make the gradients in the forward pass, so that nothing is computed twice. Raises `RequestError` where this
    torch has no such kernel, `MissingExtraError` without Liger.
    """
    if not len(hidden_ND) or (kernel == "chunked" and not torch.is_grad_enabled()):
        return nats_by_position(hidden_ND, table_VD, targets_N, chunk=chunk).sum()
    if kernel == "chunked":
        return _by_chunks(hidden_ND, table_VD, targets_N, chunk)
    return _by_torch(hidden_ND, table_VD, targets_N) if kernel == "torch" else _by_liger(hidden_ND, table_VD, targets_N)


def _nats(hidden_nD: Tensor, table_VD: Tensor, targets_n: Tensor) -> Tensor:
    return functional.cross_entropy((hidden_nD @ table_VD.T).float(), targets_n, reduction="none")


def _by_chunks(hidden_ND: Tensor, table_VD: Tensor, targets_N: Tensor, chunk: int) -> Tensor:
    device = hidden_ND.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        hidden_ND, table_VD = hidden_ND.to(dtype), table_VD.to(dtype)
    with torch.autocast(device, enabled=False):
        total: Tensor = _SummedNats.apply(hidden_ND, table_VD, targets_N, chunk)  # type: ignore[no-untyped-call]
    return total


class _SummedNats(torch.autograd.Function):
    """The sum of the nats; three matrix products a chunk, all in the forward pass.

    The table is padded to a multiple of `_ALIGNED` rows (logits -inf): GPUs multiply rows of odd lengths slowly.
    """

    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, table_VD: Tensor, targets_N: Tensor, chunk: int) -> Tensor:
        for_hidden, for_table = ctx.needs_input_grad[:2]
        rows = len(table_VD)
        table_PD = functional.pad(table_VD, (0, 0, 0, -rows % _ALIGNED))
        total = torch.zeros((), device=hidden_ND.device)
        hidden_gradients, table_gradient = [], None
        for hidden_nD, targets_n in zip(torch.split(hidden_ND, chunk), torch.split(targets_N, chunk), strict=True):
            logits_nP = hidden_nD @ table_PD.T
            logits_nP[:, rows:] = -torch.inf
            logs_nP = torch.log_softmax(logits_nP, dim=1, dtype=torch.float32)
            targets_n1 = targets_n.unsqueeze(1)
            picked_n1 = logs_nP.gather(1, targets_n1)
            total -= picked_n1.sum()
            gradient_nP = torch.exp(logs_nP, out=logits_nP)
            del logs_nP
            gradient_nP.scatter_(1, targets_n1, torch.expm1(picked_n1).to(gradient_nP.dtype))
            if for_hidden:
                hidden_gradients.append(gradient_nP @ table_PD)
            if for_table:
                added_PD = gradient_nP.T @ hidden_nD
                # several are added up in float32; one alone needs no second buffer
                if table_gradient is None:
                    table_gradient = added_PD.float() if len(hidden_ND) > chunk else added_PD
                else:
                    table_gradient += added_PD
            del logits_nP, gradient_nP
        ctx.save_for_backward(
            torch.cat(hidden_gradients) if for_hidden else None,
            None if table_gradient is None else table_gradient[:rows].to(table_VD.dtype),
        )
        return total

    @staticmethod
    def backward(ctx: Any, *outgoing: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        for_hidden, for_table = (None if one is None else one * outgoing[0] for one in ctx.saved_tensors)
        return for_hidden, for_table, None, None


def _by_torch(hidden_ND: Tensor, table_VD: Tensor, targets_N: Tensor) -> Tensor:
    if not hasattr(functional, "linear_cross_entropy"):
        raise RequestError(f"torch {torch.__version__} has no linear_cross_entropy (2.13 has); set loss.kernel=chunked")
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
