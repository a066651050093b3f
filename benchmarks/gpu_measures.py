"""What `gpu_engines` measures: bandwidth, distances from transformers, takes of each engine, kernels; and its notes."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from gpu_model import SHAPES, facts, make_model
from midi_llm.engines.torch_batch import TorchBatch
from midi_llm.engines.torch_drawing import Draws, Scores, draw_ids
from midi_llm.engines.torch_engine import TorchEngine
from midi_llm.engines.torch_ops import Ops, PlainOps
from midi_llm.evaluate.contenders import FULL_TOKENS, EngineContender, TransformersContender

PROMPT_TOKENS = 64
SLICES = (10_001, 1_000, 16_512)
CHECKED_ROWS = (1, 4, 16)
MOST_DISTANCE = 0.1
TILES = ((4, 2048, 8), (2, 2048, 4), (4, 1024, 4), (8, 2048, 8), (2, 2048, 8), (1, 2048, 4))
OURS, THEIRS = "midi-llm", "transformers.generate"


@dataclass(kw_only=True)
class Row:
    """A line of the table; seconds are of `takes` full takes side by side, scaled where fewer tokens were drawn."""

    engine: str
    batch: int
    tokens: int
    seconds: float
    tokens_per_second: float
    step_ms: float
    share_of_limit: float
    rtf: float | None
    first_note_ms: float | None
    opening_s: float


@dataclass(kw_only=True)
class Report:
    facts: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Bench:
    def __init__(self, args: argparse.Namespace, save: Callable[[Report], None]) -> None:
        self.save = save
        self.began = time.perf_counter()
        self.args, self.report = args, Report(facts={"shape": args.shape, "prompt_tokens": PROMPT_TOKENS})
        self.device = torch.device(args.device)
        self.dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        self.shape = SHAPES[args.shape]
        self.model = make_model(self.shape, self.device, self.dtype)
        self.sync()
        self.prompt = [(7 * place) % self.shape["text"] for place in range(1, PROMPT_TOKENS + 1)]
        self.engines: dict[str, TorchEngine] = {}
        self.bandwidth = 0.0
        self.report.facts.update(facts(self.model))

    def sync(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    @property
    def left(self) -> float:
        return self.args.budget_seconds - (time.perf_counter() - self.began)

    def attempt(self, what: str, work: Callable[[], None], *, needs: float) -> None:
        """Do `work` where the budget still holds `needs` seconds; an error is noted, and the run goes on."""
        if self.left < needs:
            self.report.notes.append(f"left out for time: {what}")
            return
        try:
            work()
        except Exception as error:  # noqa: BLE001  (one row must not cost the others)
            traceback.print_exc()
            self.report.notes.append(f"failed: {what}: {type(error).__name__}: {str(error).splitlines()[:1]}")
            if "CUDA error" in str(error) and not self.args.plain_only:
                start_again(self.left)
        print(f"[{time.perf_counter() - self.began:5.1f} s] {what}", file=sys.stderr, flush=True)
        self.report.facts["run_seconds"] = time.perf_counter() - self.began
        self.save(self.report)

    def engine(self, ops_name: str) -> TorchEngine:
        if ops_name not in self.engines:
            self.engines[ops_name] = TorchEngine.of_model(self.model, OPS[ops_name]())
        return self.engines[ops_name]

    def measure_bandwidth(self) -> None:
        """Bytes read and written by a copy on the device, per second; and bytes read by a sum."""
        count = 1 << (30 if self.device.type == "cuda" else 24)
        source = torch.zeros(count, dtype=torch.bfloat16, device=self.device)
        target = torch.empty_like(source)
        copied = best_seconds(lambda: target.copy_(source), self.sync)
        self.bandwidth = 2 * 2 * count / copied
        self.report.facts["copy_bandwidth_gb_s"] = self.bandwidth / 1e9
        wide = source.view(torch.int64)
        self.report.facts["read_bandwidth_gb_s"] = 2 * count / best_seconds(wide.sum, self.sync) / 1e9
        self.report.facts["limit_ms_batch_1"] = self.limit_seconds(1) * 1e3

    def limit_seconds(self, batch: int) -> float:
        """Least time per step at the copy's bandwidth: layers, a slice of the head on average, half-full caches."""
        size = self.model.lm_head.weight.element_size()
        body = sum(weight.numel() for weight in self.model.model.layers.parameters())
        head = sum(SLICES) / len(SLICES) * self.shape["hidden"]
        positions = PROMPT_TOKENS + self.args.tokens / 2
        head_size = self.shape["hidden"] // self.shape["heads"]
        cached = 2 * self.shape["layers"] * self.shape["kv_heads"] * head_size * positions
        return (body + head + batch * cached) * size / self.bandwidth

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
            self.report.facts[f"distance {ops_name} rows {rows}"] = max(distances)
        self.report.facts[f"draws of {ops_name} as in torch"] = self.draws_alike(self.engine(ops_name)._ops)

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

    def measure_ours(self, ops_name: str, batch: int) -> None:
        engine = self.engine(ops_name)
        opened = time.perf_counter()
        # captures and compiles; without kernels of our own a graph is captured for each range of lengths
        first = min(24, self.args.tokens) if "kernels" in ops_name else self.args.tokens
        EngineContender(engine, self.prompt, tokens=first).run(batch=batch, seed=99)
        self.sync()
        opening = time.perf_counter() - opened
        run = EngineContender(engine, self.prompt, tokens=self.args.tokens).run(batch=batch, seed=0)
        assert run.first_note_seconds is not None
        assert run.music_seconds is not None
        self.add(
            f"{OURS}, {ops_name}", batch, run.tokens, run.seconds, opening, run.music_seconds, run.first_note_seconds
        )

    def measure_theirs(self, batch: int) -> None:
        opened = time.perf_counter()
        TransformersContender.of_model(self.model, self.prompt, tokens=8).run(batch=batch, seed=99)
        opening = time.perf_counter() - opened
        tokens = min(self.args.peer_tokens, self.args.tokens)
        run = TransformersContender.of_model(self.model, self.prompt, tokens=tokens).run(batch=batch, seed=0)
        self.add(THEIRS, batch, run.tokens, run.seconds, opening, None, None)

    def add(
        self,
        engine: str,
        batch: int,
        drawn: int,
        seconds: float,
        opening: float,
        music: float | None,
        first_note: float | None,
    ) -> None:
        tokens = drawn // batch
        self.report.rows.append(
            Row(
                engine=engine,
                batch=batch,
                tokens=tokens,
                seconds=seconds * FULL_TOKENS / tokens,
                tokens_per_second=drawn / seconds,
                step_ms=seconds / tokens * 1e3,
                share_of_limit=self.limit_seconds(batch) / (seconds / tokens),
                rtf=None if music is None else music / seconds,
                first_note_ms=None if first_note is None else first_note * 1e3,
                opening_s=opening,
            )
        )

    def profile(self, ops_name: str, batch: int) -> None:
        """Mean microseconds of each kernel while a take is drawn."""
        kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
        contender = EngineContender(self.engine(ops_name), self.prompt, tokens=48)
        contender.run(batch=batch, seed=1)
        with torch.profiler.profile(activities=kinds[1:] if self.device.type == "cuda" else kinds[:1]) as profiler:
            contender.run(batch=batch, seed=1)
            self.sync()
        spent = sorted(profiler.key_averages(), key=lambda one: -device_us(one))
        self.report.facts[f"kernels {ops_name} batch {batch}"] = [
            f"{device_us(one) / 48:8.1f} us a token, {one.count / 48:6.1f} x {device_us(one) / one.count:6.1f} us"
            f"  {one.key[:70]}"
            for one in spent[:24]
            if device_us(one)
        ]

    def sweep(self) -> None:
        """Bandwidth of the matrix-vector kernel on each matrix of all layers, by tile of a program."""
        from midi_llm.engines import torch_product_kernel as torch_kernels

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
                    found.append(f"{name} {size / best_seconds(graph.replay, self.sync, rounds=5) / 1e9:.0f}")
                tile = f"{torch_kernels._OUTPUTS} x {torch_kernels._INPUTS}, {torch_kernels._WARPS} warps"
                lines.append(f"{tile}: {', '.join(found)} GB/s")
        finally:
            torch_kernels._OUTPUTS, torch_kernels._INPUTS, torch_kernels._WARPS = chosen
            self.report.facts["tiles"] = lines


def device_us(event: Any) -> float:
    return float(getattr(event, "self_device_time_total", 0.0) or event.self_cpu_time_total)


def best_seconds(work: Callable[[], object], sync: Callable[[], None], *, rounds: int = 10) -> float:
    work()
    taken = []
    for _ in range(rounds):
        sync()
        began = time.perf_counter()
        work()
        sync()
        taken.append(time.perf_counter() - began)
    return min(taken)


def kernels(*, early: bool) -> Ops:
    from midi_llm.engines.torch_kernels import KernelOps

    return KernelOps(early=early)


OPS: dict[str, Callable[[], Ops]] = {
    "kernels": lambda: kernels(early=False),
    "early kernels": lambda: kernels(early=True),
    "plain": PlainOps,
    "compiled": lambda: PlainOps(compiled=True),
}


def start_again(seconds: float) -> None:
    """In a process of its own without our kernels: after an illegal access none of this one's calls work any more."""
    print("starting again without kernels", file=sys.stderr, flush=True)
    arguments = [sys.executable, *sys.argv, "--plain-only", "--budget-seconds", f"{seconds:.0f}"]
    os.execv(sys.executable, arguments)
