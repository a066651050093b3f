"""Real music as the ceiling: the beginnings of held-out pieces, each with a prompt that states what is true of it.

In: a built data set. Out: prompts and a system that delivers the pieces. Facts are those of the cut itself, not of the
whole piece; keys and tempos only where the source knows them, so that no estimator is asked to confirm itself. The text
is a caption as in training (`data.captions`), which says some of the facts and maybe more; the facts are all those that
a machine can check, said or not. Pieces are as written: not stretched, transposed or moved onto a grid, but rounded to
10 ms as every take of this package is.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import TypeVar

import numpy as np

from midi_llm.data.augment import AugmentSettings
from midi_llm.data.captions import caption
from midi_llm.data.captions.measured import DENSITY, FAST_ABOVE, HIGH_ABOVE, LOW_BELOW, SLOW_BELOW
from midi_llm.data.dataset import Dataset
from midi_llm.data.facts import Facts, window_facts, window_notes
from midi_llm.data.manifest import SPLITS, PieceRow
from midi_llm.data.windows import Window, cut_window
from midi_llm.errors import RequestError
from midi_llm.evaluate.prompts import Density, Pace, Prompt, PromptFacts, Register
from midi_llm.evaluate.systems.base import JSON
from midi_llm.evaluate.systems.pieces import Pieces, score_of
from midi_llm.music.metre import beat_quarters
from midi_llm.music.score import DRUMS
from midi_llm.music.write import to_midi_bytes
from midi_llm.tokens.vocab import MAX_TIME_TICKS, TICKS_PER_SECOND

DEFAULT_SECONDS = 30.0
MAX_SECONDS = MAX_TIME_TICKS / TICKS_PER_SECOND
"""Of one window."""
LEAST_SHARE = 0.8
"""A piece that is over before this share of the seconds is left out: takes are compared at like lengths."""
HEARD_SHARE = 0.02
"""An instrument with fewer of the notes is not stated as asked for."""

_MANY_NOTES = 8000
_AS_WRITTEN = AugmentSettings(opening_rate=1.0, ending_rate=0.0).as_written()
_SPARSE_BELOW, _DENSE_FROM = DENSITY[1][1], DENSITY[3][0]

T = TypeVar("T")


def real_set(
    dataset: Dataset,
    *,
    count: int,
    least: int | None = None,
    seconds: float = DEFAULT_SECONDS,
    seed: int = 0,
    split: str = "test",
) -> tuple[list[Prompt], Pieces]:
    """`count` prompts with the first `seconds` of as many pieces, from as many sources and genres as there are.

    Sources take turns, and in each source its genres. The same data set, seed and settings give the same set. Raises
    `RequestError` for settings out of range, and where the split holds fewer than `least` usable pieces (None: fewer
    than `count`), with their number.
    """
    if split not in SPLITS or not 0 < seconds <= MAX_SECONDS or count < 1:
        raise RequestError(
            f"split is {split!r}, seconds {seconds:g}, count {count}; allowed are {', '.join(SPLITS)}, above 0 to"
            f" {MAX_SECONDS:g}, and 1 or more"
        )
    prompts: list[Prompt] = []
    midi: dict[str, bytes] = {}
    sources: dict[str, str] = {}
    for row in spread([row for row in dataset.rows if row.dropped is None and row.split == split], seed=seed):
        cut = _cut(dataset, row, seconds=seconds, seed=seed)
        if cut is None:
            continue
        window, facts = cut
        text = caption(facts, _rng(row, seed), captions=row.metadata.captions)
        prompt = Prompt(id=f"real{len(prompts):04d}", text=text, facts=prompt_facts(facts, window))
        prompts.append(prompt)
        score = score_of(window_notes(window), bpm=window.bpm, metre=window.metre)
        midi[prompt.id] = to_midi_bytes(score)
        sources[prompt.id] = row.id
        if len(prompts) == count:
            break
    needed = count if least is None else least
    if len(prompts) < needed:
        raise RequestError(
            f"{dataset.folder} has {len(prompts)} usable pieces of {seconds:g} s in the split {split}, {needed} were"
            " asked for: ask for fewer, or for another split"
        )
    origin: dict[str, JSON] = {
        "kind": "real",
        "dataset": dataset.manifest_sha256,
        "split": split,
        "seconds": seconds,
        "seed": seed,
        "pieces": sources,
    }
    return prompts, Pieces(name="real", midi=midi, origin=origin)


def spread(rows: Sequence[PieceRow], *, seed: int) -> list[PieceRow]:
    """All `rows` so that any beginning of the list holds sources, and within each its genres, as evenly as may be."""
    rng = np.random.default_rng(seed)
    groups: dict[str, dict[str, list[PieceRow]]] = {}
    for index in rng.permutation(len(rows)):
        row = rows[index]
        genre = row.metadata.genres[0] if row.metadata.genres else ""
        groups.setdefault(row.source, {}).setdefault(genre, []).append(row)
    return _in_turn(_in_turn(genres.values()) for genres in groups.values())


def prompt_facts(facts: Facts, window: Window) -> PromptFacts:
    """What a machine can check of a window, as a prompt states it."""
    heard = [number for number, share in zip(facts.instruments, facts.shares, strict=True) if share >= HEARD_SHARE]
    return PromptFacts(
        instruments=tuple((number,) for number in heard),
        only=len(heard) == len(facts.instruments),
        without=() if DRUMS in facts.instruments else (DRUMS,),
        bpm=round(facts.bpm, 2) if facts.bpm is not None else None,
        pace=_pace(facts.bpm, facts.metre),
        key=facts.key if window.key is not None else None,
        mode=facts.key.split()[1] if facts.key is not None and window.key is not None else None,
        metre=facts.metre,
        seconds=round(facts.seconds, 2),
        density=_density(facts.relative_density),
        register=_register(facts.mean_pitch),
        moods=facts.moods,
        styles=facts.genres,
    )


def _cut(dataset: Dataset, row: PieceRow, *, seconds: float, seed: int) -> tuple[Window, Facts] | None:
    """The first `seconds` of a piece and its facts; None where there is too little music."""
    window = cut_window(
        dataset.score(row), metadata=row.metadata, max_notes=_MANY_NOTES, settings=_AS_WRITTEN, rng=_rng(row, seed)
    )
    if window is None or window.seconds < LEAST_SHARE * seconds:
        return None
    end_ticks = round(seconds * TICKS_PER_SECOND)
    inside = window.events[:, 0] < end_ticks
    events = window.events[inside]
    events[:, 1] = np.minimum(events[:, 1], end_ticks - events[:, 0])
    is_whole = bool(inside.all()) and window.is_ending
    window = replace(window, events=events, velocities=window.velocities[inside], is_ending=is_whole)
    if not len(events) or window.seconds < LEAST_SHARE * seconds:
        return None
    return window, window_facts(window, row.metadata)


def _rng(row: PieceRow, seed: int) -> np.random.Generator:
    """A generator of the piece's own: what other pieces there are moves nothing."""
    return np.random.default_rng([seed, zlib.crc32(row.id.encode("utf-8", "surrogatepass"))])


def _in_turn(groups: Iterable[Sequence[T]]) -> list[T]:
    """The first of every group, then the second, ..."""
    missing = object()
    turns = zip_longest(*groups, fillvalue=missing)
    return [item for turn in turns for item in turn if item is not missing]  # type: ignore[misc]


def _pace(bpm: float | None, metre: tuple[int, int] | None) -> Pace | None:
    """As the captions say it; None between slow and fast, and in 6/8 and the like, where they say nothing."""
    if bpm is None or (metre is not None and beat_quarters(metre) != 1):
        return None
    return "slow" if bpm < SLOW_BELOW else "fast" if bpm > FAST_ABOVE else None


def _density(relative: float) -> Density | None:
    return "sparse" if relative < _SPARSE_BELOW else "dense" if relative >= _DENSE_FROM else None


def _register(pitch: float | None) -> Register | None:
    if pitch is None:
        return None
    return "low" if pitch < LOW_BELOW else "high" if pitch > HIGH_ABOVE else None
