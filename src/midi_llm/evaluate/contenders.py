"""Contenders in a race of engines: ours under the grammar, `transformers.generate` without, on the same weights.

In: an open engine, or a checkpoint folder, and the ids of a prompt. Out: `Run`s of full takes side by side, sampled at
temperature 1 and top-p 0.98. So that a take has its full number of notes whatever the weights, ours may not run ahead
of an even pace (a note every 147 ms of music) nor close early; the model computes the same products as without.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from midi_llm.engines.base import Allowed, Engine, Request, SamplingParams
from midi_llm.errors import MissingExtraError
from midi_llm.tokens.codec import decode
from midi_llm.tokens.grammar import TRIPLET, EventGrammar
from midi_llm.tokens.rules import rule_numbers
from midi_llm.tokens.vocab import MAX_TIME_TICKS, MUSIC_VOCAB_SIZE, TICKS_PER_SECOND
from midi_llm.weights import quiet_transformers

FULL_TOKENS = 2046
FULL_NOTES = FULL_TOKENS // TRIPLET
_MIB = 1 << 20
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Takes side by side: `tokens` of all of them, wall clock, and what only some contenders can tell."""

    tokens: int
    seconds: float
    first_note_seconds: float | None = None
    music_seconds: float | None = None
    """Of all takes together."""


class Contender(Protocol):
    """Whoever can compose full takes side by side."""

    def run(self, *, batch: int, seed: int) -> Run:
        """`batch` takes with the seeds from `seed` on."""
        ...

    def close(self) -> None:
        """Free the weights."""
        ...


class PacedGrammar:
    """`EventGrammar` in token ids; the onset of note n (from 0) lies before (n + 1) / 682 of the 100 s."""

    def __init__(self, *, tokens: int, text_rows: int) -> None:
        self._grammar = EventGrammar(max_tokens=tokens, min_end_ticks=MAX_TIME_TICKS, max_polyphony=None)
        self._rows = text_rows
        self.amt_ids: list[int] = []

    @property
    def finished(self) -> bool:
        """True when the budget is spent and the piece closed."""
        return self._grammar.finished

    def rules(self) -> dict[str, Any]:
        """What `allowed` follows from, for an engine that carries it out itself."""
        return rule_numbers(self._grammar, text_rows=self._rows, pace_events=FULL_NOTES)

    def allowed(self) -> Allowed:
        """The token ids that may come next."""
        ids = self._grammar.allowed()
        stop = ids.stop
        if len(self.amt_ids) % TRIPLET == 0 and ids.start < stop:
            pace = MAX_TIME_TICKS * (len(self.amt_ids) // TRIPLET + 1) // FULL_NOTES
            stop = min(stop, max(ids.start + 1, pace))
        mask = None if ids.mask is None else ids.mask[: stop - ids.start]
        extra = tuple(amt_id + self._rows for amt_id in ids.extra)
        return Allowed(start=ids.start + self._rows, stop=stop + self._rows, mask=mask, extra=extra)

    def accept(self, token_id: int) -> None:
        """Advance by one id; raises `TokenError` when it was not allowed."""
        self._grammar.accept(token_id - self._rows)
        self.amt_ids.append(token_id - self._rows)

    @property
    def music_seconds(self) -> float:
        """End of the last note."""
        events = decode(self.amt_ids[: len(self.amt_ids) // TRIPLET * TRIPLET])
        return float((events[:, 0] + events[:, 1]).max(initial=0)) / TICKS_PER_SECOND


class EngineContender:
    """An engine of this package. It is closed with the contender."""

    def __init__(self, engine: Engine, prompt_ids: Sequence[int], *, tokens: int = FULL_TOKENS) -> None:
        self._engine = engine
        self._prompt_ids = list(prompt_ids)
        self._tokens = min(tokens, engine.max_positions + 1 - len(self._prompt_ids))

    def run(self, *, batch: int, seed: int) -> Run:
        """`batch` takes under a paced grammar."""
        rows = self._engine.vocab_size - MUSIC_VOCAB_SIZE
        grammars = [PacedGrammar(tokens=self._tokens, text_rows=rows) for _ in range(batch)]
        requests = [
            Request(
                prompt_ids=self._prompt_ids,
                params=SamplingParams(max_tokens=self._tokens, seed=seed + index),
                constraint=grammar,
            )
            for index, grammar in enumerate(grammars)
        ]
        began = time.perf_counter()
        first_note = None
        tokens = [0] * batch
        for step in self._engine.stream(requests):
            tokens[step.index] += step.token_id is not None
            if first_note is None and tokens[step.index] == TRIPLET:
                first_note = time.perf_counter() - began
        seconds = time.perf_counter() - began
        music = sum(grammar.music_seconds for grammar in grammars)
        return Run(tokens=sum(tokens), seconds=seconds, first_note_seconds=first_note, music_seconds=music)

    def close(self) -> None:
        """Free the engine."""
        self._engine.close()


class TransformersContender:
    """`transformers.generate`: the same sampling and number of tokens, no grammar, so that its music is not counted.

    `dtype` is a name of torch ("float32", "bfloat16"). Raises `MissingExtraError` without torch and transformers.
    """

    def __init__(
        self, folder: Path, prompt_ids: Sequence[int], *, tokens: int = FULL_TOKENS, dtype: str, device: str = "cpu"
    ) -> None:
        try:
            import torch
            import transformers
        except ImportError as error:
            raise MissingExtraError("transformers", "torch") from error
        load: Any = transformers.AutoModelForCausalLM.from_pretrained
        with quiet_transformers():
            model = load(folder, dtype=getattr(torch, dtype), local_files_only=True, use_safetensors=True)
        self._open(model.to(device), prompt_ids, tokens)

    @classmethod
    def of_model(cls, model: Any, prompt_ids: Sequence[int], *, tokens: int = FULL_TOKENS) -> TransformersContender:
        """A contender over a model that is open."""
        contender = cls.__new__(cls)
        contender._open(model, prompt_ids, tokens)
        return contender

    def _open(self, model: Any, prompt_ids: Sequence[int], tokens: int) -> None:
        self._model: Any = model.eval()
        self._model.generation_config.eos_token_id = None
        self._prompt_ids = list(prompt_ids)
        self._tokens = min(tokens, model.config.max_position_embeddings + 1 - len(self._prompt_ids))

    def run(self, *, batch: int, seed: int) -> Run:
        """`batch` takes of ids that may be anything; one seed for all."""
        import torch

        torch.manual_seed(seed)
        ids_BT = torch.tensor([self._prompt_ids] * batch, device=self._model.device)
        began = time.perf_counter()
        with torch.inference_mode():
            output_BT = self._model.generate(
                ids_BT,
                attention_mask=torch.ones_like(ids_BT),
                do_sample=True,
                temperature=1.0,
                top_p=0.98,
                top_k=0,
                max_new_tokens=self._tokens,
                min_new_tokens=self._tokens,
                pad_token_id=0,
            ).cpu()
        seconds = time.perf_counter() - began
        return Run(tokens=(output_BT.shape[1] - ids_BT.shape[1]) * batch, seconds=seconds)

    def close(self) -> None:
        """Free the weights."""
        self._model = None


@dataclass(kw_only=True, slots=True)
class Peak:
    """Filled when the block ends; nan where the system does not tell."""

    mebibytes: float = float("nan")


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Memory that the block adds at its peak: resident set (Linux), and what torch holds on a CUDA device.

    The resident set's high water mark is reset through /proc/self/clear_refs; where that cannot be written (other
    systems, some containers) nothing is told. Pages of weights that are mapped from a file count once touched.
    """
    peak = Peak()
    gc.collect()  # garbage that went during the block would hide what the block adds
    before = _resident_mebibytes("VmRSS")
    try:
        _CLEAR.write_text("5", encoding="ascii")
    except OSError:
        before = float("nan")
    cuda_before = _cuda_mebibytes(reset=True)
    yield peak
    peak.mebibytes = max(_resident_mebibytes("VmHWM") - before, 0.0) + _cuda_mebibytes() - cuda_before


def _resident_mebibytes(field: str) -> float:
    """A field of /proc/self/status; nan where there is none."""
    try:
        lines = _STATUS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return float("nan")
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:")), float("nan"))


def _cuda_mebibytes(*, reset: bool = False) -> float:
    """Most bytes torch has held on the CUDA device since the last reset; 0 where there is none."""
    import sys

    torch: Any = sys.modules.get("torch")  # never loaded for this alone
    if torch is None or not torch.cuda.is_available():
        return 0.0
    if reset:
        torch.cuda.reset_peak_memory_stats()
    return float(torch.cuda.max_memory_allocated()) / _MIB
