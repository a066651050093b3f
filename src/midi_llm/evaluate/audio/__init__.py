"""Audio: how takes sound, beside real music (FAD, FAD-infinity, KAD) and beside their prompts (CLAP score).

In: takes, reference pieces, an ear, and a function that renders a take. Out: `Result`s. What a number is worth depends
on the ear, the sound font, the loudness and the counts: each result carries them as facts, and figures with other facts
than each other's must not be compared. Hear a set once (`listen`), then `compare` and `rate` it as often as needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from midi_llm.errors import RequestError
from midi_llm.evaluate.audio.clap_score import CLAP_SCORE, rate
from midi_llm.evaluate.audio.distances import compare
from midi_llm.evaluate.audio.ears import Ear, TextEar
from midi_llm.evaluate.audio.frechet import FAD, FAD_INFINITY
from midi_llm.evaluate.audio.heard import Heard, read_heard, write_heard
from midi_llm.evaluate.audio.kernel import KAD
from midi_llm.evaluate.audio.listening import Render, has_notes, listen
from midi_llm.evaluate.metric import Integers, Result
from midi_llm.evaluate.take import Take
from midi_llm.synth.waveform import Waveform

__all__ = [
    "CLAP_SCORE",
    "FAD",
    "FAD_INFINITY",
    "KAD",
    "Ear",
    "Heard",
    "Render",
    "TextEar",
    "compare",
    "evaluate",
    "listen",
    "rate",
    "read_heard",
    "validate",
    "write_heard",
]


def validate(takes: Sequence[Take], reference: Sequence[Take] | None, ear: Ear) -> tuple[str, ...]:
    """Warnings about takes and pieces that cannot be rendered, before anything is.

    Raises `RequestError` when a set is empty or has no notes at all, and when there is nothing to compare with: no
    reference, and an ear that hears no texts.
    """
    if reference is None and not isinstance(ear, TextEar):
        raise RequestError(f"{ear.id} hears no texts, and there is no reference; give a folder of real music")
    warnings = []
    for name, some in (("generated", takes), ("reference", reference)):
        if some is None:
            continue
        mute = sum(not has_notes(take) for take in some)
        if mute == len(some):
            raise RequestError(f"the {name} set has {len(some)} takes, and none with notes: nothing can be heard")
        if mute:
            warnings.append(f"{name} set: {mute} of {len(some)} takes are empty or failed and left out")
    return tuple(warnings)


def evaluate(
    takes: Sequence[Take],
    reference: Sequence[Take] | None,
    *,
    ear: Ear,
    render: Render,
    groups: Integers,
    seed: int = 0,
    loudness: Callable[[Waveform], float] | None = None,
    facts: Mapping[str, str | float | int] | None = None,
    on_take: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """Render and hear everything, then measure.

    The distances are measured where there is a reference, the CLAP score where the ear hears texts. `render` makes a
    take's sound at `ear.sample_rate`; `groups` [takes] numbers the prompt of each take. `loudness` measures LUFS and
    `facts` (sound font, ...) come from the caller; both go into the report. `on_take(done, of)` counts the takes of
    both sets. Raises `RequestError` as `validate`, `compare` and `rate`.
    """
    validate(takes, reference, ear)
    pieces = reference or ()

    def step(before: int) -> Callable[[int, int], None]:
        return lambda done, _: on_take(before + done, len(takes) + len(pieces)) if on_take is not None else None

    heard = listen(takes, ear, render, loudness=loudness, on_take=step(0))
    results: list[Result] = []
    if reference is not None:
        real = listen(pieces, ear, render, loudness=loudness, on_take=step(len(takes)))
        results += compare(heard, real, groups, seed=seed, facts=facts)
    if isinstance(ear, TextEar):
        texts = [take.prompt.text for take in takes]
        results.append(rate(heard, texts, ear, groups, seed=seed, facts=facts))
    return results
