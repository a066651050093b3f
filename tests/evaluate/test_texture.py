"""Texture: golden values, and an independent count of polyphony."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.tunes import EMPTY, Row, laid, table, track, tune
from midi_llm.errors import RequestError
from midi_llm.evaluate import texture
from midi_llm.music.features import note_density, note_table, relative_density
from midi_llm.music.score import Score

NOTES = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 20), st.integers(60, 64)).map(
        lambda drawn: (float(drawn[0]), float(drawn[1]), drawn[2], 80)
    ),
    min_size=1,
    max_size=15,
)


def test_density_is_that_of_music() -> None:
    score = tune(3)
    notes = note_table(score)
    assert texture.note_density(notes) == pytest.approx(note_density(score), abs=1e-12)
    assert texture.relative_density(notes) == pytest.approx(relative_density(note_density(score), 3), abs=1e-12)
    assert texture.note_density(table([(1.0, 0.5, 60, 80), (2.5, 0.5, 60, 80)])) == pytest.approx(1.0, abs=1e-12)


def test_instruments_count_all_drums_as_one() -> None:
    kit = track([(0.0, 0.1, 36, 80), (0.0, 0.1, 42, 80)], drums=True)
    score = Score(tracks=(track([(0.0, 1.0, 60, 80)], 0), track([(0.0, 1.0, 60, 80)], 40), kit, kit))
    assert texture.instruments(note_table(score)) == 3.0


def test_polyphony_of_overlapping_notes() -> None:
    notes = table([(0.0, 2.0, 60, 80), (1.0, 2.0, 64, 80), (5.0, 1.0, 60, 80)])
    assert texture.mean_polyphony(notes) == pytest.approx(5 / 4, abs=1e-12)
    assert texture.polyphony_rate(notes) == pytest.approx(1 / 4, abs=1e-12)
    unison = table([(0.0, 2.0, 60, 80), (1.0, 2.0, 60, 80)])
    assert texture.polyphony_rate(unison) == 0.0
    legato = table([(0.0, 1.0, 60, 80), (1.0, 1.0, 62, 80)])
    assert texture.polyphony_rate(legato) == 0.0


@given(NOTES)
def test_polyphony_rate_by_counting_seconds(rows: list[Row]) -> None:
    roll = np.zeros((128, 64), bool)
    for start, length, pitch, _ in rows:
        roll[pitch, int(start) : int(start + length)] = True
    at_once = roll.sum(axis=0)
    expected = np.count_nonzero(at_once >= 2) / np.count_nonzero(at_once)
    assert texture.polyphony_rate(table(rows)) == pytest.approx(expected, abs=1e-9)


def test_note_length_and_leaps() -> None:
    notes = table([(0.0, 1.0, 60, 80), (1.0, 0.5, 67, 80), (2.0, 0.5, 67, 80), (3.0, 2.0, 62, 80)])
    assert texture.note_seconds(notes) == pytest.approx(1.0, abs=1e-12)
    assert texture.melodic_leap(notes) == pytest.approx((7 + 0 + 5) / 3, abs=1e-12)


def test_leaps_are_of_the_top_line_of_each_instrument() -> None:
    chords = track([(0.0, 1.0, 48, 80), (0.01, 1.0, 60, 80), (1.0, 1.0, 62, 80), (1.0, 1.0, 47, 80)])
    bass = track([(0.0, 1.0, 30, 80), (1.0, 1.0, 34, 80)], 33)
    assert texture.melodic_leap(note_table(Score(tracks=(chords, bass)))) == pytest.approx(3.0, abs=1e-12)
    assert math.isnan(texture.melodic_leap(table([(0.0, 1.0, 60, 80), (0.0, 1.0, 64, 80)])))


def test_notes_without_length_give_no_number() -> None:
    notes = table([(0.0, 0.0, 60, 80), (0.0, 0.0, 64, 80)])
    for metric in (texture.note_density, texture.mean_polyphony, texture.polyphony_rate):
        assert math.isnan(metric(notes))


def test_drums_have_density_but_no_polyphony() -> None:
    drums = laid(Score(tracks=(track([(0.0, 0.1, 36, 80), (1.9, 0.1, 38, 80)], drums=True),)))
    found = {one.metric.name: one.values[0] for one in texture.evaluate([drums])}
    assert found["texture.note_density"] == pytest.approx(1.0, abs=1e-12)
    assert all(math.isnan(found[f"texture.{name}"]) for name in ("mean_polyphony", "note_seconds", "melodic_leap"))


def test_takes_without_notes_are_nan_and_said() -> None:
    found = texture.evaluate([EMPTY, laid(tune(0))])
    assert all(np.isnan(one.values[0]) and not np.isnan(one.values[1]) for one in found)
    assert texture.validate([EMPTY, laid(tune(0))])[0].startswith("1 of 2 takes have no notes")
    with pytest.raises(RequestError, match="no takes"):
        texture.evaluate([])
