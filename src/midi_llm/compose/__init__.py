"""Text prompt -> `Piece`: request, engine, grammar, decoding, long form.

`compose` and `compose_takes` open a model, use it once and close it; a service keeps a `Composer` open instead.
This file is light on purpose: it is loaded together with the package, the rest of the floor on the first call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from midi_llm.compose.settings import (
    DEFAULT_DYNAMICS,
    DEFAULT_ENGINE,
    DEFAULT_MODEL,
    DEFAULT_QUANTISE,
    DEFAULT_RETRIES,
    Settings,
)

if TYPE_CHECKING:
    import threading

    from midi_llm.compose.piece import Piece
    from midi_llm.compose.take import Progress
    from midi_llm.compose.wishes import Wishes


def compose(
    prompt: str,
    *,
    seconds: float | Literal["auto"] | None = None,
    wishes: Wishes | None = None,
    seed: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    guidance: float | None = None,
    model: str = DEFAULT_MODEL,
    engine: str = DEFAULT_ENGINE,
    parse: bool = True,
    dynamics: float = DEFAULT_DYNAMICS,
    retries: int = DEFAULT_RETRIES,
    quantise: float = DEFAULT_QUANTISE,
    on_progress: Callable[[Progress], None] | None = None,
    cancel: threading.Event | None = None,
) -> Piece:
    """Compose one piece from a text.

    `seconds` is the length asked for (1 to 600; None: as the prompt says, else 30; "auto": the model decides, within
    one window of its context). `wishes` (see `asked_for`) are tempo, key, metre, bars, instruments and the like, asked
    for in so many words. A `seed` is drawn when None; the piece records it. `temperature`, `top_p` and `guidance` None:
    as the model recommends; guidance above 1 makes the text count more and takes twice as long. `model` is a name, a
    folder or a hub id; `engine` is auto, onnx, torch or vllm.
    `parse` reads the prompt: what it states counts as a wish where `wishes` has none. The piece's `findings` say which
    wishes are met.
    `dynamics` is how unequal the velocities are, from 0 (all 72) to 1 (as in real music).
    A piece that is stuck or silent is composed again, `retries` times at most; its `attempt` says which one it is.
    `quantise` is how far notes are drawn to the grid of the tempo that is written, 0 (as played) to 1.
    `on_progress` is called after every note; `cancel`, once set, returns what there is. Raises `MidiLLMError`s.
    """
    return compose_takes(
        prompt,
        takes=1,
        seconds=seconds,
        wishes=wishes,
        seed=seed,
        temperature=temperature,
        top_p=top_p,
        guidance=guidance,
        model=model,
        engine=engine,
        parse=parse,
        dynamics=dynamics,
        retries=retries,
        quantise=quantise,
        on_progress=on_progress,
        cancel=cancel,
    )[0]


def compose_takes(
    prompt: str,
    *,
    takes: int,
    best: int | None = None,
    seconds: float | Literal["auto"] | None = None,
    wishes: Wishes | None = None,
    seed: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    guidance: float | None = None,
    model: str = DEFAULT_MODEL,
    engine: str = DEFAULT_ENGINE,
    parse: bool = True,
    dynamics: float = DEFAULT_DYNAMICS,
    retries: int = DEFAULT_RETRIES,
    quantise: float = DEFAULT_QUANTISE,
    on_progress: Callable[[Progress], None] | None = None,
    cancel: threading.Event | None = None,
) -> list[Piece]:
    """Compose `takes` pieces side by side, with the seeds `seed`, `seed + 1`, …; otherwise as `compose`.

    With `best` only so many are kept, the highest `ranking` first.
    """
    settings = Settings(
        seconds=seconds,
        takes=takes,
        seed=seed,
        temperature=temperature,
        top_p=top_p,
        guidance=guidance,
        parse=parse,
        wishes=wishes,
        dynamics=dynamics,
        best=best,
        retries=retries,
        quantise=quantise,
    )
    from midi_llm.compose.composer import Composer

    with Composer.open(model, engine=engine) as composer:
        return composer.compose_takes(prompt, settings, on_progress=on_progress, cancel=cancel)
