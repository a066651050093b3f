"""Pieces by a plan of sections, over engines without weights: bars, repeats, tempo, ending, bounds."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from midi_llm.compose.asked import asked_for
from midi_llm.compose.bounds import Bounds
from midi_llm.compose.settings import Settings
from midi_llm.engines.base import Allowed
from midi_llm.tokens.codec import Events
from midi_llm.tokens.vocab import DUR_OFFSET, MUSIC_VOCAB_SIZE, NOTE_OFFSET

TEXT = "a song"
PLAN = "intro 2, verse 4, chorus 4, verse 4, chorus 6, outro 2"


@pytest.fixture
def metronome(make_composer):
    """A composer that strikes one note after the other, so many ticks apart by the clock of the window."""

    class Metronome(make_composer.engine):
        ticks = 50

        def draw(self, allowed: Allowed, rng: np.random.Generator) -> int:
            rows = self.vocab_size - MUSIC_VOCAB_SIZE
            slot = allowed.start - rows
            if slot >= NOTE_OFFSET:
                return super().draw(allowed, rng)
            if slot >= DUR_OFFSET:
                return min(allowed.start + 20, allowed.stop - 1)
            return int(rows + (slot // self.ticks + 1) * self.ticks)

    def make(ticks: int):
        engine = Metronome()
        engine.ticks = ticks
        return make_composer(engine)

    return make


def settings(**wishes: object) -> Settings:
    return Settings(seed=1, retries=0, wishes=asked_for(**wishes))  # type: ignore[arg-type]


def between(events: Events, start: float, end: float) -> list[tuple[int, ...]]:
    """Onset from `start`, instrument and pitch of events from `start` to before `end` (ticks)."""
    here = events[(events[:, 0] >= start) & (events[:, 0] < end)]
    return sorted((int(row[0] - start), int(row[2]), int(row[3])) for row in here)


def test_sections_begin_on_bar_lines_with_markers_and_are_reported(make_composer) -> None:
    piece = make_composer().compose(TEXT, settings(sections=PLAN, tempo=120))
    assert [(marker.text, marker.time) for marker in piece.score.markers] == [
        ("intro", 0.0),
        ("verse", 4.0),
        ("chorus", 12.0),
        ("verse", 20.0),
        ("chorus", 28.0),
        ("outro", 40.0),
    ]
    assert piece.ending == "asked"
    sections = [one for one in piece.findings if one.wish == "section"]
    assert [one.asked for one in sections][:2] == ["intro 2", "verse 4"]
    assert all(one.met for one in sections)
    assert not any(one.wish in ("length", "bars") for one in piece.findings)
    assert piece.score.tempos[0].bpm == 120


def test_a_section_that_comes_again_is_the_same_but_for_its_last_bar(make_composer) -> None:
    events = make_composer().compose(TEXT, settings(sections=PLAN, tempo=120)).events
    verse, chorus = between(events, 400, 1000), between(events, 1200, 2000)
    assert verse
    assert between(events, 2000, 2600) == verse
    assert between(events, 2800, 3600) == chorus
    assert between(events, 3600, 3800) == between(events, 1200, 1400), "six bars: four, and the first again"
    assert between(events, 3800, 4000) != between(events, 1400, 1600)


@pytest.mark.parametrize("ticks", [46, 50, 54])
def test_every_section_is_played_at_the_tempo_asked_for(metronome, ticks: int) -> None:
    piece = metronome(ticks).compose(TEXT, settings(sections="a 8, b 8, c 8", tempo=120, metre="4/4"))
    assert piece.score.tempos[0].bpm == pytest.approx(120, rel=0.01)
    for start in (0, 1600, 3200):
        onsets = np.array([row[0] for row in between(piece.events, start, start + 1600)])
        assert np.abs(np.diff(onsets)[1:] - 50).max() <= 2


def test_without_a_tempo_the_one_of_the_first_section_holds(metronome) -> None:
    piece = metronome(80).compose(TEXT, settings(sections="a 8, b 8", metre="4/4"))
    bar = 240.0 / piece.score.tempos[0].bpm
    assert piece.score.tempos[0].bpm == pytest.approx(75, rel=0.01), "slower than the room for it"
    assert piece.score.markers[1].time == pytest.approx(8 * bar, abs=0.01)
    assert between(piece.events, 700 * bar, 800 * bar), "what it lacked was composed"


def test_a_piece_ends_on_the_bar_line_and_rings_for_a_bar_at_most(make_composer) -> None:
    piece = make_composer().compose(TEXT, settings(sections="a 2, b 2", tempo=120))
    assert 8.0 <= piece.seconds <= 10.0
    assert piece.events[:, 0].max() <= 800 + 200 / 32
    loop = make_composer().compose(TEXT, settings(sections="a 2, b 2", tempo=120, loop=True))
    assert loop.seconds == pytest.approx(8.0)


def test_the_model_may_end_the_last_section_by_itself(make_composer) -> None:
    eager = make_composer.engine(closes=1.0)
    piece = make_composer(eager).compose(TEXT, settings(sections="a 2, b 8", tempo=120))
    assert piece.ending == "own"
    assert piece.seconds >= 20.0


def test_the_whole_piece_keeps_to_the_instruments_allowed(make_composer) -> None:
    composer = make_composer()
    composer.bounds = Bounds(max_instruments=3)
    free = composer.compose(TEXT, settings(sections=PLAN, tempo=120))
    assert len(free.instruments) <= 3
    bound = composer.compose(TEXT, settings(sections=PLAN, tempo=120, only="flute, drums"))
    assert set(bound.instruments) <= {"Flute", "Drums"}


def test_each_section_is_told_to_the_model_by_name(make_composer) -> None:
    dice = make_composer.engine()
    composer = make_composer(dice)
    composer.compose(TEXT, settings(sections="a 2, b 2", tempo=120))
    first, last = dice.batches[0][0].prompt_ids, dice.batches[-1][0].prompt_ids
    for name, ids in (("a", first), ("b", last)):
        expected = composer.prompt_ids(f"{TEXT}. 120 bpm. {name}.")
        assert ids[: len(expected)] == expected


def test_one_seed_makes_one_piece_and_takes_differ(make_composer) -> None:
    once, again = (make_composer().compose(TEXT, settings(sections="a 2, b 2, a 2")) for _ in range(2))
    assert np.array_equal(once.events, again.events)
    takes = make_composer().compose_takes(
        TEXT, Settings(seed=1, takes=2, retries=0, wishes=asked_for(sections="a 2, b 2"))
    )
    assert not np.array_equal(takes[0].events, takes[1].events)


def test_a_cancelled_piece_holds_what_there_is(make_composer) -> None:
    cancel = threading.Event()
    heard: list[float] = []

    def stop(progress) -> None:
        heard.append(progress.seconds)
        if progress.seconds > 6:
            cancel.set()

    composer = make_composer()
    piece = composer.compose(TEXT, settings(sections="a 2, b 8", tempo=120), on_progress=stop, cancel=cancel)
    assert piece.ending == "cancelled"
    assert piece.score.note_count > 0
    assert max(heard) < 25
    assert [one.found for one in piece.findings if one.wish == "section"][1] != ""


def test_a_tempo_heard_too_slow_for_the_bars_counts_double(metronome) -> None:
    piece = metronome(150).compose(TEXT, settings(sections="a 8, b 180", metre="4/4"))
    assert piece.seconds <= 600 + 4 * 60 / piece.tempo
