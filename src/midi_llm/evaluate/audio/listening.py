"""Rendering takes and hearing them, one after the other, in batches of windows.

In: takes, an ear, and a function that renders a take at the ear's sample rate. Out: `Heard`. A take that failed or has
no notes is left out and counted. It renders nothing itself and knows neither sound fonts nor networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from midi_llm.evaluate.audio.ears import Ear, cut_windows
from midi_llm.evaluate.audio.heard import Heard
from midi_llm.evaluate.metric import Floats
from midi_llm.evaluate.take import Take
from midi_llm.synth.waveform import Waveform

BATCH = 32
"""Windows that wait before an ear hears them: 61 MB of them at 10 s and 48 kHz."""

Render = Callable[[Take], Waveform]


def take_name(take: Take) -> str:
    """The prompt's id and the number of the take."""
    return f"{take.prompt.id}/{take.number}"


def has_notes(take: Take) -> bool:
    """Whether there is something to render."""
    return take.error is None and any(len(track.notes) for track in take.score.tracks)


def listen(
    takes: Sequence[Take],
    ear: Ear,
    render: Render,
    *,
    loudness: Callable[[Waveform], float] | None = None,
    on_take: Callable[[int, int], None] | None = None,
) -> Heard:
    """Hear all `takes` in order. `loudness` measures LUFS, for the report; `on_take(done, of)` follows each take.

    What `render` raises (`SynthesisError`) goes through: a set with a hole in it is another set. Raises `RequestError`
    when it renders at another rate than the ear's.
    """
    names = tuple(take_name(take) for take in takes)
    seconds, loud = np.zeros(len(takes)), np.full(len(takes), np.nan)
    silent = np.zeros(len(takes), np.int64)
    vectors: list[Floats] = []
    whose: list[int] = []
    waiting: list[Waveform] = []
    for number, take in enumerate(takes):
        if has_notes(take):
            waveform = render(take)
            windows = cut_windows(waveform, ear)
            seconds[number] = waveform.seconds
            silent[number] = bool(windows) and not waveform.samples.any()
            if windows and loudness is not None:
                loud[number] = loudness(waveform)
            waiting += windows
            whose += [number] * len(windows)
            while len(waiting) >= BATCH:
                vectors.append(ear.embed(waiting[:BATCH]))
                del waiting[:BATCH]
        if on_take is not None:
            on_take(number + 1, len(takes))
    if waiting:
        vectors.append(ear.embed(waiting))
    return Heard(
        ear=ear.id,
        sample_rate=ear.sample_rate,
        embeddings=np.concatenate(vectors).astype(np.float64) if vectors else np.zeros((0, 0)),
        take=np.array(whose, np.int64),
        names=names,
        seconds=seconds,
        silent=silent,
        loudness=loud,
    )
