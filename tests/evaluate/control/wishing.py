"""Wishes written by the tests, and beats as they would be heard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from evaluate.tunes import Row, track
from midi_llm.evaluate.analysis import Analysis
from midi_llm.evaluate.control.wish import Wish
from midi_llm.evaluate.metric import Measured
from midi_llm.evaluate.prompts import PromptFacts
from midi_llm.music.beats import BeatGrid
from midi_llm.music.features import note_table
from midi_llm.music.metre import beat_quarters, beats_in_bar
from midi_llm.music.score import DRUMS, Score


def wish(score: Score, *, grid: BeatGrid | None = None, beside: float | None = None, **facts: Any) -> Wish:
    """`score` as what came of a prompt that states `facts`, with a length asked for `beside` it."""
    analysis = Analysis(notes=note_table(score), grid=grid)
    return Wish(facts=PromptFacts(**facts), score=score, analysis=analysis, seconds_asked=beside)


def beats(felt: float, metre: tuple[int, int] = (4, 4)) -> BeatGrid:
    """A minute of `felt` beats a minute."""
    times = np.arange(round(felt) + 1) * 60.0 / felt
    downbeats = np.arange(0, len(times), beats_in_bar(metre))
    bpm = felt * beat_quarters(metre)
    return BeatGrid(beats=times, downbeats=downbeats, metre=metre, bpm=bpm, steady=True, confidence=1.0)


def played(counts: dict[int, int]) -> Score:
    """So many notes of each instrument (128: drums), one every tenth of a second."""
    return Score(
        tracks=tuple(
            track(tones(range(60, 61), repeat=count), 0 if number == DRUMS else number, drums=number == DRUMS)
            for number, count in counts.items()
        )
    )


def tones(pitches: Sequence[int], *, repeat: int = 1, length: float = 0.1) -> list[Row]:
    """The pitches one after another, the whole so often."""
    return [(length * at, length, pitch, 80) for at, pitch in enumerate(list(pitches) * repeat)]


def melody(pitches: Sequence[int], **how: Any) -> Score:
    """One track of `tones`."""
    return Score(tracks=(track(tones(pitches, **how)),))


SOME = melody(range(60, 72))


def values(measured: Sequence[Measured]) -> dict[str, list[float]]:
    """The values of each metric by its name without the family."""
    names = [one.metric.name for one in measured]
    assert len(set(names)) == len(names)
    assert all(name.startswith("control.") for name in names)
    return {one.metric.name.removeprefix("control."): one.values.tolist() for one in measured}
