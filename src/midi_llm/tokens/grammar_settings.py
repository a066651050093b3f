"""The settings of an `EventGrammar` checked, and the notes that they leave.

In: a grammar's settings. Out: a mask of notes, or a `RequestError` that says what is allowed. Knows no state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from midi_llm.errors import RequestError
from midi_llm.music.score import DRUMS
from midi_llm.tokens.vocab import MAX_DURATION_TICKS, MAX_INSTRUMENT, MAX_PITCH, MAX_TIME_TICKS

if TYPE_CHECKING:
    from midi_llm.tokens.grammar import EventGrammar

TRIPLET = 3
PITCH_CLASSES = 12


def usable_notes(grammar: EventGrammar) -> npt.NDArray[np.bool_]:
    """The notes [129, 128] (instrument, pitch) that the settings leave, whatever has been played."""
    notes = np.ones((MAX_INSTRUMENT, MAX_PITCH), np.bool_)
    if grammar.instruments is not None:
        notes[sorted(set(range(MAX_INSTRUMENT)) - grammar.instruments)] = False
    pitch = np.arange(MAX_PITCH)
    if grammar.pitch_classes is not None:
        notes[:DRUMS] &= np.isin(pitch % PITCH_CLASSES, sorted(grammar.pitch_classes))
    lowest, highest = np.array(pitch_bounds(grammar))[..., None]
    notes &= (pitch >= lowest) & (pitch <= highest)
    return notes


def pitch_bounds(grammar: EventGrammar) -> tuple[list[int], list[int]]:
    """The lowest and the highest pitch [129] of every instrument; drums keep all theirs but for their own range."""
    bounds = [(grammar.min_pitch, grammar.max_pitch)] * DRUMS + [(0, MAX_PITCH - 1)]
    for instrument, (low, high) in grammar.ranges.items():
        bounds[instrument] = (max(low, bounds[instrument][0]), min(high, bounds[instrument][1]))
    return [low for low, _ in bounds], [high for _, high in bounds]


def check_settings(grammar: EventGrammar) -> None:
    """Raise `RequestError` for a setting out of its range, with the range."""
    ends = (
        ("end_ticks", 1, MAX_TIME_TICKS),
        ("min_end_ticks", 0, grammar.end_ticks),
        ("max_tokens", TRIPLET + 1, None),
        ("max_notes", 1, None),
        ("max_instruments", 1, MAX_INSTRUMENT),
        ("max_polyphony", 1, None),
        ("min_gap_ticks", 1, None),
        ("max_duration_ticks", 1, MAX_DURATION_TICKS - 1),
        ("min_melodic_ticks", 1, min(grammar.max_duration_ticks, grammar.end_ticks)),
        ("min_duration_ticks", 0, min(grammar.max_duration_ticks, grammar.end_ticks)),
        ("min_pitch", 0, MAX_PITCH - 1),
        ("max_pitch", grammar.min_pitch, MAX_PITCH - 1),
        ("max_consecutive_rests", 1, None),
        ("start_ticks", 0, grammar.end_ticks - 1),
    )
    for name, low, high in ends:
        value = getattr(grammar, name)
        if value is not None and (value < low or (high is not None and value > high)):
            bound = f"{low} or more" if high is None else f"{low}..{high}"
            raise RequestError(f"{name} is {value}; allowed is {bound} here: change it, or the setting that bounds it")
    chosen = grammar.instruments
    if chosen is not None and (not chosen or min(chosen) < 0 or max(chosen) > DRUMS):
        raise RequestError(f"instruments are {sorted(chosen)}; name at least one of 0..{DRUMS}, or None for all")
    if grammar.pitch_classes is not None and not (grammar.pitch_classes <= set(range(PITCH_CLASSES))):
        raise RequestError(f"pitch_classes are {sorted(grammar.pitch_classes)}; allowed are 0 (C) to 11 (B)")
    for instrument, (low, high) in grammar.ranges.items():
        if not (0 <= instrument <= DRUMS and 0 <= low <= high < MAX_PITCH):
            raise RequestError(
                f"the range of instrument {instrument} is {low}..{high}; allowed are instruments 0..{DRUMS} and pitches"
                f" from 0 to {MAX_PITCH - 1}, the lowest first"
            )
    if not usable_notes(grammar).any():
        raise RequestError("no instrument has a pitch that all settings allow: widen the range or the pitch classes")
