"""Recipes: functions that return the settings of one stage. Change them with `train.config.with_changes`.

Numbers without a source are our choice; those of the small model are tuned in small runs (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from midi_llm.train.config import ComputeConfig, LoraConfig, LossConfig, ModelShape, OptimConfig, TrainConfig

NANO_SAMPLING: dict[str, float] = {
    "max_instruments": 6, "max_polyphony": 6, "polyphony_per_instrument": 3, "min_gap_ticks": 4, "min_melodic_ticks": 5,
}  # fmt: skip
"""Recommended with the small model's weights. Unbound it drifts to 11 instruments in 15 s (docs/log.md 2026-11-23) and
piles up 64 notes on an onset. In 95 % of training windows at most 6 + 3 notes per instrument sound at once, and 40 ms
is less than a 32nd at 150 bpm. Of the melodic notes 0.5 % are shorter than 50 ms, of the drums 46 % (docs/log.md
2026-11-24)."""

_NANO_OPTIM = OptimConfig(lr=4e-3, matrix_lr=0.03, betas=(0.9, 0.98), eps=1e-10, weight_decay=0.01, warmup_steps=50)
_NANO_COMPUTE = ComputeConfig(compile=True)


def stage1_1b() -> TrainConfig:
    """Continued pretraining of the expanded Llama 3.2 1B (183,286 ids) on music text and MIDI.

    From the paper (arXiv 2511.03942): rows of 2,048 ids, about 3.07 B tokens in all, a causal language model over the
    whole vocabulary, bfloat16. 6,000 steps of 256 rows are 3.1 B tokens. It states neither learning rate nor batch
    size: 256 rows (0.52 M ids) and the peak of 2e-4 are our choice, between Llama 3's 3e-4 for pretraining at 4 M ids a
    step (arXiv 2407.21783, table 3) and what continued pretraining keeps from forgetting; warm-up and cosine to a tenth
    as there; betas, decay and clipping as in Llama 2 (arXiv 2307.09288, section 2.2).
    """
    return TrainConfig(
        name="stage1_1b",
        rows="stage1",
        steps=6_000,
        batch_rows=256,
        optim=OptimConfig(lr=2e-4, betas=(0.9, 0.95), eps=1e-5, weight_decay=0.1, warmup_steps=200, schedule="cosine"),
        loss=LossConfig(over="vocabulary", on_prompt=True, chunk=8192),
        compute=ComputeConfig(micro_rows=8, compile=True),  # 50 GB in all
        validate_every=250,
        validation_rows=512,
        checkpoint_every=250,
        sample_every=1_000,
        seed=1,
    )


def stage2_1b() -> TrainConfig:
    """Supervised fine-tuning on captioned MIDI with infilling, from stage 1's checkpoint.

    From the paper: about 5.1 B tokens in rows of 2,048: 9,750 steps of 256 rows. Half of stage 1's peak, and loss on
    the music alone, are our choice.
    """
    stage1 = stage1_1b()
    return replace(
        stage1,
        name="stage2_1b",
        rows="stage2",
        steps=9_750,
        optim=replace(stage1.optim, lr=1e-4),
        loss=replace(stage1.loss, on_prompt=False),
        seed=2,
    )


def lora_1b_8gb() -> TrainConfig:
    """A finished 1B tuned on somebody's own MIDI files in 8 GB of GPU memory: adapters, one row at a time.

    Rank 16, alpha 32 and all matrices: our choice within the usual (Hu et al. 2021; Dettmers et al. 2023, arXiv
    2305.14314, which finds that all matrices are needed). The base stays in bfloat16 and is not changed; a finished
    checkpoint knows its music rows, so they stay too. The loss is over the slot's own ids, which needs a twentieth of
    the memory that logits over all ids would take.
    """
    return TrainConfig(
        name="lora_1b_8gb",
        rows="stage2",
        steps=400,
        batch_rows=16,
        optim=OptimConfig(lr=2e-4, weight_decay=0.0, warmup_steps=20, decay_from=0.5),
        compute=ComputeConfig(micro_rows=1, checkpoint_activations=True),
        lora=LoraConfig(music_rows=False),
        validation_rows=32,
        checkpoint_every=50,
        seed=4,
    )


def nano_stage1() -> TrainConfig:
    """Stage 1 of the bundled model: captions and music, loss on both, short rows, constant learning rate."""
    return TrainConfig(
        name="nano_stage1",
        rows="stage1",
        steps=564,
        batch_rows=256,
        optim=replace(_NANO_OPTIM, warmup_steps=100),
        loss=LossConfig(on_prompt=True),
        compute=_NANO_COMPUTE,
        shape=ModelShape(),
        validation_rows=256,
        validate_every=200,
        checkpoint_every=200,
        seed=1,
    )


def nano_stage2() -> TrainConfig:
    """Stage 2 of the bundled model: captioned windows, loss on the music alone, constant rate; many prompts a step."""
    return TrainConfig(
        name="nano_stage2",
        rows="short",
        steps=1294,
        batch_rows=128,
        optim=_NANO_OPTIM,
        compute=_NANO_COMPUTE,
        shape=ModelShape(),
        validation_rows=512,
        validate_every=200,
        checkpoint_every=200,
        seed=2,
    )


def nano_stage2_full() -> TrainConfig:
    """Stage 2, continued on rows of full length, as pieces are composed; the rate falls to zero over it."""
    return replace(
        nano_stage2(),
        name="nano_stage2_full",
        rows="full",
        steps=1016,
        batch_rows=64,
        optim=replace(_NANO_OPTIM, decay_from=0.0),
        validation_rows=256,
        seed=3,
    )


def nano_finetune() -> TrainConfig:
    """The bundled model tuned on somebody's own MIDI files, on a CPU in minutes: a low rate that falls to zero."""
    return TrainConfig(
        name="nano_finetune",
        rows="short",
        steps=40,
        batch_rows=8,
        optim=replace(_NANO_OPTIM, lr=1.5e-4, matrix_lr=0.0015, warmup_steps=5, decay_from=0.2),
        validate_every=10,
        checkpoint_every=10,
        seed=5,
    )


def tiny_cpu() -> TrainConfig:
    """Seconds on a CPU: for tests and `runs/smoke.sh`."""
    shape = ModelShape(hidden_size=32, intermediate_size=64, layers=2, heads=2, kv_heads=1, head_size=16, text_rows=512)
    return TrainConfig(
        name="tiny_cpu",
        rows="short",
        steps=4,
        batch_rows=2,
        optim=replace(_NANO_OPTIM, lr=2e-3, matrix_lr=0.02, warmup_steps=1),
        shape=shape,
        validate_every=2,
        validation_rows=2,
        checkpoint_every=2,
    )


RECIPES: Mapping[str, Callable[[], TrainConfig]] = {
    recipe.__name__: recipe
    for recipe in (
        stage1_1b, stage2_1b, lora_1b_8gb, nano_stage1, nano_stage2, nano_stage2_full, nano_finetune, tiny_cpu,
    )
}  # fmt: skip
"""By name, as `midi-llm train` takes them."""
