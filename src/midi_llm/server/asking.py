"""Requests as compose/ understands them, and wishes as requests say them.

In: bodies of schemas.py. Out: `Settings`, `Wishes`, `Edit`s. Raises `RequestError`. Knows no job and no HTTP.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TypeVar

from midi_llm.compose.asked import asked_for, first_programs, read_programs
from midi_llm.compose.editing import Edit, accompanied, continued, infilled, own, replaced, varied
from midi_llm.compose.settings import DEFAULT_SECONDS, DEFAULT_STRENGTH, Settings
from midi_llm.compose.wishes import Wishes
from midi_llm.errors import RequestError
from midi_llm.music.instruments import instrument_name
from midi_llm.music.key import PITCH_CLASSES
from midi_llm.music.pitch import note_name
from midi_llm.music.song_file import SongFile
from midi_llm.server import schemas

T = TypeVar("T")

_JOINED = re.compile(r"[,;+&:]")
"""In a name these would begin another one."""


def settings_of(request: schemas.Composition | schemas.PlanRequest) -> Settings:
    """How a text is composed. Raises `RequestError`."""
    wishes = None if request.wishes is None else wishes_of(request.wishes)
    settings = Settings(seconds=request.seconds, parse=request.parse, wishes=wishes)
    if isinstance(request, schemas.PlanRequest):
        return settings
    return replace(
        settings,
        takes=request.takes,
        best=request.best,
        seed=request.seed,
        temperature=request.temperature,
        top_p=request.top_p,
        guidance=request.guidance,
        dynamics=request.dynamics,
        quantise=request.quantise,
    )


def edit_settings(request: schemas.Edit) -> Settings:
    """How an edit is composed. Raises `RequestError`."""
    return Settings(
        takes=request.takes,
        seed=request.seed,
        temperature=request.temperature,
        top_p=request.top_p,
        guidance=request.guidance,
        wishes=asked_for(scale=request.scale, ranges=request.ranges),
    )


def make_edit(request: schemas.Edit, song: SongFile) -> Edit:
    """What is done to `song`. Raises `RequestError`."""
    if request.kind == "continue":
        return continued(song, seconds=DEFAULT_SECONDS if request.seconds is None else request.seconds)
    if request.kind == "infill":
        first, last = _needed(request.bars, "infill", "bars", "[5, 8]")
        chosen = None if request.instruments is None else read_programs(request.instruments)
        return infilled(song, first=first, last=last, instruments=chosen)
    if request.kind == "accompany":
        names = _needed(request.instruments, "accompany", "instruments", '"bass, drums"')
        return accompanied(song, instruments=first_programs(names))
    if request.kind == "replace":
        old = read_programs(_needed(request.instrument, "replace", "instrument", '"piano"'))
        new = None if request.by is None else first_programs(request.by)
        return replaced(song, old=old, new=new or (old & own(song)) or old)
    strength = DEFAULT_STRENGTH if request.strength is None else request.strength
    return varied(song, share=strength, seed=request.seed or 0)


def wishes_of(wishes: schemas.Wishes) -> Wishes:
    """Wishes read strictly. Raises `RequestError`."""
    return asked_for(**{name: getattr(wishes, name) for name in schemas.Wishes.model_fields})


def wishes_said(wishes: Wishes) -> schemas.Wishes:
    """Wishes in the words that `wishes_of` reads; of several programs an instrument may be, the most usual one."""
    ensemble = wishes.ensemble
    named = ", ".join(_name(group[0]) for group in ensemble.named) or None
    pitches = wishes.pitch_classes
    said = {
        "tempo": wishes.bpm,
        "key": wishes.key,
        "metre": None if wishes.metre is None else f"{wishes.metre[0]}/{wishes.metre[1]}",
        "bars": wishes.bars,
        "loop": wishes.loop,
        "sections": ", ".join(f"{one.name} {one.bars}" for one in wishes.sections) or None,
        "density": wishes.density,
        "with" if ensemble.open else "only": named,
        "without": ", ".join(map(_name, sorted(ensemble.ruled_out))) or None,
        "scale": None if pitches is None else " ".join(PITCH_CLASSES[one] for one in sorted(pitches)),
        "ranges": [f"{_name(one)}:{note_name(low)}-{note_name(high)}" for one, low, high in wishes.ranges],
    }
    return schemas.Wishes.model_validate(said)


def _name(instrument: int) -> str:
    name = instrument_name(instrument)
    return str(instrument) if _JOINED.search(name) else name


def _needed(value: T | None, kind: str, field: str, example: str) -> T:
    if value is None:
        raise RequestError(f"kind {kind!r} needs {field!r}, such as {example}")
    return value
