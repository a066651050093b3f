"""A tiny checkpoint with its ONNX files, the `midi-llm` command run in this process, and a short MIDI file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from midi_llm.cli.main import main
from midi_llm.model.export_onnx import export_onnx
from midi_llm.music.score import Note, Score, Track, note_array
from midi_llm.music.write import write_midi
from midi_llm.synth import sound_font
from midi_llm.synth.fluidsynth import PROGRAM_VARIABLE
from midi_llm.synth.player import PLAYER_VARIABLE


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def model(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "tiny-onnx"
    shutil.copytree(tiny_checkpoint, folder)
    export_onnx(folder, precision="float32")
    return str(folder)


@pytest.fixture
def midi_llm(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Run the command in an empty current folder."""
    monkeypatch.chdir(tmp_path)

    def run(*argv: object) -> Result:
        code = main([str(arg) for arg in argv])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def song(tmp_path: Path) -> Path:
    melody = [Note(time=t / 2, duration=0.4, pitch=60 + t) for t in range(8)]
    beat = [Note(time=float(t), duration=0.1, pitch=36) for t in range(4)]
    score = Score(
        tracks=(Track(program=0, notes=note_array(melody)), Track(is_drum=True, notes=note_array(beat))),
    )
    write_midi(score, tmp_path / "song.mid")
    return tmp_path / "song.mid"


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without FluidSynth, fonts and players, but for what a test puts into its search path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(sound_font, "USUAL_FOLDERS", ())
    for variable in (PROGRAM_VARIABLE, PLAYER_VARIABLE, sound_font.SOUND_FONT_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    return folder
