"""Low-rank adapters (Hu et al. 2021, arXiv 2106.09685): a frozen matrix plus scale * B A, merged when exported.

In: a module and a `LoraConfig`. Out: the same module with adapted layers; its other parameters are frozen.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from midi_llm.errors import RequestError
from midi_llm.train.config import LoraConfig


class LoraLinear(nn.Module):
    """`y = W x + scale * B A x`; W [out, in] is frozen, A [rank, in] starts random, B [out, rank] at zero."""

    def __init__(self, base: nn.Linear, config: LoraConfig) -> None:
        super().__init__()
        self.base = base
        base.requires_grad_(False)
        self.scale = config.alpha / config.rank
        self.lora_a = nn.Parameter(torch.empty(config.rank, base.in_features, device=base.weight.device))
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, config.rank, device=base.weight.device))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))

    def forward(self, inputs: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        low = functional.linear(inputs, self.lora_a.to(inputs.dtype))
        out: Tensor = self.base(inputs) + self.scale * functional.linear(low, self.lora_b.to(inputs.dtype))
        return out

    def merged(self) -> Tensor:
        """W + scale * B A [out, in], in float32."""
        return self.base.weight.detach().float() + self.scale * (self.lora_b @ self.lora_a).detach()


def add_lora(body: nn.Module, config: LoraConfig) -> None:
    """Freeze `body` and adapt its linear layers that are named in `config.modules`.

    Raises `RequestError` when there is none of some name.
    """
    body.requires_grad_(False)
    found: set[str] = set()
    for parent in list(body.modules()):
        for name, child in list(parent.named_children()):
            if name in config.modules and isinstance(child, nn.Linear):
                setattr(parent, name, LoraLinear(child, config))
                found.add(name)
    missing = [name for name in config.modules if name not in found]
    if missing:
        raise RequestError(f"lora.modules names {', '.join(missing)}; the model has no such linear layer")


def merged_state(body: nn.Module) -> dict[str, Tensor]:
    """The state of `body` with the adapters merged into their matrices, under the names it had without them."""
    state = dict(body.state_dict())
    for name, module in body.named_modules():
        if isinstance(module, LoraLinear):
            for key in ("base.weight", "lora_a", "lora_b"):
                del state[f"{name}.{key}"]
            state[f"{name}.weight"] = module.merged()
    return state
