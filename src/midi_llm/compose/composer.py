"""`Composer`: an opened model (engine, tokenizer, prompt format) that turns texts into pieces, again and again.

In: a text and checked `Settings`. Out: one `Piece` per take. Any `Engine` serves; `open` chooses one by name.
Every id passes the grammar, so a piece decodes strictly and ends by itself or at the length asked for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from midi_llm.compose.bounds import DEFAULT_BOUNDS, Bounds
from midi_llm.compose.piece import Piece
from midi_llm.compose.plan import Plan, make_plan
from midi_llm.compose.playable import playable
from midi_llm.compose.ranking import CopiedShare, rank
from midi_llm.compose.reading import restate
from midi_llm.compose.retake import Retake
from midi_llm.compose.section_take import SectionTake
from midi_llm.compose.settings import (
    DEFAULT_ENGINE,
    DEFAULT_GUIDANCE,
    DEFAULT_MODEL,
    DEFAULT_TEMPERATURE,
    DEFAULT_TOP_P,
    Settings,
)
from midi_llm.compose.take import Ending, Progress, Take
from midi_llm.compose.timing import with_beats, written_beats
from midi_llm.compose.tonic import in_key
from midi_llm.compose.verdict import judge
from midi_llm.engines.absent import NO_ENGINE, AbsentEngine
from midi_llm.engines.base import Engine, FinishReason, SamplingParams
from midi_llm.engines.open import open_engine
from midi_llm.engines.rules import Layout
from midi_llm.model.catalog import resolve_model
from midi_llm.model.checkpoint import verify_checkpoint
from midi_llm.music.align import quantised
from midi_llm.music.dynamics import with_dynamics
from midi_llm.music.repair import repair
from midi_llm.music.score import Score
from midi_llm.prompt import PUBLISHED, PromptFormat, load_tokenizer, read_record
from midi_llm.tokens.codec import dequantize
from midi_llm.tokens.rests import remove_rests
from midi_llm.tokens.rules import layout_numbers
from midi_llm.tokens.vocab import MUSIC_VOCAB_SIZE
from midi_llm.version import VERSION

if TYPE_CHECKING:
    from tokenizers import Tokenizer

OnProgress = Callable[[Progress], None]

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
        copied_share: CopiedShare | None = None,
    ) -> None:
        self.engine = engine
        self.copied_share = copied_share
        self.model = model
        self.text_rows = engine.vocab_size - MUSIC_VOCAB_SIZE
        self.temperature = temperature
        self.top_p = top_p
        self.guidance = guidance
        self.bounds = bounds
        self._tokenizer = tokenizer
        self._prompt_format = prompt_format

    @classmethod
    def open(cls, model: str = DEFAULT_MODEL, *, engine: str = DEFAULT_ENGINE, grammar: bool = True) -> Self:
        """Open a model by name, folder or hub id with the engine auto, onnx, torch or vllm.

        `engine` "none": no weights are loaded; plans and checks as ever, and composes nothing.
        `grammar` False: the engine shall also draw ids that no grammar allows (`compose` never asks for them).
        """
        folder = resolve_model(model)
        info = verify_checkpoint(folder)
        sampling = read_record(folder).sampling
        layout = Layout(**layout_numbers(info.text_rows)) if grammar else None
        return cls(
            engine=AbsentEngine(vocab_size=info.vocab_size, max_positions=info.max_positions)
            if engine == NO_ENGINE
            else open_engine(folder, engine, layout=layout),
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

    def plan(self, prompt: str, settings: Settings) -> Plan:
        """What `prompt` and `settings` ask for. Raises `RequestError` where they ask for what cannot be."""
        return make_plan(prompt, settings, restates=self._prompt_format.restates)

    def params(self, settings: Settings) -> SamplingParams:
        """How to draw: as `settings` say, else as the model recommends."""
        return SamplingParams(
            temperature=self.temperature if settings.temperature is None else settings.temperature,
            top_p=self.top_p if settings.top_p is None else settings.top_p,
            guidance=self.guidance if settings.guidance is None else settings.guidance,
        )

    def takes_at_once(self, guidance: float) -> int:
        """How many takes the engine decodes side by side; more of them follow in further batches."""
        return max(1, self.engine.best_batch // (1 if guidance == 1.0 else 2))

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
        """`settings.takes` pieces of one text, in the order of their seeds, or the `settings.best` of them.

        A take that is stuck, silent or a copy is composed again, `settings.retries` times at most. When `cancel` is set
        the pieces hold what there is; takes that had not begun are missing from the list, except that there is always
        one piece.
        """
        plan = self.plan(prompt, settings)
        make = self._maker(plan, settings)
        pieces: list[Piece] = []
        seeds = list(enumerate(settings.seeds()))
        at_once = self.takes_at_once(self.params(settings).guidance)
        for first in range(0, len(seeds), at_once):
            if pieces and cancel is not None and cancel.is_set():
                break
            fresh = seeds[first : first + at_once]
            for attempt in range(settings.retries + 1):
                takes = [make(index=index, seed=seed, attempt=attempt) for index, seed in fresh]
                wall = self.run(takes, on_progress, cancel)
                made = [self._piece(take, seconds) for take, seconds in zip(takes, wall, strict=True)]
                if attempt and cancel is not None and cancel.is_set():
                    break  # what was cut off replaces nothing
                pieces = _replaced(pieces, fresh, made)
                fresh = [one for one, piece in zip(fresh, made, strict=True) if _again(piece)]
                if not fresh:
                    break
        if settings.best is not None:
            pieces = sorted(pieces, key=lambda piece: -piece.ranking.total)[: settings.best]
        return pieces

    def _maker(self, plan: Plan, settings: Settings) -> Callable[..., Take | SectionTake]:
        """What makes a take of `plan`, given its index, seed and attempt."""
        sections = {section.name for section in plan.wishes.sections}
        prompts = {name: self.prompt_ids(restate(plan.text, (name,))) for name in sections}
        return partial(
            partial(SectionTake, prompts=prompts) if sections else partial(Take, prompt_ids=self.prompt_ids(plan.text)),
            plan=plan,
            params=self.params(settings),
            bounds=self.bounds,
            text_rows=self.text_rows,
            max_positions=self.engine.max_positions,
        )

    def run(
        self,
        takes: Sequence[Take | SectionTake | Retake],
        on_progress: OnProgress | None,
        cancel: threading.Event | None,
    ) -> list[float]:
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

    def _piece(self, take: Take | SectionTake, seconds_taken: float) -> Piece:
        """The finished take as a `Piece`, with what was asked for brought about as far as it can be, and judged."""
        plan = take.plan
        events = remove_rests(take.events)
        composed, repairs = repair(dequantize(events))
        score = _finished(composed, take)
        asks_length = plan.asks_length and not plan.wishes.sections
        findings = judge(score, plan.wishes, seconds=plan.seconds if asks_length else None)
        is_cut = plan.room > 1 and plan.seconds is not None and score.seconds >= plan.seconds
        ending: Ending = "asked" if is_cut and take.ending == "own" else take.ending or "cancelled"
        return Piece(
            score=score,
            events=events,
            windows=tuple(take.windows),
            text_rows=self.text_rows,
            prompt=plan.prompt,
            seed=take.seed,
            temperature=take.params.temperature,
            top_p=take.params.top_p,
            guidance=take.params.guidance,
            dynamics=plan.dynamics,
            quantise=plan.quantise,
            seconds_asked=plan.seconds,
            model=self.model,
            engine=self.engine.name,
            version=VERSION,
            finish_reason=_finish_reason(take),
            ending=ending,
            reports=tuple(take.reports),
            repairs=repairs,
            findings=findings,
            ranking=rank(score, findings, ending=ending, repaired=bool(take.reports), copied_share=self.copied_share),
            attempt=take.attempt,
            seconds_taken=seconds_taken,
        )


def _finished(composed: Score, take: Take | SectionTake) -> Score:
    """What was composed, playable, with the tempo, length, key and dynamics that were asked for."""
    plan = take.plan
    wishes = plan.wishes
    score = playable(composed) if take.is_bound else composed
    if isinstance(take, SectionTake):
        score = quantised(take.timed(score), strength=plan.quantise)
    else:
        score = with_beats(score, wishes, seconds=plan.seconds, quantise=plan.quantise)
    is_fixed = wishes.pitch_classes is not None or bool(wishes.ranges)  # pitches held to by the grammar stay
    score = in_key(score, None if is_fixed else wishes.key)
    return with_dynamics(score, written_beats(score), amount=plan.dynamics, seed=take.seed)


def _replaced(pieces: list[Piece], numbered: list[tuple[int, int]], made: list[Piece]) -> list[Piece]:
    """`pieces` with those `made` at their numbers, or behind them where they are the first."""
    places = {index: piece for (index, _), piece in zip(numbered, made, strict=True)}
    more = [piece for index, piece in places.items() if index >= len(pieces)]
    return [places.get(index, piece) for index, piece in enumerate(pieces)] + more


def _again(piece: Piece) -> bool:
    """Whether a piece is to be composed again."""
    return piece.ending != "cancelled" and not piece.ranking.is_sound


def _finish_reason(take: Take | SectionTake) -> FinishReason:
    """A take's ending in the words of the engines."""
    if take.ending == "cancelled":
        return "cancelled"
    return "length" if take.ending == "full" else "stop"
