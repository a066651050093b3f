"""Composing end to end over an engine without weights: endings, lengths, windows, takes, seeds, cancelling, saving."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import midi_llm
from midi_llm.compose.bounds import Bounds
from midi_llm.compose.composer import Composer
from midi_llm.compose.settings import DEFAULT_DYNAMICS, DEFAULT_GUIDANCE, DEFAULT_TEMPERATURE, DEFAULT_TOP_P, Settings
from midi_llm.engines.base import SamplingParams
from midi_llm.errors import CheckpointError, EngineError, OutputError, PromptError, RequestError
from midi_llm.music.repair import repair
from midi_llm.music.score import DEFAULT_VELOCITY
from midi_llm.tokens.codec import decode

TEXT = "a calm piano piece"


def test_a_piece_ends_exactly_at_the_length_asked_for(make_composer) -> None:
    piece = make_composer().compose(TEXT, Settings(seconds=12, seed=1))
    assert piece.ending == "asked"
    assert piece.finish_reason == "stop"
    assert 0.9 * 12 <= piece.seconds <= 12
    assert piece.reports == ()


def test_the_model_may_end_the_piece_only_near_the_length_asked_for(make_composer) -> None:
    eager = make_composer.engine(closes=1.0)
    piece = make_composer(eager).compose(TEXT, Settings(seconds=20, seed=3))
    assert piece.ending == "own"
    assert 18 <= piece.events[:, :2].sum(axis=1).max() / 100 <= 20, "as composed: notes no piano has are left out later"


def test_without_a_length_the_model_decides(make_composer) -> None:
    piece = make_composer(make_composer.engine(closes=0.02)).compose(TEXT, Settings(seconds="auto", seed=2))
    assert piece.ending == "own"
    assert len(piece.windows) == 1


def test_without_a_length_a_full_context_ends_the_piece(make_composer) -> None:
    piece = make_composer(make_composer.engine(stride=2)).compose(TEXT, Settings(seconds="auto", seed=2))
    assert piece.ending == "full"
    assert piece.finish_reason == "length"
    assert decode(piece.windows[0]).shape[0] > 500


@pytest.mark.parametrize("stride", [8, 300])
def test_a_piece_longer_than_a_window_goes_on_in_the_next_one(make_composer, stride: int) -> None:
    engine = make_composer.engine(stride=stride, max_positions=900)
    piece = make_composer(engine).compose(TEXT, Settings(seconds=130, seed=5))
    assert piece.ending == "asked"
    assert len(piece.windows) > 1
    assert 0.9 * 130 <= piece.seconds <= 130
    assert (np.diff(piece.events[:, 0]) >= 0).all()
    for window in piece.windows:
        decode(window)


def test_a_later_window_repeats_the_prompt_and_at_most_half_of_the_events(make_composer) -> None:
    engine = make_composer.engine(stride=10, max_positions=900)
    composer = make_composer(engine)
    composer.compose(TEXT, Settings(seconds=60, seed=5))
    ids = composer.prompt_ids(TEXT)
    second = list(engine.batches[1][0].prompt_ids)
    assert second[: len(ids)] == ids
    context = decode([i - composer.text_rows for i in second[len(ids) :]])
    assert context[0, 0] == 0
    assert 0 < len(context) <= (900 - len(ids)) // 6
    assert len(second) + engine.batches[1][0].params.max_tokens <= 900


def test_a_piece_never_has_more_than_16_instruments_over_all_windows(make_composer) -> None:
    composer = make_composer(make_composer.engine(stride=5, max_positions=700))
    piece = composer.compose("something calm", Settings(seconds=40, seed=8))
    assert len(piece.windows) > 2
    assert 10 < len(piece.score.tracks) <= 16


def test_a_model_s_own_bound_on_instruments_holds_over_all_windows(make_composer) -> None:
    composer = make_composer(make_composer.engine(stride=5, max_positions=700))
    composer.bounds = Bounds(max_instruments=4)
    piece = composer.compose("something calm", Settings(seconds=40, seed=8))
    assert len(piece.windows) > 2
    assert len(piece.score.tracks) == 4


def test_only_instruments_that_fit_the_prompt_are_used_over_all_windows(make_composer) -> None:
    composer = make_composer(make_composer.engine(stride=5, max_positions=700))
    text = "a rock song with violin"
    piece = composer.compose(text, Settings(seconds=40, seed=8))
    used = {track.instrument for track in piece.score.tracks}
    assert len(piece.windows) > 2
    assert {40, 128} <= used <= {40, 128, 32, 33, 34}
    free = composer.compose(text, Settings(seconds=40, seed=8, parse=False))
    assert len(free.score.tracks) > 5


def test_a_seed_gives_the_same_piece_and_another_seed_another(make_composer) -> None:
    first, again, other = (make_composer().compose(TEXT, Settings(seconds=5, seed=seed)).amt_ids for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_takes_have_consecutive_seeds_and_equal_single_pieces(make_composer) -> None:
    composer = make_composer()
    pieces = composer.compose_takes(TEXT, Settings(seconds=4, seed=10, takes=3))
    assert [piece.seed for piece in pieces] == [10, 11, 12]
    assert pieces[2].amt_ids == composer.compose(TEXT, Settings(seconds=4, seed=12)).amt_ids


@pytest.mark.parametrize(("best", "guidance", "sizes"), [(6, 1.0, [6, 5]), (64, 1.0, [11]), (8, 2.0, [4, 4, 3])])
def test_many_takes_run_in_the_batches_that_the_engine_serves_best(
    make_composer, best: int, guidance: float, sizes: list[int]
) -> None:
    engine = make_composer.engine()
    engine.best_batch = best
    settings = Settings(seconds=1, seed=0, takes=11, guidance=guidance)
    assert len(make_composer(engine).compose_takes(TEXT, settings)) == 11
    assert [len(batch) for batch in engine.batches] == sizes


def test_a_drawn_seed_is_recorded_and_repeats_the_piece(make_composer) -> None:
    piece = make_composer().compose(TEXT, Settings(seconds=3))
    assert make_composer().compose(TEXT, Settings(seconds=3, seed=piece.seed)).amt_ids == piece.amt_ids


def test_progress_counts_every_note_and_never_passes_the_end(make_composer) -> None:
    seen = []
    piece = make_composer().compose(TEXT, Settings(seconds=6, seed=4), on_progress=seen.append)
    assert [progress.notes for progress in seen] == list(range(1, len(piece.events) + 1))
    told = [progress.note for progress in seen]
    ticks = [(round(100 * time), instrument, pitch) for time, _, instrument, pitch in told]
    assert ticks == [tuple(row) for row in piece.events[:, [0, 2, 3]].tolist()], "every note as it is drawn"
    assert all(duration >= row[1] / 100 for (_, duration, _, _), row in zip(told, piece.events, strict=True))
    assert all(a.seconds <= b.seconds <= 6 for a, b in pairwise(seen))


def test_cancelling_returns_what_there_is(make_composer) -> None:
    cancel = threading.Event()

    def stop(progress: midi_llm.Progress) -> None:
        if progress.notes == 7:
            cancel.set()

    piece = make_composer().compose(TEXT, Settings(seconds=30, seed=1), on_progress=stop, cancel=cancel)
    assert piece.ending == piece.finish_reason == "cancelled"
    assert len(piece.events) == 7


def test_the_summary_is_json_and_holds_what_repeats_the_piece(make_composer) -> None:
    import json

    piece = make_composer().compose(TEXT, Settings(seconds=3, seed=9, temperature=0.9, top_p=0.5))
    summary = json.loads(json.dumps(piece.summary()))
    expected = {"prompt": TEXT, "seed": 9, "temperature": 0.9, "top_p": 0.5, "model": "dice", "engine": "dice"}
    assert expected.items() <= summary.items()
    assert summary["version"] == midi_llm.__version__
    assert summary["rtf"] > 0
    assert piece.token_ids == [i + 320 for i in piece.amt_ids]


def test_velocities_are_those_of_the_seed_and_as_unequal_as_asked_for(make_composer) -> None:
    def velocities(**wish: float) -> list[int]:
        piece = make_composer().compose("a rock band", Settings(seconds=8, seed=1, **wish))
        return [int(velocity) for track in piece.score.tracks for velocity in track.notes["velocity"]]

    assert set(velocities(dynamics=0)) == {DEFAULT_VELOCITY}
    assert velocities() == velocities(dynamics=DEFAULT_DYNAMICS)
    assert np.std(velocities(dynamics=0.3)) < np.std(velocities(dynamics=1.0))


def test_notes_are_mended_and_the_piece_says_which(make_composer) -> None:
    piece = make_composer(make_composer.engine(stride=1)).compose("a piano", Settings(seconds=4, seed=1))
    assert piece.repairs.changed["restruck"] > 0
    assert piece.summary()["repairs"] == {**piece.repairs.changed, "double": piece.repairs.removed}
    assert repair(piece.score)[1].clean


def test_a_guided_take_is_told_what_it_would_be_without_its_text(make_composer) -> None:
    composer = make_composer()
    piece = composer.compose(TEXT, Settings(seconds=3, seed=9, guidance=2.0))
    (request,) = composer.engine.batches[0]
    assert request.params.guidance == piece.guidance == piece.summary()["guidance"] == 2.0
    assert request.unprompted_ids == request.prompt_ids[-1:]
    assert len(request.prompts) == 2


def test_later_windows_of_a_guided_take_keep_what_was_played(make_composer) -> None:
    composer = make_composer(make_composer.engine(max_positions=200))
    composer.compose(TEXT, Settings(seconds=30, seed=1, guidance=2.0))
    later = composer.engine.batches[-1][0]
    played = len(later.unprompted_ids) - 1
    assert played > 0
    assert list(later.unprompted_ids[1:]) == list(later.prompt_ids[-played:])


def test_a_saved_piece_reads_back_with_every_note(make_composer, tmp_path: Path) -> None:
    piece = make_composer().compose(TEXT, Settings(seconds=5, seed=1))
    path = piece.save(tmp_path / "piece.mid")
    assert midi_llm.read_midi(path).note_count == piece.score.note_count > 0
    with pytest.raises(OutputError, match="exists"):
        piece.save(path)
    piece.save(path, overwrite=True)


def test_the_strength_of_quantising_is_recorded_and_changes_no_token(make_composer) -> None:
    played, drawn = (make_composer().compose(TEXT, Settings(seconds=8, seed=1, quantise=share)) for share in (0, 1))
    assert (played.quantise, drawn.quantise) == (0, 1)
    assert played.amt_ids == drawn.amt_ids
    assert drawn.summary()["quantise"] == 1


@pytest.mark.parametrize(
    "wish",
    [
        *({"seconds": value} for value in (0, -1, 1e9, float("nan"))),
        *({"takes": value} for value in (0, 65)),
        *({"top_p": value} for value in (0.0, 1.1, float("nan"))),
        {"seed": -1},
        {"temperature": -0.1},
        {"guidance": -1.0},
        {"guidance": 21.0},
        *({"dynamics": value} for value in (-0.1, 1.01, float("nan"))),
        *({"quantise": value} for value in (-0.1, 1.1, float("nan"))),
    ],
)
def test_a_wish_that_cannot_be_met_says_what_is_allowed(wish: dict[str, float]) -> None:
    with pytest.raises(RequestError, match="allowed is"):
        Settings(**wish)


def test_the_sampling_defaults_are_those_of_the_engines() -> None:
    assert (SamplingParams().temperature, SamplingParams().top_p) == (DEFAULT_TEMPERATURE, DEFAULT_TOP_P)
    assert SamplingParams().guidance == DEFAULT_GUIDANCE


def test_an_empty_or_over_long_prompt_is_refused(make_composer) -> None:
    with pytest.raises(PromptError, match="empty"):
        make_composer().compose("  ")
    with pytest.raises(PromptError, match="fit"):
        make_composer().compose("loud " * 2000)


def test_an_unknown_model_or_engine_is_a_clear_error(tiny_checkpoint: Path) -> None:
    with pytest.raises(CheckpointError):
        midi_llm.compose(TEXT, model="nonsuch")
    with pytest.raises(EngineError, match="auto, onnx, torch"):
        midi_llm.compose(TEXT, model=str(tiny_checkpoint), engine="steam")


def test_a_composer_closes_its_engine(make_composer) -> None:
    engine = make_composer.engine()
    with make_composer(engine):
        assert not engine.closed
    assert engine.closed


def test_wishes_reach_the_composer(make_composer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Composer, "open", lambda model, engine: make_composer())
    piece = midi_llm.compose(TEXT, seed=1, wishes=midi_llm.asked_for(only="flute", bars=2, tempo=120))
    assert piece.instruments == ["Flute"]
    assert piece.seconds == 4
