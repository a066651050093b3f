"""`Composer`: an opened model (engine, tokenizer, prompt format) that turns texts into pieces, again and again.

In: a text and checked `Settings`. Out: one `Piece` per take. Any `Engine` serves; `open` chooses one by name.
Every id passes the grammar, so a piece decodes strictly and ends by itself or at the length asked for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from midi_llm.compose.bounds import DEFAULT_BOUNDS, Bounds
from midi_llm.compose.ensemble import Ensemble, find_ensemble
from midi_llm.compose.piece import Piece
from midi_llm.compose.playable import playable
from midi_llm.compose.settings import (
    DEFAULT_ENGINE,
    DEFAULT_GUIDANCE,
    DEFAULT_MODEL,
    DEFAULT_TEMPERATURE,
    DEFAULT_TOP_P,
    Settings,
)
from midi_llm.compose.take import Progress, Take
from midi_llm.compose.timing import MOST_STRETCH, with_beats
from midi_llm.compose.tonic import in_key
from midi_llm.compose.wishes import NO_WISHES, Wishes, find_wishes, restate
from midi_llm.engines.base import Engine, FinishReason, SamplingParams
from midi_llm.engines.open import open_engine
from midi_llm.model.catalog import resolve_model
from midi_llm.model.checkpoint import verify_checkpoint
from midi_llm.music.dynamics import with_dynamics
from midi_llm.music.repair import repair
from midi_llm.prompt import PUBLISHED, PromptFormat, load_tokenizer, read_record
from midi_llm.tokens.codec import dequantize
from midi_llm.tokens.rests import remove_rests
from midi_llm.tokens.vocab import MUSIC_VOCAB_SIZE
from midi_llm.version import VERSION

if TYPE_CHECKING:
    from tokenizers import Tokenizer

OnProgress = Callable[[Progress], None]

BATCH_TAKES = 8
"""Takes decoded side by side; more of them follow in further batches, so that memory stays bounded."""

LEAST_MUSIC_SHARE = 0.25
"""Of the model's positions, kept free for music: a longer prompt is refused."""


class Composer:
    """An engine with the tokenizer and prompt format of its checkpoint. Close it, or use it in a `with` block."""

    def __init__(
        self,
        *,
        engine: Engine,
        tokenizer: Tokenizer,
        prompt_format: PromptFormat = PUBLISHED,
        model: str = "custom",
        temperature: float = DEFAULT_TEMPERATURE,
        top_p: float = DEFAULT_TOP_P,
        guidance: float = DEFAULT_GUIDANCE,
        bounds: Bounds = DEFAULT_BOUNDS,
    ) -> None:
        self.engine = engine
        self.model = model
        self.text_rows = engine.vocab_size - MUSIC_VOCAB_SIZE
        self.temperature = temperature
        self.top_p = top_p
        self.guidance = guidance
        self.bounds = bounds
        self._tokenizer = tokenizer
        self._prompt_format = prompt_format

    @classmethod
    def open(cls, model: str = DEFAULT_MODEL, *, engine: str = DEFAULT_ENGINE) -> Self:
        """Open a model by name, folder or hub id with the engine auto, onnx, torch or vllm."""
        folder = resolve_model(model)
        info = verify_checkpoint(folder)
        sampling = read_record(folder).sampling
        return cls(
            engine=open_engine(folder, engine),
            tokenizer=load_tokenizer(folder),
            prompt_format=info.prompt_format,
            model=model,
            temperature=sampling.get("temperature", DEFAULT_TEMPERATURE),
            top_p=sampling.get("top_p", DEFAULT_TOP_P),
            guidance=sampling.get("guidance", DEFAULT_GUIDANCE),
            bounds=Bounds.recommended(sampling),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the engine."""
        self.engine.close()

    def prompt_ids(self, prompt: str) -> list[int]:
        """Token ids of a text, ending in the id that starts a piece. Raises `PromptError`."""
        room = int(self.engine.max_positions * (1 - LEAST_MUSIC_SHARE))
        return self._prompt_format.encode(prompt, self._tokenizer, self.text_rows, limit=room)

    def compose(
        self,
        prompt: str,
        settings: Settings | None = None,
        *,
        on_progress: OnProgress | None = None,
        cancel: threading.Event | None = None,
    ) -> Piece:
        """One piece, whatever `settings.takes` says."""
        single = replace(settings or Settings(), takes=1)
        return self.compose_takes(prompt, single, on_progress=on_progress, cancel=cancel)[0]

    def compose_takes(
        self,
        prompt: str,
        settings: Settings,
        *,
        on_progress: OnProgress | None = None,
        cancel: threading.Event | None = None,
    ) -> list[Piece]:
        """`settings.takes` pieces of one text, in the order of their seeds.

        When `cancel` is set the pieces hold what there is; takes that had not begun are missing from the list, except
        that there is always one piece.
        """
        wishes = find_wishes(prompt) if settings.parse else NO_WISHES
        ids = self.prompt_ids(restate(prompt, wishes) if self._prompt_format.restates else prompt)
        params = SamplingParams(
            temperature=self.temperature if settings.temperature is None else settings.temperature,
            top_p=self.top_p if settings.top_p is None else settings.top_p,
            guidance=self.guidance if settings.guidance is None else settings.guidance,
        )
        ensemble = find_ensemble(prompt) if settings.parse else Ensemble()
        takes = [
            Take(
                index=index,
                seed=seed,
                prompt_ids=ids,
                settings=settings,
                params=params,
                instruments=ensemble.pick(seed),
                bounds=self.bounds,
                room=1.0 if wishes.bpm is None else MOST_STRETCH,
                text_rows=self.text_rows,
                max_positions=self.engine.max_positions,
            )
            for index, seed in enumerate(settings.seeds())
        ]
        pieces: list[Piece] = []
        for first in range(0, len(takes), BATCH_TAKES):
            if pieces and cancel is not None and cancel.is_set():
                break
            batch = takes[first : first + BATCH_TAKES]
            wall = self._run(batch, on_progress, cancel)
            pieces += [self._piece(take, prompt, wishes, seconds) for take, seconds in zip(batch, wall, strict=True)]
        return pieces

    def _run(self, takes: list[Take], on_progress: OnProgress | None, cancel: threading.Event | None) -> list[float]:
        """Compose `takes` side by side to their ends, window by window; the wall seconds each one took."""
        began = time.perf_counter()
        wall = [0.0] * len(takes)
        while unfinished := [number for number, take in enumerate(takes) if take.ending is None]:
            requests = [takes[number].request() for number in unfinished]
            for step in self.engine.stream(requests, cancel=cancel):
                number = unfinished[step.index]
                take = takes[number]
                if step.token_id is not None and take.push(step.token_id) and on_progress is not None:
                    on_progress(take.progress())
                if step.finish_reason is not None:
                    take.end_window(step.finish_reason)
                    wall[number] = time.perf_counter() - began
        return wall

    def _piece(self, take: Take, prompt: str, wishes: Wishes, seconds_taken: float) -> Piece:
        """The finished take as a `Piece`: mended, at the tempo and in the key that were asked for, with velocities."""
        events = remove_rests(take.events)
        seconds = take.settings.seconds
        composed, repairs = repair(dequantize(events))
        score = playable(composed) if take.is_bound else composed
        score, grid = with_beats(score, wishes, seconds=seconds)
        score = with_dynamics(in_key(score, wishes.key), grid, amount=take.settings.dynamics, seed=take.seed)
        is_cut = wishes.bpm is not None and seconds is not None and score.seconds >= seconds
        return Piece(
            score=score,
            events=events,
            windows=tuple(take.windows),
            text_rows=self.text_rows,
            prompt=prompt,
            seed=take.seed,
            temperature=take.params.temperature,
            top_p=take.params.top_p,
            guidance=take.params.guidance,
            dynamics=take.settings.dynamics,
            seconds_asked=take.settings.seconds,
            model=self.model,
            engine=self.engine.name,
            version=VERSION,
            finish_reason=_finish_reason(take),
            ending="asked" if is_cut and take.ending == "own" else take.ending or "cancelled",
            reports=tuple(take.reports),
            repairs=repairs,
            seconds_taken=seconds_taken,
        )


def _finish_reason(take: Take) -> FinishReason:
    """A take's ending in the words of the engines."""
    if take.ending == "cancelled":
        return "cancelled"
    return "length" if take.ending == "full" else "stop"
