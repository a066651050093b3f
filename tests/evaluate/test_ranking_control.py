"""Ranking: music that is what its prompts say stands above music of other prompts, and above random notes.

The pieces are written here, each with a prompt that states what is true of it by construction, as real music has; all
of them go through files and the harness. Density and register are counted from the notes, apart from the package.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from evaluate.tunes import Row, track, tune
from midi_llm.evaluate import control, validity
from midi_llm.evaluate.analysis import analyse_takes
from midi_llm.evaluate.metric import Measured
from midi_llm.evaluate.prompts import Prompt, PromptFacts
from midi_llm.evaluate.run import Plan, compose_takes
from midi_llm.evaluate.systems.base import System
from midi_llm.evaluate.systems.floor import RandomGrammar, mismatched
from midi_llm.evaluate.systems.pieces import Pieces
from midi_llm.music.key import KEYS
from midi_llm.music.score import DRUMS, Score, Tempo, TimeSignature
from midi_llm.music.write import to_midi_bytes

PIECES = 24
TEMPOS = (60.0, 76.0, 92.0, 108.0, 132.0, 152.0, 176.0)
LEADS, CHORDS = (73, 40, 56, 65, 24), (0, 19, 48, 4)
BARS = {60.0: 5, 76.0: 6, 92.0: 10, 108.0: 8, 132.0: 14, 152.0: 12, 176.0: 16}
OCTAVES = (-24, 0, 12)
IN_MINOR = {4: 3, 9: 8, 11: 10}
"""C major made C minor."""


def piece(number: int) -> tuple[Prompt, Score]:
    """Every aspect has a rhythm of its own, so that no two pieces are alike in all."""
    bpm, waltz, minor, with_drums = TEMPOS[number % 7], number % 2 == 1, number % 3 == 1, number % 4 < 2
    lead, chords, tonic, octave = LEADS[number % 5], CHORDS[number % 4], number * 5 % 12, OCTAVES[number % 3]
    busy = number % 5 == 2
    per_bar = 3 if waltz else 4
    melody, accompaniment, drums = (
        in_bars(one.notes.tolist(), bpm=bpm, per_bar=per_bar, bars=BARS[bpm]) for one in tune(number).tracks
    )
    accompaniment += tonic_chords(bpm, per_bar, BARS[bpm])
    if busy:
        accompaniment += figures(bpm, per_bar, BARS[bpm])
    melodic = [moved(rows, tonic=tonic, octave=octave, minor=minor) for rows in (melody, accompaniment)]
    tracks = [track(melodic[0], lead), track(melodic[1], chords)] + [track(drums, drums=True)] * with_drums
    score = Score(
        tracks=tuple(tracks),
        tempos=(Tempo(time=0.0, bpm=bpm),),
        time_signatures=(TimeSignature(time=0.0, numerator=per_bar, denominator=4),),
    )
    key = KEYS[tonic + 12 * minor]
    facts = PromptFacts(
        instruments=((lead,), (chords,)) + ((DRUMS,),) * with_drums,
        only=number % 3 != 0,
        without=() if with_drums else (DRUMS,),
        bpm=bpm,
        pace="slow" if bpm < 84 else "fast" if bpm > 112 else "medium",
        key=key,
        mode=key.split()[1],
        metre=(per_bar, 4),
        seconds=score.seconds,
        **amounts(score),
    )
    return Prompt(id=f"p{number:02d}", text=f"piece {number}", facts=facts), score


def in_bars(rows: Sequence[Any], *, bpm: float, per_bar: int, bars: int) -> list[Row]:
    """Bars of 4/4 at 120 bpm at another tempo, without their fourth beats where there are three in a bar."""
    beat = 60.0 / bpm
    moved_rows = []
    for time, length, pitch, velocity in rows:
        bar, within = divmod(round(time / 0.5, 6), 4)
        if bar < bars and within < per_bar:
            until = (per_bar - within) * beat - 0.02
            moved_rows.append(((bar * per_bar + within) * beat, min(length / 0.5 * beat, until), pitch, velocity))
    return moved_rows


def tonic_chords(bpm: float, per_bar: int, bars: int) -> list[Row]:
    """The tonic deep below on every downbeat, and a dominant before it."""
    beat = 60.0 / bpm
    roots = [(bar * per_bar * beat, beat * 0.9, 36, 110) for bar in range(bars)]
    return roots + [((bar * per_bar + per_bar - 1) * beat, beat * 0.9, 43, 60) for bar in range(bars)]


def figures(bpm: float, per_bar: int, bars: int) -> list[Row]:
    """Sixths in sixteenths."""
    step = 15.0 / bpm
    steps = range(bars * per_bar * 4)
    return [(at * step, step * 0.9, pitch, 50) for at in steps for pitch in (76 + (0, 3)[at % 2], 84 + (0, 3)[at % 2])]


def moved(rows: Sequence[Row], *, tonic: int, octave: int, minor: bool) -> list[Row]:
    """In another key, mode and register."""
    scale = IN_MINOR if minor else {}
    semitones = (tonic + 6) % 12 - 6 + octave
    return [
        (time, length, pitch - pitch % 12 + scale.get(pitch % 12, pitch % 12) + semitones, velocity)
        for time, length, pitch, velocity in rows
    ]


def amounts(score: Score) -> dict[str, Any]:
    """The words for density and register that hold, counted anew."""
    rows = [(one.is_drum, *row) for one in score.tracks for row in one.notes.tolist()]
    density = len(rows) / score.seconds / len(score.tracks) ** 0.5
    pitched = [(row[2], row[3]) for row in rows if not row[0]]
    pitch = sum(length * number for length, number in pitched) / sum(length for length, _ in pitched)
    return {
        "density": "sparse" if density < 4.4 else "dense" if density > 10.1 else None,
        "register": "low" if pitch < 52.9 else "high" if pitch > 66.1 else None,
    }


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, Measured]]]:
    """Family, system, metric."""
    prompts, scores = zip(*map(piece, range(PIECES)), strict=True)
    midi = {prompt.id: to_midi_bytes(score) for prompt, score in zip(prompts, scores, strict=True)}
    right = Pieces(name="right", midi=midi, origin={"kind": "written here"})
    systems: list[System] = [right, mismatched(right, prompts, seed=0), RandomGrammar()]
    found: dict[str, dict[str, dict[str, Measured]]] = {"control": {}, "validity": {}}
    for system in systems:
        takes = compose_takes(system, Plan(prompts=prompts, seed=1), tmp_path_factory.mktemp(system.name))
        for family, values in (
            ("control", control.evaluate(takes, analyse_takes(takes))),
            ("validity", validity.evaluate(takes)),
        ):
            found[family][system.name] = {one.metric.name: one for one in values if one.metric.better is not None}
    return found


def score_of(one: Measured) -> float:
    """The mean, higher being better."""
    return float(np.nanmean(one.values)) * (1.0 if one.metric.better == "higher" else -1.0)


def test_every_metric_of_control_is_asked_of_several_pieces(
    measured: dict[str, dict[str, dict[str, Measured]]],
) -> None:
    right = measured["control"]["right"]
    assert len(right) == 32
    assert all(np.count_nonzero(~np.isnan(one.values)) >= 6 for one in right.values())


@pytest.mark.parametrize(
    ("other", "as_right"),
    [
        ("mismatched", "control.on_written_grid"),  # no prompt asks for it: files of other prompts keep to their grid
        ("random", "control.drums_asked"),  # among random notes there are always drums; drums unwanted tells
    ],
)
def test_control_prefers_what_was_asked_for(
    other: str, as_right: str, measured: dict[str, dict[str, dict[str, Measured]]]
) -> None:
    right, wrong = measured["control"]["right"], measured["control"][other]
    ranks = {name: (score_of(right[name]), score_of(wrong[name])) for name in right}
    assert ranks.pop(as_right) == (1.0, 1.0)
    assert {name: pair for name, pair in ranks.items() if pair[0] <= pair[1]} == {}


def test_what_is_counted_and_not_estimated_is_wholly_right(
    measured: dict[str, dict[str, dict[str, Measured]]],
) -> None:
    right = measured["control"]["right"]
    counted = {name for name in right if "heard" not in name} - {
        f"control.{name}" for name in ("key", "key_or_relative", "mode")
    }
    assert len(counted) > 15
    assert all(
        abs(score_of(right[name])) == pytest.approx(0.0 if "error" in name else 1.0, abs=1e-3) for name in counted
    )


@pytest.mark.parametrize("other", ["mismatched", "random"])
def test_validity_ranks_music_no_lower(other: str, measured: dict[str, dict[str, dict[str, Measured]]]) -> None:
    right, wrong = measured["validity"]["right"], measured["validity"][other]
    known = [name for name in right if not np.isnan(right[name].values).all()]
    assert len(known) >= 7
    assert all(score_of(right[name]) >= score_of(wrong[name]) for name in known)
