"""Text prompt -> `Piece`: request, engine, grammar, decoding, long form.

`compose` and `compose_takes` open a model, use it once and close it; a service keeps a `Composer` open instead.
This file is light on purpose: it is loaded together with the package, the rest of the floor on the first call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from midi_llm.compose.settings import (
    DEFAULT_DYNAMICS,
    DEFAULT_ENGINE,
    DEFAULT_MODEL,
    DEFAULT_SECONDS,
    Settings,
)

if TYPE_CHECKING:
    import threading

    from midi_llm.compose.piece import Piece
    from midi_llm.compose.take import Progress


def compose(
    prompt: str,
    *,
    seconds: float | None = DEFAULT_SECONDS,
    seed: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    guidance: float | None = None,
    model: str = DEFAULT_MODEL,
    engine: str = DEFAULT_ENGINE,
    parse: bool = True,
    dynamics: float = DEFAULT_DYNAMICS,
    on_progress: Callable[[Progress], None] | None = None,
    cancel: threading.Event | None = None,
) -> Piece:
    """Compose one piece from a text.

    `seconds` is the length asked for (1 to 600; None: the model decides, within one window of its context). A `seed`
    is drawn when None; the piece records it. `temperature`, `top_p` and `guidance` None: as the model recommends;
    guidance above 1 makes the text count more and takes twice as long. `model` is a name, a folder or a hub id;
    `engine` is auto, onnx, torch or vllm.
    `parse` reads the prompt: the piece keeps to the instruments it names (and to those that fit them), and is played at
    the tempo and moved to the key that it states, where it comes near them. `dynamics` is how unequal the velocities
    are, from 0 (all 72) to 1 (as in real music).
    `on_progress` is called after every note; `cancel`, once set, returns what there is. Raises `MidiLLMError`s.
    """
    return compose_takes(
        prompt,
        takes=1,
        seconds=seconds,
        seed=seed,
        temperature=temperature,
        top_p=top_p,
        guidance=guidance,
        model=model,
        engine=engine,
        parse=parse,
        dynamics=dynamics,
        on_progress=on_progress,
        cancel=cancel,
    )[0]


def compose_takes(
    prompt: str,
    *,
    takes: int,
    seconds: float | None = DEFAULT_SECONDS,
    seed: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    guidance: float | None = None,
    model: str = DEFAULT_MODEL,
    engine: str = DEFAULT_ENGINE,
    parse: bool = True,
    dynamics: float = DEFAULT_DYNAMICS,
    on_progress: Callable[[Progress], None] | None = None,
    cancel: threading.Event | None = None,
) -> list[Piece]:
    """Compose `takes` pieces side by side, with the seeds `seed`, `seed + 1`, …; otherwise as `compose`."""
    settings = Settings(
        seconds=seconds,
        takes=takes,
        seed=seed,
        temperature=temperature,
        top_p=top_p,
        guidance=guidance,
        parse=parse,
        dynamics=dynamics,
    )
    from midi_llm.compose.composer import Composer

    with Composer.open(model, engine=engine) as composer:
        return composer.compose_takes(prompt, settings, on_progress=on_progress, cancel=cancel)
