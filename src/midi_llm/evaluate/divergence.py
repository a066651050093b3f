"""How far an engine's next ids lie from those of a reference: the Kullback-Leibler divergence in each slot.

In: two engines that tell their logits, and sequences of token ids. Out: a `SlotDivergence` for times, durations and
notes. Each position is compared over all ids of its slot, which is what a drawing chooses from, without temperature or
top-p. It measures what rounding does to a model (int8, bfloat16, GGUF), not whether the model is good. Slow: each
position runs its whole prefix.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from midi_llm.tokens.codec import SLOTS
from midi_llm.weights import FloatArray


class TellsLogits(Protocol):
    """An engine that can be asked for logits."""

    def next_logits(self, token_ids: Sequence[int], *, start: int = 0, stop: int | None = None) -> FloatArray:
        """Logits [stop - start] of the ids `start..stop - 1` that may follow `token_ids`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotDivergence:
    """Nats by which the engine misses the reference in one slot: KL(reference || engine), over `positions`."""

    slot: str
    positions: int
    mean: float
    """NaN where there was no position."""
    largest: float
    same_best: float
    """Share of the positions at which both find the same id likeliest: greedy decoding goes on alike there."""


def slot_divergences(
    engine: TellsLogits,
    reference: TellsLogits,
    sequences: Iterable[Sequence[int]],
    *,
    text_rows: int,
    every: int = 1,
) -> list[SlotDivergence]:
    """Compare both at each `every`-th of the ids of music in `sequences` (token ids, prompts included)."""
    nats: dict[str, list[float]] = {name: [] for name, _, _ in SLOTS}
    same: dict[str, list[bool]] = {name: [] for name in nats}
    for before, (name, start, stop) in _positions(sequences, text_rows, every):
        ours, theirs = (one.next_logits(before, start=start, stop=stop) for one in (engine, reference))
        nats[name].append(kl_divergence(theirs, ours))
        same[name].append(bool(ours.argmax() == theirs.argmax()))
    return [
        SlotDivergence(
            slot=name,
            positions=len(nats[name]),
            mean=_mean(nats[name]),
            largest=max(nats[name], default=np.nan),
            same_best=_mean(same[name]),
        )
        for name in nats
    ]


def kl_divergence(reference: FloatArray, other: FloatArray) -> float:
    """KL(softmax(reference) || softmax(other)) in nats, of logits [n], in float64."""
    log_p, log_q = (_log_softmax(logits.astype(np.float64)) for logits in (reference, other))
    return float(np.exp(log_p) @ (log_p - log_q))


def _positions(
    sequences: Iterable[Sequence[int]], text_rows: int, every: int
) -> Iterator[tuple[Sequence[int], tuple[str, int, int]]]:
    """The ids before each position, and its slot's name and token ids."""
    number = 0
    for ids in sequences:
        for at in range(1, len(ids)):
            for name, low, high in SLOTS:
                if low + text_rows <= ids[at] < high + text_rows:
                    if number % every == 0:
                        yield ids[:at], (name, low + text_rows, high + text_rows)
                    number += 1


def _log_softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shifted = logits - logits.max()
    found: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum())
    return found


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
