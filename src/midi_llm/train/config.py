"""What a training run is: checked, frozen settings. Recipes that fill them in are in train/recipes.py.

A setting is named by its path, "optim.lr"; `with_changes` reads such names from a command line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from midi_llm.errors import RequestError

Schedule = Literal["wsd", "cosine"]
Over = Literal["slot", "vocabulary"]
Kernel = Literal["chunked", "torch", "liger"]
Precision = Literal["bf16", "fp32"]
Strategy = Literal["ddp", "fsdp"]
MusicRows = Literal["structured", "plain"]

_Settings = TypeVar("_Settings")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelShape:
    """A Llama decoder of our own: tied embeddings, rotary positions, SwiGLU."""

    hidden_size: int = 384
    intermediate_size: int = 1024
    layers: int = 8
    heads: int = 6
    kv_heads: int = 2
    head_size: int = 64
    positions: int = 2048
    rope_theta: float = 10_000.0
    text_rows: int = 4096
    music_rows: MusicRows = "structured"
    """How they are parametrised while training: structure + residual, or as a table of random rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimConfig:
    """AdamW, with Muon for the body's matrices where `matrix_lr` is given."""

    lr: float
    """Peak learning rate of AdamW."""
    matrix_lr: float | None = None
    """Peak learning rate of Muon (Jordan 2024); None: AdamW for all parameters."""
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.1
    """Of matrices; gains and tables have none."""
    warmup_steps: int = 50
    schedule: Schedule = "wsd"
    """"wsd": warm-up, stable, linear decay to zero (Hu et al. 2024, arXiv 2404.06395); "cosine" to `final_share`."""
    decay_from: float = 1.0
    """Share of the steps after which "wsd" decays; 1 never does."""
    final_share: float = 0.1
    """Of the peak, at the end of "cosine"."""
    clip_norm: float = 1.0
    """Largest gradient norm over the parameters that AdamW has."""

    def __post_init__(self) -> None:
        _require(
            self.lr > 0 and (self.matrix_lr is None or self.matrix_lr > 0), "lr and matrix_lr must be above 0", self
        )
        _require(0 <= self.decay_from <= 1 and 0 <= self.final_share <= 1, "shares must be between 0 and 1", self)
        _require(self.warmup_steps >= 0 and self.clip_norm > 0, "warmup_steps from 0 on, clip_norm above 0", self)
        _require(all(0 <= beta < 1 for beta in self.betas) and self.eps > 0, "betas in [0, 1), eps above 0", self)

    def scale(self, step: int, steps: int) -> float:
        """Share of the peak learning rates at `step` of `steps`."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        if self.schedule == "cosine":
            progress = min(1.0, max(0.0, (step - self.warmup_steps) / max(1, steps - self.warmup_steps)))
            return warm * (self.final_share + (1 - self.final_share) * 0.5 * (1 + math.cos(math.pi * progress)))
        start = self.decay_from * steps
        return warm * (1.0 if step < start else max(0.0, (steps - step) / max(1.0, steps - start)))


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """What is learned. The mean is over all positions learned in a step, whichever process has them."""

    over: Over = "slot"
    """"slot": among the ids that the grammar admits there; "vocabulary": among all ids, as in the paper."""
    on_prompt: bool = False
    """The prompt's ids are learned too."""
    kernel: Kernel = "chunked"
    """Of "vocabulary": ours in chunks, torch's linear_cross_entropy (2.13), or Liger."""
    chunk: int = 1024
    """Positions whose logits exist at once in "chunked": at 183,286 ids and bf16 about 1.1 GB for each thousand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ComputeConfig:
    """How the work is done; of these settings only `precision` changes what is learned, beyond rounding."""

    precision: Precision = "bf16"
    """"bf16": matrix products in bfloat16 over float32 weights and float32 optimiser states."""
    micro_rows: int | None = None
    """Rows that a process takes through the model at once; gradients of several add up. None: all of its rows."""
    checkpoint_activations: bool = False
    """Keep only each layer's input for the backward pass: about a third more work, a fraction of the memory."""
    compile: bool = False
    """torch.compile each layer."""
    strategy: Strategy = "ddp"
    """With several processes: every one holds the whole model, or ("fsdp") a share of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraConfig:
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) on the body's matrices; the music rows train in full."""

    rank: int = 16
    alpha: float = 32.0
    modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    music_rows: bool = True
    """Train the 55,030 music rows as well: needed unless the base already knows music."""

    def __post_init__(self) -> None:
        _require(self.rank >= 1 and self.alpha > 0 and bool(self.modules), "rank from 1 on, alpha above 0", self)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """One stage. The model is `shape`, or the folder of a Llama that is given to the trainer where `shape` is None."""

    name: str
    rows: str
    """The row set of a data set that it is meant for: rows/NAME."""
    steps: int
    batch_rows: int
    """Rows a step, over all processes."""
    optim: OptimConfig
    loss: LossConfig = field(default_factory=LossConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    shape: ModelShape | None = None
    base_rows: MusicRows = "plain"
    """How the music rows of a base are parametrised while training: as its table, or as its table + structure."""
    lora: LoraConfig | None = None
    seed: int = 1
    validate_every: int = 100
    validation_rows: int = 48
    checkpoint_every: int = 100
    sample_every: int | None = None
    """Steps between samples of what the model composes; None: none."""

    def __post_init__(self) -> None:
        counts = (self.steps, self.batch_rows, self.validate_every, self.validation_rows, self.checkpoint_every)
        _require(
            min(counts) >= 1, "steps, batch_rows, validate_every, validation_rows, checkpoint_every from 1 on", self
        )
        _require(self.sample_every is None or self.sample_every >= 1, "sample_every from 1 on", self)
        _require(self.compute.micro_rows is None or self.compute.micro_rows >= 1, "compute.micro_rows from 1 on", self)
        if self.base_rows == "structured" and self.shape is not None:
            raise RequestError(
                f"base_rows is structured and {self.name} trains no base but a shape; set shape.music_rows=structured"
            )
        if self.base_rows == "structured" and self.lora is not None and not self.lora.music_rows:
            raise RequestError(
                "base_rows is structured and lora.music_rows is false, so no music row trains: set lora.music_rows=true"
                " or base_rows=plain"
            )
        if self.compute.strategy == "fsdp" and self.optim.matrix_lr is not None:
            raise RequestError(
                "compute.strategy is fsdp and optim.matrix_lr is given; Muon needs whole matrices: set"
                " optim.matrix_lr=none or compute.strategy=ddp"
            )


def _require(holds: bool, rule: str, found: object) -> None:
    if not holds:
        raise RequestError(f"{found} is not possible; allowed are: {rule}")


def with_changes(config: TrainConfig, changes: Sequence[str]) -> TrainConfig:
    """`config` after changes such as "optim.lr=1e-4" or "lora.rank=8", in whatever order.

    Raises `RequestError` that lists the names, or says which settings do not go together.
    """
    values = asdict(config)
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals:
            raise RequestError(f"{change!r} changes nothing; a change is like optim.lr=1e-4")
        _set(values, TrainConfig, path.strip().split("."), text.strip(), change)
    return from_record(values, TrainConfig)


def _set(values: dict[str, Any], kind: type[Any], path: list[str], text: str, change: str) -> None:
    """Read `text` into the field at `path` of `values`, the record of a `kind`."""
    hints = get_type_hints(kind)
    name, rest = path[0], path[1:]
    if name not in hints:
        raise RequestError(f"{change!r}: there is no {name!r}; settings here are {', '.join(hints)}")
    inner = next((choice for choice in (hints[name], *get_args(hints[name])) if is_dataclass(choice)), None)
    if inner is None and not rest:
        values[name] = _read(hints[name], text, change)
    elif inner is None or not rest:
        below = name if inner is None else ", ".join(f"{name}.{item.name}" for item in fields(inner))
        raise RequestError(f"{change!r}: settings there are {below}")
    elif values[name] is None:
        raise RequestError(f"{change!r}: the recipe {values['name']} has no {name}; take a recipe that has")
    else:
        _set(values[name], inner, rest, text, change)  # type: ignore[arg-type]  # a class, by its annotation


def from_record(values: Mapping[str, Any], kind: type[_Settings]) -> _Settings:
    """Settings of `kind` from what `dataclasses.asdict` and JSON made of them; missing fields keep defaults."""
    hints = get_type_hints(kind)
    return kind(**{name: _value(hints[name], value) for name, value in values.items()})


def _value(hint: Any, value: Any) -> Any:
    """One field in its annotated type."""
    if isinstance(value, Mapping):
        inner = next(choice for choice in (hint, *get_args(hint)) if isinstance(choice, type) and is_dataclass(choice))
        return from_record(value, inner)
    return tuple(value) if isinstance(value, list) else value


def _read(kind: Any, text: str, change: str) -> Any:
    """`text` as a value of the annotated type `kind`."""
    choices = get_args(kind)
    if type(None) in choices:
        if text.lower() == "none":
            return None
        return _read(next(choice for choice in choices if choice is not type(None)), text, change)
    if get_origin(kind) is Literal:
        if text not in choices:
            raise RequestError(f"{change!r}: allowed are {', '.join(choices)}")
        return text
    if get_origin(kind) is tuple:
        return tuple(_read(choices[0], part, change) for part in text.split(","))
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise RequestError(f"{change!r}: allowed are true and false")
        return text.lower() == "true"
    try:
        value = kind(text)
    except ValueError as error:
        raise RequestError(f"{change!r}: {text!r} is not a {kind.__name__}") from error
    if isinstance(value, float) and not math.isfinite(value):
        raise RequestError(f"{change!r}: {text!r} is not a finite number")
    return value
