"""`EventGrammar` as plain numbers, for an engine that carries the grammar out itself instead of asking it.

In: a grammar to which no id has been given yet. Out: a dictionary of whole numbers, with the places of the ids in a
checkpoint's vocabulary. Knows no engine and nothing of how the numbers are used.
"""

from __future__ import annotations

from typing import Any

from midi_llm.tokens.grammar import MAX_MELODIC, EventGrammar
from midi_llm.tokens.grammar_settings import PITCH_CLASSES, pitch_bounds
from midi_llm.tokens.vocab import (
    MAX_DURATION_TICKS,
    MAX_INSTRUMENT,
    MAX_PITCH,
    MAX_TIME_TICKS,
    REST_INTERVAL_TICKS,
    SEPARATOR,
    TIME_OFFSET,
)

UNBOUNDED = 2**30
"""Stands for None where a number is needed."""

_SAME = (
    "end_ticks",
    "min_end_ticks",
    "max_tokens",
    "max_instruments",
    "min_gap_ticks",
    "min_duration_ticks",
    "min_melodic_ticks",
    "max_duration_ticks",
    "start_ticks",
)


def rule_numbers(
    grammar: EventGrammar, *, text_rows: int, opens_past_end: bool = False, pace_events: int = 0
) -> dict[str, Any]:
    """The rules of `grammar` for token ids (AMT id + `text_rows`); its context must be what the prompt ends in.

    `opens_past_end` and `pace_events` are what a wrapper of the grammar adds; `TripletRules` says what they mean.
    """
    grammar_numbers = {name: getattr(grammar, name) for name in _SAME}
    lowest, highest = pitch_bounds(grammar)
    return grammar_numbers | {
        "layout": {
            "first_id": TIME_OFFSET + text_rows,
            "times": MAX_TIME_TICKS,
            "durations": MAX_DURATION_TICKS,
            "instruments": MAX_INSTRUMENT,
            "pitches": MAX_PITCH,
            "separator": SEPARATOR + text_rows,
        },
        "given_events": 0 if grammar.context is None else len(grammar.context),
        "max_notes": UNBOUNDED if grammar.max_notes is None else grammar.max_notes,
        "instruments": sorted(range(MAX_INSTRUMENT) if grammar.instruments is None else grammar.instruments),
        "lowest": lowest,
        "highest": highest,
        "pitch_classes": sum(1 << one for one in (grammar.pitch_classes or range(PITCH_CLASSES))),
        "max_melodic": MAX_MELODIC,
        "max_polyphony": UNBOUNDED if grammar.max_polyphony is None else grammar.max_polyphony,
        "max_consecutive_rests": grammar.max_consecutive_rests if grammar.allow_rests else 0,
        "rest_interval_ticks": REST_INTERVAL_TICKS,
        "opens_past_end": int(opens_past_end),
        "pace_events": pace_events,
    }
