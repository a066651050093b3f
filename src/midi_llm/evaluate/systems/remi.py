"""REMI: the tokens that Text2midi writes, as words and as a score.

In: the published `vocab_remi.pkl` (a pickled MidiTok 3.0.3 tokenizer), and words such as "Pitch_60". Out: a vocabulary
and a `Score`. The pickle is read without importing or calling anything that it names. Decoding is that of MidiTok
(Natooz/MidiTok, tokenizations/remi.py, `_tokens_to_score`) for one stream of all programs, without rests. Differences:
1. Times are exact fractions of a quarter note where MidiTok counts 24 ticks; for this vocabulary they are the same.
2. Of tempos or metres at one moment the last one holds; MidiTok writes all, and which one holds is up to the reader.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from midi_llm.errors import CheckpointError
from midi_llm.evaluate.systems.pieces import score_of
from midi_llm.music.features import NoteTable
from midi_llm.music.score import DRUMS, Score, Tempo, TimeSignature

MAX_PICKLE_BYTES = 1 << 24
POSITIONS_PER_BEAT = 12
LOWEST, HIGHEST = 21, 109
"""Pitches that MidiTok lets through (build_vocab_remi.py: pitch_range)."""
DEFAULT_BPM = 121.29
"""Before the first tempo: the word nearest to 120, as MidiTok 3.0.3 has it."""
DEFAULT_METRE = (4, 4)
_PICKLE_ERRORS = (
    pickle.UnpicklingError, EOFError, AttributeError, TypeError, ValueError, KeyError, IndexError, OverflowError,
    RecursionError, MemoryError,
)  # fmt: skip
"""What a damaged or hostile pickle may raise (pickle: "other exceptions may also be raised")."""


class _Inert:
    """Stands for every class and function that a pickle names: it takes whatever comes and does nothing."""

    def __init__(self, *arguments: object) -> None:
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Reader(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Nothing is looked up: every name is the same inert class."""
        return _Inert


def read_vocabulary(path: Path) -> list[str]:
    """The words by id. Raises `CheckpointError` for a file that is not a pickled REMI tokenizer without BPE."""
    try:
        if path.stat().st_size > MAX_PICKLE_BYTES:
            raise CheckpointError(f"{path} has more than {MAX_PICKLE_BYTES} bytes; the published vocabulary has 27 kB")
        with path.open("rb") as file:
            root = _Reader(file).load()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}; get it from amaai-lab/text2midi") from error
    except _PICKLE_ERRORS as error:
        raise CheckpointError(f"{path} is no pickle of a tokenizer ({error}); get it again") from error
    state = root.state if isinstance(root, _Inert) else None
    words = state.get("_vocab_base") if isinstance(state, dict) else None
    is_vocabulary = isinstance(words, dict) and all(type(w) is str and type(i) is int for w, i in words.items())
    if not words or not is_vocabulary or sorted(words.values()) != list(range(len(words))):
        raise CheckpointError(f"{path} holds no vocabulary of words and ids; Text2midi's has one, get it again")
    return sorted(words, key=words.__getitem__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoded:
    """A score, and how many notes were left out because velocity or duration did not follow their pitch."""

    score: Score
    broken: int


def decode_remi(words: Sequence[str]) -> Decoded:
    """Play `words` from the first to the last; whatever has no meaning here (PAD, BOS, EOS, MASK) is passed over.

    A bar begins at the last `Bar` word; notes take the time of the last `Position` and the last `Program`, 0 before
    any. The first metre holds from the beginning where it comes before the first note.
    """
    split = [word.partition("_")[::2] for word in words]
    metre = _first_metre(split)
    metres: list[tuple[float, tuple[int, int]]] = [(0.0, metre)]
    tempos: list[tuple[float, float]] = []
    notes: list[tuple[float, float, int, int, int]] = []
    now = bar = 0.0
    has_begun = False
    program, broken = 0, 0
    for at, (kind, value) in enumerate(split):
        if kind == "Bar":
            now = bar = bar + 4.0 * metre[0] / metre[1] if has_begun else now
            has_begun = True
        elif kind == "Position":
            has_begun = True
            now = bar + int(value) / POSITIONS_PER_BEAT * 4.0 / metre[1]
        elif kind == "Program":
            program = int(value)
        elif kind == "Tempo":
            tempos.append((now, float(value)))
        elif kind == "TimeSig" and _metre(value) != metre:
            metre = _metre(value)
            metres.append((now, metre))
        elif kind in ("Pitch", "PitchDrum") and LOWEST <= int(value) <= HIGHEST:
            follows = dict(split[at + 1 : at + 3])
            if list(follows) == ["Velocity", "Duration"]:
                length = _beats(follows["Duration"]) * 4.0 / metre[1]
                notes.append(
                    (now, now + length, DRUMS if program == -1 else program, int(value), int(follows["Velocity"]))
                )
            else:
                broken += 1
    return Decoded(score=_score(notes, tempos, metres), broken=broken)


def _first_metre(split: Sequence[tuple[str, str]]) -> tuple[int, int]:
    for kind, value in split:
        if kind == "TimeSig":
            return _metre(value)
        if kind in ("Pitch", "PitchDrum", "Velocity", "Duration"):
            break
    return DEFAULT_METRE


def _metre(value: str) -> tuple[int, int]:
    numerator, denominator = value.split("/")
    return int(numerator), int(denominator)


def _beats(value: str) -> float:
    """Beats of a duration: "2.1.4" is two and one fourth."""
    beats, part, parts = (int(number) for number in value.split("."))
    return beats + part / parts


def _score(
    notes: Sequence[tuple[float, float, int, int, int]],
    tempos: Sequence[tuple[float, float]],
    metres: Sequence[tuple[float, tuple[int, int]]],
) -> Score:
    """Rows (start, end, instrument, pitch, velocity), tempos and metres in quarter notes as a score in seconds."""
    changes = dict(sorted([(0.0, DEFAULT_BPM), *tempos], key=lambda change: change[0]))
    quarters, bpm = np.array([*changes]), np.array([*changes.values()])
    times = np.concatenate([[0.0], np.cumsum(np.diff(quarters) * 60.0 / bpm[:-1])])

    def seconds(at: Any) -> Any:
        tempo = np.searchsorted(quarters, at, side="right") - 1
        return times[tempo] + (at - quarters[tempo]) * 60.0 / bpm[tempo]

    rows = np.array(sorted(notes, key=lambda row: row[0]), np.float64).reshape(-1, 5)
    start, end = seconds(rows[:, 0]), seconds(rows[:, 1])
    instrument, pitch, velocity = rows[:, 2:].astype(np.int64).T
    table = NoteTable(start=start, duration=end - start, instrument=instrument, pitch=pitch, velocity=velocity)
    written = dict(sorted(metres, key=lambda change: change[0]))
    return Score(
        tracks=score_of(table).tracks,
        tempos=tuple(Tempo(time=float(t), bpm=float(b)) for t, b in zip(times, bpm, strict=True)),
        time_signatures=tuple(
            TimeSignature(time=float(seconds(at)), numerator=metre[0], denominator=metre[1])
            for at, metre in written.items()
        ),
    )
