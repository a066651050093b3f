"""Takes rendered, heard, kept and compared: music is nearer to music than noise is, and every number says its facts."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluate.audio.sounds import RATE, Octaves, Reader, heard_rows, render, sine, takes
from evaluate.tunes import noise
from midi_llm.errors import RequestError, SynthesisError
from midi_llm.evaluate import audio
from midi_llm.evaluate.audio.clap_score import clap_score
from midi_llm.evaluate.audio.ears import cut_windows
from midi_llm.evaluate.audio.heard import Heard, check_heard, unit
from midi_llm.evaluate.metric import Result
from midi_llm.evaluate.take import Take
from midi_llm.music.score import Score
from midi_llm.synth.waveform import Waveform

COUNT = 14


def named(results: list[Result]) -> dict[str, Result]:
    return {result.metric.name: result for result in results}


@pytest.fixture(scope="module")
def real() -> Heard:
    return audio.listen(takes(COUNT, first=100), Octaves(), render)


@pytest.fixture(scope="module")
def music() -> Heard:
    return audio.listen(takes(COUNT), Octaves(), render)


def test_music_is_nearer_to_music_than_noise(real: Heard, music: Heard) -> None:
    facts = {"sound_font": "sines"}
    near = named(audio.compare(music, real, np.arange(COUNT), facts=facts))
    random = audio.listen(takes(COUNT, change=noise), Octaves(), render)
    far = named(audio.compare(random, real, np.arange(COUNT), facts=facts))
    assert list(near) == ["audio.fad", "audio.fad_infinity", "audio.kad"]
    for name, result in near.items():
        assert result.metric.better == "lower"
        assert result.low < result.value < result.high
        assert result.high < far[name].low
        assert result.count == len(music.embeddings)


def test_an_interval_of_fad_ends_at_0() -> None:
    rows = np.random.default_rng(0).normal(size=(2, 12, 3))
    fad, _, kad = audio.compare(heard_rows(rows[0]), heard_rows(rows[1]), np.arange(12))
    assert fad.low == 0 < fad.value < fad.high
    assert kad.low < 0


def test_every_distance_says_what_it_rests_on(real: Heard, music: Heard) -> None:
    for result in audio.compare(music, real, np.arange(COUNT), facts={"sound_font": "sines"}):
        assert result.warnings == ()
        assert (
            result.facts.items()
            >= {
                "sound_font": "sines",
                "embedding": "octaves",
                "dimensions": 10,
                "sample_rate": RATE,
                "takes": COUNT,
                "left_out": 0,
                "windows": len(music.embeddings),
                "reference_windows": len(real.embeddings),
                "reference_takes": COUNT,
                "interval": "half-samples",
            }.items()
        )
        assert result.facts["seconds"] == pytest.approx(music.seconds.sum(), abs=1e-3)
        assert "loudness_lufs" not in result.facts
    infinity = named(audio.compare(music, real, np.arange(COUNT)))["audio.fad_infinity"]
    assert 0 <= infinity.facts["r_squared"] <= 1


def test_evaluate_does_all_of_it(real: Heard, music: Heard) -> None:
    steps: list[tuple[int, int]] = []
    groups = np.repeat(np.arange(COUNT // 2), 2)
    results = named(
        audio.evaluate(
            takes(COUNT),
            takes(3, first=100),
            ear=Reader(),
            render=render,
            groups=groups,
            loudness=lambda waveform: -20.0 if waveform.samples.any() else -math.inf,
            facts={"sound_font": "sines"},
            on_take=lambda done, of: steps.append((done, of)),
        )
    )
    assert list(results) == ["audio.fad", "audio.fad_infinity", "audio.kad", "audio.clap_score"]
    assert steps == [(number, COUNT + 3) for number in range(1, COUNT + 4)]
    for result in results.values():
        assert result.facts["loudness_lufs"] == -20.0
        assert result.facts["sound_font"] == "sines"
    short = audio.compare(music, audio.listen(takes(3, first=100), Octaves(), render), groups)
    assert results["audio.kad"].value == pytest.approx(short[2].value, abs=1e-9)
    assert results["audio.kad"].warnings == (
        "7 prompts have sound: no interval can be given for FAD and KAD below 12",
        "3 reference pieces have sound: no interval can be given for FAD and KAD below 12",
    )
    assert math.isnan(results["audio.kad"].low)
    assert results["audio.clap_score"].values == pytest.approx(
        [
            float(unit(music.embeddings[music.take == number]).mean(axis=0) @ text)
            / np.linalg.norm(unit(music.embeddings[music.take == number]).mean(axis=0))
            for number, text in enumerate(unit(Reader().embed_texts([f"{220 + number}" for number in range(COUNT)])))
        ]
    )


def test_without_a_reference_only_texts_are_compared() -> None:
    [result] = audio.evaluate(takes(2), None, ear=Reader(), render=render, groups=np.arange(2))
    assert (result.metric, result.count) == (audio.CLAP_SCORE, 2)
    with pytest.raises(RequestError, match="octaves hears no texts, and there is no reference"):
        audio.evaluate(takes(2), None, ear=Octaves(), render=render, groups=np.arange(2))


def test_the_tone_that_was_asked_for_scores_higher() -> None:
    def play(take: Take) -> Waveform:
        return sine(250.0 * (1 + take.number), 2.0)

    asked = [replace(take, number=number) for number, take in enumerate(takes(4))]
    right = [replace(take, prompt=replace(take.prompt, text=f"{250 * (1 + take.number)} Hz")) for take in asked]
    wrong = [replace(take, prompt=replace(take.prompt, text="70 Hz")) for take in asked]
    ear = Reader()
    [good], [bad] = (audio.evaluate(some, None, ear=ear, render=play, groups=np.arange(4)) for some in (right, wrong))
    assert good.values == pytest.approx(np.ones(4), abs=1e-6)
    assert bad.value < 0.99
    assert good.facts["texts"] == 4
    assert bad.facts["texts"] == 1


def test_failed_and_empty_takes_are_left_out_and_counted(real: Heard) -> None:
    some = takes(COUNT)
    some[3] = replace(some[3], error="it broke")
    some[5] = replace(some[5], score=Score())
    rendered: list[str] = []

    def watch(take: Take) -> Waveform:
        rendered.append(take.prompt.id)
        return render(take)

    heard = audio.listen(some, Octaves(), watch)
    assert heard.left_out == 2
    assert not {"p003", "p005"} & set(rendered)
    assert not {3, 5} & set(heard.take.tolist())
    assert np.isnan(heard.means()).all(axis=1).nonzero()[0].tolist() == [3, 5]
    lack = f"generated set: 2 of {COUNT} takes are empty or failed and left out"
    for result in audio.compare(heard, real, np.arange(COUNT)):
        assert result.warnings == (lack,)
        assert result.facts["left_out"] == 2
    assert audio.validate(some, None, Reader()) == (lack,)
    score = audio.rate(audio.listen(some, Reader(), render), ["1"] * COUNT, Reader(), np.arange(COUNT))
    assert score.count == COUNT - 2
    assert score.warnings == (lack,)


def test_a_set_without_sound_is_refused() -> None:
    mute = [replace(take, score=Score()) for take in takes(2)]
    for some, others in ((mute, takes(2)), (takes(2), mute), (takes(2), []), ([], takes(2))):
        with pytest.raises(RequestError, match="none with notes"):
            audio.evaluate(some, others, ear=Octaves(), render=render, groups=np.arange(len(some)))
    one = audio.listen(takes(1), Octaves(), lambda take: sine(440, 0.3))
    with pytest.raises(RequestError, match="has 1 windows of sound"):
        audio.compare(one, one, np.arange(1))


def test_takes_with_broken_embeddings_are_named(real: Heard, music: Heard) -> None:
    rows = music.embeddings.copy()
    rows[music.take == 4] = np.nan
    rows[np.flatnonzero(music.take == 7)[0], 2] = np.inf
    broken = replace(music, embeddings=rows)
    for pair in ((broken, real), (real, broken)):
        with pytest.raises(RequestError, match=r"2 takes of the .* set have embeddings .*: p004/0, p007/0;"):
            audio.compare(*pair, np.arange(COUNT))
    with pytest.raises(RequestError, match="p004/0"):
        audio.rate(replace(broken, ear="reader"), ["1"] * COUNT, Reader(), np.arange(COUNT))


def test_silent_takes_count_and_are_named(real: Heard) -> None:
    heard = audio.listen(
        takes(2), Octaves(), lambda take: sine(440, 3.0, volume=0.0 if take.prompt.id == "p001" else 0.5)
    )
    assert heard.take.tolist() == [0, 0, 0, 1, 1, 1]
    assert np.isfinite(heard.embeddings).all()
    assert check_heard(heard, "generated") == ("generated set: 1 of 2 takes are silent and counted: p001/0",)


def test_sets_of_other_ears_and_groups_of_other_takes_are_refused(real: Heard, music: Heard) -> None:
    with pytest.raises(RequestError, match="heard by octaves and the reference by other"):
        audio.compare(music, replace(real, ear="other"), np.arange(COUNT))
    with pytest.raises(RequestError, match=f"3 groups for {COUNT} takes"):
        audio.compare(music, real, np.arange(3))
    with pytest.raises(RequestError, match="heard by octaves and the texts would be by reader"):
        audio.rate(music, ["1"] * COUNT, Reader(), np.arange(COUNT))
    with pytest.raises(RequestError, match="1 texts"):
        audio.rate(replace(music, ear="reader"), ["1"], Reader(), np.arange(COUNT))
    with pytest.raises(RequestError, match="texts have vectors of shape"):
        clap_score(music, np.zeros((2, 10)))


def test_few_prompts_and_few_windows_are_said() -> None:
    rows = np.random.default_rng(0).normal(size=(5, 8))
    fad, infinity, kad = audio.compare(heard_rows(rows), heard_rows(rows + 1), np.arange(5))
    assert math.isnan(infinity.value)
    assert infinity.count == 0
    assert infinity.warnings[-1] == "5 prompts have sound: FAD-infinity takes at least 6"
    assert "generated set: 5 windows in 8 dimensions: the covariance is singular" in fad.warnings[2]
    assert not any("dimensions" in warning for warning in kad.warnings)
    assert fad.value > 0


def test_windows_are_cut_from_the_beginning_and_a_short_rest_is_dropped() -> None:
    ear = Octaves()
    for seconds, lengths in ((0.2, [0.2]), (1.0, [1]), (1.49, [1]), (1.5, [1, 0.5]), (3.0, [1, 1, 1]), (0.0, [])):
        windows = cut_windows(sine(440, seconds, channels=2), ear)
        assert [window.seconds for window in windows] == pytest.approx(lengths)
        assert all(window.channels == 1 for window in windows)
    stereo = Waveform(samples=np.array([[1.0] * 8, [0.0] * 8], np.float32), sample_rate=RATE)
    assert cut_windows(stereo, ear)[0].samples == pytest.approx(np.full((1, 8), 0.5))
    with pytest.raises(RequestError, match="44100 Hz and octaves hears 4000 Hz; render at that rate"):
        cut_windows(sine(440, 1.0, rate=44_100), ear)


def test_windows_wait_for_each_other_across_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midi_llm.evaluate.audio.listening.BATCH", 5)
    ear = Octaves()
    heard = audio.listen(takes(4), ear, lambda take: sine(440.0 + int(take.prompt.id[1:]), 3.0))
    assert ear.batches == [5, 5, 2]
    assert heard.take.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    alone = Octaves().embed([sine(442.0, 1.0)])
    assert heard.embeddings[6] == pytest.approx(alone[0], abs=1e-6)


def test_a_rendering_that_fails_stops_the_run() -> None:
    def fail(take: Take) -> Waveform:
        raise SynthesisError("no renderer")

    with pytest.raises(SynthesisError, match="no renderer"):
        audio.listen(takes(1), Octaves(), fail)


def test_a_kept_set_comes_back_whole(music: Heard, tmp_path: Path) -> None:
    path = tmp_path / "cache" / "music.npz"
    audio.write_heard(path, music)
    again = audio.read_heard(path, ear="octaves", names=music.names)
    assert (again.ear, again.sample_rate, again.names) == (music.ear, music.sample_rate, music.names)
    for name in ("embeddings", "take", "seconds", "silent", "loudness"):
        assert np.array_equal(getattr(again, name), getattr(music, name), equal_nan=True)
    first = path.read_bytes()
    audio.write_heard(path, again)
    assert path.read_bytes() == first


def test_a_kept_set_that_is_another_or_broken_is_refused(music: Heard, tmp_path: Path) -> None:
    path = tmp_path / "music.npz"
    audio.write_heard(path, music)
    with pytest.raises(RequestError, match="was heard by octaves, not by clap"):
        audio.read_heard(path, ear="clap")
    with pytest.raises(RequestError, match="holds other takes"):
        audio.read_heard(path, names=["p000/0"])
    with np.load(path) as content:
        np.savez(tmp_path / "newer.npz", **{**content, "version": np.array(2)})
        np.savez(tmp_path / "less.npz", version=content["version"])
    with pytest.raises(RequestError, match="has version 2, expected 1"):
        audio.read_heard(tmp_path / "newer.npz")
    path.write_bytes(path.read_bytes()[:200])
    for broken in (path, tmp_path / "less.npz", tmp_path / "nowhere.npz"):
        with pytest.raises(RequestError, match=r"holds no embeddings .* delete it and listen again"):
            audio.read_heard(broken)
