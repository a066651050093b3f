"""How far each way to compute a step of the torch engine is from transformers, and what its kernels take.

    python benchmarks/gpu_kernels.py -o DIR [--shape 1b|tiny] [--device cuda|cpu] [--budget-seconds 80]

On random weights of the published shape: distances of hidden states, whether drawing draws what plain torch draws,
mean times of the kernels of a take, and the bandwidth of the matrix-vector kernel by tile (speeds: `gpu_engines`).
Writes gpu_kernels.json to DIR; what no longer fits the budget is left out and named.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from gpu_model import SHAPES, SLICES, best_seconds, facts, make_model, synchronize
from midi_llm.engines.torch_batch import TorchBatch
from midi_llm.engines.torch_drawing import Draws, Scores, draw_ids
from midi_llm.engines.torch_engine import TorchEngine
from midi_llm.engines.torch_ops import Ops, PlainOps
from midi_llm.evaluate.contenders import EngineContender

PROMPT_TOKENS = 64
CHECKED_ROWS = (1, 4, 16)
TILES = ((4, 2048, 8), (2, 2048, 4), (4, 1024, 4), (8, 2048, 8), (2, 2048, 8), (1, 2048, 4))


class Bench:
    """`facts` and `notes` are what was found; both are saved after every piece of work."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.began = time.perf_counter()
        self.args = args
        self.device = torch.device(args.device)
        self.dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        self.shape = SHAPES[args.shape]
        self.model = make_model(self.shape, self.device, self.dtype)
        synchronize(self.device)
        self.prompt = [(7 * place) % self.shape["text"] for place in range(1, PROMPT_TOKENS + 1)]
        self.engines: dict[str, TorchEngine] = {}
        self.facts: dict[str, Any] = {"shape": args.shape, **facts(self.model)}
        self.notes: list[str] = []

    @property
    def left(self) -> float:
        return float(self.args.budget_seconds - (time.perf_counter() - self.began))

    def attempt(self, what: str, work: Callable[[], None], *, needs: float) -> None:
        """Do `work` where the budget still holds `needs` seconds; an error is noted, and the run goes on."""
        if self.left < needs:
            self.notes.append(f"left out for time: {what}")
            return
        try:
            work()
        except Exception as error:  # noqa: BLE001  (one piece must not cost the others)
            traceback.print_exc()
            self.notes.append(f"failed: {what}: {type(error).__name__}: {str(error).splitlines()[:1]}")
        print(f"[{time.perf_counter() - self.began:5.1f} s] {what}", file=sys.stderr, flush=True)
        self.save()

    def save(self) -> None:
        folder: Path = self.args.output
        folder.mkdir(parents=True, exist_ok=True)
        found = {"facts": self.facts, "notes": self.notes}
        (folder / "gpu_kernels.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")

    def engine(self, ops_name: str) -> TorchEngine:
        if ops_name not in self.engines:
            self.engines[ops_name] = TorchEngine.of_model(self.model, OPS[ops_name]())
        return self.engines[ops_name]

    def check(self, ops_name: str, checked_rows: tuple[int, ...] = CHECKED_ROWS) -> None:
        """Distance of hidden states from transformers', after steps over given ids in rows of unequal length."""
        llama = self.engine(ops_name)._weights()
        for rows in checked_rows:
            ids = torch.randint(self.model.config.vocab_size, (rows, 200), device=self.device)
            starts = [7 + 11 * row for row in range(rows)]
            batch = TorchBatch(llama, self.engine(ops_name)._ops, rows=rows, positions=1024)
            for row, start in enumerate(starts):
                batch.fill(row, ids[row, :start].tolist())
            places = torch.arange(rows, device=self.device)
            for step in range(20):
                batch.ids[:rows] = ids[places, torch.tensor(starts, device=self.device) + step]
                batch.step(rows)
            distances = []
            with torch.no_grad():
                for row, start in enumerate(starts):
                    expected = self.model.model(ids[row : row + 1, : start + 20]).last_hidden_state[0, -1].float()
                    distances.append(float((batch.hidden[row].float() - expected).norm() / expected.norm()))
            self.facts[f"distance {ops_name} rows {rows}"] = max(distances)
        self.facts[f"draws of {ops_name} as in torch"] = self.draws_alike(self.engine(ops_name)._ops)

    def draws_alike(self, ops: Ops) -> float:
        """Share of 64 rows of each slice for which `ops` draws what plain torch draws; compiles what it needs."""
        alike = []
        for width in SLICES:
            logits = torch.randn((64, width), device=self.device, dtype=self.dtype)
            draws = Draws(
                temperature=torch.ones((64, 1), device=self.device),
                top_p=torch.full((64, 1), 0.98, dtype=torch.float64, device=self.device),
                uniform=torch.rand((64, 1), dtype=torch.float64, device=self.device),
            )
            scores = Scores(logits=logits, start=7)
            alike.append(float((ops.draw(scores, draws) == draw_ids(scores, draws)).float().mean()))
        return sum(alike) / len(alike)

    def profile(self, ops_name: str, batch: int) -> None:
        """Mean microseconds of each kernel while a take is drawn."""
        kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
        contender = EngineContender(self.engine(ops_name), self.prompt, tokens=48)
        contender.run(batch=batch, seed=1)
        with torch.profiler.profile(activities=kinds[1:] if self.device.type == "cuda" else kinds[:1]) as profiler:
            contender.run(batch=batch, seed=1)
            synchronize(self.device)
        spent = sorted(profiler.key_averages(), key=lambda one: -device_us(one))
        self.facts[f"kernels {ops_name} batch {batch}"] = [
            f"{device_us(one) / 48:8.1f} us a token, {one.count / 48:6.1f} x {device_us(one) / one.count:6.1f} us"
            f"  {one.key[:70]}"
            for one in spent[:24]
            if device_us(one)
        ]

    def sweep(self) -> None:
        """Bandwidth of the matrix-vector kernel on each matrix of all layers, by tile of a program."""
        from midi_llm.engines import torch_kernels

        layers = self.engine("kernels")._weights().layers
        chosen = (torch_kernels._OUTPUTS, torch_kernels._INPUTS, torch_kernels._WARPS)
        lines = []
        try:
            for torch_kernels._OUTPUTS, torch_kernels._INPUTS, torch_kernels._WARPS in TILES:
                found = []
                for name in ("joined", "output", "gate_up", "down"):
                    x = torch.randn((1, getattr(layers[0], name).shape[1]), device=self.device, dtype=self.dtype)
                    settings: dict[str, Any] = {"residual": x} if name == "output" else {}
                    if name in ("joined", "gate_up"):
                        settings = {"gain_D": layers[0].inner_gain, "epsilon": 1e-5, "is_gated": name == "gate_up"}

                    def work(name: str = name, x: torch.Tensor = x, settings: dict[str, Any] = settings) -> None:
                        for layer in layers:
                            torch_kernels.product(x, getattr(layer, name), **settings)

                    work()
                    graph = torch.cuda.CUDAGraph()
                    with torch.cuda.graph(graph):
                        work()
                    size = sum(getattr(layer, name).nbytes for layer in layers)
                    found.append(f"{name} {size / best_seconds(graph.replay, self.device, rounds=5) / 1e9:.0f}")
                tile = f"{torch_kernels._OUTPUTS} x {torch_kernels._INPUTS}, {torch_kernels._WARPS} warps"
                lines.append(f"{tile}: {', '.join(found)} GB/s")
        finally:
            torch_kernels._OUTPUTS, torch_kernels._INPUTS, torch_kernels._WARPS = chosen
            self.facts["tiles"] = lines


def device_us(event: Any) -> float:
    return float(getattr(event, "self_device_time_total", 0.0) or event.self_cpu_time_total)


def kernels(*, early: bool) -> Ops:
    from midi_llm.engines.torch_kernels import KernelOps

    return KernelOps(early=early)


OPS: dict[str, Callable[[], Ops]] = {
    "kernels": lambda: kernels(early=False),
    "early kernels": lambda: kernels(early=True),
    "plain": PlainOps,
    "compiled": lambda: PlainOps(compiled=True),
}


def plan(bench: Bench) -> Iterator[tuple[str, Callable[[], None], float]]:
    """What to do, and the seconds that each may take at most; the most telling first."""
    names = ("kernels", "early kernels", "plain", "compiled") if bench.device.type == "cuda" else ("plain", "compiled")
    for name in names:
        yield f"check {name}", lambda name=name: bench.check(name), 15  # type: ignore[misc]
    for name in names[:2]:
        for batch in (1, 64):
            what = f"kernels of {name}, batch {batch}"
            yield what, lambda name=name, batch=batch: bench.profile(name, batch), 5  # type: ignore[misc]
    if bench.device.type == "cuda":
        yield "tiles", bench.sweep, 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the JSON file")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="1b")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--budget-seconds", type=float, default=80.0)
    bench = Bench(parser.parse_args())
    for what, work, needs in plan(bench):
        bench.attempt(what, work, needs=needs)
    print(json.dumps({"facts": bench.facts, "notes": bench.notes}, indent=1))


if __name__ == "__main__":
    main()
