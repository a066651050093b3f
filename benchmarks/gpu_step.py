"""Which kernel of the torch engine's step is worth what: to be run first on a GPU, some two minutes.

    python benchmarks/gpu_step.py [--shape 1b|tiny] [--device cuda|cpu] [--budget-seconds 110]

On random weights of the published shape, for weights in bfloat16, int8 and fp8: whether the kernels are trusted, a step
replayed at 1,000 cached positions (also with each kernel launched before the one before it ends), its kernels by time,
and the bandwidth of each product by tile; then products of several rows against torch's in bfloat16. Prints as it goes,
so that a run that is cut off has said something. With --device cpu and TRITON_INTERPRET=1 it is only a rehearsal.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from gpu_model import SHAPES, facts, make_model
from midi_llm.engines import torch_product_kernel as products
from midi_llm.engines.torch_batch import TorchBatch
from midi_llm.engines.torch_device import check_weights, trusted_kernels
from midi_llm.engines.torch_kernels import KernelOps
from midi_llm.engines.torch_llama import Llama, from_transformers, narrowed
from midi_llm.engines.torch_matrix import Scaled, Weights
from midi_llm.errors import EngineError

FORMATS: tuple[Weights | None, ...] = (None, "int8", "fp8")
TILES = ((4, 2048, 8), (8, 2048, 8), (2, 2048, 4), (4, 1024, 4), (8, 1024, 4), (4, 4096, 8))
REHEARSED = (256, 2048, 8)  # few programs: the interpreter runs one after the other
ROWS = (4, 16, 64)
CACHED = 1000
NAMES = ("joined", "output", "gate_up", "down")


class Bench:
    def __init__(self, args: argparse.Namespace) -> None:
        self.began, self.budget = time.perf_counter(), args.budget_seconds
        self.device = torch.device(args.device)
        self.on_cuda = self.device.type == "cuda"
        self.model = make_model(SHAPES[args.shape], self.device, torch.bfloat16 if self.on_cuda else torch.float32)
        self.llama = from_transformers(self.model)
        self.cached = CACHED if self.on_cuda else 20
        self.rounds = 100 if self.on_cuda else 1
        self.tried_tiles = TILES if self.on_cuda else (REHEARSED,)
        if not self.on_cuda:
            products._OUTPUTS = products._SHARED_OUTPUTS = REHEARSED[0]
        self.say(str(facts(self.model)))

    def say(self, text: str) -> None:
        print(f"[{time.perf_counter() - self.began:5.1f} s] {text}", flush=True)

    def attempt(self, what: str, work: Callable[[], object]) -> None:
        """Do `work` where time is left; what fails is said, and costs the others nothing."""
        if time.perf_counter() - self.began > self.budget:
            self.say(f"{what}: left out for time")
            return
        try:
            self.say(f"{what}: {work()}")
        except Exception as error:  # noqa: BLE001  (one measurement must not cost the others)
            self.say(f"{what}: failed, {type(error).__name__}: {str(error).splitlines()[:1]}")

    def seconds(self, work: Callable[[], object]) -> float:
        """Of one run of `work`: the best of three, on CUDA each many replays of its graph."""
        work()
        if not self.on_cuda:
            began = time.perf_counter()
            work()
            return time.perf_counter() - began
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        return min(timed(graph.replay, self.rounds) for _ in range(3))

    @torch.no_grad()
    def step(self, llama: Llama, early: bool) -> str:
        batch = TorchBatch(llama, KernelOps(early=early), rows=1, positions=2 * CACHED)
        batch.fill(0, [7 * place % 500 for place in range(self.cached)])
        batch.step(1)
        hidden = batch.hidden.float().norm()  # waits, and shows that numbers come out
        spent = min(
            timed(lambda: batch.step(1), self.rounds, wait=self.on_cuda) for _ in range(3 if self.on_cuda else 1)
        )
        speed = read(llama) / spent / 1e9
        return f"{spent * 1e3:.3f} ms a step at {self.cached} positions, {speed:.0f} GB/s (norm {hidden:.1f})"

    @torch.no_grad()
    def kernels(self, llama: Llama) -> str:
        """Kernels of a step by time; what is between them is the rest of the step."""
        batch = TorchBatch(llama, KernelOps(), rows=1, positions=2 * CACHED)
        batch.fill(0, [7 * place % 500 for place in range(self.cached)])
        batch.step(1)
        kinds = torch.profiler.ProfilerActivity
        rounds = min(self.rounds, 32)
        with torch.profiler.profile(activities=[kinds.CUDA] if self.on_cuda else [kinds.CPU]) as profiler:
            timed(lambda: batch.step(1), rounds, wait=self.on_cuda)
        events = [one for one in profiler.key_averages() if self.on_cuda or one.self_cpu_time_total]
        spent = {
            one.key: float(one.self_device_time_total if self.on_cuda else one.self_cpu_time_total) for one in events
        }
        count = {one.key: one.count for one in events}
        lines = [
            f"    {spent[key] / rounds:8.1f} us a step, {count[key] / rounds:5.1f} x"
            f" {spent[key] / count[key]:7.2f} us  {key[:60]}"
            for key in sorted(spent, key=lambda key: -spent[key])[:12]
            if count[key]
        ]
        total = f"{sum(count.values()) / rounds:.0f} launches, {sum(spent.values()) / rounds:.0f} us in kernels"
        return "\n".join([total, *lines])

    @torch.no_grad()
    def tiles(self, llama: Llama) -> str:
        """GB/s of each product over all layers, by tile: outputs x inputs, warps."""
        chosen = (products._OUTPUTS, products._INPUTS, products._WARPS)
        lines = []
        try:
            for tile in self.tried_tiles:
                products._OUTPUTS, products._INPUTS, products._WARPS = tile
                found = ", ".join(f"{name} {self.product(llama, name):.0f}" for name in NAMES)
                lines.append(f"    {tile[0]} x {tile[1]}, {tile[2]} warps: {found}")
        finally:
            products._OUTPUTS, products._INPUTS, products._WARPS = chosen
        return "\n".join(["GB/s", *lines])

    def product(self, llama: Llama, name: str) -> float:
        matrix = getattr(self.llama.layers[0], name)  # in the activations' format
        x = torch.randn((1, matrix.shape[1]), device=self.device, dtype=llama.dtype)
        settings: dict[str, Any] = {"residual": torch.zeros_like(self.llama.final_gain)[None]}
        if name in ("joined", "gate_up"):
            settings = {"gain_D": llama.final_gain, "epsilon": 1e-5, "is_gated": name == "gate_up"}

        def work() -> None:
            for layer in llama.layers:
                products.product(x, getattr(layer, name), **settings)

        return sum(stored(getattr(layer, name)) for layer in llama.layers) / self.seconds(work) / 1e9

    @torch.no_grad()
    def rows(self, llama: Llama, rows: int) -> str:
        """Microseconds of one layer's product of several rows: ours on 8 bits, torch's in the activations' format."""
        found = []
        for name in NAMES:
            narrow, wide = ([getattr(layer, name) for layer in one.layers] for one in (llama, self.llama))
            x = torch.randn((rows, wide[0].shape[1]), device=self.device, dtype=llama.dtype)
            ours = self.seconds(lambda x=x, narrow=narrow: [products.shared_product(x, one) for one in narrow])
            theirs = self.seconds(lambda x=x, wide=wide: [x @ one.T for one in wide])
            found.append(f"{name} {ours / len(wide) * 1e6:.1f} for {theirs / len(wide) * 1e6:.1f}")
        return ", ".join(found)


def timed(work: Callable[[], object], rounds: int, *, wait: bool = True) -> float:
    """Seconds of one round."""
    if wait:
        torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(rounds):
        work()
    if wait:
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / rounds


def stored(matrix: torch.Tensor | Scaled) -> int:
    return matrix.values.nbytes + matrix.scales.nbytes if isinstance(matrix, Scaled) else matrix.nbytes


def read(llama: Llama) -> int:
    return sum(stored(getattr(layer, name)) for layer in llama.layers for name in NAMES)


def plan(bench: Bench) -> Iterator[tuple[str, Callable[[], object]]]:
    """What to measure, the most telling first."""
    opened: dict[str, Llama] = {}
    for weights in FORMATS:
        name = weights or "bfloat16"
        try:
            check_weights(weights, bench.device)
        except EngineError as error:
            bench.say(str(error))
            continue
        opened[name] = llama = bench.llama if weights is None else narrowed(bench.llama, weights)
        yield f"{name}, trusted", lambda llama=llama: type(trusted_kernels(llama)).__name__
        yield f"{name}, step", lambda llama=llama: bench.step(llama, early=False)
        if bench.on_cuda:
            yield f"{name}, step with early launches", lambda llama=llama: bench.step(llama, early=True)
    for name, llama in opened.items():
        yield f"{name}, kernels of a step", lambda llama=llama: bench.kernels(llama)
        yield f"{name}, tiles", lambda llama=llama: bench.tiles(llama)
    for name, llama in opened.items():
        if isinstance(llama.head, Scaled):
            for rows in ROWS:
                yield f"{name}, {rows} rows, us", lambda llama=llama, rows=rows: bench.rows(llama, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="1b")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--budget-seconds", type=float, default=110.0)
    bench = Bench(parser.parse_args())
    for what, work in plan(bench):
        bench.attempt(what, work)


if __name__ == "__main__":
    main()
