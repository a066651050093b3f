"""What a training run is: checked, frozen settings, and recipes as functions that return them.

Every number without another source is our choice, tuned in small runs (docs/log.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from midi_llm.errors import DatasetError

NANO_SAMPLING: dict[str, float] = {
    "max_instruments": 6, "max_polyphony": 6, "polyphony_per_instrument": 3, "min_gap_ticks": 4, "min_melodic_ticks": 5,
}  # fmt: skip
"""Recommended with the small model's weights. Unbound it drifts to 11 instruments in 15 s (docs/log.md 2026-11-23) and
piles up 64 notes on an onset. In 95 % of training windows at most 6 + 3 notes per instrument sound at once, and 40 ms
is less than a 32nd at 150 bpm. Of the melodic notes 0.5 % are shorter than 50 ms, of the drums 46 % (docs/log.md
2026-11-24)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelShape:
    """A Llama decoder: tied embeddings, rotary positions, SwiGLU."""

    hidden_size: int = 256
    intermediate_size: int = 704
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    head_size: int = 64
    positions: int = 2048
    rope_theta: float = 10_000.0
    text_rows: int = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """One stage. `decay_from` is the share of steps after which the learning rate falls linearly to zero (WSD)."""

    name: str
    steps: int
    batch_rows: int
    muon_lr: float = 0.02
    adam_lr: float = 2e-3
    weight_decay: float = 0.01
    warmup_steps: int = 50
    decay_from: float = 1.0
    clip_norm: float = 1.0
    train_on_prompt: bool = False
    seed: int = 1
    validate_every: int = 100
    validation_rows: int = 48
    checkpoint_every: int = 100
    shape: ModelShape = field(default_factory=ModelShape)

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_rows < 1 or not 0.0 <= self.decay_from <= 1.0:
            raise DatasetError(
                f"steps={self.steps}, batch_rows={self.batch_rows}, decay_from={self.decay_from};"
                " allowed are positive counts and a share between 0 and 1"
            )

    def lr_scale(self, step: int) -> float:
        """Share of the peak learning rate at `step`: warm-up, stable, linear decay."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        start = self.decay_from * self.steps
        decay = 1.0 if step < start else max(0.0, (self.steps - step) / max(1.0, self.steps - start))
        return warm * decay


def nano_stage1(*, steps: int = 800) -> TrainConfig:
    """Stage 1 of the bundled model: captions and music, loss on both, short rows, constant learning rate."""
    return TrainConfig(name="nano_stage1", steps=steps, batch_rows=16, train_on_prompt=True)


def nano_stage2(*, steps: int = 860) -> TrainConfig:
    """Stage 2 of the bundled model: captioned windows at full length, loss on the music alone, constant rate."""
    return TrainConfig(
        name="nano_stage2", steps=steps, batch_rows=4, muon_lr=0.015, adam_lr=1.5e-3, warmup_steps=20, seed=2
    )


def nano_stage2_short(*, steps: int = 1340) -> TrainConfig:
    """Stage 2, continued on rows of half the length, so more prompts a step; the rate falls to zero over it."""
    return TrainConfig(
        name="nano_stage2_short",
        steps=steps,
        batch_rows=8,
        muon_lr=0.015,
        adam_lr=1.5e-3,
        warmup_steps=20,
        decay_from=0.3,
        seed=3,
    )


def tiny_cpu(*, steps: int = 4, text_rows: int = 512) -> TrainConfig:
    """Seconds on a CPU: for tests and `runs/smoke.sh`."""
    shape = ModelShape(
        hidden_size=32, intermediate_size=64, layers=2, heads=2, kv_heads=1, head_size=16, text_rows=text_rows
    )
    return TrainConfig(
        name="tiny_cpu", steps=steps, batch_rows=2, warmup_steps=1, validate_every=2, validation_rows=2,
        checkpoint_every=2, shape=shape,
    )  # fmt: skip
