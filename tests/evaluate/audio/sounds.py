"""Sounds made of the notes of a take, and an ear that hears how loud each octave is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from evaluate.tunes import tune
from midi_llm.evaluate.audio.heard import Heard
from midi_llm.evaluate.metric import Floats
from midi_llm.evaluate.prompts import Prompt
from midi_llm.evaluate.take import Take
from midi_llm.music.score import Score
from midi_llm.synth.waveform import Waveform

RATE = 4000


class Octaves:
    """Log energies in octaves from 62.5 to 2,000 Hz and their spread over tenths of a second; hears a second."""

    id = "octaves"
    sample_rate = RATE
    window_seconds = 1.0
    hop_seconds = 1.0

    def __init__(self) -> None:
        self.batches: list[int] = []

    def embed(self, windows: Sequence[Waveform]) -> Floats:
        self.batches.append(len(windows))
        edges = 62.5 * 2.0 ** np.arange(6)
        found = []
        for window in windows:
            samples = np.zeros(RATE)
            samples[: window.samples.shape[1]] = window.mono()
            energy = np.abs(np.fft.rfft(samples.reshape(10, -1))) ** 2  # [tenths, frequencies]
            band = np.digitize(np.fft.rfftfreq(RATE // 10, 1 / RATE), edges)
            octaves = np.stack([energy[:, band == number].sum(axis=1) for number in range(1, 6)], axis=1)
            level = np.log(octaves + 1e-3)
            found.append(np.r_[level.mean(axis=0), level.std(axis=0)])
        return np.array(found)


class Reader(Octaves):
    """Hears texts too: a text is the sound of a sine of so many Hz."""

    id = "reader"

    def embed_texts(self, texts: Sequence[str]) -> Floats:
        return self.embed([sine(float(text.split()[0]), 1.0) for text in texts])


def sine(hertz: float, seconds: float, *, rate: int = RATE, channels: int = 1, volume: float = 0.5) -> Waveform:
    """A tone."""
    samples = volume * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return Waveform(samples=np.tile(samples.astype(np.float32), (channels, 1)), sample_rate=rate)


def render(take: Take) -> Waveform:
    """Every note as a decaying sine."""
    notes = np.concatenate([track.notes for track in take.score.tracks])
    samples = np.zeros(round(RATE * float((notes["time"] + notes["duration"]).max())) + RATE)
    for note in notes:
        time = np.arange(round(RATE * float(note["duration"]))) / RATE
        start = round(RATE * float(note["time"]))
        hertz = min(440 * 2 ** ((int(note["pitch"]) - 69) / 12), RATE / 2)
        samples[start : start + len(time)] += 0.1 * np.sin(2 * np.pi * hertz * time) * np.exp(-3 * time)
    return Waveform(samples=samples.astype(np.float32)[None], sample_rate=RATE)


def takes(count: int, *, first: int = 0, change: Callable[[Score, int], Score] | None = None) -> list[Take]:
    """Tunes of different seeds, changed or not."""
    scores = [tune(first + seed) for seed in range(count)]
    if change is not None:
        scores = [change(score, first + number) for number, score in enumerate(scores)]
    return [
        Take(prompt=Prompt(id=f"p{number:03d}", text=f"{220 + number} Hz"), score=score)
        for number, score in enumerate(scores)
    ]


def heard_rows(rows: Floats, *, windows: int = 1, ear: str = "rows") -> Heard:
    """A set whose embeddings are given, `windows` to a take."""
    count = len(rows) // windows
    return Heard(
        ear=ear,
        sample_rate=RATE,
        embeddings=rows,
        take=np.repeat(np.arange(count), windows),
        names=tuple(f"p{number:03d}/0" for number in range(count)),
        seconds=np.full(count, float(windows)),
        silent=np.zeros(count, np.int64),
        loudness=np.full(count, np.nan),
    )
