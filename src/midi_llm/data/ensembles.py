"""Ensembles: whether the instruments that sound make the ensemble that a name promises.

In: a name as sources write it ("string quartet", "solo piano") and a set of instruments 0-128. Out: yes, no, or None
for a name that is no ensemble known here. It does not count parts: two violins on one program are one instrument.
"""

from __future__ import annotations

from dataclasses import dataclass

from midi_llm.music.instruments import instrument_name
from midi_llm.music.score import DRUMS


def _group(*ranges: tuple[int, int]) -> frozenset[int]:
    """Instruments of inclusive ranges."""
    return frozenset(number for first, last in ranges for number in range(first, last + 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ensemble:
    """What must sound for an ensemble to be named: one instrument of each of `needs` and, if `only`, nothing else."""

    needs: tuple[frozenset[int], ...]
    only: bool = True
    least: int = 1
    """Number of different instruments."""


_PIANO, _HARPSICHORD, _ORGAN = _group((0, 5)), _group((6, 6)), _group((16, 20))
_GUITAR, _BASS, _DRUMS = _group((24, 31)), _group((32, 39)), _group((DRUMS, DRUMS))
_VIOLIN, _VIOLA, _CELLO = _group((40, 40)), _group((41, 41)), _group((42, 42))
_STRINGS, _BRASS, _REED = _group((40, 45), (48, 51)), _group((56, 63)), _group((64, 71))
_WOODWIND, _VOICE = _group((68, 79)), _group((52, 54), (85, 85), (91, 91))

_ENSEMBLES = {
    "solo piano": _Ensemble(needs=(_PIANO,)),
    "piano": _Ensemble(needs=(_PIANO,)),
    "solo organ": _Ensemble(needs=(_ORGAN,)),
    "organ": _Ensemble(needs=(_ORGAN,)),
    "solo harpsichord": _Ensemble(needs=(_HARPSICHORD,)),
    "solo guitar": _Ensemble(needs=(_GUITAR,)),
    "solo classical guitar": _Ensemble(needs=(_group((24, 24)),)),
    "solo voice": _Ensemble(needs=(_VOICE,)),
    "choir": _Ensemble(needs=(_VOICE,)),
    "choir and organ": _Ensemble(needs=(_VOICE, _ORGAN)),
    "voice and piano": _Ensemble(needs=(_VOICE, _PIANO)),
    "voice and guitar": _Ensemble(needs=(_VOICE, _GUITAR)),
    "voices and instruments": _Ensemble(needs=(_VOICE,), only=False, least=2),
    "piano trio": _Ensemble(needs=(_PIANO, _VIOLIN, _CELLO)),
    "string quartet": _Ensemble(needs=(_VIOLIN, _VIOLA, _CELLO)),
    "string trio": _Ensemble(needs=(_VIOLIN, _VIOLA, _CELLO)),
    "strings": _Ensemble(needs=(_STRINGS,)),
    "string orchestra": _Ensemble(needs=(_STRINGS,)),
    "orchestra": _Ensemble(needs=(_STRINGS, _BRASS | _WOODWIND), only=False, least=5),
    "orchestra and choir": _Ensemble(needs=(_STRINGS, _BRASS | _WOODWIND, _VOICE), only=False, least=5),
    "rock band": _Ensemble(needs=(_GUITAR, _BASS, _DRUMS), only=False),
    "jazz combo": _Ensemble(needs=(_BASS, _DRUMS), only=False, least=3),
    "big band": _Ensemble(needs=(_BRASS, _REED, _DRUMS), only=False, least=4),
    "band": _Ensemble(needs=(_DRUMS,), only=False, least=3),
    "drum kit": _Ensemble(needs=(_DRUMS,)),
}


def ensemble_holds(name: str, instruments: frozenset[int]) -> bool | None:
    """Whether `instruments` (0-128) make the ensemble called `name`; None when that name is no ensemble known here."""
    name = name.lower()
    rule = _ENSEMBLES.get(name)
    if rule is not None:
        strays = instruments.difference(*rule.needs) if rule.only else ()
        return len(instruments) >= rule.least and not strays and all(group & instruments for group in rule.needs)
    if name.startswith("solo "):
        return len(instruments) == 1 and name[5:] in instrument_name(next(iter(instruments))).lower()
    return None
