"""Takes judged, composed again and sorted."""

from __future__ import annotations

import threading

import pytest

from midi_llm.compose.ranking import Ranking, checked, rank
from midi_llm.compose.settings import Settings
from midi_llm.compose.take import Progress
from midi_llm.compose.verdict import Finding
from midi_llm.errors import RequestError
from midi_llm.music.score import Note, Score, Track, note_array

from .test_timing import band


def scale(step: float = 0.25, count: int = 60) -> Score:
    return Score(
        tracks=(Track(notes=note_array([Note(time=n * step, duration=0.2, pitch=48 + n % 24) for n in range(count)])),)
    )


def finding(met: bool | None) -> Finding:
    return Finding(wish="key", asked="A minor", found="", met=met)


def judged(score: Score, *findings: Finding, **how: object) -> Ranking:
    settings = {"ending": "own", "repaired": False, "copied_share": None} | how
    return rank(score, findings, **settings)  # type: ignore[arg-type]


def test_a_sound_take_that_does_what_was_asked_has_one_and_less_for_each_failure() -> None:
    assert judged(band(100), finding(True)).total == 1.0
    assert judged(band(100), finding(True), finding(False)).adherence == 0.5
    assert judged(band(100), ending="full").health == 0.8
    assert judged(band(100), copied_share=lambda score: 0.25).novelty == 0.75
    assert judged(band(100), copied_share=lambda score: 0.25).total == pytest.approx((1 + 1 + 0.75) / 3)


def test_stuck_and_silent_takes_are_last_and_not_sound() -> None:
    for wrong in (
        Score(),
        scale(step=6.0, count=5),
        Score(tracks=(Track(notes=note_array([Note(time=n * 0.5, duration=0.4, pitch=60) for n in range(30)])),)),
    ):
        ranking = judged(wrong, finding(True))
        assert (ranking.total, ranking.stuck, ranking.is_sound) == (0.0, True, False)
    assert judged(scale()).is_sound


def test_a_copy_is_not_sound() -> None:
    assert not judged(scale(), copied_share=lambda score: 0.95).is_sound
    assert judged(scale(), copied_share=lambda score: 0.6).is_sound


def test_the_checks_have_names() -> None:
    growing = Score(
        tracks=(
            Track(
                notes=note_array([Note(time=(n / 60) ** 0.6 * 20, duration=0.2, pitch=48 + n % 24) for n in range(60)])
            ),
        )
    )
    checks = checked(growing, ending="cancelled", repaired=True)
    assert checks == {"not stuck": True, "steady": False, "clean notes": True, "ended": False, "not repaired": False}


def test_a_stuck_take_is_composed_again_with_a_seed_of_its_own_and_the_same_seed_gives_the_same(make_composer) -> None:
    composer = make_composer(make_composer.engine(stride=1500))  # silences of many seconds
    once = composer.compose("x", Settings(seconds=30, seed=4, retries=0))
    assert once.ranking.stuck
    assert once.attempt == 0
    again = composer.compose("x", Settings(seconds=30, seed=4, retries=2))
    assert (again.seed, again.attempt) == (4, 2)
    assert again.amt_ids != once.amt_ids
    assert composer.compose("x", Settings(seconds=30, seed=4, retries=2)).amt_ids == again.amt_ids


def test_a_stuck_take_stays_where_composing_it_again_is_cancelled(make_composer) -> None:
    composer = make_composer(make_composer.engine(stride=1500))
    once = composer.compose("x", Settings(seconds=30, seed=4, retries=0))
    cancel = threading.Event()
    counts: list[int] = []

    def stop_the_second(progress: Progress) -> None:
        counts.append(progress.notes)
        if counts.count(1) == 2:
            cancel.set()

    kept = composer.compose("x", Settings(seconds=30, seed=4, retries=2), on_progress=stop_the_second, cancel=cancel)
    assert cancel.is_set()
    assert (kept.attempt, kept.amt_ids) == (0, once.amt_ids)


def test_sound_takes_stay_while_others_are_composed_again(make_composer) -> None:
    composer = make_composer()
    composer.copied_share = lambda score: 1.0 if score.note_count % 2 else 0.0
    first = composer.compose_takes("x", Settings(seconds=5, seed=1, takes=6, retries=0))
    later = composer.compose_takes("x", Settings(seconds=5, seed=1, takes=6, retries=1))
    assert {piece.attempt for piece in later} == {0, 1}
    for before, after in zip(first, later, strict=True):
        assert (after.attempt == 0) == (before.score.note_count % 2 == 0)
        assert after.attempt or after.amt_ids == before.amt_ids
        assert after.seed == before.seed


def test_the_best_takes_come_first(make_composer) -> None:
    composer = make_composer()
    composer.copied_share = lambda score: (score.note_count % 7) / 10
    every = composer.compose_takes("x", Settings(seconds=5, seed=1, takes=6))
    best = composer.compose_takes("x", Settings(seconds=5, seed=1, takes=6, best=2))
    totals = sorted((piece.ranking.total for piece in every), reverse=True)
    assert [piece.ranking.total for piece in best] == totals[:2]


@pytest.mark.parametrize("wish", [{"best": 0}, {"best": 3, "takes": 2}, {"retries": -1}, {"retries": 11}])
def test_impossible_numbers_are_refused(wish) -> None:
    with pytest.raises(RequestError, match="allowed is"):
        Settings(**wish)
