from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.corpora import make_score
from midi_llm.data.augment import AugmentSettings
from midi_llm.data.ensembles import ensemble_holds
from midi_llm.data.facts import window_facts
from midi_llm.data.sources.base import Metadata
from midi_llm.data.windows import Window, cut_window
from midi_llm.music.features import relative_density

BEAT_TICKS, BAR_TICKS = 50, 200
I_VI_IV_V = {"C": (48, 52, 55), "Am": (45, 48, 52), "F": (41, 45, 48), "G": (43, 47, 50)}


def make_window(rows: list[tuple[int, int, int, int]], **changes: object) -> Window:
    events = np.array(sorted(rows), np.int32)
    plain = Window(
        events=events, velocities=np.full(len(events), 72, np.uint8), bpm=120.0, metre=(4, 4), key=None, semitones=0,
        is_opening=True, is_ending=True,
    )  # fmt: skip
    return replace(plain, **changes)


def progression(times: int = 2, *, instrument: int = 0, shift: int = 0) -> list[tuple[int, int, int, int]]:
    """Four bars of block chords on every beat, `times` times."""
    return [
        (bar * BAR_TICKS + beat * BEAT_TICKS, BEAT_TICKS, instrument, pitch + shift)
        for bar, pitches in enumerate(list(I_VI_IV_V.values()) * times)
        for beat in range(4)
        for pitch in pitches
    ]


def drums(bars: int) -> list[tuple[int, int, int, int]]:
    return [(beat * BEAT_TICKS, 10, 128, 36) for beat in range(4 * bars)]


def test_a_window_of_block_chords_is_described_as_what_it_is() -> None:
    facts = window_facts(make_window(progression() + drums(8)), Metadata())
    assert facts.instruments == (0, 128)
    assert facts.shares == (pytest.approx(0.75), pytest.approx(0.25))
    assert (facts.seconds, facts.notes, facts.bars) == (16.0, 128, 8)
    assert facts.chords == tuple(I_VI_IV_V) * 2
    assert facts.polyphony == pytest.approx(3.0)
    assert facts.repeats == pytest.approx(0.5)
    assert facts.staccato == pytest.approx(1.0)
    assert facts.relative_density == pytest.approx(relative_density(8.0, 2))
    assert facts.swing is None
    assert facts.mean_velocity is None


def test_instruments_are_listed_by_sounding_time_not_by_notes() -> None:
    held = [(0, 900, 48, 60), (900, 700, 48, 62)]
    facts = window_facts(make_window(held + progression(1)), Metadata())
    assert facts.instruments == (48, 0)
    assert facts.shares[0] < facts.shares[1]


def test_drums_alone_have_no_key_no_register_and_no_chords() -> None:
    facts = window_facts(make_window(drums(8), key="C major"), Metadata(key="C major"))
    assert (facts.key, facts.mean_pitch, facts.chords, facts.staccato) == (None, None, (), None)
    assert facts.polyphony == 0.0


@pytest.mark.parametrize("unknown", [{"bpm": None}, {"metre": None}])
def test_without_a_constant_tempo_and_metre_nothing_is_said_of_bars(unknown: dict[str, None]) -> None:
    facts = window_facts(make_window(progression(), **unknown), Metadata())
    assert (facts.bars, facts.chords, facts.repeats, facts.swing) == (None, (), None, None)
    assert facts.polyphony > 0


def test_a_bar_that_is_cut_off_does_not_count_unless_the_piece_ends_in_it() -> None:
    cut = [row for row in progression() if row[0] <= 7 * BAR_TICKS + BEAT_TICKS]
    assert window_facts(make_window(cut, is_ending=False), Metadata()).bars == 7
    assert window_facts(make_window(cut, is_ending=True), Metadata()).bars == 8


def test_a_known_key_stays_unless_the_notes_contradict_it() -> None:
    scale = progression(1) + [(800 + 50 * k, 50, 0, 60 + step) for k, step in enumerate((0, 2, 4, 5, 7, 9, 11, 12))]
    for known, stated in (("C major", "C major"), ("Gb major", None), ("E minor", None)):
        assert window_facts(make_window(scale, key=known), Metadata()).key == stated


def test_a_key_is_estimated_only_where_it_is_sure() -> None:
    cadence = ((48, 52, 55), (41, 45, 48), (43, 47, 50), (48, 52, 55))
    sure = [(BAR_TICKS * k, BAR_TICKS, 0, pitch) for k, chord in enumerate(cadence * 2) for pitch in chord]
    assert window_facts(make_window(sure), Metadata()).key == "C major"
    chromatic = [(50 * k, 50, 0, 48 + k % 12) for k in range(48)]
    assert window_facts(make_window(chromatic), Metadata()).key is None


def test_chords_are_the_longest_run_of_sure_bars_and_at_least_four() -> None:
    cluster = [(2 * BAR_TICKS, BAR_TICKS, 0, pitch) for pitch in range(60, 72)]
    assert window_facts(make_window(progression() + cluster), Metadata()).chords == ("G", "C", "Am", "F", "G")
    assert window_facts(make_window(progression(1) + cluster), Metadata()).chords == ()


def test_swing_is_not_looked_for_where_the_quarter_is_not_the_beat() -> None:
    eighths = [(25 * k, 25, 0, 60 + k % 5) for k in range(96)]
    assert window_facts(make_window(eighths), Metadata()).swing == pytest.approx(1.0)
    assert window_facts(make_window(eighths, metre=(6, 8)), Metadata()).swing is None


def test_dynamics_come_from_the_velocities() -> None:
    window = make_window(progression())
    rising = np.linspace(30, 110, len(window.events)).astype(np.uint8)
    facts = window_facts(replace(window, velocities=rising), Metadata())
    assert facts.mean_velocity == pytest.approx(rising.mean())
    assert facts.velocity_change is not None
    assert facts.velocity_change > 40


def test_form_is_only_said_of_a_whole_piece() -> None:
    metadata = Metadata(form=("A", "B", "A"), composer="Anna Bon", period="classical", moods=("calm",))
    for opening, ending, form in ((True, True, ("A", "B", "A")), (True, False, ()), (False, True, ())):
        facts = window_facts(make_window(progression(), is_opening=opening, is_ending=ending), metadata)
        assert facts.form == form
        assert (facts.composer, facts.period, facts.moods) == ("Anna Bon", "classical", ("calm",))
        assert (facts.is_opening, facts.is_ending) == (opening, ending)


def test_an_ensemble_that_does_not_sound_in_the_window_is_not_said() -> None:
    metadata = Metadata(ensemble="string quartet", genres=("string quartet", "romantic"))
    trio = [*progression(instrument=40), *progression(instrument=41), *progression(instrument=42)]
    whole = window_facts(make_window(trio), metadata)
    assert (whole.ensemble, whole.genres) == ("string quartet", ("string quartet", "romantic"))
    duo = window_facts(make_window(trio[: 2 * len(progression())]), metadata)
    assert (duo.ensemble, duo.genres) == ("", ("romantic",))
    assert window_facts(make_window(trio), Metadata(ensemble="ondes band")).ensemble == ""


@pytest.mark.parametrize(
    ("name", "instruments", "holds"),
    [
        ("Solo Piano", {0}, True), ("solo piano", {0, 128}, False), ("solo violin", {40}, True),
        ("solo violin", {42}, False), ("solo violin", {40, 0}, False), ("rock band", {30, 33, 128, 0}, True),
        ("rock band", {30, 128}, False), ("voice and piano", {52, 0}, True), ("voice and piano", {0}, False),
        ("orchestra", {40, 42, 60, 68, 73}, True), ("orchestra", {40, 42}, False), ("big band", {56, 57}, False),
        ("drum kit", {128}, True), ("waltz", {0}, None),
    ],
)  # fmt: skip
def test_ensembles_hold_by_their_instruments(name: str, instruments: set[int], holds: bool | None) -> None:
    assert ensemble_holds(name, frozenset(instruments)) is holds


def test_facts_of_real_windows_agree_with_their_events() -> None:
    for seed in range(20):
        window = cut_window(
            make_score(seed), metadata=Metadata(), max_notes=120, settings=AugmentSettings(),
            rng=np.random.default_rng(seed),
        )  # fmt: skip
        assert window is not None
        facts = window_facts(window, Metadata())
        assert set(facts.instruments) == set(window.events[:, 2].tolist())
        assert sum(facts.shares) == pytest.approx(1.0)
        assert facts.bars is not None
        assert facts.bars * 240 / window.bpm <= window.seconds + 240 / window.bpm
        assert facts.swing == pytest.approx(1.0)
