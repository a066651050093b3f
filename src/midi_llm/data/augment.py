"""Augmentation: a window transposed, stretched, played by kindred instruments, and partly given as controls.

In: events (int32 [n, 4]: time_ticks, duration_ticks, instrument, pitch), settings, a generator. Out: new events or
numbers; the same generator state gives the same result. Infilling follows extract_spans, extract_random and
extract_instruments of anticipation/tokenize.py at 08a1a5d. Differences and their effect:
1. Spans are drawn for a window, not for the piece, from the state that AMT's process settles in: in a fifth of the
   windows the first span has begun before them. Windows see as many spans as in AMT, the piece's beginning included.
2. Where no note or every note would be given, nothing is: the example is plain and starts with AUTOREGRESS, not
   ANTICIPATE. Nothing would be said by controls that are not there, nothing learned where all is given.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from midi_llm.errors import DatasetError
from midi_llm.music.compass import HIGHEST, LOWEST
from midi_llm.music.score import DRUMS
from midi_llm.tokens.codec import Events
from midi_llm.tokens.controls import DELTA_TICKS
from midi_llm.tokens.vocab import MAX_PITCH, TICKS_PER_SECOND

SPAN_GAP_SECONDS = 20.0
"""Mean time between spans: 1 / 0.05 (anticipation/tokenize.py: lmbda = .05)."""
RANDOM_TENTHS = 10
"""A random share is 1 to 9 tenths (anticipation/tokenize.py: ANTICIPATION_RATES = 10)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kinds:
    """Relative shares of the four kinds of example: nothing given, spans of 5 s, single notes, whole instruments."""

    plain: float
    span: float
    random: float
    instrument: float

    def __post_init__(self) -> None:
        if min(astuple(self)) < 0 or sum(astuple(self)) <= 0:
            raise DatasetError(f"kinds are {astuple(self)}; shares are 0 or more and not all 0: raise one of them")

    def draw(self, rng: np.random.Generator) -> str:
        """One of "plain", "span", "random", "instrument"."""
        limits = np.cumsum(astuple(self))
        names = [field.name for field in fields(self)]
        return names[int(np.searchsorted(limits, rng.random() * limits[-1], side="right"))]


AMT_KINDS = Kinds(plain=1, span=1, random=4, instrument=4)
"""Of ten copies of a piece (anticipation/tokenize.py)."""
PLAIN_HEAVY_KINDS = Kinds(plain=0.70, span=0.10, random=0.05, instrument=0.15)
"""For a small model, which is asked for whole pieces most of the time: our choice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentSettings:
    """How windows differ from the piece as written. Rates and shares are between 0 and 1."""

    opening_rate: float = 0.25
    """Share of windows that begin with the piece."""
    ending_rate: float = 0.25
    """Share of windows that end with the piece; the others begin at any bar."""
    snap: float = 0.06
    """The tempo moves by at most this share to one whose eighth note is a whole number of ticks; 0 leaves it."""
    straighten_seconds: float = 0.0
    """Onsets so near to a sixteenth or triplet are moved onto it, in pieces that are played close to the grid; 0 leaves
    them. Arranged and generated bands are loosened at random by some 10 ms, which a small model learns at the cost of
    the music."""
    stretch: float = 0.1
    """Largest stretch besides: the tempo is multiplied by a factor in [1 / (1 + stretch), 1 + stretch]."""
    stretch_rate: float = 0.5
    semitones: int = 3
    """Largest transposition."""
    transpose_rate: float = 0.5
    substitute_rate: float = 0.1
    """Chance of each instrument to be replaced by one of its kin."""

    def __post_init__(self) -> None:
        rates = ("opening_rate", "ending_rate", "stretch_rate", "transpose_rate", "substitute_rate")
        for name in rates:
            if not 0 <= getattr(self, name) <= 1:
                raise DatasetError(f"{name} is {getattr(self, name)}; a rate is between 0 and 1")
        if self.opening_rate + self.ending_rate > 1:
            raise DatasetError(
                f"opening_rate {self.opening_rate} and ending_rate {self.ending_rate} add up to more than 1: lower one"
            )
        if not (0 <= self.snap < 0.5 and 0 <= self.stretch <= 1 and 0 <= self.semitones <= 11):
            raise DatasetError(
                f"snap {self.snap}, stretch {self.stretch}, semitones {self.semitones}; allowed are snap from 0 to"
                " below 0.5, stretch 0 to 1, semitones 0 to 11"
            )
        if not 0 <= self.straighten_seconds <= 0.1:
            raise DatasetError(f"straighten_seconds is {self.straighten_seconds}; allowed are 0 to 0.1")

    def as_written(self) -> AugmentSettings:
        """These settings with nothing left to chance but the start: for windows that go with somebody's description."""
        return replace(self, snap=0.0, stretch_rate=0.0, transpose_rate=0.0, substitute_rate=0.0)


KINDRED: tuple[tuple[int, ...], ...] = (
    (0, 1, 2), (4, 5), (8, 9, 10), (11, 12), (16, 17, 18), (19, 20), (21, 23), (24, 25), (26, 27), (29, 30),
    (33, 34, 35), (36, 37), (38, 39), (48, 49), (50, 51), (52, 53, 54), (56, 59), (62, 63), (64, 65, 66, 67),
    (68, 69), (72, 73, 74, 75), (80, 81), (84, 87), (88, 89, 90), (91, 92, 94, 95),
)  # fmt: skip
"""Programs of one General MIDI family that can take each other's part, where its notes lie in their range."""

_KIN = {program: group for group in KINDRED for program in group}


def draw_stretch(settings: AugmentSettings, rng: np.random.Generator) -> float:
    """A factor for the tempo, as likely slower as faster; 1.0 where the window is not stretched."""
    if rng.random() >= settings.stretch_rate:
        return 1.0
    return float((1 + settings.stretch) ** rng.uniform(-1, 1))


def draw_semitones(events: Events, settings: AugmentSettings, rng: np.random.Generator) -> int:
    """A transposition that no melodic note leaves its instrument's range by; 0 for drums alone.

    An instrument that is outside its usual range already moves no further out.
    """
    if rng.random() >= settings.transpose_rate:
        return 0
    present, low, high = _compass(events)
    if not len(present):
        return 0
    down = int((low - np.minimum(LOWEST[present], low)).min())
    up = int((np.maximum(HIGHEST[present], high) - high).min())
    return int(rng.integers(-min(down, settings.semitones), min(up, settings.semitones) + 1))


def transpose(events: Events, semitones: int) -> Events:
    """`events` with melodic pitches moved; drums stay."""
    moved = events.copy()
    moved[:, 3] += np.where(events[:, 2] == DRUMS, 0, semitones)
    return moved


def substitute(events: Events, settings: AugmentSettings, rng: np.random.Generator) -> Events:
    """`events` with whole instruments replaced by kin that do not sound yet and can play all their notes."""
    present, low, high = _compass(events)
    names = np.arange(DRUMS + 1, dtype=np.int32)
    taken = set(present.tolist())
    for program, lowest, highest in zip(present.tolist(), low.tolist(), high.tolist(), strict=True):
        if rng.random() >= settings.substitute_rate:
            continue
        kin = [k for k in _KIN.get(program, ()) if k not in taken and LOWEST[k] <= lowest and highest <= HIGHEST[k]]
        if kin:
            names[program] = kin[int(rng.integers(len(kin)))]
            taken.add(int(names[program]))
    replaced = events.copy()
    replaced[:, 2] = names[events[:, 2]]
    return replaced


def control_mask(events: Events, kind: str, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Which of `events` [n], in time order, are given as controls. None or some, never all; "plain": none.

    Raises `DatasetError` for an unknown kind.
    """
    if kind == "plain":
        mask = np.zeros(len(events), bool)
    elif kind == "span":
        mask = _in_spans(events[:, 0], rng)
    elif kind == "random":
        mask = rng.random(len(events)) < rng.integers(1, RANDOM_TENTHS) / RANDOM_TENTHS
    elif kind == "instrument":
        instruments = np.unique(events[:, 2])
        count = int(rng.integers(1, len(instruments))) if len(instruments) > 1 else 0
        mask = (
            np.isin(events[:, 2], rng.choice(instruments, count, replace=False))
            if count
            else np.zeros(len(events), bool)
        )
    else:
        raise DatasetError(f"kind is {kind!r}; allowed are {', '.join(field.name for field in fields(Kinds))}")
    return mask & ~mask.all()


def _in_spans(times: npt.NDArray[np.int32], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Notes in spans of `DELTA_TICKS` from a note's onset on, with exponential gaps between one's end and the next."""
    mask = np.zeros(len(times), bool)
    gap = SPAN_GAP_SECONDS * TICKS_PER_SECOND
    at = 0
    if rng.random() < DELTA_TICKS / (DELTA_TICKS + gap):
        at = int(np.searchsorted(times, rng.uniform(0, DELTA_TICKS)))
        mask[:at] = True
    while at < len(times):
        begin = int(np.searchsorted(times, times[at] + int(rng.exponential(gap))))
        if begin == len(times):
            break
        at = int(np.searchsorted(times, times[begin] + DELTA_TICKS))
        mask[begin:at] = True
    return mask


def _compass(events: Events) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Melodic instruments that sound, and the lowest and highest pitch of each."""
    melodic = events[events[:, 2] != DRUMS]
    low, high = np.full(DRUMS, MAX_PITCH, np.int32), np.full(DRUMS, -1, np.int32)
    np.minimum.at(low, melodic[:, 2], melodic[:, 3])
    np.maximum.at(high, melodic[:, 2], melodic[:, 3])
    present = np.flatnonzero(high >= 0)
    return present, low[present], high[present]
