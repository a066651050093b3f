"""A model's matrices: as a checkpoint holds them, or in 8 bits with one scale for each output.

In: weights [N, K]. Out: the same as `Scaled`, and products with activations, which keep their own number format.
int8 is symmetric, -127 to 127; fp8 is e4m3, up to 448 (Micikevicius et al. 2022, arXiv 2209.05433). This is the plain
way, which widens the whole matrix for every product; `torch_product_kernel` reads the bytes as they are. On a CPU it
is slower than float32, fp8 by far: there it serves to see what a format costs in quality. Knows no layer.

Shapes: N outputs, K inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Weights = Literal["int8", "fp8"]
FORMATS: dict[str, tuple[torch.dtype, float]] = {"int8": (torch.int8, 127.0), "fp8": (torch.float8_e4m3fn, 448.0)}
"""Element type and largest value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaled:
    """`values` [N, K] of 8 bits, each row times its own of the float32 `scales` [N]."""

    values: Tensor
    scales: Tensor

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: slice | Tensor) -> Scaled:
        """Some rows; indexed as bytes, since not every device indexes fp8."""
        chosen = self.values.view(torch.uint8)[rows].view(self.values.dtype)
        return Scaled(values=chosen, scales=self.scales[rows])

    @property
    def device(self) -> torch.device:
        """Where the values are."""
        return self.values.device

    def widened(self) -> Tensor:
        """What it stands for, float32 [N, K]."""
        return self.values.float() * self.scales[:, None]


Matrix = Tensor | Scaled


def scaled(weight: Tensor, weights: Weights) -> Scaled:
    """`weight` [N, K] in 8 bits: the largest of a row becomes the largest of the format."""
    kind, largest = FORMATS[weights]
    wide = weight.float()
    scales = (wide.abs().amax(dim=1) / largest).clamp(min=torch.finfo(torch.float32).tiny)
    values = wide / scales[:, None]
    return Scaled(values=(values.round() if weights == "int8" else values).to(kind), scales=scales)


def linear(x: Tensor, matrix: Matrix) -> Tensor:
    """`x` [..., K] times the matrix, [..., N]."""
    if isinstance(matrix, Tensor):
        return functional.linear(x, matrix)
    return (functional.linear(x, matrix.values.to(x.dtype)) * matrix.scales).to(x.dtype)
