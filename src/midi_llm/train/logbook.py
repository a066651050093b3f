"""The logbook of a run: one JSON line a step, and the same numbers for TensorBoard where it is asked for.

In: records of steps. Out: `logbook.jsonl`, `tensorboard/`. After a stop the lines of steps that will be taken again are
dropped. Speed is in ids a second and, on a GPU whose peak is known, as model FLOPs utilisation.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from midi_llm.errors import MissingExtraError
from midi_llm.tokens.vocab import REST
from midi_llm.train.model import TrainableLlama

LOGBOOK = "logbook.jsonl"
PEAK_BF16_FLOPS: Mapping[str, float] = {
    "H200": 989.4e12, "H100 NVL": 835e12, "H100 PCIe": 756e12, "H100": 989.4e12, "A100": 312e12, "L40S": 362e12,
    "RTX 4090": 165.2e12,
}  # fmt: skip
"""Dense bfloat16 with float32 accumulation, from NVIDIA's data sheets; the first name found in the device's counts."""


class Logbook:
    """Appends records; `step` is where the run goes on from, later lines are dropped."""

    def __init__(self, out: Path, *, step: int, tensorboard: bool = False) -> None:
        self._path = out / LOGBOOK
        self._rewind(step)
        self._board: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard.writer import SummaryWriter
            except ImportError as error:
                raise MissingExtraError("tensorboard", "train") from error
            self._board = SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._board is not None:
            self._board.close()

    def write(self, record: Mapping[str, Any]) -> None:
        """Add the record of a step; numbers, also those in nested objects, go to TensorBoard by their path."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        if self._board is not None:
            for name, value in _numbers(record, ""):
                self._board.add_scalar(name, value, record["step"])
            self._board.flush()

    def _rewind(self, step: int) -> None:
        """Drop the lines of steps after `step`, and one that was cut short."""
        if self._path.exists():
            lines = self._path.read_text(encoding="utf-8").splitlines()
            kept = [line + "\n" for line in lines if _step_of(line) <= step]
            temporary = self._path.with_name(f".{LOGBOOK}")
            temporary.write_text("".join(kept), encoding="utf-8")
            temporary.replace(self._path)


def _step_of(line: str) -> float:
    """The step of a record; infinity where it was cut short."""
    try:
        return float(json.loads(line)["step"])
    except ValueError:
        return math.inf


def _numbers(record: Mapping[str, Any], prefix: str) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, value in record.items():
        if isinstance(value, Mapping):
            found += _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name != "step":
            found.append((prefix + name, float(value)))
    return found


def flops_per_id(model: TrainableLlama, *, length: int) -> float:
    """Floating point operations that training on one id takes, forward and backward, without recomputation.

    6 for each weight of a matrix and 12 * heads * head size * `length` / 2 a layer for causal attention (Chowdhery et
    al. 2022, arXiv 2204.02311, appendix B, halved for causality). Of the output table count the rows that an id is
    scored against: all, or where the loss is over slots the mean of their three blocks, which are the events, REST and
    SEPARATOR.
    """
    config = model.llama_config
    matrices = sum(p.numel() for p in model.body.parameters() if p.ndim == 2)
    rows = config.vocab_size if model.scores_all_rows else (REST + 2) / 3
    head_size = config.head_dim or config.hidden_size // config.num_attention_heads
    attention = config.num_hidden_layers * config.num_attention_heads * head_size * length
    return 6.0 * (matrices + rows * config.hidden_size) + 6.0 * attention


def utilisation(flops: float, seconds: float, world_size: int) -> float | None:
    """Model FLOPs utilisation: `flops` in `seconds` over the peak of `world_size` GPUs; None where it is not known."""
    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    peak = next((value for part, value in PEAK_BF16_FLOPS.items() if part in name), None)
    return None if peak is None else flops / seconds / (peak * world_size)
