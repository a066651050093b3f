"""P9: how many ids a second training takes in, and its share of the device's peak, beside Hugging Face's Trainer.

    python benchmarks/training_speed.py --shape nano --rows 4 --length 1024
    python benchmarks/training_speed.py --shape 1b --rows 8 --length 2048 -o table.md     # one GPU with 80 GB

Ours is the model, loss and optimiser of `midi_llm.train` on rows of a prompt and random legal events; the peer is
transformers' own model, loss and AdamW on the same rows, through Trainer where accelerate is installed and else in the
loop that Trainer runs. Variants take turns, `--rounds` times; medians are shown. Weights are random. Variants differ in
the loss (ours in chunks, torch's, Liger's; among all ids or the slot's), torch.compile, activation checkpoints, four
examples packed into a row, and twice the rows. A variant that does not fit or is not installed is named and left out.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaForCausalLM

import machine
from midi_llm.train.config import ComputeConfig, LossConfig, ModelShape, OptimConfig, TrainConfig
from midi_llm.train.distributed import World, share_out
from midi_llm.train.logbook import flops_per_id, utilisation
from midi_llm.train.model import build_model, llama_config
from midi_llm.train.optim import make_optimizers, take_step
from training_rows import Rows, make_rows

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
WARM_UP = 2
OPTIM = OptimConfig(lr=1e-4)


@dataclass(frozen=True)
class Variant:
    """How ours trains: its settings, on rows that hold `packed` examples each, `times` the usual number of rows."""

    config: TrainConfig
    packed: int = 1
    times: int = 1


def ours(shape: ModelShape, *, packed: int = 1, times: int = 1, **settings: object) -> Variant:
    """A variant; `settings` are those of `LossConfig` and `ComputeConfig`."""
    loss = {key: value for key, value in settings.items() if key in ("over", "kernel", "chunk")}
    compute = {key: value for key, value in settings.items() if key not in loss}
    config = TrainConfig(
        name="speed", rows="", steps=1000, batch_rows=1, optim=OPTIM, shape=shape,
        loss=LossConfig(on_prompt=True, **loss), compute=ComputeConfig(**compute),
    )  # type: ignore[arg-type]  # fmt: skip
    return Variant(config, packed, times)


def variants(shape: ModelShape, device: torch.device) -> dict[str, Variant]:
    chunk = 8192 if device.type == "cuda" else 1024
    others = {}
    if hasattr(torch.nn.functional, "linear_cross_entropy"):
        others["torch's fused loss"] = "torch"
    if device.type == "cuda" and find_spec("liger_kernel") is not None:
        others["Liger's loss"] = "liger"

    def of_all(**settings: object) -> Variant:
        return ours(shape, over="vocabulary", **{"kernel": "chunked", "chunk": chunk, **settings})

    name = "ours, all ids, chunked loss"
    return {
        f"{name}, compiled": of_all(compile=True),
        f"{name}, compiled, twice the rows": of_all(compile=True, times=2),
        "ours, slot's ids, compiled": ours(shape, over="slot", compile=True),
        name: of_all(),
        f"{name}, compiled, packed by four": of_all(compile=True, packed=4),
        f"{name}, compiled, activation checkpoints": of_all(compile=True, checkpoint_activations=True),
        "ours, slot's ids": ours(shape, over="slot"),
        **{
            f"ours, all ids, {other}, compiled": of_all(kernel=kernel, compile=True) for other, kernel in others.items()
        },
    }


def our_steps(config: TrainConfig, rows: Rows, device: torch.device) -> tuple[Callable[[], None], float]:
    """One training step, and the operations that an id takes."""
    with device:
        model = build_model(config)
    model = share_out(model, World(device=device), config.compute)
    optimizers = make_optimizers(model, config.optim)
    count = int((rows.slots >= 0).sum())

    def step() -> None:
        (model(rows.ids, rows.positions, rows.slots).sum() / count).backward()
        take_step(model, optimizers, config.optim, 1.0)

    return step, flops_per_id(model, length=rows.ids.shape[1])


def peer_steps(shape: ModelShape, rows: Rows, device: torch.device) -> Callable[[], None]:
    """What Trainer runs: bf16 autocast, the model's own loss over all ids, fused AdamW, clipping."""
    torch.manual_seed(0)
    with device:
        model = LlamaForCausalLM(llama_config(shape))
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
        with device:
            model = LlamaForCausalLM(llama_config(shape))
        trainer = Trainer(model=model, args=arguments, train_dataset=data, callbacks=[Clock()])
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


@dataclass
class Found:
    """Of one variant: seconds of its steps over all rounds, ids a step, operations an id, most GiB on the device."""

    ids: int
    flops: float
    seconds: list[float]
    memory: float = 0.0


PEER = "Trainer" if find_spec("accelerate") else "transformers' model and loss, plain loop"


def measured(args: argparse.Namespace, device: torch.device) -> dict[str, Found]:
    """Every variant by its name, and `PEER`; those that do not fit are named on the way and left out."""
    shape = SHAPES[args.shape]
    found: dict[str, Found] = {}
    began = time.perf_counter()
    for _ in range(args.rounds):
        for name, variant in [(PEER, None), *variants(shape, device).items()]:
            if args.seconds and time.perf_counter() - began > args.seconds:
                print(f"{name}: left out, {args.seconds:.0f} s are over", flush=True)
                continue
            try:
                one = measure(args, shape, variant, device)
            except Exception as error:  # noqa: BLE001 - the others go on, and the failure is named
                print(f"{name}: {type(error).__name__}: {str(error).partition(chr(10))[0]}", flush=True)
                continue
            before = found.setdefault(name, Found(one.ids, one.flops, []))
            before.seconds += one.seconds
            before.memory = max(before.memory, one.memory)
            print(f"{name}: {one.ids / statistics.median(one.seconds):,.0f} ids/s", flush=True)
    return found


def measure(args: argparse.Namespace, shape: ModelShape, variant: Variant | None, device: torch.device) -> Found:
    """One round of one variant, or (None) of the peer."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    packed, times = (variant.packed, variant.times) if variant else (1, 1)
    rows = make_rows(shape, args.rows * times, args.length, device, packed)
    flops = 0.0
    if variant is not None:
        step, flops = our_steps(variant.config, rows, device)
        seconds = timed(step, device, args.steps)
    elif PEER == "Trainer":
        seconds = trainer_seconds(shape, rows, device, args.steps)
    else:
        seconds = timed(peer_steps(shape, rows, device), device, args.steps)
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
    return Found(rows.ids.numel(), flops, seconds, memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="nano")
    parser.add_argument("--layers", type=int, help="fewer layers, to try it out")
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=5, help="of each variant in each round, after 2 that do not count")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, help="begin no variant after so many")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    if args.layers:
        SHAPES[args.shape] = replace(SHAPES[args.shape], layers=args.layers)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    results = measured(args, device)
    peer = results.get(PEER)
    lines = [
        "| variant | seconds a step (least, most) | ids/s | against the peer | MFU | GiB |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in results.items():
        middle = statistics.median(one.seconds)
        flops = one.flops or max(other.flops for other in results.values())  # the peer scores all ids too
        mfu = utilisation(flops * one.ids, middle, 1)
        ratio = one.ids / middle / (peer.ids / statistics.median(peer.seconds)) if peer else None
        lines.append(
            f"| {name} | {middle:.3f} ({min(one.seconds):.3f}, {max(one.seconds):.3f}) | {one.ids / middle:,.0f}"
            f" | {'' if ratio is None else f'{ratio:.2f}'} | {'' if mfu is None else f'{mfu:.1%}'}"
            f" | {f'{one.memory:.1f}' if one.memory else ''} |"
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
