"""Models of this package as a system under test.

In: an opened `Composer`. Out: a `System`. With the grammar a take is composed as users get it; without, ids are drawn
as the published MIDI-LLM draws them, 2,046 or as many as fit, and what they are worth is what the tolerant decoder
saves. Takes of one prompt whose seeds follow each other are composed side by side.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from midi_llm.compose.composer import BATCH_TAKES
from midi_llm.compose.settings import Settings
from midi_llm.data.files import file_sha256
from midi_llm.engines.base import Request, SamplingParams, generate
from midi_llm.errors import MidiLLMError, RequestError
from midi_llm.evaluate.systems.base import JSON, Delivery, Job
from midi_llm.music.write import to_midi_bytes
from midi_llm.tokens.codec import dequantize, tidy
from midi_llm.tokens.rests import remove_rests
from midi_llm.tokens.salvage import salvage
from midi_llm.version import VERSION

if TYPE_CHECKING:
    from midi_llm.compose.composer import Composer
    from midi_llm.compose.piece import Piece

WEIGHT_SUFFIXES = (".safetensors", ".onnx", ".data", ".json")
PUBLISHED_TOKENS = 2046
"""Music ids a take of the published MIDI-LLM (its model card); fewer where the prompt leaves less room."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnSystem:
    """`composer` under test; it is closed with the system."""

    composer: Composer
    weights: str = ""
    """Digest of the model's files (`model_sha256`), so that a report says what it is about; empty: not known."""
    name: str = "model"
    parse: bool = True
    """Takes are bound to the instruments that the prompt names; only with the grammar."""
    grammar: bool = True
    """False: any id may come anywhere, and no length can be asked for."""
    temperature: float | None = None
    """None: what the model recommends; likewise `top_p` and `guidance`."""
    top_p: float | None = None
    guidance: float | None = None

    def describe(self) -> dict[str, JSON]:
        """Model, engine, sampling and how the grammar binds the takes."""
        composer, params = self.composer, self._params(seed=0, max_tokens=1)
        return {
            "kind": "model",
            "model": composer.model,
            "weights": self.weights or None,
            "engine": composer.engine.name,
            "version": VERSION,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "guidance": params.guidance,
            "grammar": self.grammar,
            "parse": self.parse and self.grammar,
            "bounds": asdict(composer.bounds) if self.grammar else None,
        }

    def compose(self, jobs: Sequence[Job]) -> Iterator[Delivery]:
        """A take for each job. A prompt or length that the model refuses is delivered with the reason."""
        for batch in side_by_side(jobs):
            began = time.perf_counter()
            try:
                made = self._composed(batch) if self.grammar else self._drawn(batch)
            except MidiLLMError as error:
                made = [Delivery(seed=job.seed, error=str(error)) for job in batch]
            wall_seconds = (time.perf_counter() - began) / len(batch)
            for delivery in made:
                yield replace(delivery, wall_seconds=None if delivery.error else wall_seconds)

    def close(self) -> None:
        """Close the composer."""
        self.composer.close()

    def _composed(self, batch: Sequence[Job]) -> list[Delivery]:
        """As a user gets them: under the grammar, in windows, up to the length asked for."""
        settings = Settings(
            seconds="auto" if batch[0].seconds is None else batch[0].seconds,
            takes=len(batch),
            seed=batch[0].seed,
            temperature=self.temperature,
            top_p=self.top_p,
            guidance=self.guidance,
            parse=self.parse,
        )
        return [_delivery(piece) for piece in self.composer.compose_takes(batch[0].prompt.text, settings)]

    def _drawn(self, batch: Sequence[Job]) -> list[Delivery]:
        """As the published scripts draw them: one window of ids, no grammar."""
        if batch[0].seconds is not None:
            raise RequestError("without the grammar no length can be asked for; leave seconds to the model")
        composer = self.composer
        prompt_ids = composer.prompt_ids(batch[0].prompt.text)
        room = min(PUBLISHED_TOKENS, composer.engine.max_positions + 1 - len(prompt_ids))
        requests = [
            Request(
                prompt_ids=prompt_ids,
                unprompted_ids=prompt_ids[-1:],
                params=self._params(seed=job.seed, max_tokens=room),
            )
            for job in batch
        ]
        completions = generate(composer.engine, requests)
        return [
            _salvaged(completion.token_ids, composer.text_rows, job.seed)
            for completion, job in zip(completions, batch, strict=True)
        ]

    def _params(self, *, seed: int, max_tokens: int) -> SamplingParams:
        return SamplingParams(
            temperature=self.composer.temperature if self.temperature is None else self.temperature,
            top_p=self.composer.top_p if self.top_p is None else self.top_p,
            guidance=self.composer.guidance if self.guidance is None else self.guidance,
            max_tokens=max_tokens,
            seed=seed,
        )


def model_sha256(folder: Path) -> str:
    """Digest over the names and contents of a checkpoint's weights and settings, the exported ones included."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in WEIGHT_SUFFIXES):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()


def side_by_side(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """`jobs` in order, in batches that the composer takes at once: one prompt, one length, seeds in a row."""
    batch: list[Job] = []
    for job in jobs:
        follows = batch and (job.prompt.id, job.seconds, job.seed) == (
            batch[-1].prompt.id,
            batch[-1].seconds,
            batch[-1].seed + 1,
        )
        if batch and not (follows and len(batch) < BATCH_TAKES):
            yield batch
            batch = []
        batch.append(job)
    if batch:
        yield batch


def _delivery(piece: Piece) -> Delivery:
    repairs: Counter[str] = Counter()
    for report in piece.reports:
        repairs.update(report.repairs)
    return Delivery(
        midi=to_midi_bytes(piece.score, title=piece.prompt),
        strict=not piece.reports,
        repairs=dict(repairs),
        ending=piece.ending,
        tokens=len(piece.amt_ids),
        seed=piece.seed,
    )


def _salvaged(token_ids: Sequence[int], text_rows: int, seed: int) -> Delivery:
    """What the tolerant decoder saves; strict where it had nothing to mend. Nobody ended it: the budget is spent."""
    events, report = salvage([token_id - text_rows for token_id in token_ids])
    return Delivery(
        midi=to_midi_bytes(dequantize(tidy(remove_rests(events)))),
        strict=report.is_clean,
        repairs=report.repairs,
        ending="full",
        tokens=len(token_ids),
        seed=seed,
    )
