"""Excerpts of pieces whose beats are known, and how near beats heard come to them. Used by benchmarks/beats.py.

Truth is the tempo map and the metres of the file: a beat is a quarter note in 2/4, 3/4, 4/4 ..., a half in 2/2 and 3/2,
a dotted quarter in 6/8, 9/8 and 12/8, an eighth in 3/8. Onsets are rounded to 10 ms, as those of takes are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from midi_llm.data.sources.base import RawPiece
from midi_llm.data.sources.corpus import CorpusSource
from midi_llm.music.features import NoteTable, note_table
from midi_llm.music.metre import beat_quarters
from midi_llm.music.read import parse_midi
from midi_llm.music.score import Score

Floats = npt.NDArray[np.float64]

EXCERPT_SECONDS = 30.0
HIT_SECONDS = 0.07
"""mir_eval's window for beats (mir_eval/beat.py, f_measure)."""
MIN_ONSETS = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Excerpt:
    source: str
    name: str
    notes: NoteTable
    beats: Floats
    """Seconds, from the last at or before the first onset to past the last."""
    is_down: npt.NDArray[np.bool_]
    metre: tuple[int, int]
    bpm: float
    """Quarter notes a minute (median)."""

    @property
    def felt(self) -> float:
        return 60 / float(np.median(np.diff(self.beats)))

    @property
    def steady(self) -> bool:
        gaps = np.diff(self.beats)
        return bool(np.ptp(gaps) <= 0.04 * np.median(gaps))


def excerpts(corpus: Path, split: str, *, each: int, seed: int, anywhere: bool = False) -> Iterator[Excerpt]:
    """At most `each` pieces of a source, drawn by `seed`: their openings, or with `anywhere` a stretch of them."""
    source = CorpusSource(corpus)
    chosen: dict[str, list[RawPiece]] = {}
    for part in source.parts():
        for piece in source.read(part):
            if isinstance(piece, RawPiece) and piece.metadata.split == split and piece.metadata.tempo_is_known:
                chosen.setdefault(piece.source, []).append(piece)
    rng = np.random.default_rng(seed)
    for name in sorted(chosen):
        pieces = sorted(chosen[name], key=lambda piece: piece.id)
        for index in rng.permutation(len(pieces))[:each]:
            score = parse_midi(pieces[index].data, pieces[index].id)
            start = rng.uniform(0, max(score.seconds - EXCERPT_SECONDS, 0)) if anywhere else 0.0
            if (found := excerpt(score, name, pieces[index].id, start)) is not None:
                yield found


def excerpt(score: Score, source: str, name: str, start: float) -> Excerpt | None:
    """The notes from the first onset after `start` on; None where the tempo is not written or too little is played."""
    notes = note_table(score)
    notes = notes.where(notes.start >= start)
    if not len(notes) or not score.tempos:
        return None
    first = float(notes.start[0])
    notes = notes.where(notes.start < first + EXCERPT_SECONDS)
    if len(np.unique(np.rint(notes.start * 50))) < MIN_ONSETS:
        return None
    beats, is_down, metres = beat_times(score, first + EXCERPT_SECONDS + 10)
    low = max(int(np.searchsorted(beats, first + 0.005, side="right")) - 1, 0)
    high = int(np.searchsorted(beats, notes.start[-1] + 0.005, side="right")) + 1
    if high - low < 4:
        return None
    metre = Counter(metres[low:high]).most_common(1)[0][0]
    rounded = NoteTable(
        start=np.rint((notes.start - first) * 100) / 100,
        duration=np.rint(notes.duration * 100) / 100,
        instrument=notes.instrument,
        pitch=notes.pitch,
        velocity=notes.velocity,
    )
    beats = beats[low:high] - first
    quarters = beat_quarters(metre)
    return Excerpt(
        source=source,
        name=name,
        notes=rounded,
        beats=beats,
        is_down=is_down[low:high],
        metre=metre,
        bpm=60 * quarters / float(np.median(np.diff(beats))),
    )


def beat_times(score: Score, until: float) -> tuple[Floats, npt.NDArray[np.bool_], list[tuple[int, int]]]:
    """Beats in seconds up to `until`, which of them begin a bar, and the metre at each."""
    changes = [(0.0, 120.0), *((tempo.time, tempo.bpm) for tempo in score.tempos)]
    times = np.array([time for time, _ in changes])
    rates = np.array([bpm / 60 for _, bpm in changes])
    quarters = np.r_[0.0, np.cumsum(np.diff(times) * rates[:-1])]
    last = float(quarters[-1] + max(until - times[-1], 0) * rates[-1])

    def seconds(at: Floats) -> Floats:
        piece = np.clip(np.searchsorted(quarters, at, side="right") - 1, 0, len(times) - 1)
        return np.asarray(times[piece] + (at - quarters[piece]) / rates[piece])

    signatures = score.time_signatures
    starts = [float(np.interp(sign.time, np.r_[times, until], np.r_[quarters, last])) for sign in signatures]
    metres = [(sign.numerator, sign.denominator) for sign in signatures]
    if not starts or starts[0] > 1e-6:
        starts, metres = [0.0, *starts], [(4, 4), *metres]
    beats, downs, named = [], [], []
    for (numerator, denominator), begin, end in zip(metres, starts, [*starts[1:], last], strict=True):
        step = beat_quarters((numerator, denominator))
        per_bar = round(4 * numerator / denominator / step)
        count = int(np.ceil((end - begin) / step - 1e-6))
        beats.append(begin + step * np.arange(max(count, 0)))
        downs.append(np.arange(max(count, 0)) % per_bar == 0)
        named += [(numerator, denominator)] * max(count, 0)
    return seconds(np.concatenate(beats)), np.concatenate(downs), named


def f_measure(truth: Floats, heard: Floats) -> float:
    """Twice the hits over both numbers of beats; a hit pairs beats within 70 ms, each used once. nan without truth."""
    if not len(truth):
        return float("nan")
    hits, at = 0, 0
    for time in truth:  # both ascend and are further apart than the window, mostly: greedy pairing is the best one
        while at < len(heard) and heard[at] < time - HIT_SECONDS:
            at += 1
        if at < len(heard) and heard[at] <= time + HIT_SECONDS:
            hits, at = hits + 1, at + 1
    return 2 * hits / (len(truth) + len(heard)) if len(heard) else 0.0
