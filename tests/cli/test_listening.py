"""Listening as `midi-llm evaluate --audio` does it: a tiny CLAP, a stand-in for FluidSynth, real loading code."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluate.audio.tiny_clap import write_clap
from evaluate.tunes import tune
from midi_llm.cli.listening import FOLDER, listener
from midi_llm.errors import SynthesisError
from midi_llm.evaluate.prompts import Prompt
from midi_llm.evaluate.take import Take
from midi_llm.music.score import Score
from midi_llm.synth import sound_font
from midi_llm.synth.fluidsynth import PROGRAM_VARIABLE
from midi_llm.synth.sound_font import SOUND_FONT_VARIABLE, SoundFont
from midi_llm.synth.waveform import Waveform
from synth.stand_in import StandIn, font_bytes, write_stand_in


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    found = write_stand_in(tmp_path / "bin")
    found.plan(seconds=40)
    monkeypatch.setenv(PROGRAM_VARIABLE, str(found.path))
    return found


@pytest.fixture
def args(tmp_path: Path) -> argparse.Namespace:
    (tmp_path / "font.sf2").write_bytes(font_bytes())
    clap = write_clap(tmp_path / "clap")
    return argparse.Namespace(
        audio=str(clap), vggish=None, sound_font=tmp_path / "font.sf2", out=tmp_path / "out", seed=0
    )


def takes(*seeds: int) -> list[Take]:
    return [Take(prompt=Prompt(id=f"p{seed}", text="a slow waltz"), score=tune(seed)) for seed in seeds]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_sets_are_heard_once_and_scored_with_all_facts(
    program: StandIn, args: argparse.Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[int] = []

    def render(score: Score, *, sound_font: SoundFont, sample_rate: int) -> Waveform:
        assert sound_font.name == "font.sf2"
        rendered.append(score.note_count)
        rng = np.random.default_rng(score.note_count)  # a noise of its own for each score
        return Waveform(
            samples=(0.1 * rng.normal(size=(1, 10 * sample_rate))).astype(np.float32), sample_rate=sample_rate
        )

    monkeypatch.setattr("midi_llm.synth.fluidsynth.render", render)
    listen = listener(args)
    assert listen is not None
    results = {result.metric.name: result for result in listen(takes(0, 1, 2), takes(3, 4), "nano")}
    assert set(results) == {"audio.fad", "audio.fad_infinity", "audio.kad", "audio.clap_score"}
    assert results["audio.clap_score"].count == 3
    for result in results.values():
        assert result.facts["sound_font"] == "font.sf2"
        assert result.facts["fluidsynth"] == "2.3.1"
        assert str(result.facts["embedding"]).startswith(args.audio)
    assert len(rendered) == 5
    again = listen(takes(0, 1, 2), takes(3, 4), "nano")
    assert len(rendered) == 5  # what was heard is kept
    assert [repr(one.value) for one in again] == [repr(one.value) for one in results.values()]
    assert len(list((args.out / FOLDER).glob("*.npz"))) == 2
    listen(takes(0, 1, 5), (), "nano")
    assert len(rendered) == 8  # other takes, other sound


def test_without_an_ear_nothing_is_needed(args: argparse.Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROGRAM_VARIABLE, "/nowhere/fluidsynth")
    args.audio = None
    assert listener(args) is None


def test_what_is_missing_is_said_before_anything_is_composed(
    args: argparse.Namespace, program: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sound_font, "USUAL_FOLDERS", (str(tmp_path / "none"),))
    monkeypatch.delenv(SOUND_FONT_VARIABLE, raising=False)
    args.sound_font = None
    with pytest.raises(SynthesisError, match="--sound-font FILE"):
        listener(args)
    args.sound_font = tmp_path / "font.sf2"
    monkeypatch.setenv(PROGRAM_VARIABLE, "/nowhere/fluidsynth")
    with pytest.raises(SynthesisError, match="no program"):
        listener(args)


def test_takes_that_fail_are_left_out_and_said(program: StandIn, args: argparse.Namespace) -> None:
    listen: Callable | None = listener(args)
    assert listen is not None
    failed = replace(takes(9)[0], error="no idea")
    results = listen([*takes(0, 1), failed], (), "nano")
    assert [result.metric.name for result in results] == ["audio.clap_score"]
    assert results[0].count == 2
    assert results[0].facts["left_out"] == 1
