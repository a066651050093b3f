"""P9: how many ids a second training takes in, and its share of the device's peak, beside Hugging Face's Trainer.

    python benchmarks/training_speed.py --shape nano --rows 4 --length 1024
    python benchmarks/training_speed.py --shape 1b --rows 8 --length 2048 -o table.md     # one GPU with 80 GB

Ours is the model, loss and optimiser of `midi_llm.train` on rows of a prompt and random legal events; the peer is
transformers' own model, loss and AdamW on the same rows, through Trainer where accelerate is installed and else in the
loop that Trainer runs. Variants take turns, `--rounds` times; medians are shown. Weights are random.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaForCausalLM

import machine
from midi_llm.errors import MidiLLMError
from midi_llm.tokens.vocab import AUTOREGRESS, DUR_OFFSET, MAX_NOTE, MAX_TIME_TICKS, NOTE_OFFSET
from midi_llm.train.config import ComputeConfig, LossConfig, ModelShape, OptimConfig, TrainConfig
from midi_llm.train.logbook import flops_per_id, utilisation
from midi_llm.train.loss import target_slots
from midi_llm.train.model import build_model, llama_config
from midi_llm.train.optim import make_optimizers, take_step

SHAPES = {
    "tiny": ModelShape(
        hidden_size=64, intermediate_size=128, layers=2, heads=2, kv_heads=1, head_size=32, text_rows=512
    ),
    "nano": ModelShape(),
    "1b": ModelShape(
        hidden_size=2048, intermediate_size=8192, layers=16, heads=32, kv_heads=8, head_size=64, text_rows=128_256,
        music_rows="plain",
    ),
}  # fmt: skip
PROMPT_IDS = 64
WARM_UP = 2
OPTIM = OptimConfig(lr=1e-4)


@dataclass(frozen=True)
class Rows:
    """[B, L] ids, positions, and [B, L-1] slots."""

    ids: torch.Tensor
    positions: torch.Tensor
    slots: torch.Tensor


def make_rows(shape: ModelShape, rows: int, length: int, device: torch.device) -> Rows:
    """A prompt, AUTOREGRESS, and triplets with rising times."""
    rng = np.random.default_rng(0)
    text = shape.text_rows
    events = (length - PROMPT_IDS - 1) // 3
    ids = rng.integers(text, size=(rows, PROMPT_IDS + 1 + 3 * events))
    ids[:, PROMPT_IDS] = text + AUTOREGRESS
    ids[:, PROMPT_IDS + 1 :: 3] = text + np.sort(rng.integers(MAX_TIME_TICKS, size=(rows, events)), axis=1)
    ids[:, PROMPT_IDS + 2 :: 3] = text + DUR_OFFSET + rng.integers(1000, size=(rows, events))
    ids[:, PROMPT_IDS + 3 :: 3] = text + NOTE_OFFSET + rng.integers(MAX_NOTE, size=(rows, events))
    ids_BL = torch.from_numpy(ids).to(device)
    positions_BL = torch.arange(ids_BL.shape[1], device=device).expand_as(ids_BL)
    inside_BL = torch.ones_like(ids_BL, dtype=torch.bool)
    slots_BL = target_slots(ids_BL, positions_BL, inside_BL, text_rows=text, with_text=True)
    return Rows(ids_BL, positions_BL, slots_BL)


def ours(name: str, shape: ModelShape, **settings: object) -> tuple[str, TrainConfig]:
    """A variant by name; `settings` are those of `LossConfig` and `ComputeConfig`."""
    loss = {key: value for key, value in settings.items() if key in ("over", "kernel")}
    compute = {key: value for key, value in settings.items() if key not in loss}
    config = TrainConfig(
        name="speed", rows="", steps=1000, batch_rows=1, optim=OPTIM, shape=shape,
        loss=LossConfig(on_prompt=True, **loss), compute=ComputeConfig(**compute),
    )  # type: ignore[arg-type]  # fmt: skip
    return name, config


def variants(shape: ModelShape, device: torch.device) -> list[tuple[str, TrainConfig]]:
    found = [
        ours("ours, all ids, chunked loss", shape, over="vocabulary", kernel="chunked"),
        ours("ours, all ids, torch's fused loss", shape, over="vocabulary", kernel="torch"),
        ours("ours, all ids, fused, compiled", shape, over="vocabulary", kernel="torch", compile=True),
        ours(
            "ours, all ids, fused, checkpoints", shape, over="vocabulary", kernel="torch", checkpoint_activations=True
        ),
        ours("ours, slot's ids", shape, over="slot"),
        ours("ours, slot's ids, compiled", shape, over="slot", compile=True),
    ]
    if device.type == "cuda" and find_spec("liger_kernel"):
        found.insert(2, ours("ours, all ids, Liger", shape, over="vocabulary", kernel="liger", compile=True))
    return found


def our_steps(config: TrainConfig, rows: Rows, device: torch.device) -> tuple[Callable[[], None], float]:
    """One training step, and the operations that an id takes."""
    model = build_model(config).to(device)
    if config.compute.compile:
        for layer in model.body.layers:
            layer.compile()
    optimizers = make_optimizers(model, config.optim)
    count = int((rows.slots >= 0).sum())

    def step() -> None:
        (model(rows.ids, rows.positions, rows.slots).sum() / count).backward()
        take_step(model, optimizers, config.optim, 1.0)

    return step, flops_per_id(model, length=rows.ids.shape[1])


def peer_steps(shape: ModelShape, rows: Rows, device: torch.device) -> Callable[[], None]:
    """What Trainer runs: bf16 autocast, the model's own loss over all ids, fused AdamW, clipping."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(llama_config(shape)).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=OPTIM.lr, fused=True)

    def step() -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = model(input_ids=rows.ids, labels=rows.ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def trainer_seconds(shape: ModelShape, rows: Rows, device: torch.device, steps: int) -> list[float]:
    """Seconds of each of Trainer's steps after the warm-up."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *args: object, **kwargs: object) -> None:
            synchronise(device)
            times.append(time.perf_counter())

    torch.manual_seed(0)
    ids = rows.ids.cpu()
    data = [
        {"input_ids": ids[number % len(ids)], "labels": ids[number % len(ids)]}
        for number in range(len(ids) * (steps + WARM_UP))
    ]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, max_steps=steps + WARM_UP, per_device_train_batch_size=len(ids), bf16=True,
            use_cpu=device.type == "cpu", report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True,
            optim="adamw_torch_fused",
        )  # fmt: skip
        trainer = Trainer(
            model=LlamaForCausalLM(llama_config(shape)), args=arguments, train_dataset=data, callbacks=[Clock()]
        )
        trainer.train()
    return list(np.diff(times)[WARM_UP - 1 :])


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def timed(step: Callable[[], None], device: torch.device, steps: int) -> list[float]:
    seconds = []
    for number in range(steps + WARM_UP):
        synchronise(device)
        began = time.perf_counter()
        step()
        synchronise(device)
        if number >= WARM_UP:
            seconds.append(time.perf_counter() - began)
    return seconds


def measured(args: argparse.Namespace, device: torch.device) -> Iterator[tuple[str, list[float], float, float]]:
    """(name, seconds of its steps over all rounds, operations an id, most GiB on the device) of each variant."""
    shape = SHAPES[args.shape]
    rows = make_rows(shape, args.rows, args.length, device)
    found: dict[str, tuple[list[float], float, float]] = {}
    peer = "Trainer" if find_spec("accelerate") else "transformers' model and loss, plain loop"
    for _ in range(args.rounds):
        for name, config in [*variants(shape, device), (peer, None)]:
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            flops = 0.0
            try:
                if config is not None:
                    step, flops = our_steps(config, rows, device)
                    seconds = timed(step, device, args.steps)
                elif peer == "Trainer":
                    seconds = trainer_seconds(shape, rows, device, args.steps)
                else:
                    seconds = timed(peer_steps(shape, rows, device), device, args.steps)
            except (torch.OutOfMemoryError, MidiLLMError) as error:
                print(f"{name}: {str(error).splitlines()[0]}")
                continue
            memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
            before = found.get(name, ([], 0.0, 0.0))
            found[name] = (before[0] + seconds, flops or before[1], max(before[2], memory))
    for name, (seconds, flops, memory) in found.items():
        yield name, seconds, flops, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="nano")
    parser.add_argument("--layers", type=int, help="fewer layers, to try it out")
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=5, help="of each variant in each round, after 2 that do not count")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    if args.layers:
        SHAPES[args.shape] = replace(SHAPES[args.shape], layers=args.layers)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    results = list(measured(args, device))
    peer = statistics.median(results[-1][1])
    ids = args.rows * (PROMPT_IDS + 1 + 3 * ((args.length - PROMPT_IDS - 1) // 3))
    lines = [
        "| variant | seconds a step (least, most) | ids/s | against the peer | MFU | GiB |",
        "|---|---|---|---|---|---|",
    ]
    for name, seconds, flops, memory in results:
        middle = statistics.median(seconds)
        mfu = utilisation(flops * ids, middle, 1) if flops else None
        lines.append(
            f"| {name} | {middle:.3f} ({min(seconds):.3f}, {max(seconds):.3f}) | {ids / middle:,.0f}"
            f" | {peer / middle:.2f} | {'' if mfu is None else f'{mfu:.1%}'} | {f'{memory:.1f}' if memory else ''} |"
        )
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    note = (
        f"shape {args.shape}, {args.rows} rows of {args.length} ids, {args.steps} steps in each of {args.rounds}"
        f" rounds; {where}; {machine.describe('torch', 'transformers')}"
    )
    text = "\n".join([*lines, "", note, ""])
    print(text)
    if args.output:
        args.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
