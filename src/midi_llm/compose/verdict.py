"""Which wishes a finished piece meets: each one with what was asked for, what was found, and whether it passes.

In: a `Score` as it is written, and `Wishes`. Out: `Finding`s. Tempo, metre and key are as heard in the notes, by the
ears of music/ (which are wrong at times: docs/evaluation.md), never as written; the rest is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from midi_llm.compose.timing import bar_quarters, nearest
from midi_llm.compose.wishes import Wishes
from midi_llm.music.beats import BeatGrid, estimate_beats
from midi_llm.music.features import DENSE_FROM, SPARSE_BELOW, NoteTable, note_density, note_table, relative_density
from midi_llm.music.instruments import instrument_name
from midi_llm.music.key import PITCH_CLASSES, estimate_key, key_number
from midi_llm.music.pitch import note_name
from midi_llm.music.score import DRUMS, Score
from midi_llm.music.tempo_map import TempoMap

NEAR = 0.05
"""A tempo this close (as a share) is the one asked for."""
LENGTH_SHARE = 0.1
"""A piece may end by itself so much earlier than asked for."""
LEAST_NOTES_SHARE = 0.01
"""An instrument that has no more of the notes is not heard as playing."""
SOUND_SECONDS = 0.02
"""Notes may sound on after the end of a bar by less than this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One wish. `found` is "" and `met` None where nothing can be measured."""

    wish: str
    asked: str
    found: str
    met: bool | None


def judge(score: Score, wishes: Wishes, *, seconds: float | None) -> tuple[Finding, ...]:
    """Every wish in `wishes`, and a length of `seconds`, against `score`."""
    notes = note_table(score)
    grid = None
    if wishes.bpm is not None or wishes.metre is not None:
        grid = estimate_beats(notes)
    found = [
        *_time(wishes, grid),
        *_key(wishes, notes),
        *_length(score, wishes, seconds),
        *_sections(score, notes, wishes),
        *_instruments(notes, wishes),
        *_pitches(notes, wishes),
        *_density(score, notes, wishes),
    ]
    return tuple(found)


def adherence(findings: tuple[Finding, ...]) -> float:
    """Share of the wishes that are met, of those that can be measured; 1.0 where there are none."""
    told = [finding.met for finding in findings if finding.met is not None]
    return sum(told) / len(told) if told else 1.0


def _time(wishes: Wishes, grid: BeatGrid | None) -> Iterator[Finding]:
    if wishes.bpm is not None:
        near = None if grid is None else nearest(grid, wishes.bpm)
        yield Finding(
            wish="tempo",
            asked=f"{wishes.bpm:g} bpm",
            found="" if grid is None else f"{grid.bpm:.1f} bpm",
            met=None if grid is None else near is not None and abs(near[0] - 1) <= NEAR,
        )
    if wishes.metre is not None:
        yield Finding(
            wish="metre",
            asked=f"{wishes.metre[0]}/{wishes.metre[1]}",
            found="" if grid is None else f"{grid.metre[0]}/{grid.metre[1]}",
            met=None if grid is None else grid.metre == wishes.metre,
        )


def _key(wishes: Wishes, notes: NoteTable) -> Iterator[Finding]:
    if wishes.key is not None:
        has_pitch = len(notes.pitched()) > 0
        heard = estimate_key(notes)[0] if has_pitch else ""
        met = key_number(heard) == key_number(wishes.key) if has_pitch else None
        yield Finding(wish="key", asked=wishes.key, found=heard, met=met)


def _length(score: Score, wishes: Wishes, seconds: float | None) -> Iterator[Finding]:
    clock = TempoMap.of(score)
    bars = float(clock.position(score.seconds)) / bar_quarters(score)
    bar = score.seconds / max(bars, 1.0)
    if wishes.bars is not None:
        last = float(clock.times((wishes.bars - 1) * bar_quarters(score)))
        met = abs(bars - wishes.bars) * bar < SOUND_SECONDS and _last_onset(score) >= last
        yield Finding(wish="bars", asked=f"{wishes.bars}", found=f"{bars:.2f}".rstrip("0").rstrip("."), met=met)
    elif seconds is not None and not wishes.loop:
        met = seconds * (1 - LENGTH_SHARE) <= score.seconds <= seconds + SOUND_SECONDS
        yield Finding(wish="length", asked=f"{seconds:g} s", found=f"{score.seconds:.1f} s", met=met)
    if wishes.loop:
        met = abs(bars - round(bars)) * bar < SOUND_SECONDS and round(bars) >= 1
        yield Finding(wish="loop", asked="whole bars", found=f"{bars:.2f} bars", met=met)


def _sections(score: Score, notes: NoteTable, wishes: Wishes) -> Iterator[Finding]:
    """Each section: whether it begins on its bar line, with a marker, and has notes."""
    clock, bar, first = TempoMap.of(score), bar_quarters(score), 0
    markers = [(marker.text, marker.time) for marker in score.markers]
    for number, section in enumerate(wishes.sections):
        start, end = (float(clock.times(line * bar)) for line in (first, first + section.bars))
        count = int(((notes.start >= start - SOUND_SECONDS) & (notes.start < end - SOUND_SECONDS)).sum())
        is_there = number < len(markers) and markers[number][0] == section.name
        on_line = is_there and abs(markers[number][1] - start) < SOUND_SECONDS
        found = f"from bar {first + 1}, {count} notes" if is_there else "not reached"
        yield Finding(wish="section", asked=f"{section.name} {section.bars}", found=found, met=on_line and count > 0)
        first += section.bars


def _last_onset(score: Score) -> float:
    return max((float(track.notes["time"].max()) for track in score.tracks if len(track.notes)), default=0.0)


def _instruments(notes: NoteTable, wishes: Wishes) -> Iterator[Finding]:
    ensemble = wishes.ensemble
    sounding = set(notes.instrument.tolist())
    for group in ensemble.named:
        played = [program for program in group if program in sounding]
        name = instrument_name(played[0] if played else group[0])
        count = int(np.isin(notes.instrument, group).sum())
        found = f"{count} note{'' if count == 1 else 's'}"
        yield Finding(wish="instrument", asked=name, found=found, met=count > LEAST_NOTES_SHARE * len(notes))
    if ensemble.ruled_out:
        wrong = sorted(sounding & ensemble.ruled_out)
        asked = "no drums" if ensemble.ruled_out == {DRUMS} else f"none of {len(ensemble.ruled_out)} ruled out"
        yield Finding(wish="without", asked=asked, found=_names(wrong) or "none", met=not wrong)
    if ensemble.named and not ensemble.open:
        others = sorted(sounding - {program for group in ensemble.named for program in group})
        yield Finding(wish="only", asked="no others", found=_names(others) or "no others", met=not others)


def _names(programs: list[int]) -> str:
    return ", ".join(map(instrument_name, programs))


def _pitches(notes: NoteTable, wishes: Wishes) -> Iterator[Finding]:
    melodic = notes.where(notes.instrument != DRUMS)
    if wishes.pitch_classes is not None:
        others = sorted(set((melodic.pitch % 12).tolist()) - wishes.pitch_classes)
        asked = " ".join(PITCH_CLASSES[one] for one in sorted(wishes.pitch_classes))
        found = " ".join(PITCH_CLASSES[one] for one in others)
        yield Finding(wish="pitches", asked=asked, found=f"also {found}" if found else "no others", met=not others)
    for instrument, low, high in wishes.ranges:
        pitch = notes.pitch[notes.instrument == instrument]
        if len(pitch):
            found = f"{note_name(int(pitch.min()))} to {note_name(int(pitch.max()))}"
            asked = f"{instrument_name(instrument)} {note_name(low)} to {note_name(high)}"
            yield Finding(wish="range", asked=asked, found=found, met=bool(low <= pitch.min() and pitch.max() <= high))


def _density(score: Score, notes: NoteTable, wishes: Wishes) -> Iterator[Finding]:
    if wishes.density is None:
        return
    measured = relative_density(note_density(score), len(set(notes.instrument.tolist())))
    is_sparse, is_dense = measured < SPARSE_BELOW, measured >= DENSE_FROM
    met = {"sparse": is_sparse, "dense": is_dense, "medium": not is_sparse and not is_dense}[wishes.density]
    yield Finding(wish="density", asked=wishes.density, found=f"{note_density(score):.1f} notes a second", met=met)
