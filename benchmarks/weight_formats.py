"""What the torch engine's formats of weights cost in quality: nats between what they would draw from and float32.

    python benchmarks/weight_formats.py [--takes 12] [--tokens 240]

Takes of nano are composed as usual. Then every format reads their ids, and the probabilities of the ids that were legal
are compared slot by slot. Products are those of plain torch; matrices are
widened to the activations' format once and not for every product, which changes no bit.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

import machine
from midi_llm.compose.composer import Composer
from midi_llm.compose.settings import Settings
from midi_llm.engines.base import Allowed, Engine, Request, Step, TokenConstraint
from midi_llm.engines.torch_batch import TorchBatch
from midi_llm.engines.torch_engine import TorchEngine
from midi_llm.engines.torch_llama import Layer, Llama, narrowed
from midi_llm.engines.torch_matrix import Matrix, Scaled, linear
from midi_llm.engines.torch_ops import PlainOps
from midi_llm.model.catalog import resolve_model
from prompts import PROMPTS

SECONDS = 10.0
KINDS = ("time", "duration", "note")


@dataclass(kw_only=True)
class Take:
    prompt_ids: list[int]
    allowed: list[Allowed] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)


class Recorded:
    """A constraint that writes down what it allows and what is drawn."""

    def __init__(self, constraint: TokenConstraint, take: Take) -> None:
        self._constraint, self._take = constraint, take

    @property
    def finished(self) -> bool:
        return self._constraint.finished

    def allowed(self) -> Allowed:
        return self._constraint.allowed()

    def accept(self, token_id: int) -> None:
        allowed = self._constraint.allowed()
        mask = None if allowed.mask is None else allowed.mask.copy()  # the grammar uses it again
        self._take.allowed.append(replace(allowed, mask=mask))
        self._take.ids.append(token_id)
        self._constraint.accept(token_id)


class Recorder:
    """An engine; `takes` are what it decoded."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.takes = engine, list[Take]()
        self.name, self.vocab_size, self.max_positions = engine.name, engine.vocab_size, engine.max_positions

    def stream(self, requests: Sequence[Request], *, cancel: threading.Event | None = None) -> Iterator[Step]:
        wrapped = []
        for request in requests:
            assert request.constraint is not None
            self.takes.append(Take(prompt_ids=list(request.prompt_ids)))
            wrapped.append(replace(request, constraint=Recorded(request.constraint, self.takes[-1])))
        return self.engine.stream(wrapped, cancel=cancel)

    def close(self) -> None:
        self.engine.close()


def drawn_takes(count: int) -> list[Take]:
    with Composer.open("nano") as composer:
        composer.engine = recorder = Recorder(composer.engine)
        for seed, (prompt, _) in enumerate(PROMPTS[:count]):
            composer.compose(prompt, Settings(seconds=SECONDS, seed=seed))
    return recorder.takes


def opened(llama: Llama) -> Llama:
    """The same, its 8-bit numbers held in the activations' format, which holds them exactly."""

    def wide(matrix: Matrix) -> Matrix:
        if isinstance(matrix, torch.Tensor):
            return matrix
        return Scaled(values=matrix.values.to(llama.dtype), scales=matrix.scales)

    def layer(one: Layer) -> Layer:
        return replace(
            one, joined=wide(one.joined), output=wide(one.output), gate_up=wide(one.gate_up), down=wide(one.down)
        )

    return replace(llama, head=wide(llama.head), layers=tuple(layer(one) for one in llama.layers))


@torch.no_grad()
def log_probabilities(llama: Llama, takes: Sequence[Take], tokens: int) -> list[tuple[int, int, torch.Tensor]]:
    """For each slot: its kind, the place of what was drawn, and log-probabilities of its legal ids."""
    found = []
    batch = TorchBatch(
        llama, PlainOps(), rows=len(takes), positions=max(len(take.prompt_ids) for take in takes) + tokens
    )
    for row, take in enumerate(takes):
        batch.fill(row, take.prompt_ids)
    for place in range(tokens):
        for row, take in enumerate(takes):
            if place >= len(take.ids):
                continue
            logits, ids = legal_logits(llama, batch.hidden[row : row + 1], take.allowed[place])
            drawn = np.flatnonzero(ids == take.ids[place])
            if len(ids) > 1 and len(drawn):  # a ceiling need not be one of them
                found.append((place % 3, int(drawn[0]), logits.log_softmax(0)))
        batch.ids[:] = torch.tensor([take.ids[min(place, len(take.ids) - 1)] for take in takes])
        batch.step(len(takes))
    return found


def legal_logits(llama: Llama, hidden_1D: torch.Tensor, allowed: Allowed) -> tuple[torch.Tensor, np.ndarray]:
    """Float32 logits of the ids that are allowed, and these ids."""
    logits, ids = [], []
    if allowed.start < allowed.stop:
        mask = np.ones(allowed.stop - allowed.start, np.bool_) if allowed.mask is None else allowed.mask
        logits.append(linear(hidden_1D, llama.head[allowed.start : allowed.stop])[0].float()[torch.from_numpy(mask)])
        ids.append(np.arange(allowed.start, allowed.stop)[mask])
    if allowed.extra:
        logits.append(linear(hidden_1D, llama.head[torch.tensor(allowed.extra)])[0].float())
        ids.append(np.array(allowed.extra))
    return torch.cat(logits), np.concatenate(ids)


def formats(llama: Llama) -> Iterator[tuple[str, Llama]]:
    half = cast(llama, torch.bfloat16)
    yield "bfloat16", half
    for weights in ("int8", "fp8"):
        yield weights, narrowed(llama, weights)
        yield f"{weights}, the head as it is", replace(narrowed(llama, weights), head=llama.head)
        yield f"{weights}, activations in bfloat16", narrowed(half, weights)


def cast(llama: Llama, dtype: torch.dtype) -> Llama:
    def to(part: Matrix) -> torch.Tensor:
        assert isinstance(part, torch.Tensor)
        return part.to(dtype)

    layers = tuple(Layer(**{name: to(getattr(one, name)) for name in Layer.__slots__}) for one in llama.layers)
    table, gain = to(llama.table), to(llama.final_gain)
    return replace(llama, table=table, head=to(llama.head), final_gain=gain, layers=layers)


def bytes_read(llama: Llama) -> float:
    """Of layers and a slice of the head on average, in one step."""

    def size(matrix: Matrix) -> float:
        return matrix.nbytes if isinstance(matrix, torch.Tensor) else matrix.values.nbytes + matrix.scales.nbytes

    layers = sum(size(getattr(one, name)) for one in llama.layers for name in ("joined", "output", "gate_up", "down"))
    return layers + size(llama.head) / len(llama.head) * (10_000 + 1_000 + 16_512) / 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--takes", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=240, help="of each take at most")
    args = parser.parse_args()
    takes = drawn_takes(args.takes)
    llama = TorchEngine(resolve_model("nano"), device="cpu", dtype="float32")._weights()
    exact = log_probabilities(llama, takes, args.tokens)
    print("| weights | bytes a step | KL, nats a slot (time, duration, note) | most | nats of what was drawn |")
    print("|---|---|---|---|---|")
    print(f"| float32 | {bytes_read(llama) / 1e6:.1f} MB | - | - | {nats(exact):.4f} |", flush=True)
    for name, other in formats(llama):
        found = log_probabilities(opened(other), takes, args.tokens)
        apart = np.array(
            [float((p.exp() * (p - q)).nansum()) for (_, _, p), (_, _, q) in zip(exact, found, strict=True)]
        )
        kinds = np.array([kind for kind, _, _ in exact])
        by_kind = ", ".join(f"{apart[kinds == kind].mean():.4f}" for kind in range(3))
        print(
            f"| {name} | {bytes_read(other) / 1e6:.1f} MB | {apart.mean():.4f} ({by_kind}) | {apart.max():.3f}"
            f" | {nats(found):.4f} |",
            flush=True,
        )
    print(f"\n{len(exact)} slots of {len(takes)} takes, model nano; {machine.describe('torch')}")


def nats(slots: Sequence[tuple[int, int, torch.Tensor]]) -> float:
    return -sum(float(probabilities[drawn]) for _, drawn, probabilities in slots) / len(slots)


if __name__ == "__main__":
    main()
