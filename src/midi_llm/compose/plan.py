"""What a composition is to be: the text for the model, the wishes that bind it, and its length.

In: a prompt and `Settings`. Out: a `Plan`, before any model is at work: a page shows it while the user still types.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from midi_llm.compose.reading import find_wishes, restate
from midi_llm.compose.sections import total_bars
from midi_llm.compose.settings import DEFAULT_SECONDS, MAX_SECONDS, MIN_SECONDS, Settings
from midi_llm.compose.timing import COMMON_TIME, MOST_STRETCH, bar_seconds
from midi_llm.compose.wishes import NO_WISHES, Wishes
from midi_llm.errors import RequestError

SLOW_BPM = 80.0
"""Bars without a tempo get as much time as they take at it: what is heard decides, and most music is faster."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """`seconds` None: the model decides. A take is composed `room` times as long and cut when its beats are known."""

    prompt: str
    """As the user wrote it."""
    text: str
    """As the model reads it."""
    wishes: Wishes
    seconds: float | None
    asks_length: bool
    """Whether `seconds` was asked for; else it is the usual length."""
    room: float
    dynamics: float
    quantise: float
    """How far notes are drawn to the grid (compose/settings.py)."""


def make_plan(prompt: str, settings: Settings, *, restates: bool) -> Plan:
    """Read `prompt` (unless `settings.parse` is off) and put the wishes made in so many words before what it says.

    `restates`: the model was trained on prompts that end in the facts; wishes of the settings are said in any case.
    Raises `RequestError` for bars that last longer than a piece may.
    """
    asked = settings.wishes or NO_WISHES
    wishes = asked.over(find_wishes(prompt) if settings.parse else NO_WISHES)
    if settings.seconds is not None:
        wishes = replace(wishes, sections=())
    seconds = _seconds(settings, wishes)
    return Plan(
        prompt=prompt,
        text=restate(prompt, (*asked.parts(), *(wishes if restates else asked).facts())),
        wishes=wishes,
        seconds=seconds,
        asks_length=settings.seconds is not None or wishes.seconds is not None,
        room=MOST_STRETCH if wishes.bpm is not None and not wishes.sections else 1.0,
        dynamics=settings.dynamics,
        quantise=settings.quantise,
    )


def _seconds(settings: Settings, wishes: Wishes) -> float | None:
    if settings.seconds == "auto":
        return None
    if settings.seconds is not None:
        return settings.seconds
    bars = wishes.bars or total_bars(wishes.sections)
    if not bars:
        return DEFAULT_SECONDS if wishes.seconds is None else min(max(wishes.seconds, MIN_SECONDS), MAX_SECONDS)
    bpm, metre = wishes.bpm or SLOW_BPM, wishes.metre or COMMON_TIME
    seconds = bars * bar_seconds(bpm, metre)
    if seconds > MAX_SECONDS:
        raise RequestError(
            f"{bars} bars of {metre[0]}/{metre[1]} at {bpm:g} bpm last {seconds:.0f} s; a piece lasts at most"
            f" {MAX_SECONDS:g} s: ask for fewer bars, or name a faster tempo"
        )
    return max(seconds, MIN_SECONDS)
